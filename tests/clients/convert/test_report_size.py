"""The page of a run over a large dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage import data

from boxmask_client import Answer, Timings
from boxmask_convert.failures import Failure, FailureKind, FailureLog
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.plan import Plan
from boxmask_convert.report.page import write_report
from boxmask_convert.result.summary import summarise
from boxmask_convert.result.suspicious import LOWEST, OTHERS
from boxmask_convert.result.tally import Tally
from boxmask_convert.settings import Settings
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask
from boxmask_core.quality import Signals
from tests.clients.scenes import jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.formats.interface import RecordError

LIMIT = 5_000_000
IMAGES = 3000
BOX = Box(150, 40, 270, 160)
WINDOW = Window(150, 40, 270, 160)


NAMES = tuple(f"a class with a rather long name {i}" for i in range(100))


class _ManyClasses:
    class_names = NAMES
    notes = ()

    def __init__(self, image_root: Path) -> None:
        self.image_root = image_root

    def __len__(self) -> int:
        return IMAGES

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        raise NotImplementedError


def _odd_masks(i: int, pixels: NDArray[np.bool_], rng: np.random.Generator) -> tuple[InstanceMask, ...]:
    """Masks with one oddity each, in turn: low quality or unusual fill, many parts, a fallback, a twin."""
    oddity = i % 4
    fallback = Fallback.SMALL_MASK if oddity == 2 else Fallback.NONE
    fill = 0.6 + 0.01 * rng.random() if i % 20 else 0.1
    signals = Signals(0.5, 0.5, 1.0, fill, parts=900 if oddity == 1 else 1)
    quality = float(rng.random()) / 2 if oddity == 0 and i % 20 else 0.9
    instance = Instance(BOX, NAMES[i // 20 % len(NAMES)])
    mask = InstanceMask(instance, Proposal(WINDOW, pixels, fallback), quality, signals)
    return (mask, mask) if oddity == 3 else (mask,)


def test_the_page_stays_small_where_all_that_grows_is_as_full_as_it_gets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photograph = tmp_path / "astronaut.jpg"
    photograph.write_bytes(jpeg(data.astronaut()))  # type: ignore[no-untyped-call]  # as in the scenes
    pixels = rng.random((WINDOW.height, WINDOW.width)) < 0.9
    dataset = _ManyClasses(tmp_path)
    plan = Plan(Settings(tmp_path, tmp_path / "out", "voc", method="box"), dataset)
    tally = Tally()
    for i in range(IMAGES):
        masks = _odd_masks(i, pixels, rng)
        record = ImageRecord(f"a-folder/an-image-of-some-length-{i:06}", photograph, ())
        times = Timings(0, 0, 0, 0, 0, 0, 0)
        tally.add(record, Answer(512, 512, masks, None, (), times, ""))
    with FailureLog(tmp_path / "errors.jsonl") as failures:
        for i in range(100):
            kind = FailureKind.CORRUPT_IMAGE
            failures.add(Failure(f"{i}", "x", None, kind, "a sentence of some length " * 8))
    summary = summarise(plan, "nobody", tally, failures, {}, 1.0)
    with open_local_labeler(plan.settings) as labeler:
        write_report(tmp_path / "report.html", summary, failures.first, tally, plan.settings, labeler)
    page = tmp_path / "report.html"
    assert page.stat().st_size < LIMIT, page.stat().st_size
    assert page.read_text().count('<td class="thumb"><img') == LOWEST + 4 * OTHERS
