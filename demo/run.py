"""The demo: a real server on a local socket, and a bulk conversion through it.

Usage: ``python -m demo.run [OUT]``, by default ``demo-out``. ``make demo`` runs it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.make_dataset import make_dataset

from boxmask_client import Client
from boxmask_convert.command import main as convert
from boxmask_core.bundle import starter_path

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60.0


def main(out: Path, bundle: Path) -> int:
    """Makes the dataset, starts a server, converts to two formats, stops the server.

    Args:
        out: Where all goes: ``boxes``, ``voc`` and ``coco``.
        bundle: The networks to serve.

    Returns:
        The exit status of the first conversion that was not complete, or 0.
    """
    data = make_dataset(out / "boxes")
    with _server(bundle) as address:
        common = [str(data), "--server", address, "--overwrite"]
        statuses = (
            convert([*common, "--to", "voc", str(out / "voc")]),
            convert([*common, "--to", "coco", str(out / "coco"), "--no-report"]),
        )
    sys.stdout.write(f"\nMasks:  {out / 'voc' / 'SegmentationClass'} and {out / 'coco' / 'instances.json'}\n")
    sys.stdout.write(f"Report: {(out / 'voc' / 'report.html').resolve().as_uri()}\n")
    return next((status for status in statuses if status), 0)


@contextmanager
def _server(bundle: Path) -> Iterator[str]:
    """Runs ``boxmask serve`` on a socket of its own while the block runs."""
    with tempfile.TemporaryDirectory(prefix="boxmask-") as folder:
        address = f"unix:{folder}/socket"
        boxmask = Path(sys.executable).with_name("boxmask")
        server = subprocess.Popen([boxmask, "serve", bundle, "--listen", address])
        try:
            with Client(address) as client:
                client.wait_until_ready(START_SECONDS)
            yield address
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-out")
    sys.exit(main(target, starter_path()))
