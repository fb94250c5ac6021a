"""What every writer asks of an image's class names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Container

    from boxmask_core.instances import MaskedImage


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
