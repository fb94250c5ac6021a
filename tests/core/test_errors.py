from __future__ import annotations

import inspect

import pytest

from boxmask_core import errors
from boxmask_core.errors import (
    BoxmaskError,
    BundleError,
    DatasetError,
    DeviceError,
    ImageTooLargeError,
    InvalidBoxError,
    InvalidImageError,
    InvalidInputError,
    InvalidMaskError,
    MissingExtraError,
    TooManyBoxesError,
)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "Error" in line]
    tree: dict[str, str] = {}
    path: list[str] = []
    for line in drawn:
        name = next(word for word in line.split() if word.endswith("Error"))
        depth = (line.index(name) - 4) // 4
        path = [*path[:depth], name]
        tree[name] = path[depth - 1] if depth else "Exception"
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    assert tree == {name: kind.__mro__[1].__name__ for name, kind in classes.items()}


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (InvalidBoxError((1, 2, 3, 4.5), "a rule"), ["a rule", "x0=1", "y1=4.5"]),
        (InvalidBoxError((1, 2, 3, 4), "a rule").of(3, "dog-7"), ["box 3", "dog-7", "a rule"]),
        (InvalidImageError("a.jpg", "it is cut off"), ["a.jpg", "it is cut off", "JPEG, PNG"]),
        (ImageTooLargeError("pixels", 11, 10), ["11 pixels", "10", "--max-pixels"]),
        (TooManyBoxesError(11, 10), ["11 boxes", "10", "--max-boxes"]),
        (InvalidMaskError("mask 3", "too short"), ["mask 3", "too short"]),
        (DatasetError("a/b.xml", "no size"), ["a/b.xml", "no size"]),
        (BundleError("models/x", "no bundle.json"), ["models/x", "no bundle.json"]),
        (DeviceError("cuda", "no driver"), ["'cuda'", "no driver"]),
        (MissingExtraError("boxmask train", "torch", "train"), ["'torch'", "pip install 'boxmask[train]'"]),
    ],
)
def test_a_message_names_the_thing_the_rule_and_the_remedy(error: BoxmaskError, parts: list[str]) -> None:
    assert all(part in str(error) for part in parts)


def test_what_the_caller_sent_wrong_is_told_apart_from_the_rest() -> None:
    assert issubclass(DatasetError, InvalidInputError)
    assert not issubclass(DeviceError, InvalidInputError)
