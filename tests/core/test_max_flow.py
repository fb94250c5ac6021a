from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow

from boxmask_core.max_flow import NEIGHBOURS, min_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]


def grid(rng: np.random.Generator) -> tuple[Integers, Integers]:
    """A random grid with its rim: terminal capacities ``(rows, columns)`` and arcs ``(rows, columns, 8)``."""
    height, width = (int(side) for side in rng.integers(1, 9, 2))
    limit = int(rng.choice([2, 5, 50, 1000]))
    terminal = np.zeros((height + 2, width + 2), dtype=np.int32)
    terminal[1:-1, 1:-1] = rng.integers(-limit, limit + 1, (height, width))
    arcs = np.zeros((height + 2, width + 2, 8), dtype=np.int32)
    arcs[1:-1, 1:-1] = rng.integers(0, limit, (height, width, 8)) * (rng.random((height, width, 8)) < 0.7)
    for direction, (down, right) in enumerate(NEIGHBOURS):
        for y, x in np.ndindex(height, width):
            if not (0 <= y + down < height and 0 <= x + right < width):
                arcs[y + 1, x + 1, direction] = 0
    return terminal, arcs


def solved(terminal: Integers, arcs: Integers) -> tuple[NDArray[np.bool_], int]:
    side, flow = min_cut(terminal.ravel().copy(), arcs.reshape(-1, 8).copy(), terminal.shape[1])
    return side.reshape(terminal.shape), flow


def edges(arcs: Integers) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    """From, to and capacity of every arc, nodes numbered row by row."""
    ys, xs, directions = np.nonzero(arcs)
    steps = np.asarray(NEIGHBOURS)[directions]
    width = arcs.shape[1]
    return ys * width + xs, (ys + steps[:, 0]) * width + xs + steps[:, 1], arcs[ys, xs, directions]


def independent_flow(terminal: Integers, arcs: Integers) -> int:
    nodes = terminal.size
    start, end, capacity = edges(arcs)
    flat = terminal.ravel()
    sources, sinks = np.flatnonzero(flat > 0), np.flatnonzero(flat < 0)
    rows = np.concatenate([start, np.full(len(sources), nodes), sinks])
    columns = np.concatenate([end, sources, np.full(len(sinks), nodes + 1)])
    values = np.concatenate([capacity, flat[sources], -flat[sinks]]).astype(np.int32)
    graph = coo_matrix((values, (rows, columns)), shape=(nodes + 2, nodes + 2)).tocsr()
    return int(maximum_flow(graph, nodes, nodes + 1).flow_value)


def cut_cost(side: NDArray[np.bool_], terminal: Integers, arcs: Integers) -> int:
    start, end, capacity = edges(arcs)
    flat = side.ravel()
    crossing = int(capacity[flat[start] & ~flat[end]].sum())
    return crossing + int(np.where(side, np.maximum(-terminal, 0), np.maximum(terminal, 0)).sum())


@pytest.mark.parametrize("seed", range(200))
def test_the_flow_is_that_of_an_independent_solver_and_the_cut_costs_as_much(seed: int) -> None:
    terminal, arcs = grid(np.random.default_rng(seed))
    side, flow = solved(terminal, arcs)
    assert flow == independent_flow(terminal, arcs)
    assert flow == cut_cost(side, terminal, arcs)


@pytest.mark.parametrize("seed", range(50))
def test_after_a_change_of_the_terminals_the_cut_goes_on_from_the_flow_that_is_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    terminal, arcs = grid(rng)
    change = np.zeros_like(terminal)
    change[1:-1, 1:-1] = rng.integers(-20, 21, change[1:-1, 1:-1].shape)
    residual, left = terminal.ravel().copy(), arcs.reshape(-1, 8).copy()
    min_cut(residual, left, terminal.shape[1])
    residual += change.ravel()
    side, _ = min_cut(residual, left, terminal.shape[1])
    changed = (terminal + change).astype(np.int32)
    assert cut_cost(side.reshape(terminal.shape), changed, arcs) == independent_flow(changed, arcs)


def test_a_node_without_neighbours_goes_where_it_leans() -> None:
    terminal = np.zeros((3, 4), dtype=np.int32)
    terminal[1, 1:3] = 7, -3
    side, flow = solved(terminal, np.zeros((3, 4, 8), dtype=np.int32))
    assert side[1].tolist() == [False, True, False, False]
    assert flow == 0


def test_a_strong_arc_takes_the_weaker_node_along() -> None:
    terminal = np.zeros((3, 4), dtype=np.int32)
    terminal[1, 1:3] = 7, -3
    arcs = np.zeros((3, 4, 8), dtype=np.int32)
    arcs[1, 1, NEIGHBOURS.index((0, 1))] = 5
    side, flow = solved(terminal, arcs)
    assert side[1].tolist() == [False, True, True, False]
    assert flow == 3


def test_a_large_grid_of_equal_capacities_is_cut_at_the_cost_of_its_flow() -> None:
    rng = np.random.default_rng(4)
    terminal = np.zeros((62, 72), dtype=np.int32)
    terminal[1:-1, 1:-1] = rng.integers(-60, 61, (60, 70))
    arcs = np.zeros((62, 72, 8), dtype=np.int32)
    for direction, (down, right) in enumerate(NEIGHBOURS):
        near = np.zeros((62, 72), dtype=np.bool_)
        near[1:-1, 1:-1] = True
        arcs[:, :, direction] = 25 * (near & np.roll(near, (-down, -right), (0, 1)))
    side, flow = solved(terminal, arcs)
    assert flow == independent_flow(terminal, arcs) == cut_cost(side, terminal, arcs)
    assert 0 < side.mean() < 1
