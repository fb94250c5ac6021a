"""What is exported: a trained network's graph, and what the bundle says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.bundle import InputSize
    from boxmask_export.graph import Graph

    Feed = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Questions that the exported graph and PyTorch must answer alike.

    Attributes:
        where: What they have in common, for people: the batch and its size.
        feeds: Inputs of the graph by name, one mapping for each run.
    """

    where: str
    feeds: tuple[Feed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A trained network that is exported.

    Attributes:
        name: Its name in the bundle.
        task: What it does.
        graph: What is exported.
        input: The sizes that it takes.
        output_stride: Input pixels per output pixel and axis.
        class_names: Its classes; the first has index 1 in label maps.
        training_data: What it was trained on, for people.
        probes: Makes the questions of its checks from uint8 RGB images, ``(H, W, 3)``, one at least.
        rounding_limit: Largest difference of a probability that storing its weights as float16 may make.
    """

    name: str
    task: str
    graph: Graph
    input: InputSize
    output_stride: int
    class_names: tuple[str, ...]
    training_data: str
    probes: Callable[[Sequence[NDArray[np.uint8]]], tuple[Probe, ...]]
    rounding_limit: float
