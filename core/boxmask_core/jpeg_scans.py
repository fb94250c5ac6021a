"""How many times a JPEG goes over its pixels.

A progressive JPEG is decoded scan by scan, and a scan of a dozen bytes may touch every pixel again: a file of
a megabyte could keep a core busy for minutes, within every limit of bytes and of pixels.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SCANS: Final = 100
"""As libtiff's own limit (``tif_jpeg.c``). Encoders write about ten, searching ones a few dozen."""

_START_OF_SCAN: Final = b"\xff\xda"
_START_OF_IMAGE, _END_OF_IMAGE, _SCAN = 0xD8, 0xD9, 0xDA
# Neither a stuffed zero, nor a restart marker, nor a fill byte: those belong to the scan.
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)


def has_too_many_scans(data: bytes) -> bool:
    """Tells whether a JPEG has more than `MAX_SCANS`.

    What looks like one in another segment (a thumbnail) or behind the end (a film) is none.
    """
    if data.count(_START_OF_SCAN) <= MAX_SCANS:
        return False
    scans, place = 0, 0
    while found := _MARKER.search(data, place):
        kind, place = found[1][0], found.end()
        if kind == _END_OF_IMAGE:
            break
        scans += kind == _SCAN
        if scans > MAX_SCANS:
            return True
        if kind != _START_OF_IMAGE:
            place += int.from_bytes(data[place : place + 2])
    return False
