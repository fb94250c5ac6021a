"""What one pixel of an image attends to: its row of the affinity matrix, carried back to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from boxmask_core.errors import InvalidRequestError, TrainingError
from boxmask_core.segmentation import canvas_for, carry_back, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from boxmask_core.segmentation import Canvas
    from boxmask_training.models.deeplab import DeepLab
    from boxmask_training.models.lgsa import Affinity

    Point = tuple[int, int]

SIZE_STEP: Final = 32
MAX_SIDE: Final = 768
"""How an image is shown to the network, as `boxmask export` writes it into bundles."""


def attention_maps(
    network: DeepLab, image: NDArray[np.uint8], points: Sequence[Point]
) -> list[NDArray[np.float32]]:
    """Returns what the last attention module gives for the affinity of some points to all of an image.

    Args:
        network: The network, in evaluation mode.
        image: uint8 RGB, ``(H, W, 3)``.
        points: ``(x, y)`` of the query pixels.

    Returns:
        One map per point, float32, ``(H, W)``: the affinity, relative to the 1 / N that it would be if the
        point attended to all N cells alike.

    Raises:
        InvalidRequestError: A point lies outside the image.
        TrainingError: The network has no attention.
    """
    if not network.attention:
        raise TrainingError("the network has no attention module; train it with --attention lgsa or nonlocal")
    height, width = image.shape[:2]
    canvas = canvas_for(width, height, SIZE_STEP, MAX_SIDE)
    cells = [cell_of(point, canvas, network.output_stride) for point in points]
    shown = torch.from_numpy(draw(image, canvas)).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        affinity = network(shown.float()).affinities[-1]
        rows = [affinity_row(affinity, cell) for cell in cells]
    return [_in_image(row.numel() * row, canvas) for row in rows]


def affinity_row(affinity: Affinity, cell: tuple[int, int]) -> Tensor:
    """Returns one row of W = softmax(theta^T phi); the other rows are not computed.

    Args:
        affinity: Its factors, of one image.
        cell: ``(row, column)`` of the query in the feature grid.

    Returns:
        ``(h, w)``; it sums to 1.
    """
    query = affinity.theta[0, :, cell[0], cell[1]]
    keys = affinity.phi[0].flatten(1)
    return torch.softmax(query @ keys, dim=0).reshape(affinity.phi.shape[2:])


def cell_of(point: Point, canvas: Canvas, stride: int) -> tuple[int, int]:
    """Returns ``(row, column)`` of the cell that holds the centre of a pixel.

    Args:
        point: ``(x, y)`` of the pixel.
        canvas: How the image is shown.
        stride: Pixels of the canvas per cell and axis.

    Raises:
        InvalidRequestError: The pixel lies outside the image.
    """
    x, y = point
    if not (0 <= x < canvas.width and 0 <= y < canvas.height):
        size = f"{canvas.width} x {canvas.height}"
        raise InvalidRequestError("--point", f"expected a pixel of the {size} image, but got {x},{y}")
    column = (x + 0.5) * canvas.resized[0] / canvas.width / stride
    row = (y + 0.5) * canvas.resized[1] / canvas.height / stride
    return int(row), int(column)


def _in_image(row: Tensor, canvas: Canvas) -> NDArray[np.float32]:
    planes = row.float().numpy()[np.newaxis]
    return np.concatenate([strip[0] for _, strip in carry_back(planes, canvas)])
