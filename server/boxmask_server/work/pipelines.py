"""What a bundle's networks can do: an engine for each of them, and the pipelines that use them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_core.bundle import CFS, LGSA
from boxmask_core.engines import HostEngines
from boxmask_core.errors import BundleError
from boxmask_core.warm_up import warm_up
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.networks.cores import CFS_THREADS
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import PseudoLabeler
from boxmask_server.work.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.session import Device
    from boxmask_server.work.labeler import Limits


@dataclass(frozen=True, slots=True)
class Engines:
    """The networks of a bundle, loaded; one at least.

    Attributes:
        cfs: Makes masks of boxes.
        lgsa: Segments images.
    """

    cfs: CfsEngine | None
    lgsa: SegmentationEngine | None

    def all(self) -> list[CfsEngine | SegmentationEngine]:
        """Returns those that are there."""
        return [engine for engine in (self.cfs, self.lgsa) if engine is not None]


@dataclass(frozen=True, slots=True)
class Pipelines:
    """What answers questions.

    Attributes:
        labeler: Turns boxes into masks, without a network by GrabCut alone.
        segmenter: Turns images into label maps, or None where there is no network for it.
    """

    labeler: PseudoLabeler
    segmenter: Segmenter | None


def open_engines(bundle: Bundle, *, device: Device, threads: int) -> Engines:
    """Loads every network that a bundle holds.

    Args:
        bundle: The bundle.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run of the segmentation network may use on the CPU.

    Raises:
        BundleError: It holds none that is known, or one that does not fit.
        DeviceError: ``cuda`` was asked for and is not really active.
    """
    cfs = CfsEngine(bundle, device=device, threads=CFS_THREADS) if CFS in bundle.networks else None
    lgsa = SegmentationEngine(bundle, device=device, threads=threads) if LGSA in bundle.networks else None
    if cfs is None and lgsa is None:
        raise BundleError(bundle.root, f"it holds neither a network {CFS!r} nor {LGSA!r}; export one into it")
    return Engines(cfs, lgsa)


@asynccontextmanager
async def open_pipelines(
    engines: Engines,
    *,
    workers: int,
    limits: Limits | None = None,
    max_batch: int = 16,
    host: HostEngines | None = None,
) -> AsyncIterator[Pipelines]:
    """Opens the pipelines over one host pool, warmed up; they are closed at the end.

    Args:
        engines: The networks.
        workers: Threads of the host pool.
        limits: What one question may hold.
        max_batch: Boxes that CFS is given at once, at most.
        host: Who computes GrabCut and the CRF.
    """
    host = host or HostEngines()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(HostPool(workers))
        await pool.run(warm_up, host)
        labeler = PseudoLabeler(engines.cfs, pool, limits=limits, max_batch=max_batch, grabcut=host.grabcut)
        await stack.enter_async_context(labeler)
        segmenter = None
        if engines.lgsa is not None:
            segmenter = Segmenter(engines.lgsa, pool, limits=limits, crf=host.crf)
            await stack.enter_async_context(segmenter)
        yield Pipelines(labeler, segmenter)
