"""Clients that know nothing of boxmask, unmodified, each in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.tiny_networks import CLASS_NAMES, MAX_SIDE, SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle

CLIENTS = Path(__file__).with_name("stock_clients")
PERF_ANALYZER = "BOXMASK_PERF_ANALYZER"
"""The variable that names the command of perf_analyzer, where it is not on the path."""


@pytest.fixture(scope="module")
def given() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    box_mask = np.zeros((3, SIZE, SIZE), np.uint8)
    box_mask[:, 10:50, 20:40] = 1
    return {
        "image": rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8),
        "box_mask": box_mask,
        "label": np.eye(len(CLASS_NAMES), dtype=np.float32),
        "picture": rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8),
    }


@pytest.fixture(scope="module")
def foreground(bundle: Bundle, given: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    return _bare(bundle, "cfs", {name: given[name] for name in ("image", "box_mask", "label")})


@pytest.fixture(scope="module")
def scores(bundle: Bundle, given: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    return _bare(bundle, "lgsa", {"image": given["picture"]})


def _bare(bundle: Bundle, network: str, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Asks ONNX Runtime itself, one item at a time."""
    session = ort.InferenceSession(bundle.network(network).file, providers=["CPUExecutionProvider"])
    count = len(arrays["image"])
    answers = [
        session.run(None, {name: each[i : i + 1] for name, each in arrays.items()}) for i in range(count)
    ]
    return np.concatenate([answer for (answer,) in answers])


