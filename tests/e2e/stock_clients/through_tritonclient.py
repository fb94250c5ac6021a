"""Drives a server with tritonclient's blocking client: ``through_tritonclient.py ADDRESS FOLDER``.

A process of its own, since tritonclient's stubs and ours register the same names. It reads
``FOLDER/inputs.npz``, writes ``FOLDER/outputs.npz``, and prints what else it was told as JSON.
"""

from __future__ import annotations

import json
import queue
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

TYPES = {"uint8": "UINT8", "float32": "FP32"}
OUTPUTS = {"cfs": "foreground", "lgsa": "scores"}
PATIENCE = 30
CFS = ("image", "box_mask", "label")


def main(address: str, folder: Path) -> None:
    """Asks everything that a stock client can."""
    given = np.load(folder / "inputs.npz")
    crops = inputs_of({name: given[name] for name in CFS})
    pictures = inputs_of({"image": given["picture"]})
    with triton.InferenceServerClient(address) as client:
        told: dict[str, Any] = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": {name: client.is_model_ready(name) for name in ("cfs", "lgsa", "other")},
            "server": client.get_server_metadata(as_json=True),
            "cfs": client.get_model_metadata("cfs", as_json=True),
            "lgsa": client.get_model_metadata("lgsa", "1", as_json=True),
            "config": client.get_model_config("cfs", as_json=True),
            "statistics_before": client.get_inference_statistics("cfs", as_json=True),
            "index": client.get_model_repository_index(as_json=True),
        }
        asked = client.infer(
            "cfs", crops, request_id="seven", outputs=[triton.InferRequestedOutput("foreground")]
        )
        told["id"] = asked.get_response().id
        found = {
            "cfs": asked.as_numpy("foreground"),
            "lgsa": client.infer("lgsa", pictures).as_numpy("scores"),
            "patient": client.infer(
                "cfs", crops, model_version="1", priority=2, timeout=60_000_000, client_timeout=60
            ).as_numpy("foreground"),
            "compressed": client.infer("cfs", crops, compression_algorithm="gzip").as_numpy("foreground"),
            "async": asynchronous(client, crops),
        }
        found |= {f"stream_{index}": values for index, values in enumerate(streamed(client, crops, told))}
        told["errors"] = {
            "shape": error_of(partial(client.infer, "cfs", pictures)),
            "missing": error_of(partial(client.infer, "cfs", crops[:2])),
            "model": error_of(partial(client.get_model_metadata, "other")),
            "version": error_of(partial(client.infer, "cfs", crops, model_version="9")),
            "output": error_of(
                partial(client.infer, "cfs", crops, outputs=[triton.InferRequestedOutput("scores")])
            ),
            "timeout": error_of(partial(client.infer, "cfs", crops, timeout=1)),
            "client_timeout": error_of(partial(client.infer, "cfs", crops, client_timeout=1e-6)),
            "load": error_of(partial(client.load_model, "cfs")),
        }
        told["statistics"] = client.get_inference_statistics("cfs", as_json=True)
    np.savez(folder / "outputs.npz", **found)
    json.dump(told, sys.stdout)


def inputs_of(arrays: dict[str, NDArray[Any]]) -> list[triton.InferInput]:
    """Writes tensors as the client wants them."""
    inputs = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, array.shape, TYPES[array.dtype.name])
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def error_of(call: Callable[[], object]) -> dict[str, str]:
    """Makes a call that must fail, and returns what the client says of it."""
    try:
        call()
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}
    raise AssertionError("the call did not fail")


def asynchronous(client: triton.InferenceServerClient, inputs: Sequence[triton.InferInput]) -> NDArray[Any]:
    """Asks by callback."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.async_infer("cfs", inputs, lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=PATIENCE)
    if error is not None:
        raise error
    values: NDArray[Any] = result.as_numpy("foreground")
    return values


def streamed(
    client: triton.InferenceServerClient, inputs: Sequence[triton.InferInput], told: dict[str, Any]
) -> list[NDArray[Any]]:
    """Asks by a stream: three good requests and a bad one among them."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for index in range(4):
        model = "other" if index == 1 else "cfs"
        client.async_stream_infer(
            model, inputs, request_id=str(index), enable_empty_final_response=bool(index % 2)
        )
    all_answers = [answers.get(timeout=PATIENCE) for _ in range(4)]
    client.stop_stream()
    told["stream_ids"] = [result.get_response().id for result, error in all_answers if error is None]
    told["stream_errors"] = [str(error) for _, error in all_answers if error is not None]
    return [result.as_numpy("foreground") for result, error in all_answers if error is None]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
