from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.evaluate import VOC_NAMES, main
from boxmask_core.palette import encode_indexed_png

if TYPE_CHECKING:
    from pathlib import Path

CAT, DOG = VOC_NAMES.index("cat"), VOC_NAMES.index("dog")


def save(folder: Path, key: str, rows: list[list[int]]) -> None:
    path = folder / f"{key}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_indexed_png(np.array(rows, dtype=np.uint8)))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two images; the cat is half found, the dog not at all."""
    prediction, truth = tmp_path / "prediction", tmp_path / "truth"
    save(truth, "a", [[0, 0, CAT, CAT]])
    save(prediction, "a", [[0, 0, CAT, 0]])
    save(truth, "sub/b", [[0, 255, DOG, DOG]])
    save(prediction, "sub/b", [[0, 1, 0, 0]])
    return prediction, truth


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_it_prints_every_class_of_the_truth_and_the_mean(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*folders) == 0
    lines = {
        line.rsplit(maxsplit=1)[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]
    }
    assert lines == {
        "background": "50.00",
        "cat": "50.00",
        "dog": "0.00",
        "mIoU-3, all classes of the truth": "33.33",
    }


def test_chosen_classes_get_a_mean_of_their_own(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(*folders, "--classes", "background,cat", "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["classes"] == ["background", "cat"]
    assert result["classes_mean_iou"] == 0.5
    assert result["mean_iou"] == pytest.approx(1 / 3)
    assert result["iou"]["cat"] == 0.5
    assert result["iou"]["cow"] is None
    assert result["images"] == 2


def test_a_list_of_ids_chooses_the_images(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("sub/b\n\nsub/b\n")
    assert run(*folders, "--ids", tmp_path / "ids.txt", "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["images"] == 1
    assert result["iou"]["cat"] is None


def test_names_may_come_from_a_file(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("".join(f"class {index}\n" for index in range(21)))
    assert run(*folders, "--names", tmp_path / "names.txt", "--json", tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_text())["iou"]["class 8"] == 0.5


def test_a_missing_prediction_is_an_error_by_name(folders: tuple[Path, Path]) -> None:
    (folders[0] / "sub" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"sub/b\.png: the label map cannot be read: No such file"):
        run(*folders)


def test_an_unknown_class_an_empty_folder_and_an_empty_list_are_errors(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="unicorn"):
        run(*folders, "--classes", "cat,unicorn")
    with pytest.raises(DatasetError, match="holds no PNG file"):
        run(folders[0], tmp_path / "nothing")
    (tmp_path / "ids.txt").write_text("\n")
    with pytest.raises(DatasetError, match="lists no key"):
        run(*folders, "--ids", tmp_path / "ids.txt")


def test_a_prediction_of_another_size_is_an_error_by_name(folders: tuple[Path, Path]) -> None:
    save(folders[0], "a", [[0, 0, 0]])
    with pytest.raises(InvalidMaskError, match="a is not valid: prediction and truth must have one size"):
        run(*folders)


def test_the_truth_of_voc_scores_one_hundred_against_itself(voc_root: Path, tmp_path: Path) -> None:
    truth, ids = voc_root / "SegmentationClass", tmp_path / "ids.txt"
    listed = (voc_root / "ImageSets" / "Segmentation" / "val.txt").read_text().splitlines()[:10]
    ids.write_text("\n".join(listed))
    assert run(truth, truth, "--ids", ids, "--json", tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_text())["mean_iou"] == 1
