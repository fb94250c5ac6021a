"""Looks through masks in FiftyOne's app, the least trusted first, and lists those that were tagged ``fix``.

Usage: ``python clients/examples/explore_in_fiftyone.py MASKS IMAGES TO_FIX``, where MASKS is what ``boxmask
convert DATA MASKS --to coco`` wrote, and IMAGES the dataset's folder of images. Needs ``pip install fiftyone
pycocotools``. When the app's last window is closed, TO_FIX gets a line of JSON for each mask that was tagged.
"""

# FiftyOne is installed by those who want it, not with boxmask.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import fiftyone as fo

if TYPE_CHECKING:
    from collections.abc import Iterator

MASKS: Final = "masks"
TAG: Final = "fix"


def main(masks: Path, images: Path, to_fix: Path) -> None:
    """Opens the app, waits until it is closed, and writes down what was tagged."""
    dataset = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset,
        data_path=str(images.resolve()),
        labels_path=str((masks / "instances.json").resolve()),
        label_types=["segmentations"],
        label_field=MASKS,
        extra_attrs=True,
    )
    objects = dataset.to_patches(MASKS).sort_by(f"{MASKS}.quality")
    fo.launch_app(view=objects).wait()
    lines = [json.dumps(found, ensure_ascii=False) for found in tagged(dataset, images)]
    to_fix.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sys.stdout.write(f"{len(lines)} masks to fix, listed in {to_fix}\n")


def tagged(dataset: fo.Dataset, images: Path) -> Iterator[dict[str, object]]:
    """Yields the masks with the tag: image, the dataset's id of the object, and what boxmask said of it."""
    for sample in dataset.select_labels(tags=TAG, fields=MASKS):
        for mask in sample[MASKS].detections:
            yield {
                "image": Path(sample.filepath).relative_to(images.resolve()).as_posix(),
                "id": mask["source_id"],
                "class": mask.label,
                "quality": mask["quality"],
                "fallback": mask["fallback"],
            }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
