"""What writers do with class names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError
from boxmask_core.formats.keys import text_lines
from boxmask_core.palette import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from boxmask_core.instances import MaskedImage

CLASS_NAMES = "class_names.txt"


def require_known_classes(image: MaskedImage, known: Container[str]) -> None:
    """Checks that every mask's class can be written.

    Args:
        image: The image.
        known: The dataset's class names.

    Raises:
        DatasetError: A class is not among the dataset's class names.
    """
    unknown = {mask.instance.class_name for mask in image.masks if mask.instance.class_name not in known}
    if unknown:
        raise DatasetError(image.key, f"classes {sorted(unknown)} are not among the dataset's class names")


def write_class_names(folder: Path, class_names: Sequence[str]) -> None:
    """Writes ``class_names.txt``: line i, counted from 0, names class index i; line 0 is the background.

    Args:
        folder: Where label maps lie.
        class_names: Every class; the first has index 1.

    Raises:
        OSError: The file system refuses.
    """
    lines = "".join(f"{name}\n" for name in (BACKGROUND, *class_names))
    write_bytes_atomically(folder / CLASS_NAMES, lines.encode())


def written_class_names(folder: Path) -> tuple[str, ...] | None:
    """Reads the class names that were written with a folder of label maps, or beside it.

    Args:
        folder: Where label maps lie.

    Returns:
        Names by class index, the background's first, or None where there are none.

    Raises:
        DatasetError: They cannot be read.
    """
    for place in (folder, folder.parent):
        if (file := place / CLASS_NAMES).is_file():
            return text_lines(file)
    return None
