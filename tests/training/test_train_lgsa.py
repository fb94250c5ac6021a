from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from boxmask_core.cli import main
from boxmask_core.errors import TrainingError
from boxmask_core.formats.voc import VocDataset
from boxmask_training import checkpoint
from boxmask_training import train_lgsa as module
from boxmask_training.configs import lgsa_voc_animals
from boxmask_training.lgsa_job import LgsaJob
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.build import build_deeplab, load_pretrained
from boxmask_training.options import setting_types
from boxmask_training.segmentation_losses import segmentation_loss
from boxmask_training.segmentation_samples import find_samples
from boxmask_training.train_lgsa import (
    build_optimizer,
    freeze,
    prepare_for_training,
    set_learning_rate,
    train_lgsa,
)
from tests.training.shapes import CLASS_NAMES

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from boxmask_training.models.deeplab import DeepLab
    from boxmask_training.models.lgsa import LGSA
    from tests.training.shapes import Shapes

SETTINGS = LgsaSettings(
    backbone="efficientnet_lite0", output_stride=16, score_stride=4, frozen_levels=2, crop=64, epochs=2,
    batch_size=2, optimizer="adamw", lr=1e-4, head_lr=5.0, scale_min=0.7, scale_max=1.0, warmup_epochs=0.25,
)  # fmt: skip


