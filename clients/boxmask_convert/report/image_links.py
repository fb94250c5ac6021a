"""Where the report finds an image."""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from boxmask_core.formats.image_places import normal
from boxmask_core.locations import RemotePath

if TYPE_CHECKING:
    from pathlib import Path


def linked(key: str, image: Path, out: Path) -> str:
    """Returns an image's key as HTML: a link where a browser can open the image, plain text elsewhere.

    Args:
        key: The image's key.
        image: The image file.
        out: The folder that the page lies in.
    """
    address = image_address(image, out)
    return f'<a href="{escape(address)}">{escape(key)}</a>' if address else escape(key)


def image_address(image: Path, out: Path) -> str | None:
    """Returns the address of an image for a page in a folder, or None where no browser opens it.

    It is relative where both lie below a common folder, so that they can be moved together, and absolute
    (``file:``) where they share nothing but the root. Of images elsewhere, web servers show theirs.

    Args:
        image: The image file.
        out: The folder that the page lies in.
    """
    if isinstance(image, RemotePath):
        return quote(str(image), safe=":/") if image.scheme in {"http", "https"} else None
    # By name alone, as a browser does it: links are not followed.
    target, start = normal(image.absolute()), normal(out.absolute())
    if os.path.commonpath([target, start]) == target.anchor:
        return target.as_uri()
    relative = quote(os.fsencode(os.path.relpath(target, start)))
    return relative if relative.startswith("../") else f"./{relative}"
