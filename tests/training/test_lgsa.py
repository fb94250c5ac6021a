from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boxmask_training.models.aspp import ASPP
from boxmask_training.models.attention import reweight
from boxmask_training.models.build import build_deeplab, load_pretrained
from boxmask_training.models.deeplab import DeepLab
from boxmask_training.models.lgsa import LGSA


@pytest.fixture
def double() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def dense_affinity(theta: Tensor, phi: Tensor) -> Tensor:
    """Equation 4, held: W_ij over rows i, with no 1/sqrt(d)."""
    return torch.softmax(torch.einsum("bdi,bdj->bij", theta.flatten(2), phi.flatten(2)), dim=2)


@pytest.mark.parametrize("channels", [1, 5, 21], ids="{} values".format)
def test_reweighting_is_the_product_with_the_affinity_matrix(double: torch.Generator, channels: int) -> None:
    """Values narrower and wider than the affinity's factors; a grid that is not square."""
    theta, phi = random(double, 2, 5, 3, 7), random(double, 2, 5, 3, 7)
    values = random(double, 2, channels, 3, 7)
    expected = torch.einsum("bij,bcj->bci", dense_affinity(theta, phi), values.flatten(2))
    torch.testing.assert_close(reweight(theta, phi, values).flatten(2), expected, rtol=1e-10, atol=1e-12)


def test_the_gradients_of_reweighting_are_those_of_the_dense_product(double: torch.Generator) -> None:
    parts = [random(double, 1, 4, 3, 3).requires_grad_() for _ in range(3)]
    weights = random(double, 1, 4, 9)
    dense = torch.einsum("bij,bcj->bci", dense_affinity(parts[0], parts[1]), parts[2].flatten(2))
    expected = torch.autograd.grad((weights * dense).sum(), parts)
    found = torch.autograd.grad((weights * reweight(*parts).flatten(2)).sum(), parts)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_new_module_changes_nothing(double: torch.Generator) -> None:
    module = LGSA(6, 4).double()
    x = random(double, 2, 6, 3, 5)
    z, affinity = module(x)
    assert torch.equal(z, x)
    assert affinity.theta.shape == affinity.phi.shape == (2, 4, 3, 5)


@torch.no_grad()
def test_the_affinity_starts_as_a_soft_similarity_of_features() -> None:
    module = LGSA(320, 128)
    assert module.theta.weight is not module.phi.weight
    x = 2.6 * torch.randn(1, 320, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = dense_affinity(*module(x)[1])[0]
    assert float((weights.argmax(1) == torch.arange(256)).float().mean()) > 0.95
    assert 0.05 < float(weights.diagonal().mean()) < 0.9


def test_a_trained_module_is_equation_5(double: torch.Generator) -> None:
    module = LGSA(6, 4).double()
    nn.init.normal_(module.h.weight, generator=double)
    x = random(double, 2, 6, 3, 5)
    z, affinity = module(x)
    weights = dense_affinity(module.theta(x), module.phi(x))
    mixed = torch.einsum("bij,bcj->bci", weights, module.g(x).flatten(2)).reshape(2, -1, 3, 5)
    torch.testing.assert_close(z, module.h(mixed) + x, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(dense_affinity(*affinity), weights, rtol=1e-12, atol=0)


def test_the_classifier_sums_four_dilated_convolutions(double: torch.Generator) -> None:
    classifier = ASPP(3, 5).double()
    x = random(double, 1, 3, 30, 28)
    expected = torch.zeros(1, 5, 30, 28, dtype=torch.float64)
    for rate, branch in zip((6, 12, 18, 24), classifier.branches, strict=True):
        assert isinstance(branch, nn.Conv2d)
        expected += F.conv2d(x, branch.weight, branch.bias, padding=rate, dilation=rate)
    torch.testing.assert_close(classifier(x), expected, rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def network() -> DeepLab:
    torch.manual_seed(0)
    network = build_deeplab("efficientnet_lite0", 5, output_stride=16, modules=2, walk=True)
    load_pretrained(network, "imagenet")  # random weights make every position alike
    network.double().eval()
    for module in network.attention.modules():  # as if trained: the modules differ, and change the features
        if isinstance(module, LGSA):
            nn.init.normal_(module.h.weight, std=0.3)
            nn.init.normal_(module.theta.weight, std=0.5)
    return network


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 255


@torch.no_grad()
def test_the_scores_are_walked_once_with_the_last_modules_affinity(network: DeepLab, image: Tensor) -> None:
    x = network.backbone(network.backbone.stem(network.normalize(image)))[-1]
    for module in network.attention:
        x, (theta, phi) = module(x)
    scores = network.classifier(x).flatten(2)
    walked = torch.einsum("bij,bcj->bci", dense_affinity(theta, phi), scores)
    out = network(image)
    assert out.scores.shape == (2, 5, 4, 6)
    torch.testing.assert_close(out.scores.flatten(2), walked, rtol=1e-9, atol=1e-11)
    assert not torch.allclose(dense_affinity(*out.affinities[0]), dense_affinity(*out.affinities[1]))
    assert torch.equal(out.affinities[1].theta, theta)


@torch.no_grad()
def test_without_the_walk_the_scores_are_the_classifiers(network: DeepLab, image: Tensor) -> None:
    plain = DeepLab(network.backbone, list(network.attention), network.classifier, 16, walk=False)  # type: ignore[arg-type]
    x = network.backbone(network.backbone.stem(network.normalize(image)))[-1]
    for module in network.attention:
        x, _ = module(x)
    torch.testing.assert_close(plain.eval()(image).scores, network.classifier(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("modules", [0, 1, 2, 3])
@torch.no_grad()
def test_every_number_of_modules_can_be_built(modules: int) -> None:
    network = build_deeplab("efficientnet_lite0", 3, output_stride=16, modules=modules, walk=True).eval()
    out = network(torch.zeros(1, 3, 32, 32))
    assert len(out.affinities) == modules
    assert out.scores.shape == (1, 3, 2, 2)


@torch.no_grad()
def test_a_crop_of_321_padded_to_the_stride_has_the_papers_grid_of_41() -> None:
    network = build_deeplab("resnet101", 21, output_stride=8, modules=0, walk=False).eval()
    assert network(torch.zeros(1, 3, 328, 328)).scores.shape == (1, 21, 41, 41)
