"""``boxmask segment``, in this process and through a real server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from boxmask_client import NotFoundError, UnavailableError, UnsupportedError
from boxmask_convert.failures import SOME_FAILED
from boxmask_convert.segment_command import main
from boxmask_core.bundle import Bundle
from boxmask_core.cli import main as boxmask
from boxmask_core.engines import HostEngines
from boxmask_core.errors import BundleError, DatasetError, MissingExtraError
from boxmask_core.palette import decode_indexed_png
from tests.bundles import write_tiny_bundle
from tests.clients.running_server import running_server
from tests.clients.scenes import cat, jpeg, photographs
from tests.tiny_networks import CLASS_NAMES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photographs(tmp_path / "data", 6)


def _files(out: Path) -> dict[str, bytes]:
    """Every file but the summary, by its path."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "summary.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def _summary(out: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def _errors(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]


def test_every_image_of_a_folder_gets_a_label_map_of_its_size(
    data: Path, tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(data), str(out), "--bundle", str(bundle.root)]) == 0
    maps = {name: content for name, content in _files(out).items() if name.endswith(".png")}
    assert list(maps) == ["000.png", "001.png", "002.png", "004.png", "005.png", "more/003.png"]
    assert decode_indexed_png(maps["000.png"]).shape == (150, 225)
    assert decode_indexed_png(maps["005.png"]).shape == (70, 195)
    assert (out / "class_names.txt").read_text().split() == ["background", *CLASS_NAMES]
    assert _errors(out) == []
    summary = _summary(out)
    assert (summary["images"], summary["images_segmented"], summary["images_failed"]) == (6, 6, 0)
    labels = [decode_indexed_png(content) for content in maps.values()]
    for index, name in enumerate(("background", *CLASS_NAMES)):
        pixels = sum(int((label == index).sum()) for label in labels)
        assert summary["classes"].get(name, {"pixels": 0})["pixels"] == pixels
    assert summary["model_digests"] == [bundle.network("lgsa").digest]
    told = capsys.readouterr().out
    assert "6 images" in told
    assert "6 of 6 images" in told


@pytest.mark.parametrize("options", [[], ["--scales", "0.5,1", "--flip", "--scores"], ["--crf"]])
def test_a_server_and_this_process_write_the_same_bytes(
    data: Path, tmp_path: Path, bundle: Bundle, server: str, options: list[str]
) -> None:
    assert main([str(data), str(tmp_path / "local"), "--bundle", str(bundle.root), *options]) == 0
    assert main([str(data), str(tmp_path / "remote"), "--server", server, *options]) == 0
    assert _files(tmp_path / "local") == _files(tmp_path / "remote")
    assert _summary(tmp_path / "local")["classes"] == _summary(tmp_path / "remote")["classes"]


def test_scores_are_written_for_the_classes_that_are_found(data: Path, tmp_path: Path, server: str) -> None:
    out = tmp_path / "out"
    main([str(data), str(out), "--server", server, "--scores"])
    labels = decode_indexed_png((out / "more" / "003.png").read_bytes())
    planes = {path.stem: path.read_bytes() for path in (out / "scores" / "more" / "003").iterdir()}
    assert set(planes) == {str(index) for index in np.unique(labels)}
    assert all(decode_indexed_png(plane).shape == labels.shape for plane in planes.values())


def test_files_and_chosen_keys_alone_are_segmented(data: Path, tmp_path: Path, server: str) -> None:
    files = [str(data / "001.jpg"), str(data / "more" / "003.jpg")]
    assert main([*files, str(tmp_path / "files"), "--server", server]) == 0
    assert {name for name in _files(tmp_path / "files") if name.endswith("png")} == {"001.png", "003.png"}
    (tmp_path / "ids.txt").write_text("more/003\n000\n\n000\n")
    assert (
        main([str(data), "--ids", str(tmp_path / "ids.txt"), str(tmp_path / "ids"), "--server", server]) == 0
    )
    assert {name for name in _files(tmp_path / "ids") if name.endswith("png")} == {"000.png", "more/003.png"}


def test_the_output_is_what_evaluate_takes(data: Path, tmp_path: Path, server: str) -> None:
    (tmp_path / "ids.txt").write_text("000\nmore/003\n")
    ids = ["--ids", str(tmp_path / "ids.txt")]
    out = str(tmp_path / "out")
    assert main([str(data), out, "--server", server, *ids]) == 0
    names = str(tmp_path / "out" / "class_names.txt")
    result = tmp_path / "result.json"
    assert boxmask(["evaluate", out, out, *ids, "--names", names, "--json", str(result)]) == 0
    assert json.loads(result.read_text())["mean_iou"] == 1


