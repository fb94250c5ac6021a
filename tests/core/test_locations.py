from __future__ import annotations

import pickle
from pathlib import Path, PosixPath

import pytest

from boxmask_core.errors import DatasetError
from boxmask_core.locations import RemotePath, location, stands_for


@pytest.mark.parametrize("text", ["data", "/data/voc", "../x", "C:/voc", "s3:bucket", "a/s3://b"])
def test_a_path_is_a_path(text: str) -> None:
    assert type(location(text)) is PosixPath
    assert location(text) == Path(text)


def test_a_file_url_is_a_path() -> None:
    assert location("file:///data/my%20boxes") == Path("/data/my boxes")
    assert type(location("file:///data")) is PosixPath


@pytest.mark.parametrize(
    "url",
    ["s3://bucket", "s3://bucket/a b/c.jpg", "gs://b/ü", "https://host:8080/x", "memory://a/b", "az://c/d"],
)
def test_a_url_is_told_as_it_was_named(url: str) -> None:
    path = location(url)
    assert isinstance(path, RemotePath)
    assert str(path) == path.as_posix() == url
    assert path.scheme == url.partition(":")[0]
    assert path.absolute() == path


def test_names_of_web_servers_are_unquoted() -> None:
    assert str(location("https://host/my%20data/%C3%BC%231.json")) == "https://host/my data/ü#1.json"


@pytest.mark.parametrize("url", ["https://host/a.json?token=x", "http://host/a.json#part"])
def test_a_query_is_refused(url: str) -> None:
    with pytest.raises(DatasetError, match="must have no query"):
        location(url)


def test_what_pathlib_says_of_names_holds() -> None:
    path = location("s3://bucket/data/sub/a.b.jpg")
    assert (path.name, path.stem, path.suffix) == ("a.b.jpg", "a.b", ".jpg")
    assert str(path.parent) == "s3://bucket/data/sub"
    assert str(path.with_suffix(".png")) == "s3://bucket/data/sub/a.b.png"
    assert str(location("s3://bucket") / "data" / "sub/a.jpg") == "s3://bucket/data/sub/a.jpg"
    assert str(location("s3://bucket") / Path("data")) == "s3://bucket/data"
    relative = path.relative_to(location("s3://bucket/data"))
    assert relative == Path("sub/a.b.jpg")
    assert type(relative) is PosixPath
    with pytest.raises(ValueError, match="subpath"):
        path.relative_to(location("s3://other"))


def test_it_survives_a_journey_to_another_process() -> None:
    path = location("https://host/my data/a.jpg")
    copy = pickle.loads(pickle.dumps(path))
    assert isinstance(copy, RemotePath)
    assert copy == path
    assert hash(copy) == hash(path)
    assert str(copy) == str(path)


def test_it_cannot_be_taken_for_a_path_of_this_machine() -> None:
    with (
        pytest.raises(TypeError, match="s3://bucket/a is no path of this machine"),
        open(  # noqa: PTH123 - the very call that is refused
            location("s3://bucket/a")
        ),
    ):
        pass


def test_an_unknown_scheme_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match=r"gopher://host/a: is no URL that fsspec reads"):
        location("gopher://host/a").read_bytes()


def test_only_links_to_urls_stand_for_something(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "url").symlink_to("s3://bucket/a.jpg")
    assert stands_for(tmp_path / "file") is None
    assert stands_for(tmp_path / "link") is None
    assert stands_for(tmp_path / "missing") is None
    assert stands_for(location("s3://bucket/b.jpg")) is None
    assert stands_for(tmp_path / "url") == location("s3://bucket/a.jpg")
