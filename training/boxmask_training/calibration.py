"""Moving a trained network's operating point to where held-out images want it.

GrabCut's errors are lopsided: it takes in background more often than it loses foreground, and a network
that learned from it inherits the bias, however well it averaged the rest of the noise away. One number undoes
it: an offset of the logit, chosen on training images that were held out, and added to the bias of the last
layer. The paper's thresholds (0.6, 0.5, 0.4) then mean what they say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from boxmask_training import checkpoint
from boxmask_training.validation import mean_ious

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.models.cfs import CFS
    from boxmask_training.validation import HeldOut

OFFSETS = tuple(tenths / 10 for tenths in range(-20, 21, 2))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found.

    Attributes:
        offset: What was added to the logit.
        before: Held-out mean IoU without it, 0 to 1.
        after: Held-out mean IoU with it.
    """

    offset: float
    before: float
    after: float


@torch.no_grad()
def calibrate(network: CFS, held_out: HeldOut, size: int) -> Calibration:
    """Adds the offset with the best held-out mean IoU to the network's logit; of equals the smallest.

    Args:
        network: The network, changed in place.
        held_out: Images that training did not see, and their true label maps.
        size: Side of the network's input, pixels.
    """
    judgements = dict(zip(OFFSETS, mean_ious(network, held_out, size, OFFSETS), strict=True))
    offset = max(OFFSETS, key=lambda one: (judgements[one], -abs(one)))
    bias = network.head.bias
    if bias is None:
        raise TypeError("CFS's last layer has a bias by construction")
    bias.add_(offset)
    return Calibration(offset, judgements[0.0], judgements[offset])


def write_calibrated(source: Path, target: Path, held_out: HeldOut) -> Calibration:
    """Writes a copy of a checkpoint whose averaged network is calibrated.

    Args:
        source: The checkpoint.
        target: Where to write.
        held_out: Images that training did not see, and their true label maps.

    Raises:
        TrainingError: The source is no CFS checkpoint.
    """
    trained = checkpoint.load_cfs(source)
    found = calibrate(trained.network, held_out, trained.input_size)
    state = checkpoint.load(source)
    checkpoint.save(target, {**state, "averaged": trained.network.state_dict(), "calibration": asdict(found)})
    return found
