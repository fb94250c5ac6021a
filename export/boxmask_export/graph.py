"""The exported graph: a wrapper around the network, which itself is never edited for export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.models.cfs import CFS

OPSET = 20
INPUTS = ("image", "box_mask", "label")
OUTPUT = "foreground"


class CfsGraph(nn.Module):
    """CFS from decoded pixels to foreground probability."""

    def __init__(self, network: CFS) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
        """Computes the foreground probability.

        Args:
            image: I_exp, uint8 RGB, ``(B, S, S, 3)``.
            box_mask: B_exp, uint8 0 or 1, ``(B, S, S)``.
            label: One-hot class, float32, ``(B, C)``; all zero where the class is unknown.

        Returns:
            float32, ``(B, S, S)``, 0 to 1.
        """
        pixels = image.permute(0, 3, 1, 2).float()
        return torch.sigmoid(self.network(pixels, box_mask[:, None].float(), label))


def export_graph(network: CFS, num_classes: int, size: int, file: Path) -> None:
    """Writes the network as ONNX with a dynamic batch.

    Args:
        network: The network, in evaluation mode, on the CPU.
        num_classes: Length of the class vector.
        size: Side of the square input, pixels.
        file: Where to write.
    """
    example = {
        "image": torch.zeros(2, size, size, 3, dtype=torch.uint8),
        "box_mask": torch.zeros(2, size, size, dtype=torch.uint8),
        "label": torch.zeros(2, num_classes),
    }
    # One input names the axis; the others turn out to share it. Naming it in each of them warns.
    dynamic: dict[str, dict[int, object]] = {name: {0: torch.export.Dim.DYNAMIC} for name in INPUTS}
    dynamic[INPUTS[0]] = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        CfsGraph(network).eval(),
        kwargs=example,
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_shapes=dynamic,
        opset_version=OPSET,
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
