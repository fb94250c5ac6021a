"""A reproduction that takes a minute: discs and squares, two rows, the smallest networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_training.configs import cfs_starter, lgsa_voc_animals
from boxmask_training.reproduce.place import Place
from boxmask_training.reproduce.recipe import Config, Line, Recipe, Row, Table
from tests.training.shapes import write_shapes

if TYPE_CHECKING:
    from pathlib import Path

CFS = Config(
    "starter",
    cfs_starter.SETTINGS,
    {"weights": "none", "size": 32, "epochs": 1, "batch_size": 4, "min_side": 20.0, "freeze_norm": False},
)
LGSA = Config(
    "voc_animals", lgsa_voc_animals.SETTINGS, {"crop": 64, "epochs": 1, "batch_size": 4, "alpha": 5_000.0}
)
ROWS = (
    Row(name="cfs", labels="cfs", crf=True),
    Row(name="truth", labels="truth", changes={"attention": "none"}),
)
TABLE = Table(
    "Supervision",
    "On discs and squares.",
    (Line("CFS", "cfs", 70.8), Line("true labels", "truth", 76.2)),
    reference="truth",
)
RECIPE = Recipe(name="shapes", cfs=CFS, lgsa=LGSA, rows=ROWS, tables=(TABLE,))


def write_place(root: Path, train: int = 8, val: int = 2) -> Place:
    """Writes a VOC folder of shapes, with a first and a second image set, and returns where to work on it."""
    data = write_shapes(root, train + val).voc
    keys = sorted(path.stem for path in (data / "JPEGImages").iterdir())
    place = Place(data=data, out=root / "out", device="cpu")
    place.image_set("val").parent.mkdir(parents=True)
    place.image_set("trainaug").write_text("".join(f"{key}\n" for key in keys[:train]))
    place.image_set("val").write_text("".join(f"{key}\n" for key in keys[train:]))
    return place
