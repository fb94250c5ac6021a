from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.bundle import Bundle
from boxmask_core.engines import GRABCUT_ENGINES, HostEngines
from boxmask_core.errors import BundleError
from boxmask_core.grabcut import coarse_proposal
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Answer, Method, Question
from boxmask_server.work.pipelines import WorkOptions, open_engines, open_pipelines
from tests.bundles import write_tiny_bundle
from tests.server.pictures import CAT, cat, png

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.engines import GrabCutEngine


@pytest.mark.parametrize("held", [["cfs"], ["lgsa"], ["cfs", "lgsa"]])
def test_every_network_that_the_bundle_holds_is_opened(tmp_path: Path, held: list[str]) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "bundle", held))
    engines = open_engines(bundle, device="cpu", threads=1)
    assert [engine.network.name for engine in engines.all()] == held

    async def scene() -> None:
        async with HostPool(2) as pool, open_pipelines(engines, pool) as pipelines:
            assert (pipelines.segmenter is not None) == ("lgsa" in held)
            if pipelines.segmenter is not None:
                assert pipelines.segmenter.pool is pipelines.labeler.pool

    asyncio.run(scene())


@pytest.mark.parametrize("engine", GRABCUT_ENGINES)
def test_who_computes_grabcut_is_chosen_once(tmp_path: Path, engine: GrabCutEngine) -> None:
    engines = open_engines(
        Bundle.load(write_tiny_bundle(tmp_path / "bundle", ["cfs"])), device="cpu", threads=1
    )
    question = Question(png("cat"), (CAT,), Method.GRABCUT)

    async def scene() -> Answer:
        options = WorkOptions(host=HostEngines(grabcut=engine))
        async with HostPool(1) as pool, open_pipelines(engines, pool, options) as pipelines:
            return await pipelines.labeler.pseudo_label(question)

    (found,) = asyncio.run(scene()).masks
    expected = {name: coarse_proposal(cat(), CAT.box, engine=name).mask for name in GRABCUT_ENGINES}
    assert not np.array_equal(expected["boxmask"], expected["opencv"])
    np.testing.assert_array_equal(found.proposal.mask, expected[engine])


def test_a_bundle_without_a_known_network_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "bundle", []))
    with pytest.raises(BundleError, match="neither a network 'cfs' nor 'lgsa'"):
        open_engines(bundle, device="cpu", threads=1)
