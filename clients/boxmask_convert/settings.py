"""What a command is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_client import Method
    from boxmask_convert.server_access import ServerAccess
    from boxmask_core.engines import CrfEngine, GrabCutEngine
    from boxmask_core.formats.voc import VocOrigin


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
        overwrite: Whether an earlier conversion in ``out`` is replaced.
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
