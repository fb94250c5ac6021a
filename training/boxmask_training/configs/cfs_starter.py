"""to be written"""

from boxmask_training.settings import CfsSettings

SETTINGS = CfsSettings(
    backbone="efficientnet_lite0",
    epochs=6,
    batch_size=16,
    optimizer="adamw",
    lr=1e-3,
    backbone_lr=0.3,
    weight_decay=1e-2,
    schedule="cosine",
    min_tightness=0.7,
    trust_fallbacks=False,
    loss="gce",
    projection=0.1,
    class_dropout=0.3,
    freeze_norm=True,
    average=0.99,
)
