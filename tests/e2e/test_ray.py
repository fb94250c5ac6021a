"""``boxmask convert --engine ray`` with two real workers: what the local engine writes, whatever dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from boxmask_convert.answers.journal import journal_line
from tests.clients.scenes import VocFolder
from tests.e2e.processes import start
from tests.e2e.ray_processes import ENVIRONMENT, listening, ray_cluster_of_two, wait_for_lines, workers

pytest.importorskip("ray.data", reason="needs the extra boxmask[ray]")

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from boxmask_core.bundle import Bundle
    from tests.e2e.ray_processes import Cluster

pytestmark = pytest.mark.slow

IMAGES = 100
UGLY = 3
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster_of_two() as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred images, of which one is missing, one is cut off, and one is no image; a box lies outside."""
    folder = VocFolder(tmp_path_factory.mktemp("ray") / "data")
    for i in range(IMAGES):
        folder.good(f"{i:03}", seed=i)
    images = folder.root / "JPEGImages"
    (images / "007.jpg").unlink()
    (images / "042.jpg").write_bytes(b"no image")
    whole = (images / "077.jpg").read_bytes()
    (images / "077.jpg").write_bytes(whole[: len(whole) // 2])
    folder.raw_annotation("050", [("cat", (5, 5, 90, 90)), ("ear", (400, 5, 500, 90))], (225, 150))
    return folder.root


@pytest.fixture(scope="module")
def local(data: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine writes."""
    out = tmp_path_factory.mktemp("local") / "out"
    with start("convert", data, out, *_options(bundle)) as process:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 1, told
    return out


def _options(bundle: Bundle) -> tuple[str, ...]:
    return ("--to", "coco", "--bundle", str(bundle.root), "--no-report")


def _start(
    data: Path, out: Path, bundle: Bundle, cluster: Cluster | None, *more: str
) -> subprocess.Popen[str]:
    environment = ENVIRONMENT | {"RAY_ADDRESS": cluster.address} if cluster is not None else {}
    options = (*_options(bundle), "--engine", "ray", "--workers", "1", *more)
    return start("convert", data, out, *options, environment=environment)


def _content(out: Path) -> dict[str, bytes]:
    """Every file of a result but the summary, which tells of the run; OUT's own journal is among them."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "summary.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def _keys(journal: Path) -> Counter[str]:
    return Counter(json.loads(line)["key"] for line in journal.read_bytes().splitlines())


def _journal(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial") / "journal" / "answers.jsonl"


def test_a_run_that_starts_ray_itself_writes_what_the_local_engine_writes(
    data: Path, local: Path, bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with _start(data, out, bundle, None) as process:
        wait_for_lines(_journal(out), process, 1)
        addresses = listening(process.pid)
        said, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert _content(out) == _content(local)
    assert len(json.loads((out / "instances.json").read_bytes())["images"]) == IMAGES - UGLY
    assert "2 corrupt_image" in said
    assert "1 missing_image" in said
    assert "1 box_outside_image" in said
    assert f"ray     {IMAGES} images in " in said
    assert addresses
    assert addresses <= LOOPBACK


def test_a_worker_that_is_killed_in_mid_run_loses_nothing(
    data: Path, local: Path, bundle: Bundle, cluster: Cluster, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept.jsonl"
    with _start(data, out, bundle, cluster) as process:
        wait_for_lines(_journal(out), process, 1)
        both = workers(cluster.process)
        assert len(both) == 2
        os.kill(both[0], signal.SIGKILL)
        os.link(_journal(out), kept)  # the run removes its own name of it at the end
        before = len(_keys(kept))
        _, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert before < IMAGES - UGLY
    assert _content(out) == _content(local)
    answered = _keys(kept)
    # The image that is cut off is asked about, and its failure is kept; the two others never were.
    assert len(answered) == IMAGES - UGLY + 1
    assert max(answered.values()) == 1
    assert "MapWorker" in told  # Ray's word of the one that died, which no line of the outcome is mixed with


def test_a_command_that_is_killed_and_interrupted_goes_on_where_it_was(
    data: Path, local: Path, bundle: Bundle, cluster: Cluster, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept.jsonl"
    with _start(data, out, bundle, cluster) as process:
        wait_for_lines(_journal(out), process, 1)
        process.kill()
        process.communicate()
    first = len(_keys(_journal(out)))
    with _start(data, out, bundle, cluster) as process:
        wait_for_lines(_journal(out), process, first + 1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert not out.exists()
    second = len(_keys(_journal(out)))
    assert 0 < first < second < IMAGES - UGLY
    os.link(_journal(out), kept)
    with _start(data, out, bundle, cluster) as process:
        said, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert f"the journal has {second} answers of earlier runs" in said
    assert _content(out) == _content(local)
    assert max(_keys(kept).values()) == 1  # in three runs, no image was answered twice
    assert len(_keys(kept)) == IMAGES - UGLY + 1


def test_what_failed_is_asked_about_again_when_told_and_the_answer_holds(
    data: Path, local: Path, bundle: Bundle, cluster: Cluster, tmp_path: Path
) -> None:
    """An image that could be decoded all along is written into the journal of a result as one that failed."""
    out = tmp_path / "out"
    shutil.copytree(local, out)
    journal = out / ".journal" / "answers.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    wrong = json.loads(lines[5])
    failed = {"failed": {"kind": "server_error", "message": "it was out of memory"}}
    lines[5] = journal_line(wrong["key"], {"image": wrong["image"], **failed})
    journal.write_bytes(b"".join(lines))
    with _start(data, out, bundle, cluster, "--retry-failed") as process:
        said, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert _content(out) == _content(local)
    assert f", {IMAGES - UGLY - 1} from the journal" in said


def test_what_no_worker_can_do_ends_the_run_with_one_sentence(
    data: Path, bundle: Bundle, cluster: Cluster, tmp_path: Path
) -> None:
    with _start(data, tmp_path / "out", bundle, cluster, "--device", "cuda") as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert told.splitlines()[-1] == (
        "boxmask: device 'cuda' is not available: no machine of the Ray cluster has a GPU; add one, or pass "
        "--device cpu"
    )
    assert not (tmp_path / "out").exists()
