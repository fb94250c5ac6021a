"""Fuzzing the readers and the checks of datasets: worn files of every format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_convert.check_command import check
from boxmask_core.formats import READERS
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key
from boxmask_core.instances import ImageRecord
from tests.core.formats.test_round_trips import LOSSLESS
from tests.fuzz.target import Target
from tests.fuzz.trees import laid_out, worn_conversions, worn_sources

if TYPE_CHECKING:
    from tests.fuzz.trees import Dataset


def _boxes_read(example: Dataset) -> None:
    name, tree = example
    with laid_out(tree) as root:
        dataset = READERS[name](root)
        assert all(isinstance(each, str) and each for each in dataset.class_names)
        for record in dataset:
            if isinstance(record, RecordError):
                assert record.problem
                continue
            assert isinstance(record, ImageRecord)
            assert checked_key(record.key, root) == record.key
            assert all(each.class_name in dataset.class_names for each in record.instances)
            assert record.declared_size is None or min(record.declared_size) > 0
        assert all(dataset.notes)


def _checked(example: Dataset) -> None:
    name, tree = example
    with laid_out(tree) as root:
        checked = check(root, format_name=name)
        assert checked.formats or checked.survey is not None
        assert checked.describe()
        assert checked.to_json()["clean"] == (checked.findings.errors == 0)


def _masks_read(example: Dataset) -> None:
    name, tree = example
    with laid_out(tree) as root:
        for image in LOSSLESS[name](root):
            for mask in image.masks:
                window = mask.proposal.window
                assert mask.proposal.mask.shape == (window.height, window.width)
                assert 0 <= window.x0 < window.x1 <= image.width
                assert 0 <= window.y0 < window.y1 <= image.height
                assert 0 <= mask.quality <= 1
                assert isinstance(mask.instance.class_name, str)


TARGETS = (
    Target("datasets of boxes, read", worn_sources(), _boxes_read, share=2),
    Target("datasets of boxes, checked", worn_sources(), _checked, share=2),
    Target("datasets of masks, checked", worn_conversions(), _checked, share=3),
    Target("datasets of masks, read", worn_conversions(*LOSSLESS), _masks_read, share=2),
)