def shapes_job(shapes: Shapes, out: Path, settings: LgsaSettings = SETTINGS) -> LgsaJob:
    return LgsaJob(
        settings=settings, samples=find_samples(VocDataset(shapes.voc), shapes.truth),
        class_names=CLASS_NAMES, out=out, training_data="shapes", accelerator="cpu", workers=0,
        progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(shapes: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("finished")
    assert train_lgsa(shapes_job(shapes, out)) == out / "last.ckpt"
    return out


@pytest.fixture
def network() -> DeepLab:
    return build_deeplab("efficientnet_lite0", 3, output_stride=16, modules=2, walk=True)


def state_of(out: Path) -> dict[str, Any]:
    return checkpoint.load(out / "last.ckpt")


def test_a_run_learns(finished: Path) -> None:
    losses = state_of(finished)["progress"]["epoch_losses"]
    assert len(losses) == 2
    assert losses[1] < 0.8 * losses[0]


def test_a_run_logs_what_tensorboard_shows(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/learning_rate"}
    assert [event.step for event in events.Scalars("train/loss")] == list(range(16))


def test_a_checkpoint_rebuilds_its_network(finished: Path) -> None:
    trained = checkpoint.load_lgsa(finished / "last.ckpt")
    weights = state_of(finished)["network"]
    assert all(torch.equal(weights[name], value) for name, value in trained.network.state_dict().items())
    assert (trained.class_names, trained.training_data, trained.settings) == (CLASS_NAMES, "shapes", SETTINGS)
    assert trained.network.walk
    assert not trained.network.training


def test_a_checkpoint_of_another_task_is_refused(finished: Path) -> None:
    with pytest.raises(TrainingError, match="to hold a CFS network, but got 'lgsa'"):
        checkpoint.load_cfs(finished / "last.ckpt")


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    finished: Path, shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def stop_in_the_second_epoch(*arguments: Any) -> Any:
        if len(steps) == 11:
            raise KeyboardInterrupt
        steps.append(1)
        return segmentation_loss(*arguments)

    monkeypatch.setattr(module, "segmentation_loss", stop_in_the_second_epoch)
    job = replace(shapes_job(shapes, tmp_path), checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        train_lgsa(job)
    monkeypatch.undo()
    assert state_of(tmp_path)["progress"]["epoch"] == 1
    train_lgsa(replace(job, workers=1))
    resumed, unbroken = state_of(tmp_path), state_of(finished)
    assert resumed["progress"] == unbroken["progress"]
    assert all(torch.equal(value, unbroken["network"][name]) for name, value in resumed["network"].items())


def test_another_job_in_the_same_folder_is_refused(finished: Path, shapes: Shapes) -> None:
    job = shapes_job(shapes, finished)
    relabelled = replace(job.samples[0], digest="0")
    for other in (
        replace(job, settings=replace(SETTINGS, alpha=5.0)),
        replace(job, samples=(relabelled, *job.samples[1:])),
    ):
        with pytest.raises(TrainingError, match="other settings, classes or data"):
            train_lgsa(other)


def test_frozen_parts_keep_their_weights_and_statistics(finished: Path) -> None:
    before = build_deeplab("efficientnet_lite0", 3, output_stride=16, modules=2, walk=True)
    load_pretrained(before, "imagenet")
    trained = state_of(finished)["network"]
    norms = {name for name, part in before.named_modules() if isinstance(part, nn.BatchNorm2d)}
    for name, value in before.state_dict().items():
        owner = name.rpartition(".")[0]
        frozen = owner in norms or name.startswith(
            ("backbone.stem", "backbone.levels.0", "backbone.levels.1")
        )
        assert torch.equal(trained[name], value) == (frozen or name.startswith("normalize")), name


def test_batch_norms_are_frozen_with_their_affine_parameters(network: DeepLab) -> None:
    freeze(network, 0)
    prepare_for_training(network)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert not any(part.training for part in norms)
    assert not any(weight.requires_grad for part in norms for weight in part.parameters())
    assert network.training
    assert all(weight.requires_grad for weight in network.classifier.parameters())
    assert next(network.backbone.stem.parameters()).requires_grad


def test_learning_rates_are_deeplabs(network: DeepLab) -> None:
    freeze(network, 0)
    settings = LgsaSettings()
    optimizer = build_optimizer(network, settings)
    groups = optimizer.param_groups
    assert [group["scale"] for group in groups] == [1.0, 10.0, 20.0]
    assert [group["weight_decay"] for group in groups] == [5e-4, 5e-4, 0.0]
    trained = sum(weight.requires_grad for weight in network.parameters())
    assert sum(len(group["params"]) for group in groups) == trained
    attention = cast("LGSA", network.attention[0])
    assert any(weight is attention.theta.weight for weight in groups[1]["params"])
    assert any(weight is attention.theta.bias for weight in groups[2]["params"])
    rates = {}
    for step in (0, 1057, 1058, 15_869):
        set_learning_rate(optimizer, settings, step, 1058)
        rates[step] = [group["lr"] for group in groups]
    assert rates[0] == pytest.approx([2.5e-5, 2.5e-4, 5e-4])
    warm = 2.5e-4 * (1 - 1057 / 15_870) ** 0.9
    assert rates[1057][0] == pytest.approx(warm / 10)
    assert rates[1058][0] == pytest.approx(warm, rel=1e-3)
    assert rates[15_869][0] == pytest.approx(2.5e-4 * (1 / 15_870) ** 0.9)


def test_too_few_images_for_a_batch_are_refused(shapes: Shapes, tmp_path: Path) -> None:
    job = replace(shapes_job(shapes, tmp_path), settings=replace(SETTINGS, batch_size=17))
    with pytest.raises(TrainingError, match="at least 17 images for one batch, but got 16"):
        train_lgsa(job)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"output_stride": 32}, "output_stride to be 8 or 16, but got 32"),
        ({"attention": "cross"}, "one of lgsa, nonlocal, none, but got 'cross'"),
        ({"modules": 4}, "between 1 and 3, but got 4"),
        ({"alpha": -1.0}, "alpha to be at least 0"),
        ({"score_stride": 3}, "score_stride to be a divisor of 8, but got 3"),
        ({"scale_min": 2.0}, r"scale_min to be in \(0, scale_max\], but got 2.0"),
        ({"warmup_factor": 0.0}, r"warmup_factor to be in \(0, 1\]"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        LgsaSettings(**wrong)


@pytest.mark.parametrize(
    ("settings", "modules", "guided", "walks"),
    [
        (LgsaSettings(), 2, True, True),
        (LgsaSettings(walk=False), 2, True, False),
        (LgsaSettings(alpha=0.0), 2, False, True),
        (LgsaSettings(attention="nonlocal"), 2, False, False),
        (LgsaSettings(attention="none"), 0, False, False),
    ],
)
def test_the_attentions_differ_in_loss_and_walk_alone(
    settings: LgsaSettings, modules: int, guided: bool, walks: bool
) -> None:
    assert (settings.attention_modules, settings.guided, settings.walks) == (modules, guided, walks)


def test_the_command_trains_and_prints_the_checkpoint(
    shapes: Shapes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = [
        "train", "lgsa", "--data", str(shapes.voc), "--labels", str(shapes.truth), "--out", str(out),
        "--config", "voc_animals", "--crop", "32", "--batch-size", "8", "--epochs", "1", "--no-walk",
        "--workers", "0", "--accelerator", "cpu",
    ]  # fmt: skip
    assert main(command) == 0
    assert capsys.readouterr().out == f"{out / 'last.ckpt'}\n"
    trained = checkpoint.load_lgsa(out / "last.ckpt")
    assert trained.settings == replace(lgsa_voc_animals.SETTINGS, crop=32, batch_size=8, epochs=1, walk=False)


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "lgsa", "--help"])
    offered = capsys.readouterr().out
    assert all("--" + name.replace("_", "-") in offered for name in setting_types(LgsaSettings))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_run_on_cuda_learns(shapes: Shapes, tmp_path: Path, precision: Any) -> None:
    train_lgsa(replace(shapes_job(shapes, tmp_path), accelerator="cuda", precision=precision))
    losses = state_of(tmp_path)["progress"]["epoch_losses"]
    assert losses[1] < losses[0]
