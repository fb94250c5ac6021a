"""A network in ONNX Runtime, as every peer runs it.

It is imported in the peers' own environments, which hold NumPy and ONNX Runtime but not boxmask.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import onnxruntime

DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
PROVIDERS = ["CPUExecutionProvider"]


@dataclass(frozen=True)
class Served:
    """What a peer is told to serve.

    Attributes:
        name: The network's name.
        file: Its ONNX file.
        batch: Requests that may share a run; 1 turns batching off.
    """

    name: str
    file: str
    batch: int


def open_session(file: str, threads: int, *, spinning: bool = True) -> onnxruntime.InferenceSession:
    """Opens a graph on the CPU.

    Args:
        file: Its ONNX file.
        threads: Threads of one run.
        spinning: Whether threads that wait spin: ONNX Runtime's default, which boxmask turns off.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(file, options, providers=PROVIDERS)


def options_of_server() -> argparse.Namespace:
    """Reads the command line that the peers' servers share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True, help="of gRPC; the two after it are free too")
    parser.add_argument("--threads", type=int, required=True, help="of one run")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a batcher waits for more")
    parser.add_argument(
        "--no-spinning", dest="spinning", action="store_false", help="let waiting threads sleep"
    )
    parser.add_argument("--network", action="append", nargs=3, metavar=("NAME", "FILE", "BATCH"))
    options = parser.parse_args()
    options.served = [Served(name, file, int(batch)) for name, file, batch in options.network]
    return options
