"""A small picture of each suspicious mask."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_convert.report.pictures import data_uri, masked
from boxmask_core.errors import BoxmaskError
from boxmask_core.images import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from boxmask_convert.result.suspicious import Suspect

SIDE: Final = 128
"""Longest side of a picture, pixels: nearly twice what the table shows."""


def draw_thumbnails(suspects: Iterable[Suspect]) -> Iterator[tuple[int, str]]:
    """Draws masks on their images; each image is read once.

    Args:
        suspects: The masks.

    Yields:
        The mask's place among all masks, and the picture as a ``data:`` address, which is empty where the
        image cannot be read any more.
    """
    by_image: defaultdict[Path, list[Suspect]] = defaultdict(list)
    for suspect in suspects:
        by_image[suspect.path].append(suspect)
    for path, group in by_image.items():
        try:
            image = decode(read_image(path), what=str(path))
        except (BoxmaskError, ImageFailedError):
            yield from ((suspect.place, "") for suspect in group)
            continue
        for suspect in group:
            try:
                picture = masked(image, suspect.instance.box, suspect.proposal, side=SIDE)
            except (BoxmaskError, ValueError):  # the file was exchanged for one of another size
                yield suspect.place, ""
            else:
                yield suspect.place, data_uri(picture)
