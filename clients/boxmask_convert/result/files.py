"""The files of a result while they are written, in one place."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from boxmask_convert.answers.journal import ANSWERS_FILE
from boxmask_convert.failures import ERRORS, FailureLog
from boxmask_convert.result.manifest import RecordDigest
from boxmask_convert.result.masks import open_writer
from boxmask_convert.result.stage import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from boxmask_convert.plan import Plan
    from boxmask_core.formats.interface import MaskWriter

HIDDEN: Final = "hidden.jsonl"
"""Names the instances that cannot be seen in the result, because other masks own all their pixels."""


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where a run writes.

    Attributes:
        writer: Takes the masks.
        failures: Takes what failed.
        journal: Takes the lines that the result was made from, in the dataset's order.
        hidden: Where instances are named that cannot be seen; the file is made when there is one.
        records: Takes the records that were read.
    """

    writer: MaskWriter
    failures: FailureLog
    journal: BinaryIO
    hidden: Path
    records: RecordDigest

    def note_hidden(self, key: str, ids: Sequence[str]) -> None:
        """Names the instances of an image that others hide wholly.

        Raises:
            OSError: The file system refuses.
        """
        if ids:
            with self.hidden.open("a", encoding="utf-8") as file:
                file.writelines(
                    json.dumps({"key": key, "box": box}, ensure_ascii=False) + "\n" for box in ids
                )


@contextmanager
def open_result(out: Path, plan: Plan) -> Iterator[ResultFiles]:
    """Opens the files of a result; they are complete when the block has ended without an error.

    Args:
        out: An empty folder.
        plan: What is converted.

    Raises:
        DatasetError: The format cannot hold the dataset.
        OSError: The file system refuses.
    """
    (out / JOURNAL).mkdir()
    with (
        FailureLog(out / ERRORS) as failures,
        (out / JOURNAL / ANSWERS_FILE).open("xb") as journal,
        open_writer(out, plan) as writer,
    ):
        yield ResultFiles(writer, failures, journal, out / HIDDEN, RecordDigest())
