"""Processes of the ``boxmask`` command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOXMASK = Path(sys.executable).with_name("boxmask")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class RunningServer:
    address: str
    process: subprocess.Popen[str]


def start(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    # A shell's background jobs ignore interrupts, and so does all that they start: the tests would depend on
    # that. It is env that ends it: code of ours in the fork would run beside the threads of gRPC.
    return subprocess.Popen(
        ["env", "--default-signal=INT", BOXMASK, *arguments],
        env={**ENVIRONMENT, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(bundle: Path, folder: Path, *options: str) -> Iterator[RunningServer]:
    """Runs ``boxmask serve`` on a socket in ``folder`` while the block runs."""
    address = f"unix:{folder}/socket"
    with start("serve", bundle, "--listen", address, "--workers", "2", *options) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"listening on {address}\n"
            yield RunningServer(address, process)
        finally:
            process.terminate()
            process.communicate()


def wait_for_masks(
    parent: Path, process: subprocess.Popen[str], count: int, masks: str = "SegmentationClass/*.png"
) -> Path:
    """Waits until a running command has written some masks; returns its hidden folder."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for stage in parent.glob(".*.partial"):
            if len(list((stage / "result").glob(masks))) >= count:
                return stage
        time.sleep(0.01)
    raise AssertionError(f"no {count} masks in time, exit status {process.poll()}")
