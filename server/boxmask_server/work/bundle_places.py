"""Where bundles and their versions lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from boxmask_core.bundle import MANIFEST
from boxmask_core.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ONLY_VERSION: Final = "1"
"""Version of a bundle whose folder has none."""
LATEST: Final = "latest"
ALL: Final = "all"


class BundlePlace(NamedTuple):
    """One version of a bundle.

    Attributes:
        bundle: What requests call the bundle.
        version: Its version, a number.
        folder: Where it lies.
    """

    bundle: str
    version: str
    folder: Path


def find_versions(bundle: str, folder: Path, which: str) -> list[BundlePlace]:
    """Returns the versions of a bundle that are to be held, the latest first.

    Args:
        bundle: What requests call the bundle.
        folder: The bundle itself, or a folder with a sub-folder for each version: ``1``, ``2``, and so on.
        which: ``latest``, ``all``, or one number.

    Raises:
        BundleError: There is none.
    """
    if (folder / MANIFEST).is_file():
        found = [BundlePlace(bundle, ONLY_VERSION, folder)]
    else:
        found = [BundlePlace(bundle, number, folder / number) for number in _numbers(folder)]
    if which == LATEST:
        found = found[:1]
    elif which != ALL:
        found = [place for place in found if place.version == which]
    if not found:
        wanted = "no version" if which in (LATEST, ALL) else f"no version {which}"
        raise BundleError(
            folder, f"there is {wanted}: neither a {MANIFEST} nor folders 1, 2, ... that hold one"
        )
    return found


def _numbers(folder: Path) -> Sequence[str]:
    # A folder whose manifest is missing is still being copied: the manifest is what makes it a bundle.
    names = (each.name for each in (folder.iterdir() if folder.is_dir() else ()))
    numbers = [
        name for name in names if name.isdecimal() and name[0] != "0" and (folder / name / MANIFEST).is_file()
    ]
    return sorted(numbers, key=int, reverse=True)
