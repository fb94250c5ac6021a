"""Where the image of an annotation lies."""

from __future__ import annotations

from contextlib import suppress
from itertools import takewhile
from os.path import normpath
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError, InvalidImageError
from boxmask_core.images import IMAGE_SUFFIXES, read_header
from boxmask_core.locations import RemotePath, stands_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxmask_core.images import ImageHeader

_JPEG = b"\xff\xd8\xff"
_SUFFIXES = tuple(variant for suffix in IMAGE_SUFFIXES for variant in (suffix, suffix.upper()))


def first_file(candidates: Iterable[Path]) -> Path | None:
    """Returns the first of the paths that is a file."""
    return next((path for path in candidates if is_file(path)), None)


def is_file(path: Path) -> bool:
    """Says whether the path is a file, or stands for one at a URL; a name that the system refuses is none."""
    try:
        return path.is_file() or stands_for(path) is not None
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Says whether there is such a file or folder; a name that the system refuses is none."""
    try:
        return path.exists()
    except OSError:
        return False


def image_of_key(folder: Path, key: str) -> Path:
    """Returns the image ``KEY.suffix`` in a folder, or ``KEY.jpg`` where there is none."""
    return first_file(places_of_key(folder, key)) or folder / f"{key}.jpg"


def places_of_key(folder: Path, key: str) -> Iterator[Path]:
    """Yields where the image of a key may lie in a folder."""
    return (folder / f"{key}{suffix}" for suffix in _SUFFIXES)


def portable(name: str) -> str:
    r"""Returns a path with ``/`` between folders; annotation tools on Windows write ``\``."""
    return name.replace("\\", "/")


def base_name(name: str) -> str:
    """Returns the last part of a path, a Windows path or the path of a URL."""
    return PureWindowsPath(name).name


def normal(path: Path) -> Path:
    """Returns the path without ``.`` and ``..``."""
    return Path(normpath(path))


def common_folder(known: Path | None, folder: Path) -> Path:
    """Returns the deepest folder that holds both, or the second where there is no first."""
    if known is None or known == folder:
        return folder
    both = takewhile(lambda pair: pair[0] == pair[1], zip(known.parts, folder.parts, strict=False))
    return type(folder)(*(part for part, _ in both))


def upright_size(image: Path) -> tuple[int, int]:
    """Returns ``(width, height)`` of the EXIF-oriented image, in pixels, from its header.

    Raises:
        DatasetError: The file is missing or is no image; boxes relative to its size cannot be read.
    """
    try:
        header = _header(stands_for(image) or image)
    except FileNotFoundError as error:
        problem = "the image file is missing, and boxes are relative to its size"
        raise DatasetError(image, problem) from error
    except (OSError, InvalidImageError) as error:
        raise DatasetError(image, str(error)) from error
    return header.width, header.height


def _header(image: Path) -> ImageHeader:
    if isinstance(image, RemotePath):
        head = image.read_head()
        if head.startswith(_JPEG):  # others may note their orientation at the end
            with suppress(InvalidImageError):
                return read_header(head, what=str(image))
    return read_header(image.read_bytes(), what=str(image))
