"""Which versions of what a result depends on were at work."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_DISTRIBUTIONS: Final = {
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "pillow": ("pillow",),
}
_IN_PROCESS: Final = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "numba": ("numba",),
}
"""What makes the masks; where a server does, they are its own affair."""


def versions(*, in_process: bool) -> dict[str, str]:
    """Returns the versions of boxmask, of Python and of the libraries that decide what is written.

    Args:
        in_process: Whether this process makes the masks, so that what makes them counts too.
    """
    asked = _DISTRIBUTIONS | _IN_PROCESS if in_process else _DISTRIBUTIONS
    found = {name: _first(distributions) for name, distributions in asked.items()}
    return {
        "boxmask": version("boxmask"),
        "python": platform.python_version(),
        **{name: number for name, number in found.items() if number is not None},
    }


def _first(distributions: tuple[str, ...]) -> str | None:
    for distribution in distributions:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None
