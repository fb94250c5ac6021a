from __future__ import annotations

import gc
import io
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from PIL import Image

from boxmask_convert.failures import FailureKind
from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_core.errors import DatasetError, MissingExtraError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import DetectionDataset, RecordError
from boxmask_core.instances import ImageRecord
from boxmask_core.locations import RemotePath, location
from tests.core.formats.stores import BUCKET, s3_server, upload_to_memory, upload_to_s3, web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STORES = ["memory", "s3", "http"]
NAMES = ["a", "sub/b c", "sub/ü#1 50%"]

Upload = "Callable[[Path], str]"


@pytest.fixture(params=STORES)
def upload(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], str]]:
    """Puts a folder into a store; returns its URL."""
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield lambda root: upload_to_memory(root, f"bucket/{root.name}")
    elif request.param == "s3":
        with s3_server(monkeypatch) as client:
            yield lambda root: upload_to_s3(client, root, f"data sets/{root.name}")
    else:
        with web_server(request.getfixturevalue("tmp_path")) as server:
            yield lambda root: f"{server.url}/{root.name}"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_server(monkeypatch) as client:
        yield client


def jpeg(width: int = 40, height: int = 30, orientation: int = 1) -> bytes:
    image = Image.new("RGB", (width, height), "teal")
    exif = image.getexif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def voc(root: Path) -> Path:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for name in NAMES:
        put(root / "JPEGImages" / f"{name}.jpg", jpeg())
        put(
            root / "Annotations" / f"{name}.xml",
            f"<annotation><object><name>cat</name>{box}</object></annotation>",
        )
    put(root / "ImageSets" / "Main" / "val.txt", "\n".join(NAMES))
    return root


def coco(root: Path) -> Path:
    images = [{"id": index, "file_name": f"{name}.jpg"} for index, name in enumerate(NAMES)]
    boxes = [{"image_id": index, "category_id": 3, "bbox": [1, 2, 3, 4]} for index in range(len(NAMES))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 3, "name": "cat"}]}
    put(root / "annotations" / "instances_val.json", json.dumps(content))
    for name in NAMES:
        put(root / "val" / f"{name}.jpg", jpeg())
    return root


def yolo(root: Path) -> Path:
    put(root / "data.yaml", "path: .\ntrain: ../images/train\nval: images/val\nnames: {0: cat}\n")
    for name in NAMES:
        put(root / "images" / "val" / f"{name}.jpg", jpeg(orientation=6))
        put(root / "labels" / "val" / f"{name}.txt", "0 .5 .5 .5 .5\n")
    put(root / "images" / "val" / "unlabelled.png", b"")
    return root


def kitti(root: Path) -> Path:
    for name in NAMES:
        put(root / "label_2" / f"{name}.txt", "Car 0 0 0 1 2 3 4 0 0 0 0 0 0 0\n")
        put(root / "image_2" / f"{name}.png", b"png")
    return root


