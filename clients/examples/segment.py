"""A label map of one image, and what it holds.

Usage: ``python clients/examples/segment.py IMAGE [SERVER]``; the label map is written beside the image.
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks a server, writes the label map, and tells which classes it holds."""
    path = Path(image)
    with Client(server) as client:
        answer = client.segment(path, scales=(0.75, 1.0, 1.25), flip=True)
    path.with_suffix(".labels.png").write_bytes(answer.label_map_png)
    for found in answer.classes:
        share = 100 * found.area / answer.label_map.size
        sys.stdout.write(f"{found.name}: {share:.1f} % of the image, probability {found.mean_score:.2f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
