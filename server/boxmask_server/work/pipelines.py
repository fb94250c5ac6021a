"""What a bundle's networks can do: an engine for each of them, and the pipelines that use them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boxmask_core.bundle import CFS, LGSA
from boxmask_core.engines import HostEngines
from boxmask_core.errors import BundleError
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.networks.cores import CFS_THREADS
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_server.work.labeler import Limits, PseudoLabeler
from boxmask_server.work.segmenter import MAX_BATCH_PIXELS, Segmenter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.cuda import CudaOptions
    from boxmask_server.networks.session import Device
    from boxmask_server.work.batcher import Batcher
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.observer import Observer


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

    def batchers(self) -> list[Batcher[Any, Any]]:
        """Returns the batchers that are there."""
        found = (self.labeler.batcher, self.segmenter.batcher if self.segmenter is not None else None)
        return [batcher for batcher in found if batcher is not None]


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How questions are worked on.

    Attributes:
        limits: What one question may hold.
        max_batch: Boxes that CFS is given at once, at most; None for what suits the device.
        max_batch_pixels: Pixels that the segmentation network is given at once, at most.
        host: Who computes GrabCut and the CRF.
    """

    limits: Limits = field(default_factory=Limits)
    max_batch: int | None = None
    max_batch_pixels: int = MAX_BATCH_PIXELS
    host: HostEngines = field(default_factory=HostEngines)


def open_engines(bundle: Bundle, *, device: Device, threads: int, cuda: CudaOptions | None = None) -> Engines:
    """Loads every network that a bundle holds.

    Args:
        bundle: The bundle.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run of the segmentation network may use on the CPU.
        cuda: How a GPU is used.

    Raises:
        BundleError: It holds none that is known, or one that does not fit.
        DeviceError: ``cuda`` was asked for and is not really active.
    """
    cfs = lgsa = None
    if CFS in bundle.networks:
        cfs = CfsEngine(bundle, device=device, threads=CFS_THREADS, cuda=cuda)
    if LGSA in bundle.networks:
        lgsa = SegmentationEngine(bundle, device=device, threads=threads, cuda=cuda)
    if cfs is None and lgsa is None:
        raise BundleError(bundle.root, f"it holds neither a network {CFS!r} nor {LGSA!r}; export one into it")
    return Engines(cfs, lgsa)


@asynccontextmanager
async def open_pipelines(
    engines: Engines, pool: HostPool, options: WorkOptions | None = None, observer: Observer | None = None
) -> AsyncIterator[Pipelines]:
    """Opens the pipelines over a host pool, their networks warmed up; they are closed at the end.

    Args:
        engines: The networks.
        pool: The host pool; it is not closed.
        options: How questions are worked on.
        observer: Is told what happens to batches.
    """
    options = options or WorkOptions()
    async with AsyncExitStack() as stack:
        labeler = PseudoLabeler(
            engines.cfs,
            pool,
            limits=options.limits,
            max_batch=options.max_batch,
            grabcut=options.host.grabcut,
            observer=observer,
        )
        await stack.enter_async_context(labeler)
        segmenter = None
        if engines.lgsa is not None:
            segmenter = Segmenter(
                engines.lgsa,
                pool,
                limits=options.limits,
                max_batch_pixels=options.max_batch_pixels,
                crf=options.host.crf,
                observer=observer,
            )
            await stack.enter_async_context(segmenter)
        yield Pipelines(labeler, segmenter)
