from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from boxmask_core.errors import (
    BoxmaskError,
    BundleError,
    InvalidImageError,
    InvalidRequestError,
    QueueFullError,
)
from tests.fuzz.__main__ import main
from tests.fuzz.target import OK, Target

if TYPE_CHECKING:
    from pathlib import Path


def raising(error: Exception | None) -> Target[None]:
    def attempt(_: None) -> None:
        if error is not None:
            raise error

    return Target("it", st.none(), attempt)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, OK), (InvalidImageError("it", "cut off"), "INVALID_IMAGE"), (QueueFullError(1), "QUEUE_FULL")],
)
def test_results_and_errors_of_the_table_are_outcomes(error: Exception | None, outcome: str) -> None:
    assert raising(error).outcome(None) == outcome


@pytest.mark.parametrize(
    "error", [KeyError("it"), MemoryError(), BundleError("it", "damaged"), RuntimeWarning()]
)
def test_what_a_caller_would_see_as_internal_is_a_fault(error: Exception) -> None:
    with pytest.raises(type(error)):
        raising(error).outcome(None)


def test_an_error_that_the_table_does_not_know_is_a_fault() -> None:
    class NewError(BoxmaskError):
        pass

    with pytest.raises(AssertionError, match="no rule for NewError"):
        raising(NewError()).outcome(None)


def test_words_are_cut_before_they_are_too_long_for_a_header() -> None:
    for letter in ("a", "%", "字", "\U0001f600"):
        assert raising(InvalidRequestError("it", letter * 5000)).outcome(None) == "INVALID_REQUEST"


def test_the_command_prints_what_came_of_its_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--minutes", "0.01", "--only", "polygons", "--keep", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("| target | examples |")
    assert rows[2].startswith("| polygons | ")
    assert rows[-1].endswith(" examples, 0 faults")


def test_an_input_can_be_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "input.txt"
    file.write_text(repr(b"GIF89a"), encoding="utf-8")
    assert main(["--only", "images, any bytes", "--input", str(file)]) == 0
    assert capsys.readouterr().out == "INVALID_IMAGE\n"
