"""What each format of masks cannot hold, said before anything is written.

The sentences are those that a writer counts in ``losses``; the last of a format may say what it drops
uncounted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_core.formats.cityscapes_masks import UNNUMBERED_INSTANCES
from boxmask_core.formats.closing import BRIDGED_HOLES, BRIDGED_PARTS, EMPTY_MASK
from boxmask_core.formats.cvat_masks import NO_XML
from boxmask_core.formats.flat_losses import COVERED_PIXELS, HIDDEN_INSTANCES
from boxmask_core.formats.semantic_masks import MERGED_INSTANCES
from boxmask_core.formats.yolo_masks import DROPPED_FLAGS, SMALLER_PARTS, SPLIT_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """What a format cannot hold, in sentences.

    Attributes:
        shapes: Changes of masks, and objects that are split or dropped. A format that declares any is lossy,
            and a user is asked before it is written (``--allow-lossy``).
        overlaps: What masks lose where they overlap: such a format gives a pixel to one of them, and the
            policy for overlaps says to which. That is what a label map is, so nobody is asked.
        records: What is missing or written otherwise beside the masks themselves, or changes no mask for a
            reader of the format.
    """

    shapes: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    @property
    def lossy(self) -> bool:
        """Whether masks change, or objects are split or dropped."""
        return bool(self.shapes)

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them, the weightiest first."""
        return self.shapes + self.overlaps + self.records


_FLAT = (COVERED_PIXELS, HIDDEN_INSTANCES)
_NO_RECORD = "source boxes, ids, qualities and fallbacks"
_NO_RECORD_BUT_CROWDS = f"{_NO_RECORD}, and flags but crowd"
_NO_RECORD_NOR_FLAGS = f"{_NO_RECORD}, and flags"
_YOLO_RECORDS = (EMPTY_MASK, DROPPED_FLAGS, _NO_RECORD)

LIMITS: Mapping[str, Limits] = {
    "voc": Limits(overlaps=_FLAT, records=(EMPTY_MASK, _NO_RECORD_NOR_FLAGS)),
    "coco": Limits(records=(EMPTY_MASK,)),
    "coco-polygons": Limits(records=(EMPTY_MASK, BRIDGED_HOLES)),
    "coco-panoptic": Limits(overlaps=_FLAT, records=(EMPTY_MASK, _NO_RECORD_BUT_CROWDS)),
    "yolo": Limits(shapes=(BRIDGED_PARTS, BRIDGED_HOLES), records=_YOLO_RECORDS),
    "yolo-split": Limits(shapes=(SPLIT_PARTS, BRIDGED_HOLES), records=_YOLO_RECORDS),
    "yolo-largest": Limits(shapes=(SMALLER_PARTS, BRIDGED_HOLES), records=_YOLO_RECORDS),
    "labelme": Limits(records=(EMPTY_MASK,)),
    "labelme-polygons": Limits(shapes=(BRIDGED_HOLES,), records=(EMPTY_MASK,)),
    "cvat": Limits(records=(EMPTY_MASK, NO_XML)),
    "labelstudio": Limits(records=(EMPTY_MASK,)),
    "labelstudio-bitmask": Limits(records=(EMPTY_MASK,)),
    "labelstudio-polygons": Limits(records=(EMPTY_MASK, BRIDGED_PARTS, BRIDGED_HOLES)),
    "semantic": Limits(overlaps=_FLAT, records=(EMPTY_MASK, MERGED_INSTANCES, _NO_RECORD_NOR_FLAGS)),
    "cityscapes": Limits(overlaps=_FLAT, records=(EMPTY_MASK, UNNUMBERED_INSTANCES, _NO_RECORD_BUT_CROWDS)),
    "parquet": Limits(records=(EMPTY_MASK,)),
}
"""Format name, as in `boxmask_core.formats.WRITERS`, to what it cannot hold."""
