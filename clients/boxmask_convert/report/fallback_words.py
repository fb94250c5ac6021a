"""What gave a mask, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTENCES: Final[Mapping[Fallback, str]] = {
    Fallback.NONE: "the method itself",
    Fallback.TINY_BOX: "box under 3 pixels a side: filled",
    Fallback.BOX_COVERS_IMAGE: "box covers the image: GrabCut on a box shrunk by a rim",
    Fallback.CONSTANT_COLOUR: "all pixels equal: the filled box, or the network's own mask",
    Fallback.EMPTY_FOREGROUND: "no certain foreground: the filled box, or the network's own mask",
    Fallback.EMPTY_BACKGROUND: "no certain background: the network's own mask",
    Fallback.SMALL_MASK: "mask under 15 % of its box: the filled box, or the network's own mask",
    Fallback.CFS_SILENT: "the network found under 15 % of the box: GrabCut from the box",
}
"""For the table of all rungs of the fallback ladder."""

SHORT: Final[Mapping[Fallback, str]] = {
    Fallback.NONE: "",
    Fallback.TINY_BOX: "tiny box: filled",
    Fallback.BOX_COVERS_IMAGE: "box covers the image: shrunk",
    Fallback.CONSTANT_COLOUR: "one colour: no cut",
    Fallback.EMPTY_FOREGROUND: "no certain foreground",
    Fallback.EMPTY_BACKGROUND: "no certain background",
    Fallback.SMALL_MASK: "mask too small",
    Fallback.CFS_SILENT: "network silent: GrabCut",
}
"""For one mask; empty where the method itself gave it."""