def _told(script: str, *arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, CLIENTS / script, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


@pytest.fixture(scope="module")
def blocking(
    server: str, given: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What tritonclient's blocking client was told, and the tensors that it got."""
    folder = tmp_path_factory.mktemp("blocking")
    np.savez(folder / "inputs.npz", **given)  # type: ignore[arg-type]  # NumPy's stubs take one for allow_pickle
    told = _told("through_tritonclient.py", server, folder)
    return told, dict(np.load(folder / "outputs.npz"))


Blocking = tuple[dict[str, Any], dict[str, "NDArray[Any]"]]


def test_tritonclient_finds_the_server_and_its_models_ready(blocking: Blocking) -> None:
    told, _ = blocking
    assert (told["live"], told["ready"]) == (True, True)
    assert told["model_ready"] == {"cfs": True, "lgsa": True, "other": False}
    assert told["server"]["name"] == "boxmask"
    assert {(model["name"], model["state"]) for model in told["index"]["models"]} == {
        ("cfs", "READY"),
        ("lgsa", "READY"),
    }


def test_tritonclient_reads_metadata_and_configuration(blocking: Blocking) -> None:
    told, _ = blocking
    tensors = {tensor["name"]: tensor for tensor in told["cfs"]["inputs"]}
    assert tensors["image"] == {"name": "image", "datatype": "UINT8", "shape": ["-1", "64", "64", "3"]}
    assert tensors["label"]["datatype"] == "FP32"
    assert told["lgsa"]["outputs"] == [
        {"name": "scores", "datatype": "FP32", "shape": ["-1", "4", "-1", "-1"]}
    ]
    config = told["config"]["config"]
    assert config["max_batch_size"] == 1000
    assert "dynamic_batching" in config
    assert [tensor["data_type"] for tensor in config["input"]] == ["TYPE_UINT8", "TYPE_UINT8", "TYPE_FP32"]


@pytest.mark.parametrize("way", ["cfs", "patient", "compressed", "async", "stream_0", "stream_1", "stream_2"])
def test_tritonclient_gets_the_foreground_that_onnx_runtime_computes(
    blocking: Blocking, foreground: NDArray[np.float32], way: str
) -> None:
    np.testing.assert_array_equal(blocking[1][way], foreground)


def test_tritonclient_gets_the_scores_that_onnx_runtime_computes(
    blocking: Blocking, scores: NDArray[np.float32]
) -> None:
    told, found = blocking
    np.testing.assert_array_equal(found["lgsa"], scores)
    assert told["id"] == "seven"


def test_a_stream_of_tritonclient_goes_on_after_an_error(blocking: Blocking) -> None:
    told, _ = blocking
    assert told["stream_ids"] == ["0", "2", "3"]
    (error,) = told["stream_errors"]
    assert "no network 'other'" in error


@pytest.mark.parametrize(
    ("what", "status", "told"),
    [
        ("shape", "INVALID_ARGUMENT", "inputs[0].shape: image is [1 to 1000, 64, 64, 3]"),
        ("missing", "INVALID_ARGUMENT", "inputs: 'label' is missing"),
        ("model", "NOT_FOUND", "no network 'other', only: cfs, lgsa"),
        ("version", "NOT_FOUND", "'9'"),
        ("output", "INVALID_ARGUMENT", "outputs[0].name: expected 'foreground', but got 'scores'"),
        ("timeout", "DEADLINE_EXCEEDED", "the deadline of the request passed"),
        ("client_timeout", "DEADLINE_EXCEEDED", ""),
        ("load", "UNIMPLEMENTED", ""),
    ],
)
def test_tritonclient_shows_the_sentence_of_an_error(
    blocking: Blocking, what: str, status: str, told: str
) -> None:
    error = blocking[0]["errors"][what]
    assert error["status"] == f"StatusCode.{status}"
    assert told in error["message"]


def test_tritonclient_reads_statistics(blocking: Blocking) -> None:
    (before,) = blocking[0]["statistics_before"]["model_stats"]
    (after,) = blocking[0]["statistics"]["model_stats"]
    # Between the two, seven requests of three items each were answered.
    assert int(after["inference_count"]) - int(before.get("inference_count", 0)) == 21
    assert after["name"] == "cfs"
    assert int(after["inference_stats"]["compute_infer"]["ns"]) > 0


def test_the_asyncio_client_of_tritonclient_is_answered_as_well(
    server: str, given: dict[str, NDArray[Any]], foreground: NDArray[np.float32], tmp_path: Path
) -> None:
    np.savez(tmp_path / "inputs.npz", **given)  # type: ignore[arg-type]  # NumPy's stubs take one for allow_pickle
    told = _told("through_tritonclient_aio.py", server, tmp_path)
    found = dict(np.load(tmp_path / "outputs.npz"))
    assert told["ready"] is True
    assert told["metadata"]["platform"] == "onnxruntime_onnx"
    assert told["stream_ids"] == ["0", "1", "2", "3", "4"]
    assert told["error"]["status"] == "StatusCode.NOT_FOUND"
    assert len(found) == 13
    for values in found.values():
        np.testing.assert_array_equal(values, foreground)


def test_our_own_client_and_tritonclient_go_into_one_process() -> None:
    code = "import boxmask_client, boxmask_convert, tritonclient.grpc"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr


def test_a_reflection_client_lists_describes_and_calls_without_stubs(server: str) -> None:
    told = _told("through_reflection.py", server)
    assert {"boxmask.v1.LabelingService", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(
        told["services"]
    )
    assert "ModelInfer" in told["services"]["inference.GRPCInferenceService"]
    assert "PseudoLabel" in told["services"]["boxmask.v1.LabelingService"]
    assert told["live"] == {"live": True}
    assert [tensor["name"] for tensor in told["metadata"]["inputs"]] == ["image", "box_mask", "label"]
    assert told["config"]["config"]["backend"] == "onnxruntime"
    assert {model["name"] for model in told["models"]["models"]} == {"cfs", "lgsa"}


@pytest.fixture(scope="module")
def perf_analyzer() -> list[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = shlex.split(os.environ.get(PERF_ANALYZER, "")) or [
        shutil.which("perf_analyzer", path=path) or ""
    ]
    if command == [""]:
        pytest.skip(
            f"perf_analyzer is not installed: its wheel needs glibc 2.38; set {PERF_ANALYZER} to its command"
        )
    run = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    if run.returncode != 0:
        pytest.skip(f"{shlex.join(command)} does not run here: {(run.stderr or run.stdout).strip()}")
    return command


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["-m", "cfs", "-b", "3"],
        ["-m", "lgsa", "--shape", f"image:{MAX_SIDE},{MAX_SIDE},3"],
        ["-m", "cfs", "--async", "--streaming"],
    ],
    ids=["cfs", "lgsa", "stream"],
)
def test_perf_analyzer_measures_a_network(server: str, perf_analyzer: list[str], options: list[str]) -> None:
    command = [*perf_analyzer, "--service-kind", "triton", "-i", "grpc", "-u", server, "--input-data", "zero"]
    # A fixed number of requests: other work on the machine must not make the measurement unstable.
    load = ["--concurrency-range", "4", "--request-count", "100"]
    run = subprocess.run(
        [*command, *options, *load], capture_output=True, text=True, timeout=240, check=False
    )
    report = run.stdout + run.stderr
    assert "Throughput" in report, report
    assert "Server:" in report, report
    assert "Failed" not in report, report
