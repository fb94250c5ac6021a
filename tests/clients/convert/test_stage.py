"""The output folder appears as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from boxmask_convert.result.stage import SUMMARY, Stage, hidden_folder
from boxmask_core.errors import DatasetError

KILLED = """
import os, signal, sys
from pathlib import Path
from boxmask_convert.result.stage import Stage
stage = Stage(Path(sys.argv[1]), overwrite=False)
(stage.root / "mask.png").write_bytes(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def _hidden(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*"))


def _finished(out: Path, content: str) -> None:
    with Stage(out, overwrite=out.exists()) as stage:
        (stage.root / "masks").mkdir()
        (stage.root / "masks" / "a.txt").write_text(content)
        (stage.root / SUMMARY).write_text("{}")
        assert not (out / "masks" / "a.txt").exists() or content == "second"
        stage.commit()


def test_nothing_is_at_the_place_before_the_commit_and_all_is_after_it(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    _finished(out, "first")
    assert (out / "masks" / "a.txt").read_text() == "first"
    assert _hidden(out.parent) == []


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), Stage(tmp_path / "out", overwrite=False) as stage:
        stage.root.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _finished(tmp_path / "out", "first")
    assert (tmp_path / "out" / "masks" / "a.txt").exists()


def test_an_earlier_conversion_is_replaced_only_when_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _finished(out, "first")
    (out / "left over").write_text("of the first")
    with pytest.raises(DatasetError, match="--overwrite"):
        Stage(out, overwrite=False)
    _finished(out, "second")
    assert (out / "masks" / "a.txt").read_text() == "second"
    assert not (out / "left over").exists()
    assert _hidden(tmp_path) == []


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_earlier_conversion_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="no earlier result"):
        Stage(tmp_path, overwrite=overwrite)
    with pytest.raises(DatasetError, match="no earlier result"):
        Stage(tmp_path / "thesis.tex", overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_a_killed_process_left_is_removed_by_the_next_and_by_no_one_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "out"], check=False)
    (left,) = _hidden(tmp_path)
    _finished(tmp_path / "other", "another place")
    assert left.exists()
    _finished(tmp_path / "out", "again")
    assert not left.exists()


def test_only_one_process_fills_a_place(tmp_path: Path) -> None:
    with Stage(tmp_path / "out", overwrite=False) as running:
        assert "another process is filling it" in _in_another_process(tmp_path / "out")
        assert running.root.exists()
        running.commit()
    assert (tmp_path / "out").exists()


def _fail(out: Path) -> None:
    with Stage(out, overwrite=False) as stage:
        stage.journal.mkdir()
        (stage.journal / "answers.jsonl").write_text("{}\n")
        (stage.root / "mask.png").write_text("half")
        raise ZeroDivisionError


def test_a_journal_outlives_a_failure_and_a_kill_but_not_a_success(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError):
        _fail(out)
    (hidden,) = _hidden(tmp_path)
    assert [path.name for path in hidden.iterdir()] == ["journal"]
    subprocess.run([sys.executable, "-c", KILLED, out], check=False)
    with Stage(out, overwrite=False) as stage:
        assert (stage.journal / "answers.jsonl").read_text() == "{}\n"
        assert list(stage.root.iterdir()) == []
        stage.commit()
    assert _hidden(tmp_path) == []


def test_an_empty_journal_is_not_kept(tmp_path: Path) -> None:
    with Stage(tmp_path / "out", overwrite=False) as stage:
        stage.journal.mkdir()
        (stage.journal / "answers.jsonl").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_died_between_the_renames_lost_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _finished(out, "first")
    hidden = hidden_folder(out)
    (hidden / "result").mkdir(parents=True)
    (hidden / "result" / SUMMARY).write_text("second")
    out.rename(hidden / "replaced")
    with Stage(out, overwrite=True):
        assert (out / "masks" / "a.txt").read_text() == "first"
    assert (out / "masks" / "a.txt").read_text() == "first"
    assert _hidden(tmp_path) == []


def test_shards_share_a_place_with_one_another_and_with_nobody_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        Stage(out, overwrite=False, shared=True) as first,
        Stage(out, overwrite=False, shared=True) as second,
    ):
        assert first.journal == second.journal
        with pytest.raises(DatasetError, match="another process is filling it"):
            Stage(out, overwrite=False)
        first.journal.mkdir()
        (first.journal / "answers-0-of-2.jsonl").write_text("{}\n")
    with Stage(out, overwrite=False) as whole:
        assert (whole.journal / "answers-0-of-2.jsonl").exists()
        with pytest.raises(DatasetError, match="another process is filling it"):
            Stage(out, overwrite=False, shared=True)


def _in_another_process(out: Path) -> str:
    script = (
        "import sys; from pathlib import Path; from boxmask_convert.result.stage import Stage\n"
        "with Stage(Path(sys.argv[1]), overwrite=False) as stage: stage.commit()"
    )
    command = [sys.executable, "-c", script, str(out)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


def test_of_a_link_to_a_folder_the_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "large_disk").mkdir()
    out = tmp_path / "out"
    out.symlink_to("large_disk")
    _finished(out, "first")
    assert out.is_symlink()
    assert (tmp_path / "large_disk" / "masks" / "a.txt").read_text() == "first"
    assert _hidden(tmp_path) == []


def test_a_link_that_leads_nowhere_yet_is_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("later")
    _finished(out, "first")
    assert out.is_symlink()
    assert (tmp_path / "later" / SUMMARY).is_file()


def test_a_mount_point_is_refused_at_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == out)
    with pytest.raises(DatasetError, match=r"mount point.*name a folder in it"):
        Stage(out, overwrite=True)
    assert _hidden(tmp_path) == []
    _finished(out / "in_it", "first")
