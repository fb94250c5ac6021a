from __future__ import annotations

import json
import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxmask_core.errors import DatasetError
from boxmask_core.formats import json_items as stream
from boxmask_core.formats.json_items import ListStart, json_items

if TYPE_CHECKING:
    from pathlib import Path

ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\é', max_size=3), inner),
    max_leaves=12,
)


def whole(file: Path) -> Any:
    """What the stream tells, put together again."""
    root: Any = None
    for field, value in json_items(file):
        if field is None and value is ListStart.LIST:
            root = []
        elif field is None:
            root = [*root, value] if isinstance(root, list) else value
        elif value is ListStart.LIST:
            root = {**(root or {}), field: []}
        elif isinstance((root or {}).get(field), list):
            root[field].append(value)
        else:
            root = {**(root or {}), field: value}
    return {} if root is None and file.read_bytes().strip() != b"null" else root


@ONE_FILE
@given(VALUES, st.sampled_from([1, 2, 5, 64]), st.sampled_from([None, 1]), st.booleans())
def test_whatever_json_loads_reads_comes_item_by_item(
    tmp_path: Path, value: Any, chunk: int, indent: int | None, ascii_only: bool
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_CHUNK", chunk)
        assert repr(whole(file)) == repr(json.loads(file.read_bytes()))  # repr: NaN is not equal to itself


@ONE_FILE
@given(VALUES, st.data(), st.sampled_from([1, 3, 64]))
def test_whatever_json_loads_refuses_is_refused(
    tmp_path: Path, value: Any, data: st.DataObject, chunk: int
) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    broken = text[:at] + data.draw(st.sampled_from(["", "]", "}", ",", '"', "x", "1", "\0"])) + text[at + 1 :]
    file = tmp_path / "a.json"
    file.write_text(broken, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_CHUNK", chunk)
        try:
            expected = json.loads(broken)
        except ValueError:
            with pytest.raises(DatasetError, match=r"a\.json: cannot be read as JSON"):
                list(json_items(file))
        else:
            list(json_items(file))
            assert not isinstance(expected, str) or whole(file) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_of_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"images": ["ü"]}', encoding=encoding)
    assert list(json_items(file)) == [("images", ListStart.LIST), ("images", "ü")]


def test_fields_that_are_not_wanted_are_dropped_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[{"id": 1, "mask": "x", "shape": {"mask": 2, "of": [{"mask": 3}]}}, {"mask": 4}]')
    items = [value for _, value in json_items(file, without=("mask",))][1:]
    assert items == [{"id": 1, "shape": {"of": [{}]}}, {}]


def test_an_error_tells_where_it_stands_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_CHUNK", 16)
    file = tmp_path / "a.json"
    text = "[" + "1234567, " * 20 + "oops]"
    file.write_text(text)
    with pytest.raises(DatasetError, match=rf"Expecting value \(char {text.index('oops')}\)"):
        list(json_items(file))


def test_a_broken_item_ends_the_reading_and_not_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with file.open("w") as opened:
        opened.write("[{oops}, ")
        opened.writelines("[1, 2, 3], " * 1000 for _ in range(3000))
        opened.write("0]")
    assert file.stat().st_size > 32_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="cannot be read as JSON"):
            list(json_items(file))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_infinity_and_nan_are_numbers_as_annotation_tools_write_them(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("[NaN, -Infinity]")
    first, second = [value for _, value in json_items(file)][1:]
    assert math.isnan(first)
    assert second == -math.inf
