"""The conversion itself: some questions on their way, answers written in the dataset's order."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tqdm import tqdm

from boxmask_convert.asking import ahead, answer_of
from boxmask_convert.questions import Prepared, prepare
from boxmask_core.formats.interface import RecordError
from boxmask_core.instances import MaskedImage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from boxmask_client import Answer
    from boxmask_convert.failures import FailureLog
    from boxmask_convert.labeler import Labeler
    from boxmask_convert.plan import Plan
    from boxmask_convert.tally import Tally
    from boxmask_core.formats.interface import MaskWriter


def run(plan: Plan, labeler: Labeler, writer: MaskWriter, failures: FailureLog, tally: Tally) -> None:
    """Converts every image of the plan.

    What is wrong with one image or one box is logged, and the rest goes on.

    Args:
        plan: What to convert.
        labeler: Who makes the masks.
        writer: Where they go.
        failures: Where what fails goes.
        tally: Counts what was made.

    Raises:
        BoxmaskError: Nothing that comes after could be converted: the server went away, for example.
        OSError: The output cannot be written.
    """
    bar = tqdm(ahead(_asked(plan, labeler, tally)), total=len(plan), unit="img", disable=None)
    for prepared, future in bar:
        for failure in prepared.failures:
            failures.add(failure)
        if future is None or isinstance(prepared.record, RecordError):
            continue
        answer = answer_of(future, prepared.record.key, prepared.record.path, failures)
        if answer is None:
            continue
        with tally.times.measured("write"):
            name = prepared.record.path.relative_to(plan.dataset.image_root).as_posix()
            writer.write(MaskedImage(prepared.record.key, name, answer.width, answer.height, answer.masks))
        tally.turned += prepared.turned
        tally.add(prepared.record, answer)


def _asked(plan: Plan, labeler: Labeler, tally: Tally) -> Iterator[tuple[Prepared, Future[Answer] | None]]:
    """Yields records in order; each is being answered from then on."""
    for record in islice(plan.dataset, len(plan)):
        with tally.times.measured("read"):
            prepared = prepare(record, plan.settings)
        if not isinstance(record, RecordError):
            tally.annotated += len(record.instances) + len(record.issues)
        yield prepared, labeler.submit(prepared.question) if prepared.question else None
