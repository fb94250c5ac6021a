from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.evaluate import VOC_NAMES, main
from boxmask_core.palette import encode_indexed_png, encode_label_map

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


@pytest.mark.parametrize("beside", [False, True])
def test_label_maps_with_another_class_list_are_refused(folders: tuple[Path, Path], beside: bool) -> None:
    """Their index 1 would silently be taken for VOC's."""
    prediction, truth = folders
    place = prediction.parent if beside else prediction
    (place / "class_names.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="calls class 1 'cat', but it is to be compared as 'aeroplane'"):
        run(prediction, truth)
    (place / "class_names.txt").write_text("\n".join(VOC_NAMES[:-1]), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"calls class 20 'nothing', but .* as 'tvmonitor'"):
        run(prediction, truth)
    (place / "class_names.txt").write_text("\n".join(VOC_NAMES), encoding="utf-8")
    assert run(prediction, truth) == 0


def test_names_may_come_from_a_file(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("".join(f"class {index}\n" for index in range(21)))
    assert run(*folders, "--names", tmp_path / "names.txt", "--json", tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_text())["iou"]["class 8"] == 0.5


def test_void_of_the_prediction_is_wrong_and_beside_it_stands_what_is_covered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "truth", "a", [[0, 0, CAT, CAT, CAT, 255]])
    save(tmp_path / "prediction", "a", [[0, 0, CAT, 255, 0, 255]])
    options = ("--classes", "cat", "--json", tmp_path / "out.json", "--boundary")
    assert run(tmp_path / "prediction", tmp_path / "truth", *options) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["coverage"] == 4 / 5
    assert (result["iou"]["background"], result["iou"]["cat"]) == (2 / 3, 1 / 3)
    predicted = result["where_predicted"]
    assert (predicted["iou"]["background"], predicted["iou"]["cat"]) == (2 / 3, 1 / 2)
    assert predicted["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert predicted["classes_mean_iou"] == 1 / 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ", 1)[1].split() == ["IoU", "where", "predicted", "boundary"]
    cat = next(line for line in lines if line.startswith("cat"))
    assert cat.split()[1:3] == ["33.33", "50.00"]
    assert lines[-1].split() == [*["coverage,", "pixels", "predicted", "not", "to", "be", "void"], "80.00"]
    assert len({len(line) for line in lines}) == 1


def test_a_prediction_without_void_covers_everything(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(*folders, "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["coverage"] == 1
    assert result["where_predicted"] == {"iou": result["iou"], "mean_iou": result["mean_iou"]}


def test_a_prediction_of_void_alone_covers_nothing(tmp_path: Path) -> None:
    save(tmp_path / "truth", "a", [[0, CAT]])
    save(tmp_path / "prediction", "a", [[255, 255]])
    assert run(tmp_path / "prediction", tmp_path / "truth", "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["mean_iou"], result["coverage"], result["where_predicted"]["mean_iou"]) == (0, 0, None)


def test_a_truth_of_void_alone_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "truth", "a", [[255, 255]])
    save(tmp_path / "prediction", "a", [[255, 0]])
    assert run(tmp_path / "prediction", tmp_path / "truth", "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["mean_iou"], result["coverage"]) == (None, None)
    assert "coverage" not in capsys.readouterr().out


@pytest.mark.parametrize("deep", [("truth", "prediction"), ("truth",), ("prediction",)])
def test_label_maps_of_sixteen_bits_are_read_beside_those_of_eight(
    tmp_path: Path, deep: tuple[str, ...]
) -> None:
    rows = {"truth": [[0, 0, 3, 3, 255, 255]], "prediction": [[0, 255, 3, 0, 3, 255]]}
    for folder, labels in rows.items():
        values = np.array(labels, dtype=np.uint16)
        if folder in deep:
            values[values == 255] = 65535
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.png").write_bytes(encode_label_map(values))
        else:
            save(tmp_path / folder, "a", labels)
    options = ("--json", tmp_path / "out.json", "--boundary", "--trimap", "1")
    assert run(tmp_path / "prediction", tmp_path / "truth", *options) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    for folder, labels in rows.items():
        save(tmp_path / f"shallow {folder}", "a", labels)
    assert run(tmp_path / "shallow prediction", tmp_path / "shallow truth", *options) == 0
    assert found == json.loads((tmp_path / "out.json").read_text())
    assert found["coverage"] == 3 / 4
    assert (found["iou"]["background"], found["iou"]["bird"]) == (1 / 3, 1 / 2)


def test_classes_beyond_what_eight_bits_hold_are_compared(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("".join(f"class {index}\n" for index in range(301)))
    for folder, labels in (("truth", [0, 255, 300, 300, 65535]), ("prediction", [0, 255, 300, 65535, 300])):
        (tmp_path / folder).mkdir()
        png = encode_label_map(np.array([labels], dtype=np.uint16))
        (tmp_path / folder / "a.png").write_bytes(png)
    options = ("--names", tmp_path / "names.txt", "--json", tmp_path / "out.json")
    assert run(tmp_path / "prediction", tmp_path / "truth", *options) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["iou"]["class 0"], result["iou"]["class 255"], result["iou"]["class 300"]) == (1, 1, 0.5)
    assert result["coverage"] == 3 / 4


@pytest.fixture
def outlines(tmp_path: Path) -> tuple[Path, Path]:
    """A cat of 20 x 20 pixels, found 2 pixels too low, and a dog invented; bands are 1 pixel wide."""
    truth = np.zeros((40, 40), dtype=np.int64)
    truth[10:30, 10:30] = CAT
    save(tmp_path / "truth", "a", truth.tolist())
    prediction = np.roll(truth, 2, axis=0)
    prediction[0, 0] = DOG
    save(tmp_path / "prediction", "a", prediction.tolist())
    return tmp_path / "prediction", tmp_path / "truth"


def test_measures_near_outlines_stand_beside_the_others(
    outlines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--boundary", "--trimap", "2,1", "--classes", "cat,dog", "--json", tmp_path / "out.json")
    assert run(*outlines, *options) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["boundary"]["dilation_ratio"] == 0.02
    # Bands of 76 pixels share 18 on either side; trimap 1 keeps 76 pixels of the cat, 22 of them missed, and
    # 84 around it, 20 of them taken for it.
    boundary, trimap_1 = 36 / (2 * 76 - 36), (76 - 22) / (76 + 20)
    assert result["boundary"]["iou"]["cat"] == pytest.approx(boundary)
    assert result["boundary"]["classes_mean_iou"] == pytest.approx(boundary)
    assert result["trimap"]["1"]["iou"]["cat"] == pytest.approx(trimap_1)
    assert result["iou"]["cat"] == pytest.approx(360 / 440)
    assert (
        result["iou"]["dog"]
        is result["boundary"]["iou"]["dog"]
        is result["trimap"]["2"]["iou"]["dog"]
        is None
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ", 1)[1].split() == ["IoU", "boundary", "trimap", "2", "trimap", "1"]
    cat = next(line for line in lines if line.startswith("cat"))
    assert cat.split()[1:] == ["81.82", f"{100 * boundary:.2f}", cat.split()[3], f"{100 * trimap_1:.2f}"]
    assert lines[-1].split()[-4:] == cat.split()[1:]
    assert len({len(line) for line in lines}) == 1


def test_without_them_asked_for_no_measure_near_outlines_is_written(
    outlines: tuple[Path, Path], tmp_path: Path
) -> None:
    assert run(*outlines, "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert set(result) == {"images", "iou", "mean_iou", "coverage", "where_predicted"}


def test_a_class_that_is_nowhere_near_an_outline_has_no_value_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, "a", [[CAT, CAT]])
    assert run(tmp_path, tmp_path, "--trimap", "5", "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["trimap"]["5"]["mean_iou"] is None
    assert capsys.readouterr().out.splitlines()[1].split() == ["cat", "100.00", "-"]


@pytest.mark.parametrize("widths", ["", "0", "-1", "5,", "5,x", "2.5"])
def test_widths_that_are_none_are_refused(
    widths: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(*folders, f"--trimap={widths}")
    assert f"whole numbers of 1 or more, such as 5,10, but got {widths!r}" in capsys.readouterr().err


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
    options = ("--boundary", "--trimap", "1,40", "--ids", ids, "--json", tmp_path / "out.json")
    assert run(truth, truth, *options) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    measures = [result, result["boundary"], *result["trimap"].values()]
    assert [measure["mean_iou"] for measure in measures] == [1, 1, 1, 1]
