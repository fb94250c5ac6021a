"""What the options of ``boxmask train lgsa`` are worth on this machine: speed against the plain run.

    python -m benchmarks.training_options [--config voc_animals] [--device cuda]

One step is forward, backward and optimizer on random images; all options take turns in one process.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric

from benchmarks.publish import publish
from boxmask_training.lgsa_command import CONFIGS
from boxmask_training.models.build import build_deeplab
from boxmask_training.segmentation_losses import segmentation_loss
from boxmask_training.train_lgsa import build_optimizer, freeze, prepare_for_training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.publish import Value
    from boxmask_training.lgsa_settings import LgsaSettings
    from boxmask_training.run import Precision

NUM_CLASSES = 21


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run the same training.

    Attributes:
        name: What the table calls it.
        channels_last: Memory layout.
        precision: Of the arithmetic.
        compile: Whether the network goes through ``torch.compile``.
    """

    name: str
    channels_last: bool = True
    precision: Precision = "32-true"
    compile: bool = False


PLAIN = Option("contiguous, float32", channels_last=False)
OPTIONS = (
    PLAIN,
    Option("channels last"),
    Option("channels last, bf16-mixed", precision="bf16-mixed"),
    Option("channels last, compiled", compile=True),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark.

    Args:
        argv: Arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_options", description=__doc__)
    parser.add_argument("--config", choices=sorted(CONFIGS), default="voc_animals")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--turns", type=int, default=5, help="steps of each option")
    options = parser.parse_args(argv)
    steps = {option: prepared(option, CONFIGS[options.config], options.device) for option in OPTIONS}
    seconds: dict[Option, list[float]] = {option: [] for option in OPTIONS}
    for _ in range(options.turns):
        for option, step in steps.items():
            started_at = time.perf_counter()
            step()
            seconds[option].append(time.perf_counter() - started_at)
    medians = {option: median(times) for option, times in seconds.items()}
    rows: list[dict[str, Value]] = [
        {"option": option.name, "s a step": medians[option], "speed": medians[PLAIN] / medians[option]}
        for option in OPTIONS
    ]
    publish("training_options", rows, {str(row["option"]): float(row["speed"]) for row in rows})
    return 0


def prepared(option: Option, settings: LgsaSettings, device: str) -> Callable[[], None]:
    """Builds the run and takes its first step, which compiles; the next ones are to be timed."""
    fabric = Fabric(accelerator=device, devices=1, precision=option.precision)
    network = build_deeplab(
        settings.backbone, NUM_CLASSES, output_stride=settings.output_stride,
        modules=settings.attention_modules, walk=settings.walks,
    )  # fmt: skip
    freeze(network, settings.frozen_levels)
    layout = torch.channels_last if option.channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    if option.compile:
        network.compile()
    model: Any
    model, optimizer = fabric.setup(network, build_optimizer(network, settings))
    prepare_for_training(network)
    side = settings.padded_crop
    image = torch.rand(settings.batch_size, 3, side, side, device=fabric.device) * 255
    labels = torch.randint(0, 3, (settings.batch_size, side, side), dtype=torch.uint8, device=fabric.device)

    def step() -> None:
        loss = segmentation_loss(model, image.contiguous(memory_format=layout), labels, settings)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        float(loss.detach())  # waits for the device

    step()
    return step


if __name__ == "__main__":
    sys.exit(main())
