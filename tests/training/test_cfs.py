from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boxmask_training.models.build import BACKBONES, build_cfs, load_pretrained
from boxmask_training.models.cfs import CFS, Constraint

CLASSES = 3


def _question(size: int = 64, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator) * 255
    box_mask = torch.zeros(batch, 1, size, size)
    box_mask[:, :, size // 6 : -size // 6, size // 6 : -size // 6] = 1
    label = torch.zeros(batch, CLASSES)
    label[:, 0] = 1
    return image, box_mask, label


@pytest.fixture(scope="module")
def network() -> CFS:
    """Pretrained: with random weights the deep features fade to nothing."""
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", CLASSES).eval()
    load_pretrained(network, "imagenet")
    return network


def _constraints(network: CFS) -> dict[str, Constraint]:
    return {name: module for name, module in network.named_modules() if isinstance(module, Constraint)}


def _awake(network: CFS) -> CFS:
    """The same network with constraints that say something."""
    awake = build_cfs("efficientnet_lite0", CLASSES).eval()
    awake.load_state_dict(network.state_dict())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for constraint in _constraints(awake).values():
            for weight in constraint.parameters():
                weight.normal_(0, 0.1, generator=generator)
    return awake


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [32, 64])
def test_every_pixel_gets_a_logit(backbone: str, size: int) -> None:
    image, box_mask, label = _question(size, batch=1)
    with torch.no_grad():
        logits = build_cfs(backbone, CLASSES).eval()(image, box_mask, label)
    assert logits.shape == (1, size, size)
    assert logits.isfinite().all()


def test_sides_may_differ(network: CFS) -> None:
    with torch.no_grad():
        logits = network(torch.zeros(1, 3, 64, 96), torch.ones(1, 1, 64, 96), torch.zeros(1, CLASSES))
    assert logits.shape == (1, 64, 96)


def test_constraints_start_as_the_identity(network: CFS) -> None:
    image, box_mask, label = _question()
    features = torch.randn(2, 5, 16, 16)
    assert torch.equal(Constraint(5, CLASSES)(features, box_mask, label), features)
    with torch.no_grad():
        constrained = network(image, box_mask, label)
        plain = network(image, torch.zeros_like(box_mask), torch.zeros_like(label))
    assert torch.equal(constrained, plain)


def test_a_constraint_is_the_convolution_of_the_concatenated_inputs() -> None:
    torch.manual_seed(0)
    constraint = Constraint(4, CLASSES)
    for weight in constraint.parameters():
        torch.nn.init.normal_(weight)
    features, (_, box_mask, label) = torch.randn(2, 4, 16, 16), _question(64)
    small = torch.nn.functional.avg_pool2d(box_mask, 4)
    maps = label[:, :, None, None].expand(-1, -1, 16, 16)
    joined = torch.cat((features, small, maps), dim=1)
    kernel = torch.zeros(4, 4 + 1 + CLASSES, 3, 3)
    kernel[range(4), range(4), 1, 1] = 1
    kernel[:, 4] = constraint.box.weight[:, 0].detach()
    kernel[:, 5:, 1, 1] = constraint.label.weight.detach()
    expected = torch.nn.functional.conv2d(joined, kernel, constraint.box.bias, padding=1)
    torch.testing.assert_close(constraint(features, box_mask, label), expected, rtol=1e-5, atol=1e-5)


def test_every_depth_is_constrained_and_learns_it() -> None:
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", CLASSES).train()
    image, box_mask, label = _question()
    network(image, box_mask, label).square().mean().backward()
    constraints = _constraints(network)
    assert sorted(constraints) == [
        "decoder.0.constraint", "decoder.1.constraint", "decoder.2.constraint", "decoder.3.constraint",
        "deep_constraint", "stem_constraint",
    ]  # fmt: skip
    for name, constraint in constraints.items():
        for part in (constraint.box.weight, constraint.label.weight):
            assert part.grad is not None, name
            assert part.grad.abs().sum() > 0, name


@pytest.mark.parametrize("changed", ["box_mask", "label"])
def test_box_and_class_reach_the_deep_features(network: CFS, changed: str) -> None:
    awake = _awake(network)
    image, box_mask, label = _question()
    other_box, other_label = box_mask, label
    if changed == "box_mask":
        other_box = torch.zeros_like(box_mask)
        other_box[:, :, :20, :20] = 1
    else:
        other_label = label.roll(1, dims=1)
    with torch.no_grad():
        first, second = (
            _deepest(awake, image, *rest) for rest in ((box_mask, label), (other_box, other_label))
        )
        answers = awake(image, box_mask, label), awake(image, other_box, other_label)
    assert (first - second).abs().max() > 1e-3
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_an_unknown_class_gets_an_answer_of_its_own(network: CFS) -> None:
    awake = _awake(network)
    image, box_mask, label = _question()
    with torch.no_grad():
        known, unknown = awake(image, box_mask, label), awake(image, box_mask, torch.zeros_like(label))
    assert unknown.isfinite().all()
    assert not torch.equal(known, unknown)


def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(network: CFS) -> None:
    awake = _awake(network)
    image, box_mask, label = _question(batch=3)
    with torch.no_grad():
        together = awake(image, box_mask, label)
        alone = torch.cat([awake(image[i : i + 1], box_mask[i : i + 1], label[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def _deepest(network: CFS, image: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
    """The backbone's last level: what the stem's constraint alone changes."""
    stem = network.stem_constraint(network.backbone.stem(network.normalize(image)), box_mask, label)
    return network.backbone(stem)[-1]
