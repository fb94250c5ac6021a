"""Masks for the boxes of one image.

Usage: ``python clients/examples/pseudo_label.py IMAGE CLASS X0 Y0 X1 Y1 [SERVER]``, pixels from 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance


def main(image: Path, instance: Instance, server: str = "localhost:8500") -> None:
    """Asks a server, and tells what it answered."""
    with Client(server) as client:
        answer = client.pseudo_label(image, [instance])
    (mask,) = answer.masks
    sys.stdout.write(
        f"{mask.instance.class_name}: {int(mask.proposal.mask.sum())} pixels in {mask.proposal.window}, "
        f"quality {mask.quality:.2f}, in {answer.timings.total_ms:.0f} ms\n"
    )


if __name__ == "__main__":
    path, class_name, *numbers = sys.argv[1:7]
    x0, y0, x1, y1 = map(float, numbers)
    main(Path(path), Instance(Box(x0, y0, x1, y1), class_name), *sys.argv[7:])
