"""The stages of a request, as metrics and traces call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boxmask.v1 import labeling_pb2 as pb

STAGES: Final = ("decode", "crop", "queue", "network", "refine", "encode")
"""In the order in which a request meets them; "queue" is waiting, the others are work."""


def seconds_by_stage(timings: pb.Timings) -> dict[str, float]:
    """Returns the seconds of each stage."""
    milliseconds = (
        timings.decode_ms,
        timings.crop_ms,
        timings.queue_ms,
        timings.inference_ms,
        timings.refine_ms,
        timings.encode_ms,
    )
    return {stage: each / 1e3 for stage, each in zip(STAGES, milliseconds, strict=True)}
