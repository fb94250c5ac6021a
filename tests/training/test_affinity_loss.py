from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from boxmask_training import affinity_loss as module
from boxmask_training.affinity_loss import VOID, affinity_loss, alpha_at, dense_affinity_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CASES = {
    "several classes": [[0, 0, 3, 3, 3, 20, 0], [1, 2, 1, 2, 1, 2, 1]],
    "one class only": [[5, 5, 5, 5, 5, 5, 5]],
    "every position its own class": [[0, 1, 2, 3, 4, 5, 6]],
    "void": [[0, VOID, 3, VOID, 3, 20, 0], [VOID, 2, 1, 2, 1, 2, VOID]],
    "an image that is all void": [[VOID] * 7, [0, 1, 1, VOID, 0, 0, 1]],
    "all void": [[VOID] * 7, [VOID] * 7],
    "a single position": [[4]],
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def labels(request: pytest.FixtureRequest) -> Tensor:
    return torch.tensor(request.param, dtype=torch.uint8)


@pytest.fixture(params=["dense", "linear"])
def loss(request: pytest.FixtureRequest) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return dense_affinity_loss if request.param == "dense" else affinity_loss


@pytest.fixture
def three_rows(monkeypatch: pytest.MonkeyPatch, labels: Tensor) -> None:
    """Blocks of three rows, which divide no grid of the cases that has more than three positions."""
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", 3 * labels.numel())
    monkeypatch.setattr(module, "BLOCK_ROWS", 1)


def factors(labels: Tensor, dtype: torch.dtype = torch.float64, depth: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(labels.numel())
    shape = (labels.shape[0], depth, labels.shape[1])
    theta, phi = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    return theta.requires_grad_(), phi.requires_grad_()


def by_the_paper(theta: Tensor, phi: Tensor, labels: Tensor) -> float:
    """Equations 4, 6 and 7, entry by entry."""
    means = []
    for t, p, m in zip(theta.detach().numpy(), phi.detach().numpy(), labels.numpy(), strict=True):
        counted = [i for i in range(len(m)) if m[i] != VOID]
        errors = []
        for i in counted:
            row = np.exp([float(t[:, i] @ p[:, j]) for j in range(len(m))])
            row /= row.sum()
            members = sum(m[j] == m[i] for j in counted)
            errors += [(row[j] - (1 / members if m[j] == m[i] else 0)) ** 2 for j in counted]
        if errors:
            means.append(np.mean(errors))
    return float(np.mean(means)) if means else 0.0


def value_and_gradients(loss: Any, theta: Tensor, phi: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    value = loss(theta, phi, labels)
    return (value.detach(), *torch.autograd.grad(3 * value, (theta, phi)))


@pytest.mark.usefixtures("three_rows")
def test_the_loss_is_the_papers(labels: Tensor, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    theta, phi = (part.detach() for part in factors(labels))
    assert float(loss(theta, phi, labels)) == pytest.approx(by_the_paper(theta, phi, labels), abs=1e-14)


@pytest.mark.usefixtures("three_rows")
def test_the_linear_loss_is_the_dense_one_in_double_precision(labels: Tensor) -> None:
    theta, phi = factors(labels)
    dense = value_and_gradients(dense_affinity_loss, theta, phi, labels)
    linear = value_and_gradients(affinity_loss, theta, phi, labels)
    torch.testing.assert_close(linear, dense, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0], ids="logits x{}".format)
def test_the_linear_loss_is_the_dense_one_in_single_precision(scale: float) -> None:
    """Real sizes, blocks that do not divide the grid; relative to the largest entry of a gradient."""
    labels = random_labels(batch=2, positions=1681)
    theta, phi = (scale * part.detach() for part in factors(labels, torch.float32, depth=16))
    exact = value_and_gradients(
        dense_affinity_loss, theta.double().requires_grad_(), phi.double().requires_grad_(), labels
    )
    linear = value_and_gradients(affinity_loss, theta.requires_grad_(), phi.requires_grad_(), labels)
    for found, expected in zip(linear, exact, strict=True):
        assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.usefixtures("three_rows")
def test_the_gradients_are_those_of_finite_differences(labels: Tensor) -> None:
    theta, phi = factors(labels, depth=3)
    assert torch.autograd.gradcheck(lambda t, p: affinity_loss(t, p, labels), (theta, phi), atol=1e-8)


def test_one_factor_alone_can_be_trained() -> None:
    labels = random_labels(batch=2, positions=9)
    theta, phi = factors(labels)
    expected = torch.autograd.grad(dense_affinity_loss(theta, phi, labels), phi)
    found = torch.autograd.grad(affinity_loss(theta.detach(), phi, labels), phi)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_grids_and_rows_of_positions_are_the_same() -> None:
    labels = random_labels(batch=2, positions=12)
    theta, phi = (part.detach() for part in factors(labels))
    grids = theta.reshape(2, -1, 3, 4), phi.reshape(2, -1, 3, 4), labels.reshape(2, 3, 4)
    as_grid = affinity_loss(*grids)
    assert float(as_grid) == float(affinity_loss(theta, phi, labels))


def test_the_ideal_affinity_costs_nothing(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Every row shares its weight evenly among its class: what equation 6's normalisation makes of W_gt."""
    labels = random_labels(batch=2, positions=30)
    classes = torch.nn.functional.one_hot(labels.long(), VOID + 1).double().transpose(1, 2)
    assert float(loss(50 * classes, classes, labels)) < 1e-30


def test_uniform_attention_costs_the_number_of_classes_less_one() -> None:
    labels = torch.tensor([[0] * 10 + [1] * 20 + [7] * 30], dtype=torch.uint8)
    theta = torch.zeros(1, 2, 60, dtype=torch.float64)
    assert float(affinity_loss(theta, theta, labels)) == pytest.approx((3 - 1) / 60**2, rel=1e-12)


def test_what_lies_under_void_is_no_error_but_takes_its_share_of_the_softmax() -> None:
    labels = torch.tensor([[1, 1, VOID]], dtype=torch.uint8)
    theta = torch.zeros(1, 1, 3, dtype=torch.float64)
    assert float(affinity_loss(theta, theta, labels)) == pytest.approx((1 / 3 - 1 / 2) ** 2, rel=1e-12)


def test_half_precision_is_computed_in_single_and_comes_back_as_half() -> None:
    labels = random_labels(batch=1, positions=64)
    theta, phi = factors(labels, torch.float32)
    rough = [part.detach().bfloat16().requires_grad_() for part in (theta, phi)]
    value, *gradients = value_and_gradients(affinity_loss, rough[0], rough[1], labels)
    expected = dense_affinity_loss(rough[0].float(), rough[1].float(), labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=0)
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 2


def test_no_matrix_of_all_pairs_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", 1 << 15)
    monkeypatch.setattr(module, "BLOCK_ROWS", 1)
    labels = random_labels(batch=2, positions=1024)
    theta, phi = factors(labels, torch.float32)
    for loss, bound in ((affinity_loss, 1 << 15), (dense_affinity_loss, None)):
        with _LargestTensor() as seen:  # type: ignore[no-untyped-call]  # as above
            value_and_gradients(loss, theta, phi, labels)
        if bound is None:
            assert seen.elements >= 2 * 1024**2
        else:
            assert seen.elements <= bound


def test_alpha_keeps_the_balance_of_the_losses_when_the_grid_changes() -> None:
    """The same picture on a grid of four times the positions costs as much after the conversion."""
    costs = []
    for repeat in (1, 4):
        labels = torch.tensor([[0, 0, 1, 2]], dtype=torch.uint8).repeat_interleave(repeat, 1)
        theta = torch.zeros(1, 2, labels.shape[1], dtype=torch.float64)
        costs.append(alpha_at(10_000, labels.shape[1]) * float(affinity_loss(theta, theta, labels)))
    assert costs[1] == pytest.approx(costs[0], rel=1e-12)
    assert alpha_at(10_000, 41 * 41) == 10_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_linear_loss_is_the_dense_one_on_cuda() -> None:
    labels = random_labels(batch=2, positions=1681)
    theta, phi = (part.detach().cuda().requires_grad_() for part in factors(labels, depth=16))
    dense = value_and_gradients(dense_affinity_loss, theta, phi, labels.cuda())
    linear = value_and_gradients(affinity_loss, theta, phi, labels.cuda())
    torch.testing.assert_close(linear, dense, rtol=1e-10, atol=1e-14)


def random_labels(batch: int, positions: int) -> Tensor:
    chosen: NDArray[np.uint8] = np.random.default_rng(positions).choice(
        np.array([0, 0, 0, 3, 3, 20, VOID], dtype=np.uint8), size=(batch, positions)
    )
    return torch.from_numpy(chosen)


class _LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class is untyped
    """Watches every operation for the size of what it makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else (out,):
            if isinstance(part, Tensor):
                self.elements = max(self.elements, part.untyped_storage().nbytes() // part.element_size())
        return out
