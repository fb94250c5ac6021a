"""Answers on their way into the target's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.formats import WRITERS
from boxmask_core.formats.interface import WriterOptions
from boxmask_core.instances import MaskedImage

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_client import Answer
    from boxmask_convert.plan import Plan
    from boxmask_core.formats.interface import MaskWriter
    from boxmask_core.instances import ImageRecord


def open_writer(out: Path, plan: Plan) -> MaskWriter:
    """Opens the writer of a plan's target.

    Args:
        out: The folder to write to.
        plan: What is converted.

    Raises:
        DatasetError: The format cannot hold the dataset, or what was decided about void.
        InvalidRequestError: The priority names a class that there is not.
        MissingExtraError: The format needs an optional part of the distribution.
        OSError: The file system refuses.
    """
    settings = plan.settings
    options = WriterOptions(settings.overlaps, settings.void_below)
    return WRITERS[settings.target](out, plan.dataset.class_names, options)


def masked_image(plan: Plan, record: ImageRecord, answer: Answer) -> MaskedImage:
    """Returns an answer as writers take it."""
    name = record.path.relative_to(plan.dataset.image_root).as_posix()
    return MaskedImage(record.key, name, answer.width, answer.height, answer.masks)
