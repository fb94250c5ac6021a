"""GrabCut of one crop, coarse to fine.

The iterations, in which the colour models and the labels find each other, run over a bounded number of cells.
Those that the contour touches are then cut again, with cells of half the side, until a cell is a pixel
(Lombaert et al., "A Multilevel Banded Graph Cuts Method for Fast Image Segmentation", ICCV 2005).
Where few pixels are undecided, cells are pixels from the start, and this is GrabCut itself.

Source: Rother, Kolmogorov, Blake, "GrabCut", ACM TOG 2004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.cell_graph import COARSE_GAMMA, border_costs, cell_arcs, cell_leanings, cut_cost
from boxmask_core.cells import Frame, frame_of, grid_shape, narrowed, relabelled
from boxmask_core.colour_models import (
    COMPONENTS,
    TRIALS,
    ColourModel,
    clusters,
    learn,
    likeliest,
    log_densities,
    log_likelihood,
)
from boxmask_core.colour_table import ColourTable, colour_table, counted
from boxmask_core.contrast import UNITS, beta_of, edge_costs
from boxmask_core.jit import jit
from boxmask_core.max_flow import min_cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Integers = NDArray[np.int32]

MAX_CELLS = 4000
"""Within a box alone. On VOC's `train`, twice as many take a quarter longer and are no better."""
MAX_CELLS_OF_A_TRIMAP = 20000
"""Where the trimap holds foreground too: little is undecided then, and pixels are cut as fast as cells."""
MAX_LEAN = 512.0
"""Bound of the difference between a pixel's two costs. Its eight edges cost less than 342, so that a pixel
that leans further keeps its label whatever its neighbours have."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an iteration, or a finer cut after it, arrived at.

    Attributes:
        labels: uint8, ``(H, W)``, OpenCV's: odd for foreground, 2 and 3 where this stage could choose.
        models: The colours of background and foreground that it was cut with.
        lean: int32, ``(colours,)``: how much more each colour costs as background, in units of 1 / `UNITS`.
        side: Side of its cells, pixels.
        energy: Of the cells, in nats; None for the finer cuts.
    """

    labels: NDArray[np.uint8]
    models: tuple[ColourModel, ColourModel]
    lean: Integers
    side: int
    energy: float | None


def cut_out(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8], *, iterations: int, seed: int
) -> NDArray[np.bool_]:
    """Returns the foreground, bool ``(H, W)``.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        trimap: uint8, ``(H, W)``: 0 background, 1 foreground, 2 probably background, 3 probably foreground.
        iterations: At most so many.
        seed: Of the clustering; the result depends on nothing else.
    """
    labels = trimap
    for stage in stages(image, trimap, iterations=iterations, seed=seed):
        labels = stage.labels
    return np.asarray(labels & 1 == 1)


def stages(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8], *, iterations: int, seed: int
) -> Iterator[Stage]:
    """Yields every iteration, and then the finer cuts. The energy never rises from one iteration to the next.

    There is none if all pixels are decided, or if one side has no pixels to learn from.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        trimap: uint8, ``(H, W)``, as for `cut_out`.
        iterations: At most so many; they end where the energy does not fall any more.
        seed: Of the clustering.
    """
    # Copies, for a view or a read-only array is another type to the compiler, which would begin anew.
    image, trimap = np.array(image, order="C"), np.array(trimap, order="C")
    undecided, frame = frame_of(trimap)
    if undecided == 0:
        return
    most = MAX_CELLS_OF_A_TRIMAP if (trimap == 1).any() else MAX_CELLS
    frame = frame._replace(side=math.ceil(math.sqrt(undecided / most)))
    fine = edge_costs(beta_of(image))
    coarse = (fine * COARSE_GAMMA).astype(np.int32)
    table = colour_table(image)
    costs = fine if frame.side == 1 else coarse
    stage = None
    for stage in _iterations(image, trimap, table, costs, frame, iterations, seed):
        yield stage
    if stage is None:
        return
    labels = stage.labels
    while frame.side > 1:
        labels = narrowed(labels, frame)
        undecided, least = frame_of(labels)
        if undecided == 0:
            return
        frame = least._replace(side=frame.side // 2)
        costs = fine if frame.side == 1 else coarse
        pulls = border_costs(image, labels, costs, frame)
        terminal = pulls[0] - pulls[1] + cell_leanings(stage.lean, table.rows, labels, frame)
        foreground, _ = min_cut(terminal, cell_arcs(image, labels, costs, frame), grid_shape(frame)[1])
        labels = relabelled(labels, foreground, frame)
        yield Stage(labels, stage.models, stage.lean, frame.side, None)


def _iterations(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    table: ColourTable,
    costs: Integers,
    frame: Frame,
    iterations: int,
    seed: int,
) -> Iterator[Stage]:
    """Learns the colours from the labels and the labels from the colours, as long as the energy falls."""
    counts = counted(table, labels)
    if not counts.any(axis=1).all():
        return
    pulls, arcs = border_costs(image, labels, costs, frame), cell_arcs(image, labels, costs, frame)
    terminal, residual = pulls[0] - pulls[1], arcs.copy()
    draws = np.random.default_rng(seed).random((2, COMPONENTS, TRIALS))
    components = [clusters(table.colours, counts[side], draws[side]) for side in (0, 1)]
    models = [learn(table.colours, counts[side], components[side]) for side in (0, 1)]
    densities = [log_densities(model, table.colours) for model in models]
    before, least = np.zeros(len(table.colours), dtype=np.int32), math.inf
    for _ in range(iterations):
        models = [learn(table.colours, counts[side], likeliest(densities[side])) for side in (0, 1)]
        densities = [log_densities(model, table.colours) for model in models]
        likelihoods = [log_likelihood(models[side], densities[side]) for side in (0, 1)]
        lean = _leanings(likelihoods[0], likelihoods[1])
        terminal += cell_leanings(lean - before, table.rows, labels, frame)
        foreground, _ = min_cut(terminal, residual, grid_shape(frame)[1])
        found = relabelled(labels, foreground, frame)
        counts = counted(table, found)
        energy = cut_cost(pulls, arcs, foreground, grid_shape(frame)[1]) / UNITS
        energy -= _weighted_sum(counts[0], likelihoods[0]) + _weighted_sum(counts[1], likelihoods[1])
        if energy >= least:
            return
        settled = np.array_equal(found, labels)
        labels, before, least = found, lean, energy
        yield Stage(labels, (models[0], models[1]), lean, frame.side, energy)
        if settled or not counts.any(axis=1).all():
            return


@jit
def _weighted_sum(counts: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Returns the sum of count x value: NumPy's product would wake up the threads of its BLAS."""
    total = 0.0
    for i in range(len(counts)):
        if counts[i]:
            total += counts[i] * values[i]
    return total


@jit
def _leanings(background: NDArray[np.float64], foreground: NDArray[np.float64]) -> Integers:
    """Returns how far each colour leans to the foreground, int32 ``(colours,)``, in units of 1 / `UNITS`."""
    out = np.empty(len(background), dtype=np.int32)
    for i in range(len(background)):
        lean = min(max(foreground[i] - background[i], -MAX_LEAN), MAX_LEAN)
        out[i] = np.int32(np.rint(lean * UNITS))
    return out
