"""The demo: a real server on a local socket, a bulk conversion through it, and a segmentation without boxes.

Usage: ``python -m demo.run [OUT]``, by default ``demo-out``. ``make demo`` runs it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_convert.command import main as convert
from boxmask_convert.segment_command import main as segment
from boxmask_core.bundle import starter_path
from demo.make_dataset import make_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server process.

    Attributes:
        address: Where it listens.
        pid: Its process.
    """

    address: str
    pid: int


def main(out: Path, bundle: Path) -> int:
    """Makes the dataset, starts a server, converts to two formats, segments, stops the server.

    Args:
        out: Where all goes: ``boxes``, ``voc``, ``coco`` and ``labels``.
        bundle: The networks to serve.

    Returns:
        The exit status of the first command that was not complete, or 0.
    """
    data = make_dataset(out / "boxes")
    with running_server(bundle) as server:
        address = server.address
        common = [str(data), "--server", address, "--overwrite"]
        statuses = (
            convert([*common, "--to", "voc", str(out / "voc")]),
            convert([*common, "--to", "coco", str(out / "coco"), "--no-report"]),
            segment([str(data / "JPEGImages"), str(out / "labels"), "--server", address, "--overwrite"]),
        )
    sys.stdout.write(f"\nMasks:  {out / 'voc' / 'SegmentationClass'} and {out / 'coco' / 'instances.json'}\n")
    sys.stdout.write(f"Labels: {out / 'labels'}, the class of every pixel, found without boxes\n")
    sys.stdout.write(f"Report: {(out / 'voc' / 'report.html').resolve().as_uri()}\n")
    return next((status for status in statuses if status), 0)


@contextmanager
def running_server(bundle: Path, *flags: str) -> Iterator[RunningServer]:
    """Runs ``boxmask serve`` on a socket of its own while the block runs."""
    with tempfile.TemporaryDirectory(prefix="boxmask-") as folder:
        address = f"unix:{folder}/socket"
        boxmask = Path(sys.executable).with_name("boxmask")
        command = [str(boxmask), "serve", str(bundle), "--listen", address, "--log-level", "warning", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                _wait_until_ready(server)
                yield RunningServer(address, server.pid)
            finally:
                server.terminate()


def _wait_until_ready(server: subprocess.Popen[str]) -> None:
    """Waits for the one line that the server writes when it is ready; a server that fails writes none."""
    line = server.stdout.readline() if server.stdout else ""
    if not line:
        sys.exit("the server did not start; it says why above")
    sys.stdout.write(line)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-out")
    sys.exit(main(target, starter_path()))
