"""Draws attention: a line per query, the image first, then a heat map per network (the paper's figure 6)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PANEL: Final = 320
"""Longer side of a panel, pixels."""
GAP: Final = 8
FONT_SIZE: Final = 15
LINE: Final = 22
"""Height of a line of text, pixels."""
SCALE: Final = 10
"""Height of a colour scale, pixels."""
OPACITY: Final = 0.6
"""Of the heat map over the image."""
ARM: Final = 9
"""Half the width of the cross that marks the query, pixels."""
RED, WHITE, BLACK = (230, 0, 0), (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One line of the sheet.

    Attributes:
        point: ``(x, y)`` of the query pixel.
        maps: One per title, float32, ``(H, W)``: affinity relative to the mean.
    """

    point: tuple[int, int]
    maps: Sequence[NDArray[np.float32]]


def attention_sheet(image: NDArray[np.uint8], titles: Sequence[str], queries: Sequence[Query]) -> Image.Image:
    """Draws the sheet.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        titles: Names of the networks.
        queries: The lines.
    """
    columns = ["image", *titles]
    photograph = _panel_sized(Image.fromarray(image))
    width, height = photograph.width + GAP, photograph.height + SCALE + LINE + GAP
    sheet = Image.new("RGB", (len(columns) * width - GAP, LINE + len(queries) * height), WHITE)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(columns):
        _write(pen, (column * width + photograph.width / 2, LINE / 2), title, "mm")
    for line, query in enumerate(queries):
        x, y = (round((c + 0.5) * photograph.width / image.shape[1] - 0.5) for c in query.point)
        for column, panel in enumerate([photograph, *(heat_map(photograph, map_) for map_ in query.maps)]):
            place = column * width, LINE + line * height
            sheet.paste(panel, place)
            _cross(pen, place[0] + x, place[1] + y)
            if column:
                highest = float(query.maps[column - 1].max())
                _colour_scale(sheet, (place[0], place[1] + panel.height), panel.width, highest)
    return sheet


def heat_map(photograph: Image.Image, values: NDArray[np.float32]) -> Image.Image:
    """Lays a map over a grey photograph, from 0 to its own highest value.

    Args:
        photograph: What it is laid over.
        values: float32, 0 or more, of the photograph's proportions.
    """
    highest = float(values.max()) or 1.0  # all that the query attends to may lie in the padding
    shares = np.rint(255 / highest * values).astype(np.uint8)
    colours = _colours(cv2.resize(shares, photograph.size, interpolation=cv2.INTER_LINEAR).astype(np.uint8))
    grey = photograph.convert("L").convert("RGB")
    return Image.blend(grey, Image.fromarray(colours), OPACITY)


def encoded(sheet: Image.Image, suffix: str) -> bytes:
    """Encodes a sheet as PNG, or as JPEG where the suffix is ``.jpg``."""
    out = io.BytesIO()
    if suffix == ".jpg":
        sheet.save(out, "JPEG", quality=88)
    else:
        sheet.save(out, "PNG")
    return out.getvalue()


def _panel_sized(photograph: Image.Image) -> Image.Image:
    factor = PANEL / max(photograph.size)
    size = max(1, round(photograph.width * factor)), max(1, round(photograph.height * factor))
    return photograph.resize(size, Image.Resampling.LANCZOS)


def _colours(shares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns uint8 RGB, ``(H, W, 3)``, of shares of 255, ``(H, W)``."""
    return np.ascontiguousarray(cv2.applyColorMap(shares, cv2.COLORMAP_VIRIDIS)[:, :, ::-1], dtype=np.uint8)


def _colour_scale(sheet: Image.Image, place: tuple[int, int], width: int, highest: float) -> None:
    ramp = np.tile(np.linspace(0, 255, width).astype(np.uint8), (SCALE, 1))
    sheet.paste(Image.fromarray(_colours(ramp)), place)
    pen = ImageDraw.Draw(sheet)
    middle = place[1] + SCALE + LINE / 2
    _write(pen, (place[0], middle), "0", "lm")
    _write(pen, (place[0] + width, middle), f"{highest:.3g} x mean", "rm")


def _cross(pen: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for colour, thickness, arm in ((WHITE, 5, ARM + 1), (RED, 3, ARM)):
        pen.line((x - arm, y, x + arm, y), fill=colour, width=thickness)
        pen.line((x, y - arm, x, y + arm), fill=colour, width=thickness)


def _write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str) -> None:
    pen.text(place, text, fill=BLACK, font=ImageFont.load_default(FONT_SIZE), anchor=anchor)
