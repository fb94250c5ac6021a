from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from boxmask_core.formats.edge_rings import edge_polygons
from boxmask_core.rle import decode_rle


def test_a_pixel_is_a_square_of_side_one() -> None:
    (ring,), holes = edge_polygons(np.array([[False, False], [False, True]]))
    assert ring.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]
    assert holes == 0


def test_pixels_that_touch_at_a_corner_have_rings_of_their_own() -> None:
    rings, holes = edge_polygons(np.eye(2, dtype=np.bool_))
    assert [ring.tolist() for ring in rings] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]
    assert holes == 0


def test_a_hole_hangs_on_a_bridge() -> None:
    mask = np.ones((3, 3), dtype=np.bool_)
    mask[1, 1] = False
    (ring,), holes = edge_polygons(mask)
    corners = {(0, 0), (3, 0), (3, 3), (0, 3), (1, 1), (2, 1), (2, 2), (1, 2)}
    assert {(x, y) for x, y in ring.tolist()} == corners
    assert len(ring) == 4 + 4 + 2
    assert holes == 1


def test_an_empty_mask_has_no_ring() -> None:
    assert edge_polygons(np.zeros((4, 5), dtype=np.bool_)) == ([], 0)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.8, 0.95])
def test_cocos_rasteriser_fills_the_rings_to_exactly_the_mask(
    rng: np.random.Generator, density: float
) -> None:
    for _ in range(40):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        mask = rng.random((height, width)) < density
        mask[0, 0] = True
        rings, holes = edge_polygons(mask)
        outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
        parts, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        background, _ = cv2.connectedComponents(outside, connectivity=8)
        assert len(rings) == parts - 1
        assert holes == background - 2
        runs = coco_mask.frPyObjects([ring.ravel().tolist() for ring in rings], height, width)
        counts = coco_mask.merge(runs)["counts"]
        assert isinstance(counts, bytes)
        assert (decode_rle(counts, height, width) == mask).all()
