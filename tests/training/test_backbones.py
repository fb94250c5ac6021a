from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from boxmask_core.errors import TrainingError
from boxmask_training.models.build import build_cfs, load_pretrained
from boxmask_training.models.efficientnet_lite import LEVEL_ENDS, EfficientNetLite0
from boxmask_training.models.resnet import ResNet

if TYPE_CHECKING:
    from torch import Tensor, nn


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = resnet50().eval()
    return network


@pytest.fixture(scope="module")
def resnet_file(resnet: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(resnet.state_dict(), file)
    return file


@pytest.mark.parametrize("size", [64, 96])
def test_efficientnet_lite0_is_the_published_network(size: int) -> None:
    ours = EfficientNetLite0().eval()
    state = EfficientNetLite0().imagenet_weights()
    ours.load_imagenet(state)
    oracle = EfficientNet.from_name("efficientnet-lite0").eval()
    oracle.load_state_dict(state)
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = ours(ours.stem(image))
        expected = _oracle_levels(oracle, image)
    assert [level.shape[-1] for level in found] == [size // stride for stride in (2, 4, 8, 16, 32)]
    for level, wanted, channels in zip(found, expected, ours.channels, strict=True):
        assert level.shape[1] == channels
        torch.testing.assert_close(level, wanted, rtol=1e-4, atol=1e-4)


def test_efficientnet_lite0_norms_train_as_published() -> None:
    oracle = EfficientNet.from_name("efficientnet-lite0")
    ours = [m for m in EfficientNetLite0().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in ours:
        assert norm.eps == oracle._bn0.eps
        assert norm.momentum == pytest.approx(oracle._bn0.momentum)


@pytest.mark.parametrize("by", ["file", "name"])
def test_resnet50_levels_are_torchvisions(
    resnet: nn.Module, resnet_file: Path, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = str(resnet_file)
    if by == "name":  # what was downloaded before is found where torch.hub keeps it
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        kept = tmp_path / "hub" / "checkpoints" / Path(ResNet50_Weights.IMAGENET1K_V1.url).name
        kept.parent.mkdir(parents=True)
        kept.symlink_to(resnet_file)
        weights = "imagenet"
    network = build_cfs("resnet50", 2).eval()
    load_pretrained(network, weights)
    backbone = network.backbone
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    extract = create_feature_extractor(resnet, ["relu", "layer1", "layer2", "layer3", "layer4"])
    with torch.no_grad():
        found = backbone(backbone.stem(image))
        expected: list[Tensor] = list(extract(image).values())
    assert tuple(level.shape[1] for level in found) == tuple(backbone.channels)
    for level, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-6, atol=1e-6)


def test_the_wheels_weights_load_by_name() -> None:
    network = build_cfs("efficientnet_lite0", 2)
    load_pretrained(network, "imagenet")
    stem = EfficientNetLite0().imagenet_weights()["_conv_stem.weight"]
    assert torch.equal(network.state_dict()["backbone.stem.0.weight"], stem)


def test_none_leaves_the_weights_random() -> None:
    network = build_cfs("efficientnet_lite0", 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_pretrained(network, "none")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_of_another_network_are_refused(resnet_file: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "lite0.pth"
    torch.save(dict(EfficientNetLite0().imagenet_weights()), wheel)
    for backbone, file in (("efficientnet_lite0", resnet_file), ("resnet50", wheel)):
        with pytest.raises(TrainingError, match=r"do not fit (ResNet|EfficientNetLite0)") as caught:
            load_pretrained(build_cfs(backbone, 2), str(file))
        assert str(file) in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_weight_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = dict(EfficientNetLite0().imagenet_weights())
    state["_conv_stem.weight"] = state["_conv_stem.weight"][:, :1]
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(TrainingError, match="do not fit EfficientNetLite0"):
        load_pretrained(build_cfs("efficientnet_lite0", 2), str(tmp_path / "grey.pth"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read"),
        (b"\x00garbage" * 9, "cannot be read"),
        (b"PK\x03\x04 cut off", "cannot be read"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(TrainingError, match=problem):
        load_pretrained(build_cfs("efficientnet_lite0", 2), str(file))


def test_a_tensor_instead_of_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "weights.pth")
    with pytest.raises(TrainingError, match="to hold a state dict, but got Tensor"):
        load_pretrained(build_cfs("efficientnet_lite0", 2), str(tmp_path / "weights.pth"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"'imagenet', 'none' or a file, but .*missing\.pth does not exist"
    ):
        load_pretrained(build_cfs("efficientnet_lite0", 2), str(tmp_path / "missing.pth"))


def test_without_a_network_connection_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(TrainingError, match=r"cannot be downloaded.*--weights FILE"):
        load_pretrained(build_cfs("resnet50", 2), "imagenet")


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(TrainingError, match="one of resnet50, resnet101, efficientnet_lite0, but got 'vgg'"):
        build_cfs("vgg", 2)


def test_both_backbones_state_what_cfs_needs() -> None:
    for backbone in (ResNet(50).eval(), EfficientNetLite0().eval()):
        levels = backbone(backbone.stem(torch.zeros(1, 3, 32, 32)))
        assert [level.shape[1] for level in levels] == list(backbone.channels)
        assert backbone.stem(torch.zeros(1, 3, 32, 32)).shape[1] == backbone.stem_channels


def _oracle_levels(oracle: nn.Module, image: Tensor) -> list[Tensor]:
    levels: list[Tensor] = []
    hooks = [
        oracle.get_submodule(f"_blocks.{end - 1}").register_forward_hook(lambda *args: levels.append(args[2]))
        for end in LEVEL_ENDS
    ]
    oracle.get_submodule("")(image)
    for hook in hooks:
        hook.remove()
    return levels
