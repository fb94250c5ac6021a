"""Between answers and the fields of the journal's lines."""

from __future__ import annotations

from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any

from boxmask_client import Answer, Timings
from boxmask_convert.failures import Failure, FailureKind
from boxmask_core.boxes import Window
from boxmask_core.errors import BoxmaskError
from boxmask_core.formats.kept_masks import checked_size
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import InstanceMask
from boxmask_core.quality import Signals
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_core.instances import ImageRecord, Instance

_ALWAYS = ("tightness", "fill")
_AT_TIMES = ("certainty", "agreement", "separation", "rivalry")
_SIGNALS = tuple(field.name for field in fields_of(Signals))
_NO_TIME = Timings(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def answer_fields(image: str, answer: Answer) -> dict[str, Any]:
    """Returns what the journal keeps of an answer.

    Args:
        image: The image's key in the dataset, for people who look into the journal.
        answer: The answer. Instances are the dataset's to know and are left out.
    """
    return {
        "image": image,
        "width": answer.width,
        "height": answer.height,
        "model": answer.model_digest,
        "masks": [_mask_fields(mask) for mask in answer.masks],
    }


def failure_fields(failure: Failure) -> dict[str, Any]:
    """Returns what the journal keeps of an image that could not be answered."""
    return {"image": failure.key, "failed": {"kind": str(failure.kind), "message": failure.message}}


def restored(fields: Mapping[str, Any], record: ImageRecord) -> Answer | Failure | None:
    """Returns what an earlier run was answered.

    Args:
        fields: Of the journal's line.
        record: The image with the instances that were asked about.

    Returns:
        The answer or the failure; None where the line is not what this version writes, so that the image is
        asked about again.
    """
    try:
        if "failed" in fields:
            failed = fields["failed"]
            kind = FailureKind(failed["kind"])
            return Failure(record.key, str(record.path), None, kind, str(failed["message"]))
        width, height = checked_size(fields["width"], fields["height"])
        return Answer(
            width=width,
            height=height,
            masks=_masks(fields["masks"], record.instances, (width, height)),
            label_map=None,
            class_names=(),
            timings=_NO_TIME,
            model_digest=str(fields["model"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, BoxmaskError):
        return None


def _mask_fields(mask: InstanceMask) -> dict[str, Any]:
    window = mask.proposal.window
    return {
        "window": [window.x0, window.y0, window.x1, window.y1],
        "counts": encode_rle(mask.proposal.mask).decode("ascii"),
        "fallback": str(mask.proposal.fallback),
        "quality": mask.quality,
        "signals": None if mask.signals is None else {name: getattr(mask.signals, name) for name in _SIGNALS},
    }


def _masks(
    fields: Sequence[Mapping[str, Any]], instances: Sequence[Instance], size: tuple[int, int]
) -> tuple[InstanceMask, ...]:
    return tuple(_mask(each, instance, size) for each, instance in zip(fields, instances, strict=True))


def _mask(fields: Mapping[str, Any], instance: Instance, size: tuple[int, int]) -> InstanceMask:
    window = Window(*fields["window"])
    if window != instance.box.clipped(*size).window().clipped(*size):
        raise ValueError("a mask lies where its box does, and this one does not")
    pixels = decode_rle(fields["counts"].encode(), window.height, window.width)
    signals = fields["signals"]
    return InstanceMask(
        instance,
        Proposal(window, pixels, Fallback(fields["fallback"])),
        _share(fields["quality"]),
        None if signals is None else _signals(signals),
    )


def _signals(fields: Mapping[str, Any]) -> Signals:
    signals = Signals(**fields)
    if type(signals.parts) is not int or signals.parts < 0:
        raise ValueError(f"parts must be a number of parts, but got {signals.parts!r}")
    for name in _ALWAYS:
        _share(fields[name])
    for name in _AT_TIMES:
        if fields.get(name) is not None:
            _share(fields[name])
    return signals


def _share(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"expected a number between 0 and 1, but got {value!r}")
    return float(value)