@pytest.mark.parametrize("where", ["local", "remote"])
def test_what_is_wrong_with_one_image_is_named_and_the_rest_is_segmented(
    data: Path, tmp_path: Path, bundle: Bundle, server: str, where: str
) -> None:
    (data / "text.jpg").write_bytes(b"this is no image")
    (data / "truncated.jpg").write_bytes(jpeg(cat())[:2000])
    (data / "link.jpg").symlink_to(data / "nothing.jpg")
    (data / "folder.jpg").mkdir()
    keys = ["000", "text", "truncated", "link", "absent", "more/003"]
    (tmp_path / "ids.txt").write_text("\n".join(keys))
    out = tmp_path / "out"
    source = ["--bundle", str(bundle.root)] if where == "local" else ["--server", server]
    assert main([str(data), str(out), "--ids", str(tmp_path / "ids.txt"), *source]) == SOME_FAILED
    assert {(error["key"], error["kind"]) for error in _errors(out)} == {
        ("text", "corrupt_image"),
        ("truncated", "corrupt_image"),
        ("link", "missing_image"),
        ("absent", "missing_image"),
    }
    assert {name for name in _files(out) if name.endswith("png")} == {"000.png", "more/003.png"}
    summary = _summary(out)
    assert (summary["images"], summary["images_segmented"], summary["images_failed"]) == (6, 2, 4)


def test_an_earlier_result_is_replaced_only_when_told(data: Path, tmp_path: Path, server: str) -> None:
    command = [str(data), str(tmp_path / "out"), "--server", server]
    main(command)
    with pytest.raises(DatasetError, match="--overwrite"):
        main(command)
    first = _files(tmp_path / "out")
    assert main([*command, "--overwrite"]) == 0
    assert _files(tmp_path / "out") == first


def test_what_cannot_be_done_leaves_nothing(data: Path, tmp_path: Path, bundle: Bundle) -> None:
    out = str(tmp_path / "out")
    half = write_tiny_bundle(tmp_path / "half", ["cfs"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="does not exist"):
        main([str(tmp_path / "nowhere"), out])
    with pytest.raises(DatasetError, match="holds no image"):
        main([str(empty), out])
    with pytest.raises(DatasetError, match="has the key '000', as "):
        main([str(data), str(data / "000.jpg"), out])
    with pytest.raises(BundleError, match="no network 'lgsa'"):
        main([str(data), out, "--bundle", str(half)])
    with pytest.raises(UnavailableError):
        main([str(data), out, "--server", f"unix:{tmp_path}/nothing"])
    listen = f"unix:{tmp_path}/socket"
    with running_server(Bundle.load(half), listen), pytest.raises(NotFoundError, match="no network 'lgsa'"):
        main([str(data), out, "--server", listen])
    assert not any(path.name.startswith((".", "out")) for path in tmp_path.iterdir())
    assert bundle.root.exists()


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_crf_that_is_not_installed_ends_the_command_at_once(
    data: Path, tmp_path: Path, bundle: Bundle, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    arguments = [str(data), str(tmp_path / "out"), "--crf"]
    if where == "local":
        with pytest.raises(MissingExtraError, match=r"boxmask\[crf\]"):
            main([*arguments, "--crf-engine", "pydensecrf", "--bundle", str(bundle.root)])
    else:
        host = HostEngines(crf="pydensecrf")
        with (
            running_server(bundle, f"unix:{tmp_path}/socket", host=host) as address,
            pytest.raises(UnsupportedError, match=r"boxmask\[crf\]"),
        ):
            main([*arguments, "--server", address])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["data"],
        ["data", "out", "--scales", "0.1"],
        ["data", "out", "--scales", "1,x"],
        ["data", "out", "--scales", ""],
        ["data", "out", "--server", "a:1", "--bundle", "b"],
        ["data", "out", "--server", "a:1", "--workers", "2"],
        ["data", "out", "--server", "a:1", "--crf", "--crf-engine", "boxmask"],
        ["data", "out", "--workers", "0"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(wrong)
    assert caught.value.code == 2
    assert "usage: boxmask segment" in capsys.readouterr().err
