"""The command ``boxmask check``: whether a dataset is what its format says, of boxes or of masks.

Exit status: 0 when nothing is wrong (warnings apart), 1 when something is, 2 where there is no dataset of a
known format, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxmask_convert.survey.dataset import Surveyor
from boxmask_core.checks import CHECKS, COVER_BOXES, checked_format, recognised_checks
from boxmask_core.checks.conversion import check_summary, compare_with_source, read_summary
from boxmask_core.checks.examination import Examination, Source
from boxmask_core.errors import DatasetError
from boxmask_core.formats import READERS, WRITERS, open_dataset
from boxmask_core.locations import location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_convert.survey.dataset import Survey
    from boxmask_core.checks.findings import Findings

PROBLEMS = 1
"""Exit status where something is wrong."""


@dataclass(slots=True)
class Checked:
    """What was checked, and what was found.

    Attributes:
        path: The dataset.
        formats: Those that its files were checked as.
        examination: What the files hold, and what is wrong.
        survey: Of the boxes that a reader reads, or None where the files themselves were checked for them.
        notes: What the reader decided or left out.
    """

    path: Path
    examination: Examination
    formats: list[str] = field(default_factory=list)
    survey: Survey | None = None
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> Findings:
        """What is wrong."""
        return self.examination.findings

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form; README describes its fields."""
        examination = self.examination
        return {
            "data": str(self.path),
            "formats": self.formats,
            "notes": [*self.notes, *examination.notes],
            "images": examination.images,
            "masks": examination.masks if examination.counts_masks else None,
            "boxes": examination.boxes,
            "classes": dict(sorted(examination.classes.items())),
            "dataset": self.survey.to_json() if self.survey is not None else None,
            "problems": self.findings.to_json(),
            "clean": self.findings.errors == 0,
        }

    def describe(self) -> str:
        """Returns what was found in lines for people."""
        examination, lines = self.examination, [("from", f"{self.path} ({', '.join(self.formats)})")]
        lines += [("note", note) for note in (*self.notes, *examination.notes)]
        if self.survey is not None:
            lines.append(("found", f"{self.survey.images} images, {self.survey.boxes} boxes"))
        if examination.images:
            masks = f"{examination.masks} masks" if examination.counts_masks else "instances not told apart"
            boxes = f", {examination.boxes} boxes" if examination.boxes else ""
            lines.append(("found", f"{examination.images} images, {masks}{boxes}"))
        verdict = f"{self.findings.errors} problems" if self.findings.errors else "nothing wrong"
        head = "".join(f"{word:<8}{text}\n" for word, text in lines)
        return f"{head}{self.findings.describe()}{'result':<8}{verdict}\n"


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask check``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: There is no dataset of a known format, or the source cannot be read.
    """
    options = _parser().parse_args(argv)
    source = None
    if options.against is not None:
        source = Source(open_dataset(options.against, split=options.split))
    checked = check(options.data, format_name=options.source, source=source)
    if options.json:
        sys.stdout.write(json.dumps(checked.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(checked.describe())
    return PROBLEMS if checked.findings.errors else 0


def check(path: Path, *, format_name: str | None = None, source: Source | None = None) -> Checked:
    """Checks a dataset.

    Args:
        path: A folder or a file.
        format_name: One of `READERS` or `WRITERS`, or None to tell by the files.
        source: What masks were made from, or None.

    Raises:
        DatasetError: There is nothing, or it fits no known format.
        MissingExtraError: A format needs an optional part of the distribution.
    """
    checks, reads_boxes = _what_to_check(path, format_name)
    checked = Checked(path, Examination(source), checks)
    summary = read_summary(path) if path.is_dir() else None
    for name in checks:
        CHECKS[name](path, checked.examination)
    checked.examination.finish()
    if summary is not None:
        check_summary(summary, path, checked.examination)
    if source is not None:
        compare_with_source(path, checked.examination)
    if reads_boxes:
        _survey(checked, format_name if format_name in READERS else None)
    return checked


def _what_to_check(path: Path, format_name: str | None) -> tuple[list[str], bool]:
    """Returns the formats whose files are checked, and whether a reader is to read boxes as well."""
    found = recognised_checks(path)
    readers = [name for name, reader in READERS.items() if reader.recognises(path)]
    if format_name is not None:
        name = checked_format(format_name)
        # A reader that no check stands in for is asked even where it finds no files of its own: it says so.
        by_reader = format_name in READERS and format_name not in COVER_BOXES
        by_reader = by_reader and (format_name in readers or name is None)
        return ([name] if name is not None and (name in found or not by_reader) else []), by_reader
    if not found and not readers:
        raise DatasetError(
            path, "is no dataset of a known format, neither of boxes nor of masks; name it with --from"
        )
    is_conversion = path.is_dir() and read_summary(path) is not None
    return found, bool(readers) and not is_conversion and not COVER_BOXES.intersection(found)


def _survey(checked: Checked, format_name: str | None) -> None:
    dataset = open_dataset(checked.path, format=format_name)
    surveyor = Surveyor(dataset, len(dataset))
    for _ in surveyor:
        pass  # what is wrong is counted as it passes
    checked.survey, checked.notes = surveyor.survey, dataset.notes
    checked.findings.merge(surveyor.survey.findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxmask check",
        description="Check a dataset of boxes or of masks: files, references, shapes, sizes and images; of a "
        "conversion also whether all of it is there.",
        epilog="Exit status: 0 nothing wrong (warnings apart); 1 something is wrong; 2 no dataset of a known "
        "format; 130 interrupted.",
    )
    parser.add_argument("data", type=Path, metavar="DATASET", help="its folder or its annotation file")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FORMAT",
        choices=sorted({*READERS, *WRITERS}),
        help="its format (default: found out)",
    )
    parser.add_argument(
        "--against",
        type=location,
        metavar="SOURCE",
        help="the dataset of boxes that masks were made from: every image must be answered, in its own size",
    )
    parser.add_argument("--split", metavar="NAME", help="part of SOURCE (default: all annotated images)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of lines for people"
    )
    return parser
