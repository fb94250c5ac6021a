"""Compiles GrabCut and DenseCRF before the first image asks for them.

Compiled code is cached, so that this takes long only once on a machine: in ``NUMBA_CACHE_DIR``, or beside the
source files. ``python -m boxmask_core.warm_up`` fills the cache while an image of the server is built.
"""

from __future__ import annotations

import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.densecrf import dense_crf
from boxmask_core.engines import HostEngines
from boxmask_core.grabcut import coarse_proposal, refine_proposal

SIDE = 128
BOX = Box(16, 16, 112, 112)
"""Large enough for every step to be taken: more pixels than cells, and no full sum over all pairs."""


def warm_up(engines: HostEngines | None = None) -> None:
    """Runs everything that is compiled once, on a small picture.

    Args:
        engines: Who does the host's work: libraries need no warming up.

    Raises:
        MissingExtraError: numba is not installed.
    """
    engines = engines or HostEngines()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - SIDE / 2, columns - SIDE / 2)
    image = np.random.default_rng(0).integers(0, 64, (SIDE, SIDE, 3), dtype=np.uint8)
    image[distance < SIDE / 4] += 128
    probability = np.clip(1 - distance / (SIDE / 2), 0, 1).astype(np.float32)
    if engines.grabcut == "boxmask":
        coarse_proposal(image, BOX)
        refine_proposal(image, BOX, probability, Window(0, 0, SIDE, SIDE))
    if engines.crf == "boxmask":
        dense_crf(image, np.stack([1 - probability, 0.75 * probability, 0.25 * probability]))


if __name__ == "__main__":
    warm_up()
