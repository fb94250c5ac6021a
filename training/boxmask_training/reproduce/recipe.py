"""What a reproduction consists of: the networks to train, on which labels, and the tables they fill."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from boxmask_core.errors import TrainingError
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.setting_rules import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Settings = TypeVar("Settings", bound=CfsSettings | LgsaSettings)
Setting = str | int | float | bool
Labels = Literal["box", "grabcut", "cfs", "truth"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Config(Generic[Settings]):
    """A config of a training command, and what is changed of it.

    Attributes:
        name: Its name, as ``--config`` takes it.
        base: The settings that it stands for.
        changes: Settings that have another value.
    """

    name: str
    base: Settings
    changes: Mapping[str, Setting] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Setting]) -> Config[Settings]:
        """Returns the config with more changes."""
        return Config(self.name, self.base, {**self.changes, **changes})

    def options(self) -> tuple[str, ...]:
        """Returns the options of the training command."""
        changes = [word for name, value in self.changes.items() for word in _option(name, value)]
        return ("--config", self.name, *changes)

    def facts(self) -> str:
        """Returns all settings, also those of the config, as JSON.

        Raises:
            TrainingError: A value breaks its rule.
        """
        changes: dict[str, Any] = dict(self.changes)  # `replace` checks the names
        return json.dumps(asdict(replace(self.base, **changes)), sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network, trained once per seed.

    Attributes:
        name: Its name in paths: lower-case letters, digits, single hyphens.
        labels: The label maps that it learns from: ``box``, ``grabcut`` and ``cfs`` are pseudo-labels.
        changes: Its settings, where they differ from the recipe's config.
        seeds: Seeds, one run each.
        crf: Whether it is evaluated with DenseCRF, too.
    """

    name: str
    labels: Labels
    changes: Mapping[str, Setting] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    crf: bool = False

    def __post_init__(self) -> None:
        require("a row's name", self.name, bool(_NAME.fullmatch(self.name)), "words-joined-by-hyphens")
        require("labels", self.labels, self.labels in get_args(Labels), f"one of {get_args(Labels)}")
        distinct = len(set(self.seeds)) == len(self.seeds) > 0
        require(f"seeds of {self.name}", self.seeds, distinct, "one or more, all different")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Attributes:
        text: What the reader calls it.
        row: The row whose figures it shows; several lines may show one row.
        paper: The paper's figure, percent; None where it gives none.
    """

    text: str
    row: str
    paper: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows side by side, as one of the paper's tables has them.

    Attributes:
        title: Its heading.
        note: What must be known to read it, above all what the paper's figure is.
        lines: Its lines.
        reference: The row that a further column relates all others to; empty for none.
    """

    title: str
    note: str
    lines: tuple[Line, ...]
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole reproduction, on a folder in the layout of VOC 2012.

    Attributes:
        name: Its name.
        cfs: How CFS is trained.
        lgsa: How every row's segmentation network is trained, but for the row's own changes.
        rows: The networks, the most telling first: they are trained in this order.
        tables: What to show.
        classes: Classes that the mean IoU is taken over; empty for all.
        train: Image set to train on.
        val: Image set to evaluate on.
        held_out: File of keys of images, one a line, that CFS does not train on and by whose truth it is
            judged and calibrated; None for none.
    """

    name: str
    cfs: Config[CfsSettings]
    lgsa: Config[LgsaSettings]
    rows: tuple[Row, ...]
    tables: tuple[Table, ...]
    classes: tuple[str, ...] = ()
    train: str = "trainaug"
    val: str = "val"
    held_out: Path | None = None

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        require("rows", names, len(set(names)) == len(names) > 0, "one or more, of different names")
        trained = [(row.labels, self.config(row, 0).facts()) for row in self.rows]
        require("rows", names, len(set(trained)) == len(trained), "different in labels or settings")
        for table in self.tables:
            for name in (*(line.row for line in table.lines), *filter(None, [table.reference])):
                require(f"a row of table {table.title!r}", name, name in names, f"one of {', '.join(names)}")

    def row(self, name: str) -> Row:
        """Returns the row of that name.

        Raises:
            TrainingError: There is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        known = ", ".join(row.name for row in self.rows)
        raise TrainingError(f"{self.name} has no row {name!r}; its rows are {known}")

    def config(self, row: Row, seed: int) -> Config[LgsaSettings]:
        """Returns how a row's network is trained with one of its seeds."""
        return self.lgsa.changed({**row.changes, "seed": seed})


def _option(name: str, value: Setting) -> tuple[str, ...]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return (f"--{flag}" if value else f"--no-{flag}",)
    return f"--{flag}", f"{value:.12g}" if isinstance(value, float) else str(value)
