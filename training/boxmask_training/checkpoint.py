"""Checkpoints: what a run needs to go on exactly, and what an export needs to rebuild the network."""

from __future__ import annotations

from dataclasses import dataclass
from pickle import UnpicklingError
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import torch

from boxmask_core.atomic import open_atomically
from boxmask_core.errors import TrainingError
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.build import MAX_REASON, build_cfs, build_deeplab

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.models.cfs import CFS
    from boxmask_training.models.deeplab import DeepLab

FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainedCfs:
    """A CFS network that was read from a checkpoint.

    Attributes:
        network: The network with its averaged weights, in evaluation mode, on the CPU.
        class_names: Its classes, in the order of the class vector.
        input_size: Side of its square input, pixels.
        training_data: What it was trained on, for people.
        settings: The settings of the run.
    """

    network: CFS
    class_names: tuple[str, ...]
    input_size: int
    training_data: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainedLgsa:
    """An LGSA-DeepLab network that was read from a checkpoint.

    Attributes:
        network: The network, in evaluation mode, on the CPU.
        class_names: Its classes; the first has index 1 in label maps, after the background.
        training_data: What it was trained on, for people.
        settings: The settings of the run.
    """

    network: DeepLab
    class_names: tuple[str, ...]
    training_data: str
    settings: LgsaSettings


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint; a reader finds the old one or the new one, never a part.

    Args:
        path: Where to write.
        state: Tensors and plain values.
    """
    with open_atomically(path) as stream:
        torch.save({"format": FORMAT, **state}, stream)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint.

    Raises:
        TrainingError: The file is missing, damaged, or of another format.
    """
    if not path.is_file():
        raise TrainingError(f"there is no checkpoint {path}")
    try:
        _check_sums(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (BadZipFile, OSError, RuntimeError, EOFError, ValueError, LookupError, UnpicklingError) as error:
        reason = shorten(str(error), MAX_REASON)
        raise TrainingError(f"{path} is not a boxmask checkpoint, or is damaged: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"expected {path} to be a checkpoint of format {FORMAT}; train again with this version"
        )
    return state


def load_trained(path: Path) -> TrainedCfs | TrainedLgsa:
    """Rebuilds the network of a checkpoint, whichever it is.

    Raises:
        TrainingError: The file is no checkpoint of a network.
    """
    state = load(path)
    task = state.get("task")
    if task == "cfs":
        return _cfs(state)
    if task == "lgsa":
        return _lgsa(state)
    raise TrainingError(f"expected {path} to hold a CFS or an LGSA-DeepLab network, but got {task!r}")


def load_cfs(path: Path) -> TrainedCfs:
    """Rebuilds the network of a CFS checkpoint.

    Raises:
        TrainingError: The file is no CFS checkpoint.
    """
    state = load(path)
    if state.get("task") != "cfs":
        raise TrainingError(f"expected {path} to hold a CFS network, but got {state.get('task')!r}")
    return _cfs(state)


def load_lgsa(path: Path) -> TrainedLgsa:
    """Rebuilds the network of an LGSA-DeepLab checkpoint.

    Raises:
        TrainingError: The file is no LGSA-DeepLab checkpoint.
    """
    state = load(path)
    if state.get("task") != "lgsa":
        raise TrainingError(f"expected {path} to hold an LGSA-DeepLab network, but got {state.get('task')!r}")
    return _lgsa(state)


def _cfs(state: dict[str, Any]) -> TrainedCfs:
    settings, class_names = state["settings"], tuple(state["class_names"])
    network = build_cfs(settings["backbone"], len(class_names))
    network.load_state_dict(state["averaged"])
    return TrainedCfs(
        network.eval(), class_names, int(settings["size"]), str(settings["training_data"]), dict(settings)
    )


def _lgsa(state: dict[str, Any]) -> TrainedLgsa:
    fields, class_names = dict(state["settings"]), tuple(state["class_names"])
    training_data = str(fields.pop("training_data"))
    settings = LgsaSettings(**fields)
    network = build_deeplab(
        settings.backbone,
        len(class_names) + 1,
        output_stride=settings.output_stride,
        modules=settings.attention_modules,
        walk=settings.walks,
    )
    network.load_state_dict(state["network"])
    return TrainedLgsa(network.eval(), class_names, training_data, settings)


def _check_sums(path: Path) -> None:
    """Compares every part of the file with its checksum, which torch writes and does not read."""
    with ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise BadZipFile(f"the checksum of {damaged} does not fit")
