from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from boxmask_training.losses import cross_entropy, generalized_cross_entropy, projection


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3


@pytest.fixture
def hard(logits: Tensor) -> Tensor:
    return (torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) > 0.5).double()


@pytest.fixture
def soft(logits: Tensor) -> Tensor:
    return torch.rand(logits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_cross_entropy_is_that_of_two_classes(logits: Tensor, hard: Tensor) -> None:
    scores = torch.stack((torch.zeros_like(logits), logits), dim=1)  # background, foreground
    expected = torch.nn.functional.cross_entropy(scores, hard.long())
    torch.testing.assert_close(cross_entropy(logits, hard), expected, rtol=1e-12, atol=1e-12)


def test_cross_entropy_of_a_shared_pixel_is_the_mixture(logits: Tensor, soft: Tensor) -> None:
    scores = torch.stack((torch.zeros_like(logits), logits), dim=1)
    expected = torch.nn.functional.cross_entropy(scores, torch.stack((1 - soft, soft), dim=1))
    torch.testing.assert_close(cross_entropy(logits, soft), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_generalized_cross_entropy_is_its_formula(logits: Tensor, soft: Tensor, q: float) -> None:
    p = 1 / (1 + np.exp(-logits.numpy()))
    t = soft.numpy()
    agreed = t * p + (1 - t) * (1 - p)
    expected = np.mean((1 - agreed**q) / q)
    assert float(generalized_cross_entropy(logits, soft, q)) == pytest.approx(expected, rel=1e-12)


def test_generalized_cross_entropy_tends_to_cross_entropy(logits: Tensor, hard: Tensor) -> None:
    limit = float(cross_entropy(logits, hard))
    gaps = [abs(float(generalized_cross_entropy(logits, hard, q)) - limit) for q in (1e-1, 1e-2, 1e-3, 1e-4)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-3 * limit


def test_generalized_cross_entropy_at_one_is_the_absolute_error(logits: Tensor, hard: Tensor) -> None:
    expected = (hard - torch.sigmoid(logits)).abs().mean()
    torch.testing.assert_close(generalized_cross_entropy(logits, hard, 1.0), expected, rtol=1e-12, atol=1e-12)


def test_a_confident_contradiction_pulls_less_than_under_cross_entropy() -> None:
    logits = torch.tensor([[[-6.0]]], requires_grad=True)
    pulls = []
    for loss in (
        cross_entropy(logits, torch.ones(1, 1, 1)),
        generalized_cross_entropy(logits, torch.ones(1, 1, 1), 0.7),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        pulls.append(float(gradient.abs()))
    assert pulls[1] < 0.1 * pulls[0]


def test_projection_by_hand() -> None:
    p = np.array([[0.2, 0.9, 0.1], [0.3, 0.4, 0.8]])
    box = np.array([[0, 1, 1], [0, 1, 1]])
    columns, rows = np.array([0, 0.9, 0.8]), np.array([0.9, 0.8])  # maxima inside the box
    dice = [2 * columns.sum() / ((columns**2).sum() + 2), 2 * rows.sum() / ((rows**2).sum() + 2)]
    logits = torch.logit(torch.tensor(p))[None]
    found = float(projection(logits, torch.tensor(box, dtype=torch.float64)[None]))
    assert found == pytest.approx(2 - sum(dice), abs=1e-12)


def test_projection_is_zero_for_a_mask_that_touches_all_sides_and_two_for_none() -> None:
    box = torch.zeros(2, 6, 6)
    box[:, 1:5, 2:6] = 1
    cross = torch.full((2, 6, 6), -60.0)
    cross[:, 3, 2:6] = cross[:, 1:5, 4] = 60
    assert float(projection(cross, box)) == pytest.approx(0, abs=1e-6)
    assert float(projection(torch.full((2, 6, 6), -60.0), box)) == pytest.approx(2, abs=1e-6)


def test_what_lies_outside_the_box_does_not_count_in_the_projection() -> None:
    box = torch.zeros(1, 6, 6)
    box[:, 1:5, 1:5] = 1
    logits = torch.randn(1, 6, 6)
    changed = torch.where(box > 0, logits, torch.full_like(logits, 50.0))
    assert float(projection(logits, box)) == pytest.approx(float(projection(changed, box)), abs=1e-6)


def test_an_empty_box_gives_a_finite_projection() -> None:
    assert projection(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)).isfinite()


@pytest.mark.parametrize("name", ["ce", "gce", "projection"])
def test_gradients_are_right(name: str, soft: Tensor) -> None:
    logits = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    box = torch.zeros_like(logits)
    box[:, 1:6, 1:4] = 1
    losses = {
        "ce": lambda x: cross_entropy(x, soft),
        "gce": lambda x: generalized_cross_entropy(x, soft, 0.7),
        "projection": lambda x: projection(x, box),
    }
    assert torch.autograd.gradcheck(losses[name], logits.requires_grad_())


@pytest.mark.parametrize("logit", [-80.0, 80.0])
def test_extreme_logits_keep_losses_and_gradients_finite(logit: float) -> None:
    logits = torch.full((1, 4, 4), logit, requires_grad=True)
    box = torch.ones(1, 4, 4)
    for target in (0.0, 1.0):
        wanted = torch.full((1, 4, 4), target)
        loss = (
            cross_entropy(logits, wanted)
            + generalized_cross_entropy(logits, wanted, 0.7)
            + projection(logits, box)
        )
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()
