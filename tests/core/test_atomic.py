from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from boxmask_core.atomic import open_atomically, write_bytes_atomically

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_written_with_its_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes_atomically(path, b"one")
    write_bytes_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["c.bin"]


def test_an_error_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "c.bin"
    path.write_bytes(b"old")

    def fail_halfway() -> None:
        with open_atomically(path) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.bin"]


def test_until_the_end_nothing_bears_the_name(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with open_atomically(path) as file:
        file.write(b"{")
        assert not path.exists()
        assert all(entry.name.startswith(".") for entry in tmp_path.iterdir())
        file.write(b"}")
    assert path.read_bytes() == b"{}"


def test_the_file_may_be_read_by_whom_the_mask_of_the_process_allows(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    write_bytes_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_a_file_is_synced_unless_the_caller_syncs_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_bytes_atomically(tmp_path / "later", b"1", sync=False)
    assert not synced
    write_bytes_atomically(tmp_path / "now", b"2")
    assert len(synced) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"later": b"1", "now": b"2"}


def test_without_sync_a_file_is_whole_or_absent_too(tmp_path: Path) -> None:
    def fail() -> None:
        with open_atomically(tmp_path / "file", sync=False) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())
