"""Which images a segmentation is about, and what their label maps are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_convert.failures import Failure, FailureKind
from boxmask_core.errors import DatasetError
from boxmask_core.formats.keys import listed_keys
from boxmask_core.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image.

    Attributes:
        key: What its label map is called: the file's stem, or its path below the folder that was named,
            without the suffix.
        path: The file.
    """

    key: str
    path: Path


def find_images(sources: Sequence[Path]) -> tuple[ImageFile, ...]:
    """Returns the images that files and folders hold, the latter with all that is below them, by name.

    Raises:
        DatasetError: A file or folder does not exist, a folder holds no image, or two images have one key.
    """
    found: dict[str, ImageFile] = {}
    for source in sources:
        for image in _images_of(source):
            if image.key in found:
                other = found[image.key].path
                problem = f"has the key {image.key!r}, as {other} has; segment them into two folders"
                raise DatasetError(image.path, problem)
            found[image.key] = image
    return tuple(found.values())


def chosen(
    images: Sequence[ImageFile], ids: Path | None
) -> tuple[tuple[ImageFile, ...], tuple[Failure, ...]]:
    """Returns the images whose keys a file lists, in its order, and the keys that no image has.

    Args:
        images: The images to choose from.
        ids: The file; None chooses all.

    Raises:
        DatasetError: The file cannot be read, or lists none.
    """
    if ids is None:
        return tuple(images), ()
    by_key = {image.key: image for image in images}
    keys = listed_keys(ids)
    missing = (
        Failure(
            key, str(ids), None, FailureKind.MISSING_IMAGE, f"{ids} lists {key!r}, but no image has that key"
        )
        for key in keys
        if key not in by_key
    )
    return tuple(by_key[key] for key in keys if key in by_key), tuple(missing)


def _images_of(source: Path) -> Iterator[ImageFile]:
    if source.is_file():
        yield ImageFile(source.stem, source)
        return
    if not source.is_dir():
        raise DatasetError(source, "does not exist; name an image or a folder of images")
    below = (path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    files = sorted(
        path for path in below if not path.is_dir()
    )  # a link to nowhere is an image that is missing
    if not files:
        raise DatasetError(source, f"holds no image ({', '.join(IMAGE_SUFFIXES)})")
    for path in files:
        yield ImageFile(path.relative_to(source).with_suffix("").as_posix(), path)
