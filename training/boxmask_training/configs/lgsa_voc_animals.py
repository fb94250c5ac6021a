"""LGSA-DeepLab on two CPU cores: the paper's method with a small backbone (placeholder)."""

from boxmask_training.lgsa_settings import LgsaSettings

SETTINGS = LgsaSettings(
    backbone="efficientnet_lite0",
    output_stride=16,
    frozen_levels=2,
    crop=256,
    scale_min=0.4,
    scale_max=1.2,
    score_stride=4,
    epochs=5,
    batch_size=8,
    lr=2.5e-3,
)
