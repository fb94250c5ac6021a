from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from boxmask_training.affinity_loss import VOID, dense_affinity_loss
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.deeplab import Segmentation
from boxmask_training.models.lgsa import Affinity
from boxmask_training.segmentation_losses import (
    labels_of_cells,
    score_loss,
    segmentation_loss,
    single_scale_loss,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = LgsaSettings(backbone="efficientnet_lite0", output_stride=8, score_stride=8, alpha=500.0)


@pytest.fixture
def labels() -> Tensor:
    chosen = np.random.default_rng(0).choice(np.array([0, 1, 2, VOID], dtype=np.uint8), size=(2, 32, 24))
    return torch.from_numpy(chosen)


@pytest.fixture
def scores() -> Tensor:
    return torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def affinities() -> tuple[Affinity, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(
        Affinity(*(torch.randn(2, 5, 4, 3, generator=generator) for _ in range(2))) for _ in range(2)
    )


def plain_cross_entropy(scores: Tensor, labels: Tensor) -> float:
    """The definition, over the places that have a class."""
    probabilities = torch.softmax(scores.double(), dim=1)
    losses = [
        -np.log(float(probabilities[b, int(labels[b, y, x]), y, x]))
        for b, y, x in np.ndindex(*labels.shape)
        if labels[b, y, x] != VOID
    ]
    return float(np.mean(losses))


def test_a_cell_has_the_label_of_the_pixel_at_its_middle(labels: Tensor) -> None:
    cells = labels_of_cells(labels, 8)
    assert cells.shape == (2, 4, 3)
    assert all(cells[b, y, x] == labels[b, 8 * y + 4, 8 * x + 4] for b, y, x in np.ndindex(2, 4, 3))
    assert torch.equal(labels_of_cells(labels, 1), labels)


def test_cells_are_compared_as_in_deeplab(scores: Tensor, labels: Tensor) -> None:
    expected = plain_cross_entropy(scores, labels_of_cells(labels, 8))
    assert float(score_loss(scores, labels, SETTINGS)) == pytest.approx(expected, rel=1e-5)


def test_below_the_output_stride_the_scores_are_interpolated(scores: Tensor, labels: Tensor) -> None:
    settings = LgsaSettings(backbone="efficientnet_lite0", score_stride=2)
    finer = F.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)
    expected = plain_cross_entropy(finer, labels_of_cells(labels, 2))
    assert float(score_loss(scores, labels, settings)) == pytest.approx(expected, rel=1e-5)


def test_every_module_is_guided(scores: Tensor, labels: Tensor, affinities: tuple[Affinity, ...]) -> None:
    """alpha 500 is the paper's at 41 x 41 positions; here are 12."""
    cells = labels_of_cells(labels, 8)
    guidance = sum(float(dense_affinity_loss(a.theta, a.phi, cells)) for a in affinities)
    expected = plain_cross_entropy(scores, cells) + 500 * (12 / 1681) ** 2 * guidance
    found = single_scale_loss(Segmentation(scores, affinities), labels, SETTINGS)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "unguided",
    [
        LgsaSettings(backbone="efficientnet_lite0", attention="nonlocal"),
        LgsaSettings(backbone="efficientnet_lite0", alpha=0.0),
    ],
    ids=["Non-local", "alpha 0"],
)
def test_without_guidance_the_loss_is_the_cross_entropy(
    unguided: LgsaSettings, scores: Tensor, labels: Tensor, affinities: tuple[Affinity, ...]
) -> None:
    found = single_scale_loss(Segmentation(scores, affinities), labels, unguided)
    assert float(found) == float(score_loss(scores, labels, unguided))


def test_a_batch_that_is_all_void_costs_nothing_and_teaches_nothing(
    scores: Tensor, affinities: tuple[Affinity, ...]
) -> None:
    scores.requires_grad_()
    theta = affinities[0].theta.requires_grad_()
    void = torch.full((2, 32, 24), VOID, dtype=torch.uint8)
    loss = single_scale_loss(Segmentation(scores, affinities), void, SETTINGS)
    assert float(loss.detach()) == 0
    for gradient in torch.autograd.grad(loss, (scores, theta)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.fixture
def model() -> Callable[[Tensor], Segmentation]:
    """Scores that are the mean colours of the cells: what a network of stride 8 may look like."""

    def run(image: Tensor) -> Segmentation:
        colours = F.avg_pool2d(image, 8) / 50
        return Segmentation(colours, (Affinity(colours, colours.flip(1)),))

    return run


def test_the_multi_scale_loss_is_that_of_three_sizes_and_of_their_maximum(
    model: Callable[[Tensor], Segmentation],
) -> None:
    settings = LgsaSettings(backbone="efficientnet_lite0", multi_scale=True, alpha=500.0)
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, 3, 64, 64, generator=generator) * 255
    labels = torch.randint(0, 3, (1, 64, 64), generator=generator, dtype=torch.uint8)
    expected, fused = 0.0, []
    for side in (64, 48, 32):
        resized = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)
        place = ((np.arange(side) + 0.5) * 64 / side).astype(int)
        sampled = labels[:, place][:, :, place]
        out = model(resized)
        cells = labels_of_cells(sampled, 8)
        guidance = float(dense_affinity_loss(*out.affinities[0], cells))
        expected += plain_cross_entropy(out.scores, cells) + 500 * (cells[0].numel() / 1681) ** 2 * guidance
        fused.append(F.interpolate(out.scores, size=(8, 8), mode="bilinear", align_corners=False))
    expected += plain_cross_entropy(torch.stack(fused).amax(0), labels_of_cells(labels, 8))
    assert float(segmentation_loss(model, image, labels, settings)) == pytest.approx(expected, rel=1e-5)


def test_a_single_scale_is_the_default(model: Callable[[Tensor], Segmentation]) -> None:
    image, labels = torch.rand(1, 3, 32, 32) * 255, torch.zeros(1, 32, 32, dtype=torch.uint8)
    expected = single_scale_loss(model(image), labels, SETTINGS)
    assert float(segmentation_loss(model, image, labels, SETTINGS)) == float(expected)
