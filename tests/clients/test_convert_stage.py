"""The output folder appears as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from boxmask_convert.stage import SUMMARY, Stage
from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from boxmask_convert.stage import Stage
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


def test_a_conversion_that_runs_is_left_alone(tmp_path: Path) -> None:
    with Stage(tmp_path / "out", overwrite=False) as running:
        _in_another_process(tmp_path / "out")
        assert running.root.exists()
        assert (tmp_path / "out").exists()


def _in_another_process(out: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from boxmask_convert.stage import Stage\n"
        "with Stage(Path(sys.argv[1]), overwrite=False) as stage: stage.commit()"
    )
    subprocess.run([sys.executable, "-c", script, out], check=True)
