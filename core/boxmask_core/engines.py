"""Who computes GrabCut and DenseCRF: boxmask's own code, or the library that it is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

GrabCutEngine = Literal["boxmask", "opencv"]
CrfEngine = Literal["boxmask", "pydensecrf"]

GRABCUT_ENGINES: Final[tuple[GrabCutEngine, ...]] = get_args(GrabCutEngine)
CRF_ENGINES: Final[tuple[CrfEngine, ...]] = get_args(CrfEngine)


@dataclass(frozen=True, slots=True)
class HostEngines:
    """Who does the host's heavy work.

    Attributes:
        grabcut: Of GrabCut.
        crf: Of the DenseCRF; ``pydensecrf`` needs the extra ``crf``.
    """

    grabcut: GrabCutEngine = "boxmask"
    crf: CrfEngine = "boxmask"
