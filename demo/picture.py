"""Draws README's picture from the demo's output: boxes above, the masks made of them below.

Usage, after ``make demo``: ``python -m demo.picture demo-out demo/boxes_to_masks.jpg``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from boxmask_core.formats.coco_masks import CocoMasks

if TYPE_CHECKING:
    from boxmask_core.instances import InstanceMask

SHOWN = ("astronaut", "chelsea", "coffee", "rocket")
HEIGHT = 240
GAP = 6
OPACITY = 0.55
LINE = 4
COLOURS = ((230, 57, 70), (42, 157, 143), (244, 162, 97), (69, 123, 157), (155, 93, 229), (233, 196, 106))


def main(demo: Path, out: Path) -> int:
    """Draws the picture.

    Args:
        demo: What ``make demo`` wrote.
        out: The JPEG file to write.

    Returns:
        The exit status.
    """
    masks = CocoMasks(demo / "coco")
    columns = []
    for image in masks.images:
        if Path(image.file_name).stem in SHOWN:
            photograph = Image.open(demo / "boxes" / "JPEGImages" / image.file_name).convert("RGB")
            columns.append(column(photograph, masks.masks(image)))
    width = sum(picture.width for picture in columns) + GAP * (len(columns) - 1)
    sheet = Image.new("RGB", (width, 2 * HEIGHT + GAP), "white")
    x = 0
    for picture in columns:
        sheet.paste(picture, (x, 0))
        x += picture.width + GAP
    sheet.save(out, quality=85)
    return 0


def column(photograph: Image.Image, masks: list[InstanceMask]) -> Image.Image:
    """Returns a photograph with its boxes, above the same with its masks, both ``HEIGHT`` pixels high."""
    boxes, pixels = photograph.copy(), np.asarray(photograph).astype(np.float32)
    draw = ImageDraw.Draw(boxes)
    ordered = sorted(enumerate(masks), key=lambda item: -item[1].instance.box.area)
    for index, mask in ordered:
        colour = COLOURS[index % len(COLOURS)]
        box, proposal = mask.instance.box, mask.proposal
        draw.rectangle((box.x0, box.y0, box.x1 - 1, box.y1 - 1), outline=colour, width=LINE)
        part = pixels[proposal.window.slices()]
        tint = np.asarray(colour, dtype=np.float32)
        part[proposal.mask] = (1 - OPACITY) * part[proposal.mask] + OPACITY * tint
    painted = Image.fromarray(pixels.astype(np.uint8))
    width = round(photograph.width * HEIGHT / photograph.height)
    out = Image.new("RGB", (width, 2 * HEIGHT + GAP), "white")
    out.paste(boxes.resize((width, HEIGHT), Image.Resampling.LANCZOS), (0, 0))
    out.paste(painted.resize((width, HEIGHT), Image.Resampling.LANCZOS), (0, HEIGHT + GAP))
    return out


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
