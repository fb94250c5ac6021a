"""What a comparison of label maps found, as JSON and as a table."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boxmask_core.boundary import DILATION_RATIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_core.boundary import BoundaryIou
    from boxmask_core.evaluation import ConfusionMatrix


@dataclass(frozen=True, slots=True)
class Scores:
    """One measure over all images.

    Attributes:
        iou: Intersection over union per class, None for a class that the measured truth does not have.
        mean_iou: Mean over the classes that it has, None where it has none.
        chosen_mean_iou: Mean over those of the chosen classes that it has, None where it has none.
    """

    iou: tuple[float | None, ...]
    mean_iou: float | None
    chosen_mean_iou: float | None

    @classmethod
    def of(cls, measure: ConfusionMatrix | BoundaryIou, chosen: Sequence[int]) -> Scores:
        """Reads off a measure.

        Args:
            measure: The counts over all images.
            chosen: Indices of the classes to give a mean of their own.
        """
        present = measure.present()
        return cls(
            iou=tuple(float(v) if there else None for v, there in zip(measure.iou(), present, strict=True)),
            mean_iou=_known(measure.mean_iou()),
            chosen_mean_iou=_known(measure.mean_iou(chosen)),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a comparison found.

    Attributes:
        images: Number of images.
        class_names: Names in the order of class indices, the background first.
        chosen: The classes that were asked for; empty where none were.
        region: IoU over all pixels whose truth is not void; void of the prediction is wrong.
        coverage: Share of these pixels whose prediction is not void, 0 to 1, None where there are none.
        where_predicted: IoU over the covered pixels alone: the same as ``region`` where coverage is 1.
        boundary: Boundary IoU, None where it was not asked for.
        trimaps: IoU near the outlines of the truth, by width in pixels.
    """

    images: int
    class_names: tuple[str, ...]
    chosen: tuple[str, ...]
    region: Scores
    coverage: float | None
    where_predicted: Scores
    boundary: Scores | None
    trimaps: Mapping[int, Scores]

    def to_json(self) -> bytes:
        """Returns the result as JSON."""
        fields: dict[str, Any] = {"images": self.images}
        if self.chosen:
            fields["classes"] = self.chosen
        fields |= self._fields(self.region)
        fields["coverage"] = self.coverage
        fields["where_predicted"] = self._fields(self.where_predicted)
        if self.boundary is not None:
            fields["boundary"] = {"dilation_ratio": DILATION_RATIO, **self._fields(self.boundary)}
        if self.trimaps:
            fields["trimap"] = {str(width): self._fields(scores) for width, scores in self.trimaps.items()}
        return json.dumps(fields, indent=2).encode() + b"\n"

    def to_text(self) -> str:
        """Returns the result as a table, in percent: a line per class of the truth, a column per measure.

        Where the prediction leaves pixels void there is a column for the rest of them, and a line for their
        share.
        """
        columns = {"IoU": self.region}
        partial = self.coverage is not None and self.coverage < 1
        if partial:
            columns["where predicted"] = self.where_predicted
        if self.boundary is not None:
            columns["boundary"] = self.boundary
        columns |= {f"trimap {width}": scores for width, scores in self.trimaps.items()}
        rows = [(f"{self.images} images, in percent", list(columns)), *self._rows(list(columns.values()))]
        if partial:
            blanks = [""] * (len(columns) - 1)
            rows.append(("coverage, pixels predicted not to be void", [_percent(self.coverage), *blanks]))
        margin = max(len(name) for name, _ in rows)
        widths = [max(6, len(name)) for name in columns]
        lines = [
            "  ".join(
                [f"{name:<{margin}}", *(f"{v:>{width}}" for v, width in zip(values, widths, strict=True))]
            )
            for name, values in rows
        ]
        return "\n".join([*lines, ""])

    def _rows(self, columns: list[Scores]) -> list[tuple[str, list[str]]]:
        found = [index for index, iou in enumerate(self.region.iou) if iou is not None]
        rows = [(self.class_names[index], [_percent(c.iou[index]) for c in columns]) for index in found]
        rows.append((f"mIoU-{len(found)}, all classes of the truth", [_percent(c.mean_iou) for c in columns]))
        if self.chosen:
            name = f"mIoU-{len(self.chosen)}, {', '.join(self.chosen)}"
            rows.append((name, [_percent(c.chosen_mean_iou) for c in columns]))
        return rows

    def _fields(self, scores: Scores) -> dict[str, Any]:
        iou = dict(zip(self.class_names, scores.iou, strict=True))
        chosen = {"classes_mean_iou": scores.chosen_mean_iou} if self.chosen else {}
        return {"iou": iou, "mean_iou": scores.mean_iou, **chosen}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
