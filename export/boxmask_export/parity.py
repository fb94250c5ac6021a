"""The parity check: ONNX Runtime against PyTorch on photographs, and a limit that it must hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from boxmask_core.errors import ParityError
from boxmask_core.probes import ProbeAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_export.graph import Graph
    from boxmask_export.subject import Feed, Probe

PARITY_LIMIT = 1e-3
"""Largest difference of a probability between ONNX Runtime and PyTorch with the same weights."""


def check_parity(
    graph: Graph, file: Path, probes: Sequence[Probe], *, limit: float = PARITY_LIMIT
) -> dict[str, float]:
    """Compares ONNX Runtime's CPU provider with PyTorch.

    Args:
        graph: The graph that was exported.
        file: Its file.
        probes: What both are asked.
        limit: Largest difference allowed.

    Returns:
        Largest absolute difference of a probability, for each probe.

    Raises:
        ParityError: A probability differs by more than the limit, is not finite, or is not there.
    """
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    errors: dict[str, float] = {}
    for probe in probes:
        for feed in probe.feeds:
            (answer,) = session.run([graph.output], feed)
            difference = _difference(graph.probabilities(np.asarray(answer)), _probabilities(graph, feed))
            if not difference <= limit:  # also catches NaN
                compared = f"ONNX Runtime and PyTorch at {probe.where}"
                raise ParityError(compared, difference, limit, "report it with the checkpoint")
            errors[probe.where] = max(errors.get(probe.where, 0.0), difference)
    return errors


def check_rounding(graph: Graph, rounded: Graph, probes: Sequence[Probe], *, limit: float) -> float:
    """Measures what rounding the weights changes, in PyTorch alone.

    Args:
        graph: The graph with the weights as they were trained.
        rounded: The same with rounded weights.
        probes: What both are asked.
        limit: Largest difference allowed.

    Returns:
        Largest absolute difference of a probability.

    Raises:
        ParityError: A probability differs by more than the limit, or is not finite.
    """
    worst = 0.0
    for feed in (feed for probe in probes for feed in probe.feeds):
        difference = _difference(_probabilities(rounded, feed), _probabilities(graph, feed))
        if not difference <= limit:
            compared = "float16 weights and the trained ones"
            raise ParityError(compared, difference, limit, "export without --half-weights")
        worst = max(worst, difference)
    return worst


def probe_answer(graph: Graph, feed: Feed) -> ProbeAnswer:
    """Returns the last item of a question, with PyTorch's answer, for those who load the graph."""
    alone = {name: np.ascontiguousarray(value[-1:]) for name, value in feed.items()}
    return ProbeAnswer(alone, _probabilities(graph, alone))


def _probabilities(graph: Graph, feed: Feed) -> NDArray[np.float32]:
    with torch.no_grad():
        answer = graph.eval()(**{name: torch.from_numpy(value) for name, value in feed.items()})
    return graph.probabilities(answer.numpy())


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    if first.shape != second.shape:  # NumPy would stretch one to the other
        return math.inf
    return float(np.abs(first - second).max())
