"""Minimum cut on a grid whose nodes have eight neighbours, by Boykov and Kolmogorov's augmenting paths.

The grid is implicit: node ``i`` has its neighbours at ``i + offset``, so that nothing of an arc is stored but
its residual capacity. The grid has a rim, one node wide, that no capacity reaches, so that no step has to ask
where the grid ends. Capacities are integers: the flow is exact, and equals the cost of the cut.

Source: Boykov, Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization
in Vision", PAMI 2004, with the marks of distance and time of their implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""``(rows, columns)`` to each neighbour; the way back from direction d is direction 7 - d."""

_FREE, _SOURCE, _SINK = 0, 1, 2
_NONE, _TERMINAL, _ORPHAN = -1, 8, 9
_FAR = 2**31 - 1


class _Forest(NamedTuple):
    """The tree that grows from the source and the one that grows from the sink; all ``(nodes,)``."""

    offsets: NDArray[np.int64]
    """``(8,)``: what leads from a node to its neighbours."""
    tree: NDArray[np.int8]
    parent: NDArray[np.int8]
    """Direction of the parent, or `_TERMINAL`, `_ORPHAN` or `_NONE`."""
    distance: Integers
    """Nodes to the terminal, as it was at the time of `stamp`."""
    stamp: Integers
    active: Integers
    """A ring, one longer than there are nodes: those that may still grow."""
    waits: NDArray[np.bool_]
    """Whether a node is in `active`."""
    orphans: Integers
    """A ring like `active`."""


@jit
def min_cut(terminal: Integers, arcs: Integers, width: int) -> tuple[NDArray[np.bool_], int]:
    """Cuts the grid into a source side and a sink side at the least cost.

    Both arrays hold the residual capacities afterwards. If the terminal capacities change, as between two
    iterations of GrabCut, the change can be added to them and the cut goes on from there: the flow so far
    stays a flow (Kohli, Torr, "Dynamic Graph Cuts", PAMI 2007).

    Args:
        terminal: int32, ``(nodes,)``: what it costs to have the node on the sink side, where positive, or,
            as a negative number, on the source side. 0 on the rim.
        arcs: int32, ``(nodes, 8)``: what it costs to have the node on the source side and its neighbour in
            that direction (`NEIGHBOURS`) on the sink side, 0 or more. 0 from and to the rim.
        width: Nodes in a row, rim included.

    Returns:
        bool, ``(nodes,)``, True on the source side, and the cost.
    """
    forest, tail = _planted(terminal, width)
    head, time, current, flow = 0, 0, -1, 0
    while True:
        if current >= 0 and forest.tree[current] == _FREE:
            forest.waits[current] = False
            current = -1
        while current < 0 and head != tail:
            node = forest.active[head]
            head = _next(head, forest.active)
            if forest.tree[node] == _FREE:
                forest.waits[node] = False
            else:
                current = node
        if current < 0:
            return forest.tree == _SOURCE, flow
        direction, tail = _grow(current, forest, arcs, tail)
        if direction < 0:
            forest.waits[current] = False
            current = -1
            continue
        time += 1
        met = current + forest.offsets[direction]
        if forest.tree[current] == _SOURCE:
            amount, lost = _augment(current, met, direction, forest, terminal, arcs)
        else:
            amount, lost = _augment(met, current, 7 - direction, forest, terminal, arcs)
        flow += amount
        tail = _adopt(lost, time, forest, arcs, tail)


@jit
def _planted(terminal: Integers, width: int) -> tuple[_Forest, int]:
    """Returns the trees of all nodes that a terminal reaches directly, and the end of the active ones."""
    nodes = terminal.size
    forest = _Forest(
        np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1]),
        np.zeros(nodes, dtype=np.int8),
        np.full(nodes, _NONE, dtype=np.int8),
        np.zeros(nodes, dtype=np.int32),
        np.zeros(nodes, dtype=np.int32),
        np.empty(nodes + 1, dtype=np.int32),
        np.zeros(nodes, dtype=np.bool_),
        np.empty(nodes + 1, dtype=np.int32),
    )
    tail = 0
    for node in range(nodes):
        if terminal[node] != 0:
            forest.tree[node] = _SOURCE if terminal[node] > 0 else _SINK
            forest.parent[node] = _TERMINAL
            forest.distance[node] = 1
            forest.waits[node] = True
            forest.active[tail] = node
            tail += 1
    return forest, tail


@jit
def _next(place: int, ring: Integers) -> int:
    return place + 1 if place + 1 < ring.size else 0


