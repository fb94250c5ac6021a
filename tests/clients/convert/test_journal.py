"""The journal keeps every answer once, whatever ends the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_client import Answer, Timings
from boxmask_convert.answers.journal import Journal, journal_line
from boxmask_convert.answers.journal_fields import answer_fields, failure_fields, restored
from boxmask_convert.failures import Failure, FailureKind
from boxmask_core.boxes import Box, Window
from boxmask_core.errors import DatasetError
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask


def _key(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _line(text: str, **fields: Any) -> bytes:
    return journal_line(_key(text), {"image": text, **fields})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "answers.jsonl"


def test_what_one_run_added_the_next_one_finds(file: Path) -> None:
    with Journal(file) as journal:
        assert journal.find(_key("a")) is None
        journal.add(_line("a", width=3))
        journal.add(_line("b", width=4))
    with Journal(file) as journal:
        assert len(journal) == 2
        assert journal.find(_key("a")) == {"key": _key("a"), "image": "a", "width": 3}
        assert journal.find(_key("b")) == {"key": _key("b"), "image": "b", "width": 4}
        assert journal.find(_key("c")) is None


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_that_was_cut_off_is_dropped_and_written_again(file: Path, cut: int) -> None:
    with Journal(file) as journal:
        journal.add(_line("a"))
        journal.add(_line("b"))
    whole = file.read_bytes()
    os.truncate(file, len(whole) - cut)
    with Journal(file) as journal:
        assert (journal.find(_key("a")) is not None, journal.find(_key("b"))) == (True, None)
        journal.add(_line("b"))
    assert file.read_bytes() == whole


def test_a_file_of_one_cut_line_is_empty(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(_line("a")[:-1])
    with Journal(file) as journal:
        assert len(journal) == 0
    assert file.read_bytes() == b""


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 100 + b"\n", b"text\n", b'{"key":"zz"}\n', b'{"key":"' + b"z" * 32 + b'"}\n', b"[]\n", b"\n"],
)
def test_damaged_lines_are_passed_over(file: Path, damage: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(_line("a") + damage + _line("b"))
    with Journal(file) as journal:
        assert journal.find(_key("a")) is not None
        assert journal.find(_key("b")) is not None


def test_a_line_damaged_behind_its_key_is_not_found(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(_line("a", width=1).replace(b'"width"', b'"width') + _line("b"))
    with Journal(file) as journal:
        assert journal.find(_key("a")) is None
        assert journal.find(_key("b")) is not None


def test_keys_that_share_their_first_half_are_told_apart(file: Path) -> None:
    first, second = "0" * 16 + "1" * 16, "0" * 16 + "2" * 16
    with Journal(file) as journal:
        journal.add(journal_line(first, {"image": "a"}))
        journal.add(journal_line(second, {"image": "b"}))
    with Journal(file) as journal:
        assert (journal.find(first) or {})["image"] == "a"
        assert (journal.find(second) or {})["image"] == "b"
        assert journal.find("0" * 16 + "3" * 16) is None


def test_what_was_written_last_holds(file: Path) -> None:
    with Journal(file) as journal:
        journal.add(_line("a", failed={"kind": "server_error", "message": "x"}))
        journal.add(_line("a", width=7))
    with Journal(file) as journal:
        assert (journal.find(_key("a")) or {})["width"] == 7


def test_failures_are_found_or_passed_over_as_told(file: Path) -> None:
    with Journal(file) as journal:
        journal.add(_line("bad", failed={"kind": "server_error", "message": "x"}))
        journal.add(_line('tricky ,"failed": name', width=1))
    with Journal(file) as journal:
        assert len(journal) == 2
        assert journal.find(_key("bad")) is not None
    with Journal(file, failed=False) as journal:
        assert len(journal) == 1
        assert journal.find(_key("bad")) is None
        assert journal.find(_key('tricky ,"failed": name')) is not None


def test_other_files_are_searched_too_and_never_written(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(_line("a") + b'{"cut')
    with Journal(file, [other, tmp_path / "missing.jsonl", file]) as journal:
        assert journal.find(_key("a")) is not None
        journal.add(_line("b"))
    assert other.read_bytes() == _line("a") + b'{"cut'
    assert file.read_bytes() == _line("b")


def test_a_failure_of_an_earlier_result_does_not_hide_the_answer_that_came_after_it(
    file: Path, tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_bytes(_line("a", failed={"kind": "server_error", "message": "it failed"}))
    file.parent.mkdir()
    file.write_bytes(_line("a", width=3))
    with Journal(file, [earlier]) as journal:
        assert journal.find(_key("a")) == {"key": _key("a"), "image": "a", "width": 3}


def test_earlier_answers_that_a_result_does_not_hold_are_kept_beside_it(file: Path, tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.mkdir()
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_bytes(_line("a", width=1) + _line("b", width=1) + _line("c", width=1))
    file.parent.mkdir()
    file.write_bytes(_line("a", width=2) + _line("d", failed={"kind": "timeout", "message": "late"}))
    with Journal(file, [earlier]) as journal:
        journal.add(_line("e"))  # an answer of this run, which is in the result
        (result / "answers.jsonl").write_bytes(_line("b", width=1) + _line("e"))
        journal.keep_unused(result)
    kept = (result / "unused.jsonl").read_bytes().splitlines(keepends=True)
    assert kept == sorted([_line("a", width=2), _line("c", width=1)])


def test_no_file_is_made_where_a_result_holds_every_answer(file: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_bytes(_line("a"))
    for earlier in ([], [tmp_path / "answers.jsonl"]):
        with Journal(file, earlier) as journal:
            journal.keep_unused(tmp_path)
    assert not (tmp_path / "unused.jsonl").exists()


def test_two_processes_cannot_write_one_journal(file: Path) -> None:
    imports = "import sys; from pathlib import Path; from boxmask_convert.answers.journal import Journal"
    code = f"{imports}; Journal(Path(sys.argv[1]))"
    with Journal(file):
        with pytest.raises(DatasetError, match="another process is writing it"):
            Journal(file)
        command = [sys.executable, "-c", code, str(file)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another process is writing it" in other.stderr
    Journal(file).__exit__(None, None, None)


def test_the_index_takes_a_few_bytes_a_line(file: Path) -> None:
    file.parent.mkdir()
    with file.open("wb") as stream:
        for number in range(20_000):
            stream.write(_line(str(number)))
    tracemalloc.start()
    with Journal(file) as journal:
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(journal) == 20_000
        assert (journal.find(_key("19999")) or {})["image"] == "19999"
    assert held < 20_000 * 60


@st.composite
def _answers(draw: st.DrawFn) -> tuple[ImageRecord, Answer]:
    count = draw(st.integers(0, 3))
    masks = []
    for number in range(count):
        width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        bits = draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
        pixels = np.array(bits, dtype=np.bool_).reshape(height, width)
        x, y = draw(st.integers(0, 50)), draw(st.integers(0, 50))
        window = Window(x, y, x + width, y + height)
        box = Box(x, y, x + width, y + height)
        fallback = draw(st.sampled_from(list(Fallback)))
        quality = draw(st.floats(0, 1, width=32))
        masks.append(
            InstanceMask(Instance(box, "cat", id=str(number)), Proposal(window, pixels, fallback), quality)
        )
    record = ImageRecord(draw(st.text()), Path("a.jpg"), tuple(mask.instance for mask in masks))
    answer = Answer(70, 60, tuple(masks), None, (), Timings(0, 0, 0, 0, 0, 0, 0), "sha256:1")
    return record, answer


@settings(deadline=None)  # the first example waits for imports
@given(_answers())
def test_an_answer_comes_back_as_it_was(given_answer: tuple[ImageRecord, Answer]) -> None:
    record, answer = given_answer
    line = journal_line("0" * 32, answer_fields(record.key, answer))
    assert line.count(b"\n") == 1
    found = restored(json.loads(line), record)
    assert isinstance(found, Answer)
    assert (found.width, found.height, found.model_digest) == (70, 60, "sha256:1")
    for left, right in zip(found.masks, answer.masks, strict=True):
        assert (left.instance, left.quality, left.proposal.window) == (
            right.instance,
            right.quality,
            right.proposal.window,
        )
        assert left.proposal.fallback is right.proposal.fallback
        np.testing.assert_array_equal(left.proposal.mask, right.proposal.mask)


def test_a_failure_comes_back_as_it_was(tmp_path: Path) -> None:
    record = ImageRecord("deep/cat", tmp_path / "cat.jpg", ())
    failure = Failure("deep/cat", str(record.path), None, FailureKind.SERVER_ERROR, "no\nluck")
    assert restored({"key": "0", **failure_fields(failure)}, record) == failure


@pytest.mark.parametrize(
    "change",
    [
        {"masks": []},
        {"masks": [{}]},
        {"masks": None},
        {"width": "wide"},
        {"failed": {"kind": "unheard_of", "message": ""}},
        {"failed": None},
    ],
)
def test_fields_of_another_version_are_asked_for_again(change: dict[str, Any], tmp_path: Path) -> None:
    record = ImageRecord("cat", tmp_path / "cat.jpg", (Instance(Box(0, 0, 1, 1), "cat"),))
    fields = {"key": "0", "image": "cat", "width": 1, "height": 1, "model": "", "masks": [{}], **change}
    assert restored(fields, record) is None


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_line_with_a_number_that_cannot_be_written_again_is_not_found(file: Path, number: str) -> None:
    file.parent.mkdir()
    file.write_bytes(_line("a", width=7).replace(b"7", number.encode()) + _line("b"))
    with Journal(file) as journal:
        assert journal.find(_key("a")) is None
        assert journal.find(_key("b")) is not None


def test_a_line_without_a_bottom_is_not_found(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(_line("a", width="deep").replace(b'"deep"', b"[" * 100_000))
    with Journal(file) as journal:
        assert journal.find(_key("a")) is None


_SIGNALS = {"certainty": 0.5, "agreement": None, "tightness": 1.0, "fill": 0.5, "parts": 1}


@pytest.mark.parametrize(
    ("change", "change_of_mask"),
    [
        ({"width": float("inf")}, {}),
        ({"width": 0}, {}),
        ({"height": 10**400}, {}),
        ({"height": "1"}, {}),
        ({}, {"window": [1, 0, 2, 1]}),
        ({}, {"window": [0, 0, 1, 1 << 40]}),
        ({}, {"quality": 1.5}),
        ({}, {"quality": "0.5"}),
        ({}, {"signals": {**_SIGNALS, "parts": 0.5}}),
        ({}, {"signals": {**_SIGNALS, "fill": "much"}}),
        ({}, {"signals": {**_SIGNALS, "certainty": 2}}),
        ({}, {"signals": {**_SIGNALS, "rivalry": []}}),
    ],
)
def test_an_answer_that_does_not_fit_the_image_is_asked_for_again(
    change: dict[str, Any], change_of_mask: dict[str, Any], tmp_path: Path
) -> None:
    record = ImageRecord("cat", tmp_path / "cat.jpg", (Instance(Box(0, 0, 1, 1), "cat"),))
    mask = {"window": [0, 0, 1, 1], "counts": "01", "fallback": "none", "quality": 0.5, "signals": _SIGNALS}
    whole = {"key": "0", "image": "cat", "width": 3, "height": 2, "model": "", "masks": [mask]}
    assert isinstance(restored(whole, record), Answer)
    assert restored({**whole, **change, "masks": [{**mask, **change_of_mask}]}, record) is None
