from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from boxmask_core.bundle import Bundle
from boxmask_core.errors import BundleError
from boxmask_server.pipelines import open_engines, open_pipelines
from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("held", [["cfs"], ["lgsa"], ["cfs", "lgsa"]])
def test_every_network_that_the_bundle_holds_is_opened(tmp_path: Path, held: list[str]) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "bundle", held))
    engines = open_engines(bundle, device="cpu", threads=1)
    assert [engine.network.name for engine in engines.all()] == held

    async def scene() -> None:
        async with open_pipelines(engines, workers=2) as pipelines:
            assert (pipelines.segmenter is not None) == ("lgsa" in held)
            if pipelines.segmenter is not None:
                assert pipelines.segmenter.pool is pipelines.labeler.pool

    asyncio.run(scene())


def test_a_bundle_without_a_known_network_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "bundle", []))
    with pytest.raises(BundleError, match="neither a network 'cfs' nor 'lgsa'"):
        open_engines(bundle, device="cpu", threads=1)
