from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from boxmask_core.errors import DeviceError, TrainingError
from boxmask_training import checkpoint
from boxmask_training.losses import cross_entropy, generalized_cross_entropy, projection
from boxmask_training.models.build import build_cfs
from boxmask_training.train_cfs import (
    batch_loss,
    build_optimizer,
    prepare_for_training,
    set_learning_rate,
    train_cfs,
    update_average,
)
from tests.training.shapes import CLASS_NAMES, SETTINGS, held_out_shapes, shapes_job

if TYPE_CHECKING:
    from typing import Any

    from boxmask_training.cfs_job import CfsJob
    from tests.training.shapes import Shapes

ROOT = Path(__file__).resolve().parents[2]
RUN = (sys.executable, "-m", "tests.training.run_shapes")


@pytest.fixture(scope="module")
def finished(shapes: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("finished")
    assert train_cfs(shapes_job(shapes, out)) == out / "last.ckpt"
    return out


@pytest.fixture(scope="module")
def killed(shapes: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that died in mid-epoch, with its worker, without a chance to tidy up."""
    out = tmp_path_factory.mktemp("killed")
    with subprocess.Popen(
        [*RUN, str(shapes.voc.parent), str(out), "1", "1"], cwd=ROOT, start_new_session=True
    ) as process:
        while not (out / "last.ckpt").exists():
            assert process.poll() is None, "the run ended before its first checkpoint"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    stopped_at = _state(out)["progress"]
    assert (stopped_at["epoch"], stopped_at["batch"]) < (1, 3), "the run was too fast to be killed in time"
    return out


def _same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            _same(value, second[key]) for key, value in first.items()
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return first == second


def _state(out: Path) -> dict[str, Any]:
    return checkpoint.load(out / "last.ckpt")


class TestARun:
    def test_learns(self, finished: Path) -> None:
        losses = _state(finished)["progress"]["epoch_losses"]
        assert len(losses) == 2
        assert losses[1] < 0.8 * losses[0]

    def test_ends_with_a_checkpoint_that_rebuilds_the_averaged_network(self, finished: Path) -> None:
        state = _state(finished)
        trained = checkpoint.load_cfs(finished / "last.ckpt")
        assert _same(dict(trained.network.state_dict()), dict(state["averaged"]))
        assert not torch.equal(state["averaged"]["head.weight"], state["network"]["head.weight"])
        assert (trained.class_names, trained.training_data) == (CLASS_NAMES, "shapes")

    def test_logs_what_tensorboard_shows(self, finished: Path) -> None:
        events = EventAccumulator(str(finished / "tensorboard"))
        events.Reload()
        assert set(events.Tags()["scalars"]) == {"train/loss", "train/learning_rate", "epoch/loss"}
        losses = events.Scalars("train/loss")
        assert [event.step for event in losses] == list(range(8))
        mean = sum(event.value for event in losses[:4]) / 4
        epochs = events.Scalars("epoch/loss")
        assert [event.step for event in epochs] == [1, 2]
        assert epochs[0].value == pytest.approx(mean, rel=1e-5)
        rates = [event.value for event in events.Scalars("train/learning_rate")]
        assert rates == pytest.approx([SETTINGS.lr] * 8)

    def test_that_is_finished_stays_as_it_is(self, finished: Path, shapes: Shapes) -> None:
        before = (finished / "last.ckpt").read_bytes()
        train_cfs(shapes_job(shapes, finished))
        assert (finished / "last.ckpt").read_bytes() == before

    def test_that_is_judged_keeps_the_best_epoch(self, shapes: Shapes, tmp_path: Path) -> None:
        job = shapes_job(shapes, tmp_path, held_out=held_out_shapes(shapes))
        assert train_cfs(job) == tmp_path / "best.ckpt"
        judgements = _state(tmp_path)["progress"]["judgements"]
        assert len(judgements) == 2
        assert all(0 < value <= 1 for value in judgements)
        best = checkpoint.load(tmp_path / "best.ckpt")["progress"]
        assert best["judgements"][-1] == max(judgements)
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        logged = [event.value for event in events.Scalars("epoch/held_out_miou")]
        assert logged == pytest.approx(judgements, rel=1e-6)

    def test_that_stops_early_keeps_the_schedule_of_the_whole(self, shapes: Shapes, tmp_path: Path) -> None:
        settings = replace(SETTINGS, epochs=4, stop_after=1, schedule="cosine", average=0.0)
        train_cfs(shapes_job(shapes, tmp_path, settings))
        state = _state(tmp_path)
        assert state["progress"]["epoch"] == 1
        assert _same(dict(state["network"]), dict(state["averaged"]))
        assert state["optimizer"]["param_groups"][1]["lr"] == pytest.approx(settings.lr * 4 / 50)


class TestResuming:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_killed_run_goes_on_as_if_nothing_had_happened(
        self, finished: Path, killed: Path, shapes: Shapes, tmp_path: Path, workers: int
    ) -> None:
        out = tmp_path / "resumed"
        shutil.copytree(killed, out)
        train_cfs(shapes_job(shapes, out, workers=workers))
        assert _same(_state(out), _state(finished))

    def test_other_settings_are_refused(self, finished: Path, shapes: Shapes) -> None:
        with pytest.raises(TrainingError, match=r"other settings, classes or data.*another --out"):
            train_cfs(shapes_job(shapes, finished, replace(SETTINGS, lr=1e-3)))

    def test_other_boxes_are_refused(self, finished: Path, shapes: Shapes) -> None:
        job = shapes_job(shapes, finished)
        with pytest.raises(TrainingError, match="other settings, classes or data"):
            train_cfs(replace(job, samples=job.samples[:-1]))

    def test_another_number_of_devices_is_refused(
        self, finished: Path, shapes: Shapes, tmp_path: Path
    ) -> None:
        checkpoint.save(tmp_path / "last.ckpt", _state(finished) | {"world_size": 2})
        with pytest.raises(TrainingError, match="on 2 devices, but this one is on 1"):
            train_cfs(shapes_job(shapes, tmp_path))

    def test_a_damaged_checkpoint_is_refused(self, shapes: Shapes, tmp_path: Path) -> None:
        (tmp_path / "last.ckpt").write_bytes(b"damaged")
        with pytest.raises(TrainingError, match="not a boxmask checkpoint"):
            train_cfs(shapes_job(shapes, tmp_path))

    def test_the_jobs_digest_is_the_samples_settings_and_classes(
        self, shapes: Shapes, tmp_path: Path
    ) -> None:
        job = shapes_job(shapes, tmp_path)
        first = job.samples[0]
        changed = [
            replace(job, settings=replace(SETTINGS, seed=1)),
            replace(job, class_names=("disc", "cube")),
            replace(job, samples=job.samples[::-1]),
            replace(job, samples=(replace(first, class_index=1 - first.class_index), *job.samples[1:])),
            replace(job, samples=(replace(first, rle=job.samples[1].rle), *job.samples[1:])),
        ]
        assert len({other.digest() for other in (job, *changed)}) == 6
        moved = tuple(replace(sample, image=Path("elsewhere") / sample.image.name) for sample in job.samples)
        assert replace(job, samples=moved, out=tmp_path / "x", workers=3).digest() == job.digest()


class TestWhatCannotGoOn:
    def test_a_loss_that_is_no_number_stops_the_run(self, shapes: Shapes, tmp_path: Path) -> None:
        settings = replace(SETTINGS, lr=1e30, optimizer="sgd")
        with pytest.raises(
            TrainingError, match=r"(loss|norm) is (nan|inf) at epoch 1, batch \d.*1e\+30.*lower lr"
        ):
            train_cfs(shapes_job(shapes, tmp_path, settings))

    def test_fewer_boxes_than_a_batch(self, shapes: Shapes, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="at least 17 boxes for one batch, but got 16"):
            train_cfs(shapes_job(shapes, tmp_path, replace(SETTINGS, batch_size=17)))

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
    def test_cuda_where_there_is_none(self, shapes: Shapes, tmp_path: Path) -> None:
        with pytest.raises(DeviceError, match=r"'cuda' is not available.*--accelerator cpu"):
            train_cfs(shapes_job(shapes, tmp_path, accelerator="cuda"))

    def test_a_job_that_makes_no_sense(self, shapes: Shapes, tmp_path: Path) -> None:
        job = shapes_job(shapes, tmp_path)
        with pytest.raises(TrainingError, match="expected checkpoint_every to be at least 1, but got 0"):
            replace(job, checkpoint_every=0)
        with pytest.raises(TrainingError, match="expected workers to be at least 0, but got -1"):
            replace(job, workers=-1)


class TestTheParts:
    def test_the_backbone_learns_at_its_own_rate(self) -> None:
        settings = replace(SETTINGS, backbone_lr=0.3, lr_every=1, lr_factor=0.8, optimizer="sgd")
        network = build_cfs("efficientnet_lite0", 2)
        optimizer = build_optimizer(network, settings)
        counts = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
        assert counts[0] == sum(p.numel() for p in network.get_submodule("backbone").parameters())
        assert sum(counts) == sum(p.numel() for p in network.parameters())
        rate = set_learning_rate(optimizer, settings, epoch=2, step=9, steps_per_epoch=4)
        assert rate == pytest.approx(settings.lr * 0.64)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3 * rate, rate])

    def test_frozen_norms_keep_their_statistics(self) -> None:
        network = build_cfs("efficientnet_lite0", 2)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        prepare_for_training(network, freeze_norm=True)
        network(torch.rand(2, 3, 32, 32) * 255, torch.ones(2, 1, 32, 32), torch.zeros(2, 2))
        changed = {
            name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
        }
        assert changed
        assert all(name.startswith("decoder.") for name in changed)
        prepare_for_training(network, freeze_norm=False)
        assert all(module.training for module in network.modules())

    def test_the_average_moves_by_the_papers_warm_up_then_by_its_decay(self) -> None:
        network, average = build_cfs("efficientnet_lite0", 2), build_cfs("efficientnet_lite0", 2)
        old, new = average.head.weight.detach().clone(), network.head.weight.detach()
        update_average(average, network, decay=0.9, step=0)
        torch.testing.assert_close(average.head.weight.detach(), 0.1 * old + 0.9 * new)
        old = average.head.weight.detach().clone()
        update_average(average, network, decay=0.9, step=10_000)
        torch.testing.assert_close(average.head.weight.detach(), 0.9 * old + 0.1 * new)
        counter = "backbone.stem.1.num_batches_tracked"
        assert torch.equal(average.get_buffer(counter), network.get_buffer(counter))

    @pytest.mark.parametrize("loss", ["ce", "gce"])
    def test_the_loss_is_the_pixels_and_the_projections(self, loss: str) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 8, 8, generator=generator)
        box_mask = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        box_mask[:, :, 2:6, 1:7] = 1
        target = torch.randint(0, 256, (2, 8, 8), generator=generator, dtype=torch.uint8)
        batch = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), box_mask, torch.zeros(2, 2), target
        wanted = target.double() / 255
        pixels = (
            cross_entropy(logits.double(), wanted)
            if loss == "ce"
            else generalized_cross_entropy(logits.double(), wanted, 0.7)
        )
        expected = pixels + 0.1 * projection(logits.double(), box_mask[:, 0].double())
        found = batch_loss(lambda *_: logits, batch, replace(SETTINGS, loss=loss, projection=0.1))
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_two_processes_train_together(shapes: Shapes, tmp_path: Path) -> None:
    launcher = [RUN[0], "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, *RUN[1:], str(shapes.voc.parent), str(tmp_path), "0", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    state = _state(tmp_path)
    assert state["world_size"] == 2
    assert (state["progress"]["epoch"], len(state["progress"]["epoch_losses"])) == (2, 2)
    assert checkpoint.load_cfs(tmp_path / "last.ckpt").class_names == CLASS_NAMES
    assert all(value.isfinite().all() for value in state["averaged"].values())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_gpu_trains(shapes: Shapes, tmp_path: Path, precision: Any) -> None:
    job = replace(shapes_job(shapes, tmp_path, accelerator="cuda"), precision=precision)
    losses = _state_after(job)["progress"]["epoch_losses"]
    assert losses[1] < losses[0]
    assert not next(checkpoint.load_cfs(tmp_path / "last.ckpt").network.parameters()).is_cuda


def _state_after(job: CfsJob) -> dict[str, Any]:
    return checkpoint.load(train_cfs(job))
