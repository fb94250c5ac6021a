"""What each format of masks cannot hold, said before anything is written.

The sentences are those that a writer counts in ``losses``; the last of a format says what it drops uncounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.formats.cityscapes_masks import UNNUMBERED_INSTANCES
from boxmask_core.formats.closing import BRIDGED_HOLES, EMPTY_MASK
from boxmask_core.formats.cvat_masks import NO_XML
from boxmask_core.formats.flat_losses import COVERED_PIXELS, HIDDEN_INSTANCES
from boxmask_core.formats.semantic_masks import MERGED_INSTANCES
from boxmask_core.formats.yolo_masks import BRIDGED_PARTS, DROPPED_FLAGS, SMALLER_PARTS, SPLIT_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAT = (EMPTY_MASK, COVERED_PIXELS, HIDDEN_INSTANCES)
_NO_RECORD = "source boxes, ids, qualities and fallbacks"
_NO_RECORD_BUT_CROWDS = f"{_NO_RECORD}, and flags but crowd"
_NO_RECORD_NOR_FLAGS = f"{_NO_RECORD}, and flags"

LIMITS: Mapping[str, tuple[str, ...]] = {
    "voc": (*_FLAT, _NO_RECORD_NOR_FLAGS),
    "coco": (EMPTY_MASK,),
    "coco-polygons": (EMPTY_MASK, BRIDGED_HOLES),
    "coco-panoptic": (*_FLAT, _NO_RECORD_BUT_CROWDS),
    "yolo": (EMPTY_MASK, BRIDGED_PARTS, BRIDGED_HOLES, DROPPED_FLAGS, _NO_RECORD),
    "yolo-split": (EMPTY_MASK, SPLIT_PARTS, BRIDGED_HOLES, DROPPED_FLAGS, _NO_RECORD),
    "yolo-largest": (EMPTY_MASK, SMALLER_PARTS, BRIDGED_HOLES, DROPPED_FLAGS, _NO_RECORD),
    "labelme": (EMPTY_MASK,),
    "cvat": (EMPTY_MASK, NO_XML),
    "labelstudio": (EMPTY_MASK,),
    "labelstudio-bitmask": (EMPTY_MASK,),
    "semantic": (*_FLAT, MERGED_INSTANCES, _NO_RECORD_NOR_FLAGS),
    "cityscapes": (*_FLAT, UNNUMBERED_INSTANCES, _NO_RECORD_BUT_CROWDS),
    "parquet": (EMPTY_MASK,),
}
"""Format name, as in `boxmask_core.formats.WRITERS`, to what it cannot hold."""
