"""What a command is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from boxmask_core.compositing import Overlaps

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_client import Method
    from boxmask_convert.progress import ProgressStyle
    from boxmask_convert.server_access import ServerAccess
    from boxmask_core.engines import CrfEngine, GrabCutEngine
    from boxmask_core.formats.voc import VocOrigin


SizeMismatch = Literal["error", "scale", "image"]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts of a dataset.

    Attributes:
        index: Which, from 0.
        count: How many there are.
    """

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Settings:
    """One conversion. The command line's options under the same names say what each is for.

    Attributes:
        data: The detection dataset.
        out: The folder that the mask dataset becomes.
        target: Format of the mask dataset.
        source: Format of the detection dataset, or None to recognise it.
        split: Part of the detection dataset, or None for all of it.
        method: How masks are made.
        refine: Whether GrabCut sharpens the network's masks.
        bundle: The networks of an in-process run, or None for the bundle that boxmask ships.
        server: The server that is asked, or None to run in this process.
        device: Device of an in-process run.
        workers: Threads for host work of an in-process run, or None for one per core.
        grabcut_engine: Who computes GrabCut in an in-process run.
        voc_origin: Whether VOC boxes count from 1 or from 0.
        limit: Most images, or None for all.
        report: Whether report.html is written.
        overwrite: Whether a conversion to another format in ``out`` is replaced.
        overlaps: Who owns a pixel that several masks claim, where a format gives each pixel to one.
        void_below: Quality under which a label map does not trust a mask, or None to trust all.
        allow_lossy: Whether a format may be written that cannot hold the masks as they are.
        size_mismatch: What becomes of an image whose size is not the declared one: "error" fails it, "scale"
            scales its boxes to the image, "image" takes the boxes as they are.
        images: Where the images are if not where the dataset says, a folder or a URL.
        engine: "local" makes the masks in this process or by the server; "ray" on a Ray cluster.
        shard: The part of the dataset that this process works on, or None for all.
        retry_failed: Whether images that failed in an earlier run are asked about again.
        max_errors: Most images that may fail before the run gives up, or None for any number.
        progress: How the run shows how far it is.
    """

    data: Path
    out: Path
    target: str
    source: str | None = None
    split: str | None = None
    method: Method = "cfs"
    refine: bool = True
    bundle: Path | None = None
    server: ServerAccess | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    grabcut_engine: GrabCutEngine = "boxmask"
    voc_origin: VocOrigin = "auto"
    limit: int | None = None
    report: bool = True
    overwrite: bool = False
    overlaps: Overlaps = field(default_factory=Overlaps)
    void_below: float | None = None
    allow_lossy: bool = False
    size_mismatch: SizeMismatch = "error"
    images: str | None = None
    engine: Literal["local", "ray"] = "local"
    shard: Shard | None = None
    retry_failed: bool = False
    max_errors: int | None = None
    progress: ProgressStyle = "auto"


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """One segmentation. The command line's options under the same names say what each is for.

    Attributes:
        images: Image files, and folders of them.
        out: The folder that the label maps go to.
        ids: File that lists the keys of the images to segment, or None for all.
        bundle: The networks of an in-process run, or None for the bundle that boxmask ships.
        server: The server that is asked, or None to run in this process.
        device: Device of an in-process run.
        workers: Threads for host work of an in-process run, or None for one per core.
        crf: Whether a DenseCRF sharpens the probabilities.
        crf_engine: Who computes it in an in-process run.
        scales: Sizes to show every image at, relative to its own.
        flip: Whether every view is shown mirrored as well.
        scores: Whether the probabilities are written too.
        overwrite: Whether an earlier result in ``out`` is replaced.
    """

    images: tuple[Path, ...]
    out: Path
    ids: Path | None = None
    bundle: Path | None = None
    server: ServerAccess | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    crf: bool = False
    crf_engine: CrfEngine = "boxmask"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    scores: bool = False
    overwrite: bool = False
