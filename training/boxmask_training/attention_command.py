"""The command ``boxmask attention``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError, InvalidRequestError, TrainingError
from boxmask_core.images import decode
from boxmask_training.attention_map import attention_maps
from boxmask_training.attention_sheet import Query, attention_sheet, encoded
from boxmask_training.checkpoint import load_lgsa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_training.lgsa_settings import LgsaSettings

SUFFIXES = (".png", ".jpg")


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(
        prog="boxmask attention",
        description="Draw what pixels of an image attend to: the affinity of the last attention module, as "
        "heat maps over the image, one column per checkpoint.",
    )
    out.add_argument("image", type=Path, metavar="IMAGE", help="the photograph")
    out.add_argument(
        "--point", type=_point, action="append", required=True, metavar="X,Y",
        help="query pixel, counted from 0 at the top left; again for another line of the picture",
    )  # fmt: skip
    out.add_argument(
        "--checkpoint", type=Path, action="append", required=True, metavar="FILE",
        help="what `boxmask train lgsa` printed; again for another column",
    )  # fmt: skip
    out.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png or .jpg to write")
    return out


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask attention``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: The image, a point or a checkpoint does not serve.
    """
    arguments = parser().parse_args(argv)
    out: Path = arguments.out
    if out.suffix.lower() not in SUFFIXES:
        raise InvalidRequestError("--out", f"expected a name that ends in .png or .jpg, but got {out.name}")
    try:
        image = decode(arguments.image.read_bytes(), what=str(arguments.image))
    except OSError as error:
        raise DatasetError(arguments.image, f"the image cannot be read: {error.strerror}") from error
    titles, columns = [], []
    for path in arguments.checkpoint:
        trained = load_lgsa(path)
        titles.append(title_of(path, trained.settings))
        columns.append(attention_maps(trained.network, image, arguments.point))
    queries = [Query(point, maps) for point, *maps in zip(arguments.point, *columns, strict=True)]
    sheet = attention_sheet(image, titles, queries)
    write_bytes_atomically(out, encoded(sheet, out.suffix.lower()))
    sys.stdout.write(f"{out}\n")
    return 0


def title_of(checkpoint: Path, settings: LgsaSettings) -> str:
    """Returns what a network's attention is called.

    Raises:
        TrainingError: It has none.
    """
    if settings.attention == "none":
        raise TrainingError(f"{checkpoint} has no attention module; give one that was trained with some")
    if settings.attention == "nonlocal":
        return "Non-local"
    return f"LGSA, alpha {settings.alpha:g}"


def _point(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(-?\d+),(-?\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected X,Y in whole pixels, such as 120,80, but got {text!r}")
    return int(found[1]), int(found[2])
