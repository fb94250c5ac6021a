from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DatasetError, TrainingError
from boxmask_training.reproduce.runner import locked
from boxmask_training.reproduce.stamps import Stamps
from tests.training.reproduce.small_steps import carry_out_missing, compare, fill_boxes
from tests.training.reproduce.tiny import write_place

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_training.reproduce.step import Step

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_place(tmp_path, train=2, val=1).data


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def steps(data: Path, out: Path) -> tuple[Step, Step]:
    return _two_steps(data, out)


def _two_steps(data: Path, out: Path) -> tuple[Step, Step]:
    fill = fill_boxes(data, out)
    return fill, compare(data, out, fill)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both steps, which nothing interrupted."""
    root = tmp_path_factory.mktemp("finished")
    data, out = write_place(root, train=2, val=1).data, root / "out"
    assert carry_out_missing(_two_steps(data, out), out) == ["fill", "scores/fill"]
    return out


@pytest.fixture
def done(finished: Path, out: Path) -> Path:
    """The same folder at another place."""
    return shutil.copytree(finished, out)


def _done(out: Path, steps: tuple[Step, ...]) -> list[str]:
    stamps = Stamps(out / "steps", steps)
    return [step.name for step in steps if stamps.is_done(step)]


def test_what_is_done_is_not_done_again(steps: tuple[Step, Step], done: Path) -> None:
    scores = json.loads((done / "fill.json").read_bytes())
    assert scores["iou"]["square"] > 0.99  # a square is its box
    assert "done    3 of 3 images" in (done / "steps" / "fill.log").read_text()
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    assert carry_out_missing(steps, done) == []
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before


def test_a_changed_setting_redoes_its_step_and_those_after(
    steps: tuple[Step, Step], data: Path, done: Path
) -> None:
    other = fill_boxes(data, done, "other")
    assert carry_out_missing((other, *steps), done) == ["other"]
    limited = replace(steps[0], words=(*steps[0].words, "--limit", "2"))
    ids = data / "two.txt"
    ids.write_text("shape00\nshape01\n")
    scores = replace(steps[1], words=(*steps[1].words, "--ids", ids))
    assert carry_out_missing((other, limited, scores), done) == ["fill", "scores/fill"]
    assert len(list((done / "fill" / "SegmentationClass").iterdir())) == 2
    assert json.loads((done / "fill.json").read_bytes())["images"] == 2


def _remove_the_product(out: Path) -> None:
    (out / "fill.json").unlink()


def _damage_the_product(out: Path) -> None:
    (out / "fill.json").write_text("{}")


def _damage_the_stamp(out: Path) -> None:
    (out / "steps" / "scores" / "fill.done").unlink()


@pytest.mark.parametrize("damage", [_remove_the_product, _damage_the_product, _damage_the_stamp])
def test_a_product_that_is_gone_or_altered_is_made_again(
    damage: Callable[[Path], None], steps: tuple[Step, Step], done: Path
) -> None:
    before = (done / "fill.json").read_bytes()
    damage(done)
    assert carry_out_missing(steps, done) == ["scores/fill"]
    assert (done / "fill.json").read_bytes() == before


def test_what_lies_behind_a_target_that_is_done_may_be_deleted(steps: tuple[Step, Step], done: Path) -> None:
    shutil.rmtree(done / "fill")
    stamps = Stamps(done / "steps", steps)
    assert stamps.missing(["scores/fill"]) == ()
    assert [step.name for step in stamps.missing(["scores/fill", "fill"])] == ["fill"]


def test_a_failing_step_stops_with_the_end_of_its_log_and_without_a_stamp(
    steps: tuple[Step, Step], data: Path, done: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (done / "steps" / "scores" / "fill.done").unlink()
    truth = data / "SegmentationClass" / "shape01.png"
    good = truth.read_bytes()
    truth.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match=r"step scores/fill failed with exit status 2; mend what .*\.log"):
        carry_out_missing(steps, done)
    assert "shape01.png cannot be decoded: it is not a PNG" in caplog.text
    assert _done(done, steps) == ["fill"]
    assert not (done / "fill.json").exists()
    truth.write_bytes(good)
    assert carry_out_missing(steps, done) == ["scores/fill"]


def test_a_step_that_fails_in_part_does_not_count(data: Path, out: Path) -> None:
    """`boxmask convert` goes on without what it cannot read and says so with its exit status."""
    image = data / "JPEGImages" / "shape01.jpg"
    good = image.read_bytes()
    image.write_bytes(b"no picture")
    step = fill_boxes(data, out)
    with pytest.raises(TrainingError, match="step fill failed with exit status 1"):
        carry_out_missing((step,), out)
    image.write_bytes(good)
    assert carry_out_missing((step,), out) == ["fill"]  # what it had written is in no one's way


def test_a_command_that_does_not_make_its_product_is_no_success(steps: tuple[Step, Step], out: Path) -> None:
    fill, _ = steps
    step = replace(fill, product=fill.output / "elsewhere")
    with pytest.raises(DatasetError, match=r"elsewhere: step fill should have made it; see .*fill\.log"):
        carry_out_missing((step,), out)


def test_what_no_step_has_made_is_not_replaced(steps: tuple[Step, Step], out: Path) -> None:
    (out / "fill").mkdir(parents=True)
    (out / "fill" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="no step has made it; name another --out"):
        carry_out_missing(steps, out)
    assert (out / "fill" / "mine.txt").read_text() == "mine"


def test_steps_run_side_by_side(data: Path, out: Path) -> None:
    under_way: list[int] = []

    def count(_: Step) -> None:
        under_way.append(len(list(out.glob("steps/*.key"))) - len(list(out.glob("steps/*.done"))))

    fills = tuple(fill_boxes(data, out, name) for name in "ab")
    assert set(carry_out_missing(fills, out, 2, count)) == {"a", "b"}
    assert under_way == [1, 0]  # beside the step that has ended


def test_of_the_steps_that_can_start_the_plans_first_comes_first(data: Path, out: Path) -> None:
    """A row is finished before the next one starts."""
    first, second = fill_boxes(data, out, "a"), fill_boxes(data, out, "b")
    steps = (first, compare(data, out, first), second)
    assert carry_out_missing(steps, out) == ["a", "scores/a", "b"]


def test_a_folder_is_worked_in_once_at_a_time(steps: tuple[Step, Step], out: Path) -> None:
    with locked(out), pytest.raises(TrainingError, match="another reproduction"):
        carry_out_missing(steps, out)
    with locked(out):
        pass


def _resumable(steps: tuple[Step, Step]) -> Step:
    return replace(steps[0], resumes=True)


def test_what_a_resumable_step_had_begun_stays_unless_it_changed(steps: tuple[Step, Step], out: Path) -> None:
    step = _resumable(steps)
    Stamps(out / "steps", (step,)).begin(step)
    (out / "fill").mkdir(parents=True)
    (out / "fill" / "half").write_text("half a run")
    Stamps(out / "steps", (step,)).begin(step)
    assert (out / "fill" / "half").exists()
    changed = replace(step, facts=("other settings",))
    Stamps(out / "steps", (changed,)).begin(changed)
    assert not (out / "fill").exists()


def test_a_resumable_step_whose_product_was_altered_starts_anew(steps: tuple[Step, Step], done: Path) -> None:
    step = _resumable(steps)
    (done / "fill" / "class_names.txt").write_text("altered")
    Stamps(done / "steps", (step,)).begin(step)
    assert not (done / "fill").exists()


@pytest.mark.slow
class TestKilled:
    """A reproduction in a process of its own that ends in the middle of its second step."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return write_place(tmp_path, train=40, val=40).data

    def _start(self, data: Path, out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.training.reproduce.small_steps", str(data), str(out)]
        environment = os.environ | {"OMP_NUM_THREADS": "7"}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    def _wait_for_the_second(self, process: subprocess.Popen[str], out: Path) -> None:
        deadline = time.monotonic() + 60
        while len(list(out.glob(".second.partial/result/SegmentationClass/*.png"))) < 3:
            assert process.poll() is None, "the reproduction ended too early"
            assert time.monotonic() < deadline, "the second step did not start"
            time.sleep(0.01)

    def _stamped(self, out: Path) -> set[str]:
        return {path.name for path in out.glob("steps/**/*.done")}

    def test_by_sigterm_it_stops_what_runs_and_goes_on_next_time(self, place: Path, out: Path) -> None:
        with self._start(place, out) as process:
            self._wait_for_the_second(process, out)
            process.terminate()
            process.communicate(timeout=60)
        assert process.returncode != 0
        assert self._stamped(out) == {"first.done"}
        assert not (out / "second").exists()
        with locked(out):
            pass  # nothing that it started is left
        first = (out / "steps" / "first.done").stat().st_mtime_ns
        with self._start(place, out) as process:
            assert process.wait(60) == 0
        assert self._stamped(out) == {"first.done", "second.done"}
        assert (out / "second.json").is_file()
        assert (out / "steps" / "first.done").stat().st_mtime_ns == first

    def test_by_sigkill_it_leaves_the_folder_locked_while_a_step_outlives_it(
        self, place: Path, out: Path
    ) -> None:
        with self._start(place, out) as process:
            self._wait_for_the_second(process, out)
            left = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            assert b"\0OMP_NUM_THREADS=1\0" in Path(f"/proc/{left}/environ").read_bytes()
            process.kill()
            process.communicate()
        with pytest.raises(TrainingError, match="or a step that it left running"):
            carry_out_missing((fill_boxes(place, out, "first"),), out)
        os.kill(left, signal.SIGKILL)
        self._wait_until_unlocked(out)
        assert self._stamped(out) == {"first.done"}

    def _wait_until_unlocked(self, out: Path) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with locked(out):
                    return
            except TrainingError:
                time.sleep(0.05)
        raise AssertionError("the step did not end")
