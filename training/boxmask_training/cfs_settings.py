"""The settings of a CFS run."""

from __future__ import annotations

from dataclasses import dataclass

from boxmask_training.setting_rules import require


@dataclass(frozen=True, slots=True, kw_only=True)
class CfsSettings:
    """How CFS is trained. The defaults are the paper's, where it states them (Xie et al. 2020, section 4.1).

    Attributes:
        backbone: ``resnet50``, ``resnet101`` or ``efficientnet_lite0``.
        weights: ``imagenet``, ``none`` or the path of a state dict.
        size: Side of the square input, pixels; a multiple of 32.
        epochs: Passes over the boxes.
        stop_after: Epochs after which the run ends, its schedule being that of ``epochs``; 0 for all.
        batch_size: Boxes per step and device.
        optimizer: ``sgd`` (momentum 0.9) or ``adamw``.
        lr: Learning rate of the decoder.
        backbone_lr: Learning rate of the backbone relative to ``lr``.
        weight_decay: Weight decay.
        schedule: ``step`` (x ``lr_factor`` every ``lr_every`` epochs) or ``cosine`` (50 warm-up steps).
        lr_factor: See ``schedule``.
        lr_every: See ``schedule``.
        min_side: Boxes with a shorter side are left out of training, pixels.
        min_tightness: Proposals whose own bounding box covers less of the box are left out; 0 keeps all.
        trust_fallbacks: Whether proposals that are a filled box for want of a mask are kept.
        loss: ``ce`` (pixel-wise cross-entropy) or ``gce`` (generalised cross-entropy).
        gce_q: Exponent of ``gce``.
        projection: Weight of the projection loss; 0 leaves it out.
        class_dropout: Probability that a sample's class vector is all zero, so that an unknown class works.
        augment: Whether window, orientation and colours are varied.
        freeze_norm: Whether the backbone's batch norms keep ImageNet's statistics.
        average: Decay of the weights' moving average, which is what is judged and exported; 0 for none.
        seed: Seed of everything.
    """

    backbone: str = "resnet50"
    weights: str = "imagenet"
    size: int = 224
    epochs: int = 60
    stop_after: int = 0
    batch_size: int = 32
    optimizer: str = "sgd"
    lr: float = 0.005
    backbone_lr: float = 1.0
    weight_decay: float = 5e-4
    schedule: str = "step"
    lr_factor: float = 0.8
    lr_every: int = 10
    min_side: float = 50.0
    min_tightness: float = 0.0
    trust_fallbacks: bool = True
    loss: str = "ce"
    gce_q: float = 0.7
    projection: float = 0.0
    class_dropout: float = 0.0
    augment: bool = True
    freeze_norm: bool = False
    average: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require("optimizer", self.optimizer, self.optimizer in {"sgd", "adamw"}, "'sgd' or 'adamw'")
        require("schedule", self.schedule, self.schedule in {"step", "cosine"}, "'step' or 'cosine'")
        require("loss", self.loss, self.loss in {"ce", "gce"}, "'ce' or 'gce'")
        require("size", self.size, self.size > 0 and self.size % 32 == 0, "a positive multiple of 32")
        require("epochs", self.epochs, self.epochs > 0, "at least 1")
        require("stop_after", self.stop_after, 0 <= self.stop_after <= self.epochs, "between 0 and epochs")
        require("batch_size", self.batch_size, self.batch_size > 0, "at least 1")
        require("lr", self.lr, self.lr > 0, "greater than 0")
        require("gce_q", self.gce_q, 0 < self.gce_q <= 1, "in (0, 1]")
        require("class_dropout", self.class_dropout, 0 <= self.class_dropout <= 1, "in [0, 1]")
        require("average", self.average, 0 <= self.average < 1, "in [0, 1)")
