from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from boxmask_core import (
    cell_graph,
    cells,
    colour_models,
    colour_table,
    contrast,
    graph_cut,
    grid_gaussian,
    lattice_cells,
    lattice_points,
    max_flow,
    mean_field,
    permutohedral,
    softmax,
)
from boxmask_core.boxes import Box, Window
from boxmask_core.densecrf import dense_crf
from boxmask_core.grabcut import coarse_proposal, refine_proposal
from boxmask_core.warm_up import warm_up

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COMPILED = (
    cell_graph, cells, colour_models, colour_table, contrast, graph_cut, grid_gaussian, lattice_cells,
    lattice_points, max_flow, mean_field, permutohedral, softmax,
)  # fmt: skip


def _specialisations() -> dict[str, int]:
    """How many argument types every compiled function was compiled for."""
    return {
        f"{module.__name__}.{name}": len(function.signatures)
        for module in COMPILED
        for name, function in vars(module).items()
        if hasattr(function, "signatures")
    }


def _kinds(array: NDArray[Any]) -> list[NDArray[Any]]:
    """One array as NumPy may come by it: as it is, read-only, part of a larger one, by columns, reversed."""
    frozen = array.copy()
    frozen.flags.writeable = False
    framed = np.zeros(tuple(side + 2 for side in array.shape), array.dtype)
    framed[tuple(slice(1, -1) for _ in array.shape)] = array
    part = framed[tuple(slice(1, -1) for _ in array.shape)]
    return [array, frozen, part, np.asfortranarray(array), array[::-1].copy()[::-1]]


def test_after_the_warm_up_no_image_waits_for_the_compiler() -> None:
    warm_up()
    before = _specialisations()
    assert before
    rng = np.random.default_rng(1)
    for size in ((40, 50), (150, 120), (1, 7), (7, 1)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        probability = rng.random(size, dtype=np.float32)
        planes = np.stack([probability / 2, 0.5 - probability / 2, np.full(size, 0.5, np.float32)])
        box = Box(1, 1, max(2, size[1] - 3), max(2, size[0] - 3)) if min(size) > 1 else Box(0, 0, 7, 7)
        window = Window(0, 0, size[1], size[0])
        for picture, foreground, labels in zip(
            _kinds(image), _kinds(probability), _kinds(planes), strict=True
        ):
            coarse_proposal(picture, box)
            refine_proposal(picture, box, foreground, window)
            dense_crf(picture, labels)
            dense_crf(picture, labels[:1] + labels[1:2] + labels[2:])
    assert _specialisations() == before


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_has_compiled(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "boxmask_core.warm_up"]
    subprocess.run(command, check=True, env=environment)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb?")}
    assert files
    subprocess.run(command, check=True, env=environment)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb?")} == files
