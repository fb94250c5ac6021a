from __future__ import annotations

from dataclasses import fields

import pytest

from boxmask_core.errors import TrainingError
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.configs import cfs_paper, cfs_starter
from boxmask_training.options import setting_types


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"optimizer": "lbfgs"}, "optimizer to be 'sgd' or 'adamw', but got 'lbfgs'"),
        ({"schedule": "flat"}, "schedule to be 'step' or 'cosine'"),
        ({"loss": "l2"}, "loss to be 'ce' or 'gce'"),
        ({"size": 100}, "size to be a positive multiple of 32, but got 100"),
        ({"size": 0}, "size"),
        ({"epochs": 0}, "epochs to be at least 1"),
        ({"stop_after": 61}, "stop_after to be between 0 and epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr to be greater than 0"),
        ({"lr": float("nan")}, "lr"),
        ({"gce_q": 0.0}, "gce_q"),
        ({"class_dropout": 1.5}, "class_dropout"),
        ({"average": 1.0}, "average"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_rule(settings: dict[str, float | str], rule: str) -> None:
    with pytest.raises(TrainingError, match=rule):
        CfsSettings(**settings)  # type: ignore[arg-type]  # one of many types at a time


def test_every_setting_has_a_type_for_the_command_line() -> None:
    types = setting_types(CfsSettings)
    defaults = CfsSettings()
    assert list(types) == [field.name for field in fields(CfsSettings)]
    assert all(type(getattr(defaults, name)) is kind for name, kind in types.items())


def test_the_papers_recipe_is_the_papers() -> None:
    paper = cfs_paper.SETTINGS
    assert (paper.backbone, paper.size, paper.optimizer, paper.loss) == ("resnet50", 224, "sgd", "ce")
    assert (paper.lr, paper.lr_factor, paper.lr_every, paper.epochs) == (0.005, 0.8, 10, 60)
    assert paper.min_side == 50


def test_the_starters_recipe_fits_a_cpu() -> None:
    assert cfs_starter.SETTINGS.backbone == "efficientnet_lite0"
