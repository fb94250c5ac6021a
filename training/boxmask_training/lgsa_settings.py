"""The settings of an LGSA-DeepLab run."""

from __future__ import annotations

from dataclasses import dataclass

from boxmask_training.setting_rules import require

ATTENTIONS = ("lgsa", "nonlocal", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class LgsaSettings:
    """How LGSA-DeepLab is trained.

    The defaults are the paper's (Xie et al. 2020, section 4.1) and, where it refers to them, DeepLab-v2's
    (Chen et al. 2017).

    Attributes:
        backbone: ``resnet101``, ``resnet50`` or ``efficientnet_lite0``.
        weights: ``imagenet``, ``none`` or the path of a state dict.
        output_stride: Pixels per cell of the feature grid: 8 or 16.
        frozen_levels: Levels of the backbone that are not trained, from the first on, its stem with them; 0
            trains all.
        attention: ``lgsa``; ``nonlocal``: the same modules without their loss and without the walk; ``none``.
        modules: Cascaded attention modules, 1 to 3.
        alpha: Weight of the affinity loss of each module, as the paper states it: for a feature grid of
            41 x 41. It is converted to the grid at hand (`boxmask_training.affinity_loss.alpha_at`). The
            paper takes 10 000 for two modules and more, 1 000 for one.
        walk: Whether the scores take a random walk with the last module's affinity.
        crop: Side of the square crop, pixels; it is padded to a multiple of the output stride.
        scale_min: Smallest factor of the random scale.
        scale_max: Largest factor of the random scale.
        multi_scale: Whether the loss is DeepLab-v2's sum over inputs at 1, 0.75 and 0.5 and the maximum of
            their scores.
        score_stride: Pixels per axis between the places at which the cross-entropy compares scores with
            labels. At the output stride these are the cells of the feature grid, as in DeepLab-v2; below it
            the scores are interpolated.
        epochs: Passes over the images.
        stop_after: Epochs after which the run ends, its schedule being that of ``epochs``; 0 for all.
        batch_size: Images per step and device.
        optimizer: ``sgd`` or ``adamw``.
        lr: Learning rate of the backbone; weights of classifier and attention take ``head_lr`` times as much,
            their biases twice that, without decay.
        head_lr: See ``lr``.
        momentum: Momentum of SGD.
        weight_decay: Weight decay.
        power: Exponent of the poly schedule.
        warmup_epochs: Epochs with a lower rate at the start.
        warmup_factor: How much lower.
        seed: Seed of everything.
    """

    backbone: str = "resnet101"
    weights: str = "imagenet"
    output_stride: int = 8
    frozen_levels: int = 0
    attention: str = "lgsa"
    modules: int = 2
    alpha: float = 10_000.0
    walk: bool = True
    crop: int = 321
    scale_min: float = 0.5
    scale_max: float = 1.5
    multi_scale: bool = False
    score_stride: int = 8
    epochs: int = 15
    stop_after: int = 0
    batch_size: int = 10
    optimizer: str = "sgd"
    lr: float = 2.5e-4
    head_lr: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    power: float = 0.9
    warmup_epochs: float = 1.0
    warmup_factor: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require("output_stride", self.output_stride, self.output_stride in {8, 16}, "8 or 16")
        divides = self.score_stride > 0 and self.output_stride % self.score_stride == 0
        require("score_stride", self.score_stride, divides, f"a divisor of {self.output_stride}")
        require("frozen_levels", self.frozen_levels, 0 <= self.frozen_levels <= 4, "between 0 and 4")
        require("attention", self.attention, self.attention in ATTENTIONS, f"one of {', '.join(ATTENTIONS)}")
        require("modules", self.modules, 1 <= self.modules <= 3, "between 1 and 3")
        require("alpha", self.alpha, self.alpha >= 0, "at least 0")
        require("crop", self.crop, self.crop > 0, "at least 1")
        require("scale_min", self.scale_min, 0 < self.scale_min <= self.scale_max, "in (0, scale_max]")
        require("epochs", self.epochs, self.epochs > 0, "at least 1")
        require("stop_after", self.stop_after, 0 <= self.stop_after <= self.epochs, "between 0 and epochs")
        require("batch_size", self.batch_size, self.batch_size > 0, "at least 1")
        require("optimizer", self.optimizer, self.optimizer in {"sgd", "adamw"}, "'sgd' or 'adamw'")
        require("lr", self.lr, self.lr > 0, "greater than 0")
        require("head_lr", self.head_lr, self.head_lr > 0, "greater than 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)")
        require("warmup_epochs", self.warmup_epochs, self.warmup_epochs >= 0, "at least 0")
        require("warmup_factor", self.warmup_factor, 0 < self.warmup_factor <= 1, "in (0, 1]")

    @property
    def guided(self) -> bool:
        """Whether the affinity loss counts."""
        return self.attention == "lgsa" and self.alpha > 0

    @property
    def walks(self) -> bool:
        """Whether the network's scores take the random walk."""
        return self.attention == "lgsa" and self.walk

    @property
    def attention_modules(self) -> int:
        """Number of attention modules that the network really has."""
        return 0 if self.attention == "none" else self.modules

    @property
    def padded_crop(self) -> int:
        """Side of the crop after padding, pixels."""
        return -(-self.crop // self.output_stride) * self.output_stride
