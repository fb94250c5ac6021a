"""Masks for many images over one call, with at most eight on their way.

Every image of a folder is asked about with one box, the image without a rim of a tenth. Errors belong to
their image; the others go on.

Usage: ``python clients/examples/stream.py FOLDER [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from boxmask_client import Client, Question, ServerError
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator


def questions(folder: Path) -> Iterator[tuple[Path, Question]]:
    """Yields one question an image. They are pulled as answers come in, so the folder may be large."""
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as image:
            width, height = image.size
        box = Box(0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)
        yield path, Question(path, [Instance(box, "object")], label_map=False)


def main(folder: str, server: str = "localhost:8500") -> None:
    """Asks a server, and tells what it answered, as the answers come."""
    with Client(server) as client:
        for path, outcome in client.stream_pseudo_label(questions(Path(folder)), window=8):
            if isinstance(outcome, ServerError):
                sys.stdout.write(f"{path}: {outcome}\n")
            else:
                sys.stdout.write(f"{path}: quality {outcome.masks[0].quality:.2f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
