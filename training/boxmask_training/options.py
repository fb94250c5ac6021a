"""The options that the training commands share: every setting of a dataclass, and where a run is placed."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from boxmask_training.run import Accelerator, Precision

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)

KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


def setting_types(settings: type[DataclassInstance]) -> dict[str, type]:
    """Returns the settings' names and types, in order."""
    return {field.name: KINDS[str(field.type)] for field in fields(settings)}


def add_placement_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where and how a run runs, which change nothing of what it computes."""
    parser.add_argument(
        "--accelerator", choices=get_args(Accelerator), default="auto", help="what to train on"
    )
    parser.add_argument(
        "--devices", default="auto", help="auto, or a number per node (several: use torchrun)"
    )
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="32-true", help="of the arithmetic"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that load samples")
    parser.add_argument("--checkpoint-every", type=int, default=200, help="steps between checkpoints")


def add_setting_options(parser: argparse.ArgumentParser, settings: type[DataclassInstance]) -> None:
    """Gives every setting an option that overrides the config's value."""
    group = parser.add_argument_group("settings", "each overrides the config's value")
    for name, kind in setting_types(settings).items():
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None)
        else:
            group.add_argument(flag, type=kind, default=None, metavar=name.upper())


def overridden(config: Settings, arguments: argparse.Namespace) -> Settings:
    """Returns the config with the values that the command line gives."""
    given: dict[str, Any] = {name: getattr(arguments, name) for name in setting_types(type(config))}
    return replace(config, **{name: value for name, value in given.items() if value is not None})
