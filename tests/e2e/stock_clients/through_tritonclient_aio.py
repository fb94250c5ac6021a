"""Drives a server with tritonclient's asyncio client: ``through_tritonclient_aio.py ADDRESS FOLDER``.

A process of its own, since tritonclient's stubs and ours register the same names. It reads
``FOLDER/inputs.npz``, writes ``FOLDER/outputs.npz``, and prints what else it was told as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TYPES = {"uint8": "UINT8", "float32": "FP32"}
CFS = ("image", "box_mask", "label")


async def main(address: str, folder: Path) -> None:
    """Asks once, many times at once, and by a stream."""
    given = np.load(folder / "inputs.npz")
    inputs = []
    for name in CFS:
        tensor = triton.InferInput(name, given[name].shape, TYPES[given[name].dtype.name])
        tensor.set_data_from_numpy(given[name])
        inputs.append(tensor)

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for index in range(5):
            yield {"model_name": "cfs", "inputs": inputs, "request_id": str(index)}

    async with triton.InferenceServerClient(address) as client:
        told: dict[str, Any] = {
            "ready": await client.is_server_ready(),
            "metadata": await client.get_model_metadata("cfs", as_json=True),
        }
        results = await asyncio.gather(*(client.infer("cfs", inputs) for _ in range(8)))
        found = {f"together_{index}": each.as_numpy("foreground") for index, each in enumerate(results)}
        told["stream_ids"] = []
        async for result, error in client.stream_infer(requests()):
            if error is not None:
                raise error
            index = result.get_response().id
            told["stream_ids"].append(index)
            found[f"stream_{index}"] = result.as_numpy("foreground")
        try:
            await client.infer("other", inputs)
        except InferenceServerException as error:
            told["error"] = {"status": error.status(), "message": error.message()}
    np.savez(folder / "outputs.npz", **found)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