@jit
def _activate(node: int, forest: _Forest, tail: int) -> int:
    if forest.waits[node]:
        return tail
    forest.waits[node] = True
    forest.active[tail] = node
    return _next(tail, forest.active)


@jit
def _grow(node: int, forest: _Forest, arcs: Integers, tail: int) -> tuple[int, int]:
    """Adds free neighbours to the node's tree; returns the direction of the other tree, or -1."""
    side = forest.tree[node]
    for direction in range(8):
        near = node + forest.offsets[direction]
        residual = arcs[node, direction] if side == _SOURCE else arcs[near, 7 - direction]
        if residual == 0:
            continue
        if forest.tree[near] == _FREE:
            forest.tree[near] = side
            tail = _activate(near, forest, tail)
        elif forest.tree[near] != side:
            return direction, tail
        elif forest.stamp[near] > forest.stamp[node] or forest.distance[near] <= forest.distance[node]:
            continue  # it is as near to the terminal already
        forest.parent[near] = 7 - direction
        forest.stamp[near] = forest.stamp[node]
        forest.distance[near] = forest.distance[node] + 1
    return -1, tail


@jit
def _augment(
    above: int, below: int, towards: int, forest: _Forest, terminal: Integers, arcs: Integers
) -> tuple[int, int]:
    """Sends all that the path through the arc above -> below can carry.

    Returns:
        The amount, and how many nodes have lost their parents; they are in ``forest.orphans``.
    """
    amount = arcs[above, towards]
    for start in (above, below):
        node = start
        while forest.parent[node] != _TERMINAL:
            up = forest.parent[node]
            over = node + forest.offsets[up]
            amount = min(amount, arcs[over, 7 - up] if start == above else arcs[node, up])
            node = over
        amount = min(amount, abs(terminal[node]))
    arcs[above, towards] -= amount
    arcs[below, 7 - towards] += amount
    lost = 0
    for start in (above, below):
        node = start
        while forest.parent[node] != _TERMINAL:
            up = forest.parent[node]
            over = node + forest.offsets[up]
            if start == above:
                arcs[node, up] += amount
                arcs[over, 7 - up] -= amount
                left = arcs[over, 7 - up]
            else:
                arcs[node, up] -= amount
                arcs[over, 7 - up] += amount
                left = arcs[node, up]
            if left == 0:
                forest.parent[node] = _ORPHAN
                forest.orphans[lost] = node
                lost += 1
            node = over
        terminal[node] += -amount if start == above else amount
        if terminal[node] == 0:
            forest.parent[node] = _ORPHAN
            forest.orphans[lost] = node
            lost += 1
    return int(amount), lost


@jit
def _adopt(lost: int, time: int, forest: _Forest, arcs: Integers, tail: int) -> int:
    """Gives every orphan the parent nearest to the terminal, or frees it where there is none."""
    first, last = 0, lost
    while first != last:
        node = forest.orphans[first]
        first = _next(first, forest.orphans)
        side = forest.tree[node]
        best, nearest = _NONE, _FAR
        for direction in range(8):
            near = node + forest.offsets[direction]
            residual = arcs[near, 7 - direction] if side == _SOURCE else arcs[node, direction]
            if residual != 0 and forest.tree[near] == side:
                way = _distance(near, time, forest)
                if way < nearest:
                    best, nearest = direction, way
        forest.parent[node] = best
        if best != _NONE:
            forest.stamp[node] = time
            forest.distance[node] = nearest + 1
            continue
        forest.tree[node] = _FREE
        for direction in range(8):
            near = node + forest.offsets[direction]
            if forest.tree[near] != side:
                continue
            residual = arcs[near, 7 - direction] if side == _SOURCE else arcs[node, direction]
            if residual != 0:
                tail = _activate(near, forest, tail)
            if forest.parent[near] == 7 - direction:
                forest.parent[near] = _ORPHAN
                forest.orphans[last] = near
                last = _next(last, forest.orphans)
    return tail


@jit
def _distance(node: int, time: int, forest: _Forest) -> int:
    """Returns how far the terminal is along the parents, or `_FAR` where an orphan is in the way."""
    way, at = 0, node
    while forest.stamp[at] != time:
        up = forest.parent[at]
        if up == _ORPHAN:
            return _FAR
        way += 1
        if up == _TERMINAL:
            forest.stamp[at] = time
            forest.distance[at] = 1
            way -= 1
            break
        at += forest.offsets[up]
    way += forest.distance[at]
    at, left = node, way
    while forest.stamp[at] != time:
        forest.stamp[at] = time
        forest.distance[at] = left
        left -= 1
        at += forest.offsets[forest.parent[at]]
    return int(way)
