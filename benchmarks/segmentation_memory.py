"""What segmenting one large image takes of memory: the exported graph against one that holds the affinity.

``python -m benchmarks.segmentation_memory [--side 1024] [--repeats 3]``

The network is EfficientNet-Lite0 at stride 8 with two attention modules and the walk, its weights random:
they change neither memory nor time. The peer is the same graph with attention as MatMul, Softmax and MatMul.
Each run is a fresh process that loads a graph and runs it once on the CPU; the two take turns, medians are
compared, and the peak is that of the whole process. The status is 1 where the exported graph exceeds the
limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from benchmarks.onnx_process import Usage, measure
from benchmarks.publish import publish
from boxmask_export.graph import write_graph
from boxmask_export.segmentation import SegmentationGraph
from boxmask_training.models.build import build_deeplab

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 2 << 30
"""Bytes that the whole process may take at 1024 x 1024 pixels."""
STRIDE = 8
MIB = 1 << 20


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    arguments = parser().parse_args(argv)
    network = build_deeplab("efficientnet_lite0", 21, output_stride=STRIDE, modules=2, walk=True)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "MultiHeadAttention": Path(folder) / "ours.onnx",
            "MatMul-Softmax": Path(folder) / "peer.onnx",
        }
        ours, peer = files
        write_graph(SegmentationGraph(network), files[ours])
        onnx.save(with_dense_attention(onnx.load(str(files[ours]))), str(files[peer]))
        usages: dict[str, list[Usage]] = {attention: [] for attention in files}
        for _ in range(arguments.repeats):
            for attention, file in files.items():
                usages[attention].append(measure(file, arguments.side))
    peak = {attention: statistics.median(usage.peak for usage in runs) for attention, runs in usages.items()}
    seconds = {a: statistics.median(usage.seconds for usage in runs) for a, runs in usages.items()}
    publish(
        "segmentation_memory",
        [
            {
                "attention": attention,
                "pixels": f"{arguments.side} x {arguments.side}",
                "cells": (arguments.side // STRIDE) ** 2,
                "peak MiB": round(peak[attention] / MIB),
                "seconds": seconds[attention],
            }
            for attention in files
        ],
        {
            "memory": peak[peer] / peak[ours],
            "time": seconds[peer] / seconds[ours],
            "limit_over_peak": LIMIT / peak[ours],
        },
    )
    return int(peak[ours] >= LIMIT)


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.segmentation_memory", description=__doc__)
    out.add_argument("--side", type=int, default=1024, help="side of the image, pixels, a multiple of 32")
    out.add_argument("--repeats", type=int, default=3, help="turns of which the median is taken")
    return out


def with_dense_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a graph that computes the same and holds the affinity of all cells to all cells.

    Args:
        model: An exported segmentation network.
    """
    dense = onnx.ModelProto()
    dense.CopyFrom(model)
    del dense.graph.node[:]
    for node in model.graph.node:
        attends = node.op_type == "MultiHeadAttention"
        dense.graph.node.extend(_dense_attention(node) if attends else [node])
    return dense


def _dense_attention(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    (query, key, value), (output,) = node.input, node.output
    keys, products, affinity = (f"{output}.{part}" for part in ("keys", "products", "affinity"))
    return [
        helper.make_node("Transpose", [key], [keys], perm=[0, 2, 1]),
        helper.make_node("MatMul", [query, keys], [products]),
        helper.make_node("Softmax", [products], [affinity], axis=-1),
        helper.make_node("MatMul", [affinity, value], [output]),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
