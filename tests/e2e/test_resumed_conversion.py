"""A conversion that is killed goes on where it was; one that is done is not done again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_convert.answers.journal import UNUSED_FILE
from boxmask_convert.command import main
from boxmask_convert.result.stage import hidden_folder
from boxmask_core.errors import DatasetError, OutputError, TooManyFailuresError
from tests.clients.scenes import VocFolder

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

KILLS = 20
_TIMES = ("finished", "stage_ms", "busy", "seconds", "images_reused")
"""What a summary says of the run and not of the result."""


def _content(out: Path) -> dict[str, bytes | dict[str, Any]]:
    """Everything in a result but the report and answers of earlier runs that it does not need; of the summary
    what does not differ from run to run."""
    found: dict[str, bytes | dict[str, Any]] = {}
    left_out = {"report.html", UNUSED_FILE}
    for file in sorted(path for path in out.rglob("*") if path.is_file() and path.name not in left_out):
        content = file.read_bytes()
        if file.name == "summary.json":
            fields: dict[str, Any] = json.loads(content)
            found[file.name] = {name: value for name, value in fields.items() if name not in _TIMES}
        else:
            found[file.relative_to(out).as_posix()] = content
    return found


def _keys(journal: Path) -> Counter[str]:
    return Counter(json.loads(line)["key"] for line in journal.read_bytes().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coco", "voc"])
def test_a_run_killed_at_20_points_gives_what_an_undisturbed_one_gives(
    many_images: Path, tmp_path: Path, bundle: Bundle, target: str
) -> None:
    (many_images / "JPEGImages" / "007.jpg").write_bytes(b"no image")
    common = [str(many_images), "--to", target, "--bundle", str(bundle.root), "--no-report"]
    out = tmp_path / "killed" / "out"
    script = [sys.executable, "-m", "tests.e2e.killed_runs", str(out), str(KILLS), *common, str(out)]
    told = subprocess.run(script, check=True, capture_output=True, text=True, timeout=200)
    points = json.loads(told.stdout)
    assert len(points) == KILLS, told.stderr
    assert not out.exists()
    journal = hidden_folder(out) / "journal" / "answers.jsonl"
    assert max(_keys(journal).values()) == 1  # no image was done twice, whatever was killed between
    before = len(_keys(journal))
    assert len(set(points)) > KILLS / 2
    assert main([*common, str(out)]) == 1
    assert len(_keys(out / ".journal" / "answers.jsonl")) == 59 >= before > 40
    undisturbed = tmp_path / "undisturbed"
    assert main([*common, str(undisturbed)]) == 1
    assert _content(out) == _content(undisturbed)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.fixture
def data(tmp_path: Path) -> VocFolder:
    return VocFolder(tmp_path / "data", good=6)


@pytest.fixture
def common(data: VocFolder) -> list[str]:
    return [str(data.root), "--method", "grabcut", "--no-report"]


def _reused(out: Path) -> tuple[int, int]:
    summary = json.loads((out / "summary.json").read_bytes())
    return summary["images_reused"], summary["images_converted"]


def test_a_second_run_does_nothing(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert not hidden_folder(out).exists()


def test_what_was_added_or_changed_is_done_and_nothing_else(
    data: VocFolder, common: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "coco", str(out)]
    main(command)
    data.good("new", seed=50)
    assert main(command) == 0
    assert _reused(out) == (6, 7)
    data.good("good3", seed=51)  # another picture under the same name
    assert main(command) == 0
    assert _reused(out) == (6, 7)
    shutil.copy(data.root / "JPEGImages" / "good0.jpg", data.root / "JPEGImages" / "twin.jpg")
    shutil.copy(data.root / "Annotations" / "good0.xml", data.root / "Annotations" / "twin.xml")
    assert main(command) == 0
    assert _reused(out) == (8, 8)  # the same picture under another name
    fresh = tmp_path / "fresh"
    main([*common, "--to", "coco", str(fresh)])
    assert _content(out) == _content(fresh)


def test_an_image_that_was_taken_away_is_gone_from_the_result(
    data: VocFolder, common: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    main(command)
    (data.root / "Annotations" / "good2.xml").unlink()
    assert main(command) == 0
    assert _reused(out) == (5, 5)
    assert not (out / "SegmentationClass" / "good2.png").exists()


def test_a_setting_redoes_only_what_it_touches(common: list[str], tmp_path: Path, bundle: Bundle) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    main(command)
    before = _content(out)
    assert main([*command, "--overlaps", "void"]) == 0  # other maps of the same masks
    assert _reused(out) == (6, 6)
    assert _content(out) != before
    assert main(command) == 0
    assert _content(out) == before
    assert main([*command, "--method", "box"]) == 0  # the last word counts: other masks
    assert _reused(out) == (0, 6)
    assert main([*command, "--method", "cfs", "--bundle", str(bundle.root)]) == 0
    assert _reused(out) == (0, 6)
    assert main([*command, "--method", "cfs", "--bundle", str(bundle.root), "--no-refine"]) == 0
    assert _reused(out) == (0, 6)


def test_another_format_replaces_a_result_only_when_told_and_takes_its_masks(
    common: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    main([*common, "--to", "voc", str(out)])
    with pytest.raises(DatasetError, match="pass --overwrite"):
        main([*common, "--to", "coco", str(out)])
    assert main([*common, "--to", "coco", str(out), "--overwrite"]) == 0
    assert _reused(out) == (6, 6)
    fresh = tmp_path / "fresh"
    main([*common, "--to", "coco", str(fresh)])
    assert _content(out) == _content(fresh)


def test_shards_together_give_what_one_run_gives(common: list[str], tmp_path: Path) -> None:
    out, whole = tmp_path / "sharded", tmp_path / "whole"
    command = [*common, "--to", "coco", str(out)]
    for index in (2, 0, 1):
        assert main([*command, "--shard", f"{index}/3"]) == 0
        assert not out.exists()
    assert main(command) == 0
    assert _reused(out) == (6, 6)
    main([*common, "--to", "coco", str(whole)])
    assert _content(out) == _content(whole)
    assert not hidden_folder(out).exists()


def test_a_shard_that_is_missing_is_made_up_for(common: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "coco", str(out)]
    assert main([*command, "--shard", "0/4"]) == 0
    assert main(command) == 0
    assert _reused(out) == (2, 6)


def test_too_many_failures_end_a_run_and_keep_what_was_done(
    data: VocFolder, common: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    for name in ("good4", "good5"):
        (data.root / "JPEGImages" / f"{name}.jpg").write_bytes(b"no image")
    with pytest.raises(TooManyFailuresError, match="2 images failed, and --max-errors allows 1"):
        main([*command, "--max-errors", "1"])
    assert not out.exists()
    assert main([*command, "--max-errors", "2"]) == 1
    assert _reused(out) == (4, 4)


def test_what_failed_is_asked_again_only_when_told(
    data: VocFolder, common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file whose header is whole and whose pixels are not: that is found out by whoever is asked about it.
    picture = data.root / "JPEGImages" / "good1.jpg"
    picture.write_bytes(picture.read_bytes()[:2000])
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    assert main(command) == 1
    capsys.readouterr()
    assert main(command) == 1
    assert "--retry-failed asks again" in capsys.readouterr().out
    assert main([*command, "--retry-failed"]) == 1
    assert _reused(out) == (5, 5)
    data.good("new", seed=9)
    assert main(command) == 1  # the failure comes from the journal
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_bytes().splitlines()]
    assert [(error["key"], error["kind"]) for error in errors] == [("good1", "corrupt_image")]


def test_a_result_is_not_replaced_by_nothing(data: VocFolder, common: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*common, "--to", "voc", str(out)]
    main(command)
    before = _content(out)
    pictures = (data.root / "JPEGImages").rename(tmp_path / "unmounted")
    (data.root / "JPEGImages").mkdir()
    with pytest.raises(
        DatasetError, match=r"none of its 6 images could be converted \(6 missing_image\); .* left"
    ):
        main(command)
    assert _content(out) == before
    (data.root / "JPEGImages").rmdir()
    pictures.rename(data.root / "JPEGImages")
    assert main(command) == 0
    assert _content(out) == before
    assert not hidden_folder(out).exists()


def test_a_place_that_cannot_be_written_is_bad_input(common: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="mend that, or name another place") as caught:
        main([*common, "--to", "voc", str(tmp_path / "file" / "out")])
    assert caught.value.exit_status == 2
