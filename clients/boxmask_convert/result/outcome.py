"""What a conversion tells when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_convert.failures import ERRORS
from boxmask_convert.result.stage_times import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_convert.result.summary import Summary
    from boxmask_convert.settings import Settings


def told_outcome(summary: Summary, settings: Settings, told_before: Sequence[str]) -> str:
    """Returns the outcome in lines for the user.

    Args:
        summary: What was done.
        settings: What was asked for.
        told_before: Notes that the plan told.
    """
    fresh = summary.images_converted - summary.images_reused
    rate = f" ({fresh / summary.seconds:.1f} images/s)" if fresh and summary.seconds else ""
    count = f"{summary.images_converted} of {summary.images} images, {summary.boxes_masked} masks"
    reused = f", {summary.images_reused} from the journal" if summary.images_reused else ""
    lines = [
        f"done    {count}{reused}, in {summary.seconds:.1f} s{rate}",
        *(f"lost    {loss}: {times}" for loss, times in summary.losses.items()),
        *(f"note    {note}" for note in summary.notes if note not in told_before),
    ]
    if summary.failures:
        kinds = ", ".join(f"{times} {kind}" for kind, times in summary.failures.items())
        lines.append(f"failed  {kinds}; see {settings.out / ERRORS}")
    if settings.report:
        lines.append(f"report  {settings.out / 'report.html'}")
    return "".join(f"{line}\n" for line in lines) + told(summary.busy)
