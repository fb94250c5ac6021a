from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from boxmask_core.bundle import MANIFEST, Bundle
from boxmask_core.errors import BundleError, ModelNotFoundError
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Question
from boxmask_server.work.model_store import ModelStore, Outcome
from boxmask_server.work.pipelines import open_engines, open_pipelines
from tests.bundles import write_tiny_bundle
from tests.server.pictures import CAT, png

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from boxmask_server.work.pipelines import Engines, Pipelines


class Opened:
    """Which networks were opened and closed, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @asynccontextmanager
    async def open_up(self, pool: HostPool, engines: Engines) -> AsyncIterator[Pipelines]:
        digest = engines.all()[0].digest[-4:]
        async with open_pipelines(engines, pool) as pipelines:
            self.log.append(f"open {digest}")
            yield pipelines
        self.log.append(f"close {digest}")


def test_the_first_bundle_and_the_latest_version_answer_who_asks_for_none(tmp_path: Path) -> None:
    numbers = tmp_path / "animals"
    for version in ("2", "10", "9"):
        _write(numbers / version, int(version))
    single = _write(tmp_path / "single", 99)

    async def scene(store: ModelStore, _: Opened) -> None:
        assert [(held.bundle, held.version) for held in store.held()] == [
            ("animals", "10"), ("animals", "9"), ("animals", "2"), ("other", "1"),
        ]  # fmt: skip
        for asked, found in {
            ("", ""): ("animals", "10"),
            ("animals", ""): ("animals", "10"),
            ("", "2"): ("animals", "2"),
            ("other", ""): ("other", "1"),
            ("other", "1"): ("other", "1"),
        }.items():
            async with store.use(*asked) as held:
                assert (held.bundle, held.version) == found
        with pytest.raises(ModelNotFoundError, match="no bundle 'plants', only: animals, other"):
            async with store.use("plants"):
                pass
        with pytest.raises(ModelNotFoundError, match="no version of bundle 'animals' '7', only: 10, 9, 2"):
            async with store.use("animals", "7"):
                pass

    _with([("animals", numbers), ("other", single)], scene, versions="all")


@pytest.mark.parametrize(("versions", "held"), [("latest", ["3"]), ("all", ["3", "1"]), ("1", ["1"])])
def test_the_versions_that_are_wanted_are_held(tmp_path: Path, versions: str, held: list[str]) -> None:
    for version in ("1", "3"):
        _write(tmp_path / version, int(version))
    (tmp_path / "5").mkdir()  # still being copied: it has no manifest yet
    (tmp_path / "notes").mkdir()

    async def scene(store: ModelStore, _: Opened) -> None:
        assert [each.version for each in store.held()] == held

    _with([("tiny", tmp_path)], scene, versions=versions)


def test_a_folder_without_a_bundle_is_an_error_at_the_start(tmp_path: Path) -> None:
    async def scene(_: ModelStore, __: Opened) -> None:
        raise AssertionError("it began")

    with pytest.raises(BundleError, match="there is no version: neither"):
        _with([("tiny", tmp_path)], scene)
    _write(tmp_path / "1", 1)
    with pytest.raises(BundleError, match="there is no version 4"):
        _with([("tiny", tmp_path)], scene, versions="4")


def test_where_one_of_several_bundles_is_broken_at_the_start_the_others_are_closed(tmp_path: Path) -> None:
    good, bad = _write(tmp_path / "good", 1), _write(tmp_path / "bad", 2)
    (bad / "cfs.onnx").write_bytes(b"")
    seen: list[Opened] = []

    async def scene(_: ModelStore, __: Opened) -> None:
        raise AssertionError("it began")

    with pytest.raises(BundleError, match="damaged"):
        _with([("good", good), ("bad", bad)], scene, seen=seen)
    assert [line.split()[0] for line in seen[0].log] == ["open", "close"]


def test_a_new_version_takes_over_and_the_old_one_finishes_what_it_began(tmp_path: Path) -> None:
    _write(tmp_path / "1", 1)

    async def scene(store: ModelStore, opened: Opened) -> None:
        async with store.use() as old:
            _write(tmp_path / "2", 2)
            reloads = await store.reload()
            assert [(each.version, each.outcome) for each in reloads] == [
                ("2", Outcome.LOADED), ("1", Outcome.REMOVED),
            ]  # fmt: skip
            async with store.use() as new:
                assert (old.version, new.version) == ("1", "2")
            await asyncio.sleep(0.05)
            assert [line.split()[0] for line in opened.log] == ["open", "open"]
            answer = await old.pipelines.labeler.pseudo_label(Question(png("cat"), (CAT,)))
            assert answer.masks
        await asyncio.sleep(0.05)
        assert opened.log[2] == opened.log[0].replace("open", "close")

    _with([("tiny", tmp_path)], scene)


def test_a_bundle_that_changed_in_its_place_is_taken_anew_and_one_that_did_not_is_left(
    tmp_path: Path,
) -> None:
    folder = _write(tmp_path / "tiny", 1)

    async def scene(store: ModelStore, opened: Opened) -> None:
        (reload,) = await store.reload()
        assert reload.outcome is Outcome.UNCHANGED
        assert len(opened.log) == 1
        shutil.rmtree(folder)
        _write(folder, 2)
        (reload,) = await store.reload()
        assert reload.outcome is Outcome.LOADED
        await asyncio.sleep(0.05)
        assert [line.split()[0] for line in opened.log] == ["open", "open", "close"]

    _with([("tiny", folder)], scene)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "cfs.onnx").write_bytes(b""), "damaged"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "not valid JSON"),
        (lambda folder: (folder / MANIFEST).unlink(), "there is no version"),
        (lambda folder: _lie(folder, "cfs.onnx"), "cannot be loaded"),
        (lambda folder: _lie(folder, "cfs.probe.npz"), "no probe"),
        (lambda folder: _swap_probes(folder), "does not answer its probe"),
    ],
)
def test_what_cannot_be_used_leaves_the_old_one_answering(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    folder = _write(tmp_path / "tiny", 1)

    async def scene(store: ModelStore, opened: Opened) -> None:
        _write(folder, 2)
        damage(folder)
        (reload,) = await store.reload()
        assert reload.outcome is Outcome.FAILED
        assert problem in reload.problem
        assert len(opened.log) == 1
        async with store.use() as held:
            assert (await held.pipelines.labeler.pseudo_label(Question(png("cat"), (CAT,)))).masks
        shutil.rmtree(folder)
        _write(folder, 3)
        (reload,) = await store.reload()
        assert reload.outcome is Outcome.LOADED

    _with([("tiny", folder)], scene)


def test_a_new_version_that_cannot_be_used_does_not_take_the_old_one_away(tmp_path: Path) -> None:
    _write(tmp_path / "1", 1)

    async def scene(store: ModelStore, _: Opened) -> None:
        (_write(tmp_path / "2", 2) / "lgsa.onnx").write_bytes(b"")
        reloads = await store.reload()
        assert [(each.version, each.outcome) for each in reloads] == [("2", Outcome.FAILED)]
        assert [held.version for held in store.held()] == ["1"]

    _with([("tiny", tmp_path)], scene)


def test_reloads_at_once_take_turns_and_open_nothing_twice(tmp_path: Path) -> None:
    _write(tmp_path / "1", 1)

    async def scene(store: ModelStore, opened: Opened) -> None:
        _write(tmp_path / "2", 2)
        await asyncio.gather(*(store.reload() for _ in range(5)))
        await asyncio.sleep(0.05)
        assert [line.split()[0] for line in opened.log] == ["open", "open", "close"]

    _with([("tiny", tmp_path)], scene)


def test_under_load_nothing_is_lost_across_many_exchanges(tmp_path: Path) -> None:
    folder = _write(tmp_path / "tiny", 0)

    async def scene(store: ModelStore, _: Opened) -> None:
        done = asyncio.Event()
        answers: list[int] = []

        async def ask() -> None:
            while not done.is_set():
                async with store.use() as held:
                    answer = await held.pipelines.labeler.pseudo_label(Question(png("cat"), (CAT,)))
                assert answer.masks
                answers.append(len(answer.masks))

        async with asyncio.TaskGroup() as group:
            for _caller in range(4):
                group.create_task(ask())
            for number in range(1, 5):
                before = len(answers)
                _write(folder, number)
                (reload,) = await store.reload()
                assert reload.outcome is Outcome.LOADED
                while len(answers) < before + 5:
                    await asyncio.sleep(0.001)
            done.set()

    _with([("tiny", folder)], scene)


def _with(
    sources: list[tuple[str, Path]],
    scene: Callable[[ModelStore, Opened], Awaitable[None]],
    *,
    versions: str = "latest",
    seen: list[Opened] | None = None,
) -> None:
    async def main() -> None:
        opened = Opened()
        if seen is not None:
            seen.append(opened)
        async with HostPool(1) as pool:
            store = ModelStore(
                sources,
                partial(open_engines, device="cpu", threads=1),
                partial(opened.open_up, pool),
                versions=versions,
            )
            async with store:
                await asyncio.wait_for(scene(store, opened), 60)
        opens = [line for line in opened.log if line.startswith("open")]
        assert len(opens) * 2 == len(opened.log)  # at the end everything is closed

    asyncio.run(main())


def _write(folder: Path, number: int) -> Path:
    """Writes a bundle that differs from those of other numbers."""
    write_tiny_bundle(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    for network in manifest["networks"].values():
        network["training_data"] = f"number {number}"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def _lie(folder: Path, name: str) -> None:
    """Makes a file garbage, with a manifest that says it must be so."""
    (folder / name).write_bytes(b"garbage")
    digest = hashlib.sha256(b"garbage").hexdigest()
    manifest = json.loads((folder / MANIFEST).read_text())
    entry = manifest["networks"]["cfs"]
    (entry if name.endswith(".onnx") else entry["probe"])["sha256"] = digest
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _swap_probes(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    networks = manifest["networks"]
    networks["cfs"]["probe"], networks["lgsa"]["probe"] = networks["lgsa"]["probe"], networks["cfs"]["probe"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    Bundle.load(folder)  # every file is whole
