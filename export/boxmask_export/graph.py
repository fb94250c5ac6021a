"""From PyTorch to an ONNX file: what every exported graph has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import onnx
import torch
from torch import Tensor, nn

from boxmask_export.attention import TRANSLATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    VaryingAxes = Mapping[str, Mapping[int, object]]

OPSET = 20


class Graph(nn.Module, ABC):
    """A network from the pixels of an image to its answer, as it is exported.

    It wraps the network, which itself is never edited for export.

    Attributes:
        output: Name of the answer in the graph.
    """

    output: ClassVar[str]

    @abstractmethod
    def example(self) -> dict[str, Tensor]:
        """Returns inputs by name; no axis that varies has the size 1, which would be taken for fixed."""

    @abstractmethod
    def varying_axes(self) -> VaryingAxes:
        """Returns the axes that vary, by input, as ``torch.export`` takes them."""

    @abstractmethod
    def probabilities(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turns an answer into the probabilities that it stands for."""


def write_graph(graph: Graph, file: Path) -> None:
    """Writes a graph as ONNX.

    Args:
        graph: The graph, its network on the CPU.
        file: Where to write.
    """
    example = graph.example()
    program = torch.onnx.export(
        graph.eval(),
        kwargs=example,
        input_names=list(example),
        output_names=[graph.output],
        dynamic_shapes={name: dict(axes) for name, axes in graph.varying_axes().items()},
        opset_version=OPSET,
        custom_translation_table=TRANSLATIONS,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    _strip_traces(model)
    onnx.save(model, str(file))
    onnx.checker.check_model(str(file), full_check=True)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Removes the stack traces that the exporter attaches: they name folders of the machine it runs on."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
