from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxmask_core.errors import DatasetError
from boxmask_core.formats.line_journal import LineJournal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
"""Lone surrogates among it: file names that are no UTF-8 have them."""
ODD_KEYS = (
    "",
    "\0",
    "a",
    "a\0b",
    "a/b",
    "a b",
    "B",
    "\ud7ff",
    "\ud800",
    "\udcff",
    "\ue000",
    "\uffff",
    "\U0001f408",
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(ODD_KEYS), ANY_TEXT), unique=True))
def test_lines_come_back_in_the_order_of_their_keys(tmp_path: Path, keys: list[str]) -> None:
    journal = LineJournal(tmp_path, "out.json")
    for key in keys:
        journal.add(key, {"key": key, "line": "x" * len(key)})
    expected = [{"key": key, "line": "x" * len(key)} for key in sorted(keys)]
    assert list(journal.lines()) == list(journal.lines()) == expected
    journal.discard()
    assert not list(tmp_path.iterdir())


def test_a_key_is_kept_once(tmp_path: Path) -> None:
    journal = LineJournal(tmp_path, "out.json")
    journal.add("a", 1)
    journal.require_new("A")
    with pytest.raises(DatasetError, match="a: was written twice"):
        journal.add("a", 2)
    assert list(journal.lines()) == [1]
    journal.discard()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".out.json.part").write_bytes(b"no database at all" * 1000)
    journal = LineJournal(tmp_path, "out.json")
    journal.add("a", 1)
    assert list(journal.lines()) == [1]
    journal.discard()
    journal.discard()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 1 MiB, as on a disk that is full; Python turns the signal into an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    journal = LineJournal(tmp_path, "out.json")

    def fill() -> None:
        for number in range(100):
            journal.add(str(number), "x" * 100_000)

    with pytest.raises(OSError, match=r"\.out\.json\.part cannot be written or read: "):
        fill()
    journal.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ä b?x=1#%41&", "\udcff", "-", "file:x"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    journal = LineJournal(tmp_path / name, "out.json")
    journal.add("a", 1)
    assert [path.name for path in (tmp_path / name).iterdir()] == [".out.json.part"]
    assert list(journal.lines()) == [1]
    journal.discard()
    assert not list((tmp_path / name).iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        LineJournal(tmp_path / "file" / "out", "out.json")
