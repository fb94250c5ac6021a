"""Attention in the exported graph: ONNX Runtime's fused operator in place of an N x N matrix.

What one head adds to the peak memory of a process, and its time, at N positions, queries and keys of width d,
values of width v; float32, ONNX Runtime 1.31, one thread of the CPU provider (N x N alone: 64 MiB, 1 GiB)::

                                        d, v       N = 64^2            N = 128^2
    MatMul, Softmax, MatMul            128, 128     68 MiB  0.34 s     1096 MiB  3.6 s
    ai.onnx Attention, opset 23        128, 128     66 MiB  0.32 s     1056 MiB  3.5 s
    com.microsoft MultiHeadAttention   128, 128      6 MiB  0.23 s       24 MiB  2.3 s
    com.microsoft MultiHeadAttention   128, 21       2 MiB  0.13 s        9 MiB  1.5 s
    MatMul, Softmax, MatMul            256, 256     68 MiB  0.39 s     1073 MiB  6.5 s
    ai.onnx Attention, opset 23        256, 256     64 MiB  0.34 s     1041 MiB  6.8 s
    com.microsoft MultiHeadAttention   256, 256     12 MiB  0.34 s       35 MiB  4.6 s
    com.microsoft MultiHeadAttention   256, 21       4 MiB  0.15 s        7 MiB  2.4 s

Hence MultiHeadAttention. On the CPU its values may be narrower than its queries. CUDA's kernels say otherwise
(read in ONNX Runtime's source, not measured): the one that takes float32 without holding N x N wants both
widths to be multiples of 8, the float16 ones want them equal, up to 256. So the scores of the random walk
stay padded to the width of the queries, as PyTorch's own kernels want them: what that costs on the CPU, at
1024 x 1024 pixels and stride 8, is about a tenth of the time of EfficientNet-Lite0's network, and less on
smaller images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from onnx.defs import OpSchema
from onnxscript import FLOAT, INT64
from onnxscript import opset20 as op
from onnxscript.values import Op, Opset

if TYPE_CHECKING:
    from collections.abc import Callable

_FLOAT = "T"
# The exporter wants the operator's schema, which the onnx package does not know: the part of it that is used.
_MULTI_HEAD_ATTENTION = Op(
    Opset("com.microsoft", 1),
    "MultiHeadAttention",
    OpSchema(
        "MultiHeadAttention",
        "com.microsoft",
        1,
        inputs=[OpSchema.FormalParameter(name, _FLOAT) for name in ("query", "key", "value")],
        outputs=[OpSchema.FormalParameter("output", _FLOAT)],
        type_constraints=[(_FLOAT, ["tensor(float)"], "")],
        attributes=[
            OpSchema.Attribute("num_heads", OpSchema.AttrType.INT, required=True),
            OpSchema.Attribute("scale", OpSchema.AttrType.FLOAT, required=True),
        ],
    ),
)


def fused_attention(query: FLOAT, key: FLOAT, value: FLOAT, *, scale: float) -> Any:
    """Translates ``torch.nn.functional.scaled_dot_product_attention`` of one head, without mask and dropout.

    The exporter tells inputs from settings by the annotations.

    Args:
        query: ``(B, 1, N, d)``.
        key: ``(B, 1, N, d)``.
        value: ``(B, 1, N, v)``.
        scale: What the products of queries and keys are multiplied by.

    Returns:
        ``(B, 1, N, v)``.
    """
    head = cast("INT64", op.Constant(value_ints=[1]))
    rows = (op.Squeeze(part, head) for part in (query, key, value))
    return op.Unsqueeze(_MULTI_HEAD_ATTENTION(*rows, num_heads=1, scale=scale), head)


TRANSLATIONS: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    torch.ops.aten.scaled_dot_product_attention.default: fused_attention
}
"""For ``torch.onnx.export(custom_translation_table=...)``."""