def imagefolder(root: Path) -> Path:
    rows = [
        {"file_name": f"{name}.jpg", "objects": {"bbox": [[1, 2, 3, 4]], "category": ["cat"]}}
        for name in NAMES
    ]
    put(root / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    for name in NAMES:
        put(root / f"{name}.jpg", jpeg())
    return root


MAKERS = [voc, coco, yolo, kitti, imagefolder]


def records(dataset: DetectionDataset) -> list[ImageRecord]:
    found = list(dataset)
    assert not [entry for entry in found if isinstance(entry, RecordError)]
    return [entry for entry in found if isinstance(entry, ImageRecord)]


@pytest.mark.parametrize("maker", MAKERS)
def test_a_remote_dataset_reads_like_the_same_on_this_machine(
    tmp_path: Path, upload: Callable[[Path], str], maker: Callable[[Path], Path]
) -> None:
    root = maker(tmp_path / "my data")
    url = location(upload(root))
    here, there = open_dataset(root), open_dataset(url)
    assert there.class_names == here.class_names
    assert [note.replace(str(url), str(root)) for note in there.notes] == list(here.notes)
    assert len(there) == len(here) == len(NAMES)
    assert str(there.image_root).startswith(str(url))
    for mine, theirs in zip(records(here), records(there), strict=True):
        assert theirs.key == mine.key
        assert theirs.instances == mine.instances
        assert theirs.declared_size == mine.declared_size
        assert isinstance(theirs.path, RemotePath)
        assert theirs.path.relative_to(there.image_root) == mine.path.relative_to(here.image_root)
        assert read_image(theirs.path) == mine.path.read_bytes()


def test_a_split_and_a_single_file_are_read(tmp_path: Path, upload: Callable[[Path], str]) -> None:
    url = upload(coco(tmp_path / "data"))
    put(tmp_path / "data" / "annotations" / "captions_val.json", "{")  # broken, and nobody asks for it
    expected = ["a", "sub/b c", "sub/ü#1 50%"]
    whole = records(open_dataset(location(url), split="val"))
    assert [record.key for record in whole] == expected
    # A web server is not asked what lies around a file, so there the images have to be named.
    images = f"{url}/val" if url.startswith("http") else None
    file = records(open_dataset(location(f"{url}/annotations/instances_val.json"), images=images))
    assert [record.key for record in file] == expected
    assert [read_image(record.path) for record in file] == [jpeg()] * 3


def test_images_are_read_by_many_threads_at_once(tmp_path: Path, upload: Callable[[Path], str]) -> None:
    root = tmp_path / "many"
    contents = {f"{number:03}": bytes([number]) * 5000 for number in range(64)}
    for name, content in contents.items():
        put(root / f"{name}.jpg", content)
    url = location(upload(root))
    with ThreadPoolExecutor(16) as pool:
        read = pool.map(read_image, [url / f"{name}.jpg" for name in contents])
        assert list(read) == list(contents.values())


def test_what_is_missing_is_a_missing_image(tmp_path: Path, upload: Callable[[Path], str]) -> None:
    root = coco(tmp_path / "data")
    (root / "val" / "sub" / "b c.jpg").unlink()
    dataset = open_dataset(location(upload(root)))
    gone = records(dataset)[1].path
    with pytest.raises(ImageFailedError, match=r"val/sub/b c\.jpg does not exist") as failed:
        read_image(gone)
    assert failed.value.kind is FailureKind.MISSING_IMAGE


def test_nothing_at_a_location_is_an_error_that_names_it(
    tmp_path: Path, upload: Callable[[Path], str]
) -> None:
    url = upload(voc(tmp_path / "data"))
    nowhere = location(f"{url}/no such folder")
    with pytest.raises(DatasetError) as folder:
        open_dataset(nowhere)
    assert folder.value.where == nowhere
    assert "there is no such folder, or nothing in it that may be listed" in folder.value.problem
    with pytest.raises(DatasetError, match=r"data/boxes\.json: there is no such file"):
        open_dataset(location(f"{url}/boxes.json"))


def test_errors_name_the_url_and_not_the_copy(tmp_path: Path, upload: Callable[[Path], str]) -> None:
    root = voc(tmp_path / "data")
    put(root / "Annotations" / "a.xml", "<annotation")
    put(root / "Annotations" / "gone.xml", "<annotation/>")
    url = location(upload(root))
    broken, *_ = open_dataset(url)
    assert isinstance(broken, RecordError)
    assert broken.path == url / "Annotations/a.xml"
    with pytest.raises(DatasetError) as no_split:
        open_dataset(url, split="test")
    assert str(no_split.value).startswith(f"{url}: there is no image set 'test'")
    with pytest.raises(DatasetError) as no_format:
        open_dataset(url, format="coco")
    assert str(no_format.value).startswith(f"{url}: there is no COCO dataset here")


def test_a_web_server_that_lists_nothing_serves_an_annotation_file(tmp_path: Path) -> None:
    root = coco(tmp_path / "data")
    file = root / "annotations" / "instances_val.json"
    put(root / "val" / "instances_val.json", file.read_bytes())
    with web_server(tmp_path) as server:
        server.lists = False
        beside = open_dataset(location(f"{server.url}/data/val/instances_val.json"))
        named = open_dataset(
            location(f"{server.url}/data/annotations/instances_val.json"), images=f"{server.url}/data/val"
        )
        for dataset in (beside, named):
            assert [record.key for record in records(dataset)] == NAMES
            assert [read_image(record.path) for record in records(dataset)] == [jpeg()] * 3
        with pytest.raises(DatasetError, match="of a web server name an annotation file"):
            open_dataset(location(f"{server.url}/data"))


def test_who_may_not_read_is_told_what_to_do(
    tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    del s3
    with web_server(coco(tmp_path / "data")) as server:
        server.refuses = True
        with pytest.raises(DatasetError, match=r"403.*Forbidden.*check the address"):
            open_dataset(location(f"{server.url}/annotations/instances_val.json"))
        with pytest.raises(ImageFailedError, match=r"cannot be read: 403.*Forbidden") as failed:
            read_image(location(f"{server.url}/val/a.jpg"))
        assert failed.value.kind is FailureKind.UNREADABLE_IMAGE
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(
        DatasetError, match=r"(?i)cannot be listed: .*credentials.*AWS_PROFILE.*FSSPEC_S3_ANON"
    ):
        open_dataset(location(f"s3://{BUCKET}/data"))


def test_a_server_that_cannot_be_reached_is_named() -> None:
    with web_server(Path(tempfile.gettempdir())) as server:
        url = server.url
    with pytest.raises(DatasetError) as gone:
        open_dataset(location(f"{url}/instances.json"))
    assert str(gone.value).startswith(
        f"{url}/instances.json: its annotations cannot be fetched: Cannot connect"
    )
    with pytest.raises(ImageFailedError, match="Cannot connect"):
        read_image(location(f"{url}/a.jpg"))


def test_a_name_that_leads_out_of_the_folder_is_refused(s3: Any, tmp_path: Path) -> None:
    url = upload_to_s3(s3, voc(tmp_path / "data"), "data")
    s3.put_object(Bucket=BUCKET, Key="data/Annotations/../../../evil.xml", Body=b"<annotation/>")
    with pytest.raises(DatasetError, match="must lie inside the image folder"):
        open_dataset(location(url))


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [("s3://b/c", "s3fs", "remote"), ("https://h/c", "aiohttp", "remote"), ("gs://b/c", "gcsfs", "gcs")],
)
def test_without_the_extra_it_is_named(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    known = sys.modules["fsspec.registry"]._registry  # of what was imported before
    monkeypatch.delitem(known, url.partition(":")[0], raising=False)
    with pytest.raises(MissingExtraError, match=rf"reading {url} .*'{module}'.*boxmask\[{extra}\]"):
        open_dataset(location(url))


def test_the_copy_of_the_annotations_goes_with_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    url = location(upload_to_memory(voc(tmp_path / "data"), "bucket/gone"))
    dataset = open_dataset(url)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    del dataset
    gc.collect()
    assert not list((tmp_path / "tmp").iterdir())
    with pytest.raises(DatasetError):
        open_dataset(url, split="none")
    gc.collect()
    assert not list((tmp_path / "tmp").iterdir())
