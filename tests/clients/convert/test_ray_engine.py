"""What a conversion on Ray decides without a cluster; `tests/e2e/test_ray.py` runs it on one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_convert.answers.journal import Journal, journal_line
from boxmask_convert.answers.keys import answer_keys
from boxmask_convert.command import main
from boxmask_convert.on_ray.cluster import Pool, pool_of
from boxmask_convert.on_ray.engine import keep
from boxmask_convert.plan import make_plan
from boxmask_convert.settings import Settings
from boxmask_core.errors import ClusterError, DeviceError, MissingExtraError, TooManyFailuresError
from tests.bundles import write_tiny_bundle
from tests.clients.scenes import VocFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_convert.on_ray.worker import RayWorker
    from boxmask_convert.plan import Plan
    from boxmask_core.bundle import Bundle

IMAGES = 18
"""A part and two images more."""
KEYS = [f"{i:016x}" + "0" * 16 for i in range(IMAGES)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = VocFolder(tmp_path / "data")
    for i in range(IMAGES):
        folder.good(f"{i:02}", seed=i)
    (folder.root / "JPEGImages" / "03.jpg").write_bytes(b"no image")
    return Settings(folder.root, tmp_path / "out", "coco", method="box", engine="ray", progress="none")


@pytest.fixture
def plan(settings: Settings) -> Plan:
    return make_plan(settings)


@pytest.mark.parametrize(
    ("machines", "changes", "expected"),
    [
        ([{"CPU": 2.0}], {}, Pool(1, 2, 0, 1)),
        ([{"CPU": 2.0}], {"workers": 1}, Pool(2, 1, 0, 1)),
        ([{"CPU": 16.0}, {"CPU": 5.0}, {}], {}, Pool(10, 2, 0, 2)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0}], {}, Pool(4, 4, 1, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}], {"workers": 8}, Pool(3, 8, 1, 2)),
        ([{"CPU": 2.0, "GPU": 4.0}], {}, Pool(2, 1, 1, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0}], {"device": "cpu"}, Pool(12, 2, 0, 2)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0}], {"method": "grabcut"}, Pool(12, 2, 0, 2)),
        ([{"CPU": 8.0}, {"CPU": 1.0}], {}, Pool(9, 1, 0, 2)),
    ],
)
def test_workers_are_as_many_as_the_machines_have_room_for(
    machines: list[Mapping[str, float]], changes: dict[str, object], expected: Pool, tmp_path: Path
) -> None:
    settings = replace(Settings(tmp_path, tmp_path, "coco"), **changes)  # type: ignore[arg-type]  # a field may be anything
    assert pool_of(machines, settings) == expected


def test_a_cluster_without_a_gpu_or_without_room_is_refused(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, "coco")
    with pytest.raises(DeviceError, match="no machine of the Ray cluster has a GPU"):
        pool_of([{"CPU": 8.0}], replace(settings, device="cuda"))
    with pytest.raises(ClusterError, match="a worker with 9 CPUs, for the largest has 8"):
        pool_of([{"CPU": 8.0}, {"CPU": 2.0}], replace(settings, workers=9))


@pytest.mark.parametrize(
    ("address", "sentence", "status"),
    [
        ("127.0.0.1:1", "cannot be reached: .*Connection refused", 3),
        ("ray://127.0.0.1:10001", "is of Ray Client, which cannot read", 2),
    ],
)
def test_an_address_without_a_cluster_is_named_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, address: str, sentence: str, status: int
) -> None:
    pytest.importorskip("ray.data", reason="needs the extra boxmask[ray]")
    monkeypatch.setenv("RAY_ADDRESS", address)
    command = [str(settings.data), str(settings.out), "--to", "coco", "--method", "box", "--engine", "ray"]
    with pytest.raises(ClusterError, match=f"RAY_ADDRESS={address} {sentence}") as caught:
        main(command)
    assert caught.value.exit_status == status
    assert not settings.out.exists()


@pytest.mark.parametrize("module", ["ray", "ray.data"])
def test_without_ray_a_sentence_names_the_extra(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    if module == "ray.data":
        pytest.importorskip("ray", reason="needs the extra boxmask[ray]")
    monkeypatch.setitem(sys.modules, module, None)
    command = [str(settings.data), str(settings.out), "--to", "coco", "--method", "box", "--engine", "ray"]
    with pytest.raises(MissingExtraError, match=r"'ray.*pip install 'boxmask\[ray\]'"):
        main(command)
    assert not settings.out.exists()


class TestWhatWorkersTell:
    """`keep`, told by workers that are not there."""

    def test_each_answer_is_journalled_once_and_known_ones_are_counted(
        self, plan: Plan, tmp_path: Path
    ) -> None:
        ray_parts = pytest.importorskip("boxmask_convert.on_ray.parts", reason="needs the extra boxmask[ray]")
        told = [ray_parts.ImageTold(journal_line(key, {"image": key})) for key in KEYS]
        told[4] = ray_parts.ImageTold(reused=True)
        last = ray_parts.PartTold(1, tuple(told[16:]))
        with Journal(tmp_path / "answers.jsonl") as journal:
            assert keep([last, ray_parts.PartTold(0, tuple(told[:16])), last], plan, journal) == 1
        lines = (tmp_path / "answers.jsonl").read_bytes().splitlines()
        expected = [*KEYS[16:], *KEYS[:4], *KEYS[5:16]]
        assert [json.loads(line)["key"] for line in lines] == expected

    def test_what_is_not_told_of_is_missed(self, plan: Plan, tmp_path: Path) -> None:
        ray_parts = pytest.importorskip("boxmask_convert.on_ray.parts", reason="needs the extra boxmask[ray]")
        whole = ray_parts.PartTold(0, (ray_parts.ImageTold(),) * 16)
        short = ray_parts.PartTold(1, (ray_parts.ImageTold(),))
        with Journal(tmp_path / "answers.jsonl") as journal:
            with pytest.raises(ClusterError, match="told of 16 images where the dataset has 18"):
                keep([whole], plan, journal)
            with pytest.raises(ClusterError, match="told of 17 images where the dataset has 18"):
                keep([short, whole], plan, journal)

    def test_a_worker_that_cannot_work_ends_the_run_as_its_error_would(
        self, plan: Plan, tmp_path: Path
    ) -> None:
        ray_parts = pytest.importorskip("boxmask_convert.on_ray.parts", reason="needs the extra boxmask[ray]")
        told = ray_parts.PartTold(0, problem="the Ray worker on a cannot work: no bundle", exit_status=2)
        with Journal(tmp_path / "answers.jsonl") as journal, pytest.raises(ClusterError) as caught:
            keep([told], plan, journal)
        assert (str(caught.value), caught.value.exit_status) == (told.problem, 2)

    def test_too_many_failures_end_the_run(self, plan: Plan, tmp_path: Path) -> None:
        ray_parts = pytest.importorskip("boxmask_convert.on_ray.parts", reason="needs the extra boxmask[ray]")
        box = ray_parts.ImageTold(failed=True)
        image = ray_parts.ImageTold(failed=True, failure="it is no image")
        whole = ray_parts.ImageTold(journal_line(KEYS[0], {"image": "00"}))
        told = ray_parts.PartTold(0, (box, box, image, box, image, whole))
        allowing = replace(plan, settings=replace(plan.settings, max_errors=1))
        with (
            Journal(tmp_path / "answers.jsonl") as journal,
            pytest.raises(TooManyFailuresError, match=r"2 images failed.*no image"),
        ):
            keep([told], allowing, journal)
        assert len((tmp_path / "answers.jsonl").read_bytes().splitlines()) == 1  # all that came is kept


class TestWorker:
    """A worker in this process, given the rows that Ray would give it."""

    @pytest.fixture(autouse=True)
    def store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stands for Ray's object store: a reference is the value itself."""
        ray = pytest.importorskip("ray", reason="needs the extra boxmask[ray]")
        monkeypatch.setattr(ray, "get", lambda reference: reference)

    @staticmethod
    def _worker(settings: Settings, known: list[str], boxmask: str = version("boxmask")) -> RayWorker:
        from boxmask_convert.on_ray.worker import RayWorker

        numbers = np.array(sorted(int(key[:16], 16) for key in known), dtype=np.uint64)
        return RayWorker(settings, answer_keys(settings), numbers, boxmask)  # type: ignore[arg-type]  # an array in place of its reference

    @staticmethod
    def _rows(settings: Settings) -> list[dict[str, bytes]]:
        from boxmask_convert.on_ray.parts import Parts

        (task,) = Parts(settings, IMAGES).get_read_tasks(1)
        return [row for block in task() for row in block.to_pylist()]

    def test_it_answers_what_the_journal_does_not_have(self, settings: Settings) -> None:
        from boxmask_convert.on_ray.parts import PartTold

        first, last = self._rows(settings)
        worker = self._worker(settings, [])
        told = PartTold.from_row(worker(first))
        assert (told.part, len(told.images)) == (0, 16)
        lines = [json.loads(image.line) for image in told.images if image.line]
        assert [line["image"] for line in lines] == [f"{i:02}" for i in range(16) if i != 3]
        assert [image.failed for image in told.images] == [i == 3 for i in range(16)]
        assert "03.jpg" in told.images[3].failure
        assert [json.loads(image.line)["image"] for image in PartTold.from_row(worker(last)).images] == [
            "16",
            "17",
        ]
        some = {line["key"]: line["image"] for line in lines[:5]}
        again = PartTold.from_row(self._worker(settings, list(some))(first))
        assert sum(image.reused for image in again.images) == 5
        fresh = [json.loads(image.line)["image"] for image in again.images if image.line]
        assert sorted(fresh) == sorted({line["image"] for line in lines} - set(some.values()))

    def test_another_version_or_another_network_cannot_work(self, settings: Settings, bundle: Bundle) -> None:
        from boxmask_convert.on_ray.parts import PartTold
        from boxmask_convert.on_ray.worker import RayWorker

        (row, _) = self._rows(settings)
        told = PartTold.from_row(self._worker(settings, [], boxmask="0.0.1")(row))
        assert told.problem.endswith("and the command runs 0.0.1; install the same on both")
        with_network = replace(settings, method="cfs", bundle=bundle.root)
        keys = replace(answer_keys(with_network), model_digest="sha256:another")
        worker = RayWorker(with_network, keys, np.empty(0, np.uint64), version("boxmask"))  # type: ignore[arg-type]  # likewise
        assert "holds another network" in PartTold.from_row(worker(row)).problem

    def test_a_bundle_that_only_the_command_has_is_named(self, settings: Settings, tmp_path: Path) -> None:
        from boxmask_convert.on_ray.parts import PartTold
        from boxmask_convert.on_ray.worker import RayWorker

        here = replace(settings, method="cfs", bundle=write_tiny_bundle(tmp_path / "here"))
        there = replace(here, bundle=tmp_path / "there")
        known = np.empty(0, np.uint64)
        worker = RayWorker(there, answer_keys(here), known, version("boxmask"))  # type: ignore[arg-type]  # likewise
        (row, _) = self._rows(settings)
        told = PartTold.from_row(worker(row))
        assert str(tmp_path / "there") in told.problem
        assert (told.exit_status, told.images) == (2, ())
