"""As much of FiftyOne as the example uses, for machines without it and its database.

It reads COCO as FiftyOne 1.22 does: a field of an annotation that COCO does not know becomes an attribute of
a detection, and so does every field of ``attributes``; a mask is cropped to ``bbox``. The app of the stand-in
tags the first three objects of the view that it is shown, as a person would who begins at the top.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Self

from boxmask_core.rle import decode_rle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAGGED: Final = 3
types = SimpleNamespace(COCODetectionDataset=object())
ACCEPTED: Final = {
    "dataset_type", "data_path", "labels_path", "label_types", "label_field", "extra_attrs",
}  # fmt: skip
"""The arguments of ``Dataset.from_dir`` that the stand-in heeds; another would be passed over."""
COCO_FIELDS: Final = {"id", "image_id", "category_id", "bbox", "area", "segmentation", "attributes"}


@dataclass(slots=True)
class Detection:
    """One object.

    Attributes:
        label: Its class.
        mask: bool, cropped to ``bbox``.
        attributes: What else the annotation says.
        tags: Given in the app.
    """

    label: str
    mask: NDArray[np.bool_]
    attributes: dict[str, Any]
    tags: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        """Returns an attribute."""
        return self.attributes[name]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image."""

    filepath: str
    field: str
    detections: list[Detection]

    def __getitem__(self, name: str) -> SimpleNamespace:
        """Returns the objects, if that is the field that they were loaded into."""
        return {self.field: SimpleNamespace(detections=self.detections)}[name]


@dataclass(slots=True)
class Patches:
    """Objects, one by one."""

    field: str
    objects: list[Detection]

    def sort_by(self, path: str) -> Self:
        """Sorts by an attribute of the objects."""
        name = path.removeprefix(f"{self.field}.")
        assert name != path, f"patches have their objects in {self.field}, not in {path}"
        self.objects.sort(key=lambda found: found[name])
        return self


class Dataset(list[Sample]):
    """Images with objects."""

    @classmethod
    def from_dir(cls, **arguments: Any) -> Self:
        """Reads a COCO file."""
        assert arguments.keys() <= ACCEPTED
        assert arguments["dataset_type"] is types.COCODetectionDataset
        assert arguments["label_types"] == ["segmentations"]
        assert arguments["extra_attrs"] is True
        content = json.loads(Path(arguments["labels_path"]).read_bytes())
        names = {category["id"]: category["name"] for category in content["categories"]}
        samples = []
        for image in content["images"]:
            path = Path(arguments["data_path"]) / image["file_name"]
            assert path.is_absolute(), "FiftyOne takes a relative folder to be below the dataset's"
            assert path.is_file()
            found = [
                _detection(annotation, names, image["height"], image["width"])
                for annotation in content["annotations"]
                if annotation["image_id"] == image["id"]
            ]
            samples.append(Sample(str(path), arguments["label_field"], found))
        return cls(samples)

    def to_patches(self, name: str) -> Patches:
        """Returns the objects one by one."""
        return Patches(name, [found for sample in self for found in sample[name].detections])

    def select_labels(self, *, tags: str, fields: str) -> list[Sample]:
        """Returns images that have objects with a tag, with these alone."""
        kept = [
            Sample(
                sample.filepath, fields, [found for found in sample[fields].detections if tags in found.tags]
            )
            for sample in self
        ]
        return [sample for sample in kept if sample.detections]


@dataclass(frozen=True, slots=True)
class Session:
    """The app."""

    view: Patches

    def wait(self) -> None:
        """Tags the first objects, and is closed."""
        for found in self.view.objects[:TAGGED]:
            found.tags.append("fix")


def launch_app(*, view: Patches) -> Session:
    """Opens the app."""
    return Session(view)


def _detection(annotation: dict[str, Any], names: dict[int, str], height: int, width: int) -> Detection:
    x, y, columns, rows = annotation["bbox"]
    mask = decode_rle(annotation["segmentation"]["counts"].encode(), height, width)
    more = {name: value for name, value in annotation.items() if name not in COCO_FIELDS}
    label = names[annotation["category_id"]]
    return Detection(label, mask[y : y + rows, x : x + columns], more | annotation["attributes"])
