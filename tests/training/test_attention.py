from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage import data
from torch import Tensor, nn

from boxmask_core.cli import main
from boxmask_core.errors import InvalidRequestError, TrainingError
from boxmask_core.segmentation import canvas_for, draw
from boxmask_export import segmentation
from boxmask_training import checkpoint
from boxmask_training.attention_command import title_of
from boxmask_training.attention_map import MAX_SIDE, SIZE_STEP, affinity_row, attention_maps, cell_of
from boxmask_training.attention_sheet import PANEL, Query, attention_sheet, heat_map
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.aspp import ASPP
from boxmask_training.models.build import build_deeplab, load_pretrained
from boxmask_training.models.deeplab import DeepLab
from boxmask_training.models.lgsa import LGSA, Affinity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

STRIDE = 8
RED_PATCH = (slice(40, 80), slice(120, 160))
"""Rows and columns of the image that a constructed network attends to."""


class MeanColours(nn.Module):
    """A backbone without weights whose features are the mean colours of its cells."""

    stem_channels = 3
    channels = (3, 3, 3, 3, 3)
    mean = (0.0, 0.0, 0.0)
    std = (255.0, 255.0, 255.0)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, *[nn.functional.avg_pool2d(x, STRIDE // 2)] * 4]

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        raise RuntimeError(f"it has no weights, but {len(state)} are given")

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        raise OSError("it has no weights")


@pytest.fixture
def network() -> DeepLab:
    """Every position of it attends to what is red and neither green nor blue."""
    module = LGSA(3, 3)
    with torch.no_grad():
        for convolution in (module.theta, module.phi):
            nn.init.zeros_(convolution.weight)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
        assert module.theta.bias is not None
        module.theta.bias[0] = 10.0
        module.phi.weight[0, :, 0, 0] = torch.tensor([1.0, -1.0, -1.0])
    return DeepLab(MeanColours(), [module], ASPP(3, 2), STRIDE, walk=True).eval()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    """Grey, with a red patch, 200 x 120 pixels: no multiple of the step."""
    pixels = np.full((120, 200, 3), 90, dtype=np.uint8)
    pixels[RED_PATCH] = (250, 10, 10)
    return pixels


def test_a_row_is_that_of_the_dense_matrix_and_sums_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    theta, phi = (torch.randn((1, 4, 5, 7), generator=generator, dtype=torch.float64) for _ in range(2))
    dense = torch.softmax(torch.einsum("di,dj->ij", theta[0].flatten(1), phi[0].flatten(1)), dim=1)
    for row, column in ((0, 0), (2, 6), (4, 3)):
        found = affinity_row(Affinity(theta, phi), (row, column))
        torch.testing.assert_close(found.flatten(), dense[7 * row + column], rtol=1e-12, atol=0)
        assert float(found.sum()) == pytest.approx(1, abs=1e-12)


def test_the_maximum_lies_where_the_network_attends_to(network: DeepLab, image: NDArray[np.uint8]) -> None:
    near, far = attention_maps(network, image, [(3, 5), (199, 119)])
    for found in (near, far):
        assert found.shape == (120, 200)
        inside = np.zeros(found.shape, dtype=bool)
        inside[RED_PATCH] = True
        assert inside[np.unravel_index(int(found.argmax()), found.shape)]
        assert found[60, 140] > 20 * found[~inside].min()
    np.testing.assert_array_equal(near, far)  # every position of this network attends alike


def test_values_are_relative_to_attending_to_all_alike(network: DeepLab) -> None:
    grey = np.full((64, 96, 3), 90, dtype=np.uint8)
    (found,) = attention_maps(network, grey, [(10, 10)])
    np.testing.assert_allclose(found, 1.0, rtol=1e-5)


@torch.no_grad()
def test_the_map_is_the_row_of_the_network_as_segmentation_shows_it_the_image() -> None:
    """The last of two modules, of an image that is resized and padded; between cells, by scipy."""
    network = build_deeplab("efficientnet_lite0", 3, output_stride=16, modules=2, walk=False).eval()
    load_pretrained(network, "imagenet")  # random weights make every position alike
    pixels = np.random.default_rng(0).integers(0, 256, (450, 960, 3), dtype=np.uint8)
    (found,) = attention_maps(network, pixels, [(600, 200)])
    canvas = canvas_for(960, 450, SIZE_STEP, MAX_SIDE)
    assert (canvas.resized, canvas.padded) == ((768, 360), (768, 384))
    shown = torch.from_numpy(draw(pixels, canvas)).permute(2, 0, 1)[None].float()
    theta, phi = network(shown).affinities[1]
    row, column = int(200.5 * 0.8 / 16), int(600.5 * 0.8 / 16)
    weights = torch.softmax(theta[0, :, row, column] @ phi[0].flatten(1), dim=0).reshape(24, 48) * 24 * 48
    assert weights.std() > 0.1
    places = np.mgrid[:450, :960] + 0.5
    expected = map_coordinates(weights.double().numpy(), places * 0.8 / 16 - 0.5, order=1, mode="nearest")
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_image_is_shown_as_an_exported_network_is_shown_it() -> None:
    assert (SIZE_STEP, MAX_SIDE) == (segmentation.STEP, segmentation.MAX_SIDE)


def test_a_pixel_is_in_the_cell_that_covers_it() -> None:
    canvas = canvas_for(200, 120, SIZE_STEP, MAX_SIDE)
    assert cell_of((0, 0), canvas, STRIDE) == (0, 0)
    assert cell_of((7, 8), canvas, STRIDE) == (1, 0)
    assert cell_of((199, 119), canvas, STRIDE) == (14, 24)
    half = canvas_for(2 * MAX_SIDE, MAX_SIDE, SIZE_STEP, MAX_SIDE)
    assert cell_of((2 * MAX_SIDE - 1, 33), half, STRIDE) == (2, MAX_SIDE // STRIDE - 1)


@pytest.mark.parametrize("point", [(200, 0), (0, 120), (-1, 5), (5, -1)])
def test_a_point_outside_the_image_is_refused(
    point: tuple[int, int], network: DeepLab, image: NDArray[np.uint8]
) -> None:
    expected = f"--point: expected a pixel of the 200 x 120 image, but got {point[0]},{point[1]}"
    with pytest.raises(InvalidRequestError, match=expected):
        attention_maps(network, image, [(0, 0), point])


def test_a_network_without_attention_is_refused(image: NDArray[np.uint8]) -> None:
    network = DeepLab(MeanColours(), [], ASPP(3, 2), STRIDE, walk=False).eval()
    with pytest.raises(TrainingError, match="no attention module"):
        attention_maps(network, image, [(0, 0)])


def test_a_heat_map_goes_from_dark_to_bright() -> None:
    photograph = Image.new("RGB", (40, 20), (128, 128, 128))
    values = np.tile(np.linspace(0, 7, 40, dtype=np.float32), (20, 1))
    brightness = np.asarray(heat_map(photograph, values)).mean(axis=(0, 2))
    assert brightness[0] < brightness[20] < brightness[39]
    assert np.asarray(heat_map(photograph, 0 * values)).std(axis=(0, 1)).max() == 0


def test_a_sheet_has_a_line_per_point_and_a_column_per_network(image: NDArray[np.uint8]) -> None:
    flat = np.ones((120, 200), dtype=np.float32)
    one = attention_sheet(image, ["A"], [Query((10, 10), [flat])])
    two = attention_sheet(image, ["A", "B"], [Query((10, 10), [flat, flat]), Query((20, 10), [flat, flat])])
    panel = PANEL, PANEL * 120 // 200
    assert one.width > 2 * panel[0]
    assert two.width > 3 * panel[0]
    assert two.height > 2 * panel[1] > one.height > panel[1]


def test_the_query_is_marked_by_a_red_cross(image: NDArray[np.uint8]) -> None:
    grey = np.full_like(image, 90)
    flat = np.ones((120, 200), dtype=np.float32)
    sheet = np.asarray(attention_sheet(grey, ["A"], [Query((100, 60), [flat])]))
    red = (sheet[..., 0] > 200) & (sheet[..., 1] < 40) & (sheet[..., 2] < 40)
    rows, columns = np.nonzero(red[:, :PANEL])
    assert columns.mean() == pytest.approx(100.5 * PANEL / 200, abs=1)
    assert red[:, PANEL:].sum() == red[:, :PANEL].sum()
    assert (columns.max() - columns.min()) == (rows.max() - rows.min()) > 10


def _write_checkpoint(path: Path, **changes: object) -> Path:
    settings = LgsaSettings(backbone="efficientnet_lite0", weights="none", output_stride=16, **changes)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = build_deeplab(
        "efficientnet_lite0", 3, output_stride=16, modules=settings.attention_modules, walk=settings.walks
    )
    described = {**asdict(settings), "training_data": "nothing"}
    state = {"task": "lgsa", "settings": described, "class_names": ["cat", "dog"]}
    checkpoint.save(path, {**state, "network": network.state_dict()})
    return path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    cat = data.chelsea()  # type: ignore[no-untyped-call]  # scikit-image leaves it untyped
    Image.fromarray(cat).save(tmp_path / "cat.jpg")
    return tmp_path / "cat.jpg"


class TestTheCommand:
    def test_draws_one_network_beside_the_other(
        self, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = _write_checkpoint(tmp_path / "nonlocal.ckpt", attention="nonlocal")
        second = _write_checkpoint(tmp_path / "lgsa.ckpt", modules=1)
        out = tmp_path / "picture.png"
        networks = ["--checkpoint", str(first), "--checkpoint", str(second)]
        points = ["--point", "230,150", "--point", "10,10"]
        assert main(["attention", str(photograph), *points, *networks, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        with Image.open(out) as picture:
            assert picture.format == "PNG"
            assert picture.width > 3 * PANEL

    @pytest.mark.parametrize(
        ("more", "status", "problem"),
        [
            (["--point", "451,0"], 2, "expected a pixel of the 451 x 300 image, but got 451,0"),
            (["--out", "picture.gif"], 2, "expected a name that ends in .png or .jpg, but got picture.gif"),
            (["--checkpoint", "missing.ckpt"], 1, "there is no checkpoint missing.ckpt"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, more: list[str], status: int, problem: str, photograph: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        given = ["--point", "1,1", "--checkpoint", str(_write_checkpoint(tmp_path / "a.ckpt"))]
        out = tmp_path / "a.png"
        assert main(["attention", str(photograph), *given, "--out", str(out), *more]) == status
        assert problem in capsys.readouterr().err
        assert not out.exists()

    def test_names_an_image_that_is_not_there(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = ["--point", "1,1", "--checkpoint", "a.ckpt", "--out", "a.png"]
        assert main(["attention", str(tmp_path / "no.jpg"), *given]) == 2
        assert "no.jpg: the image cannot be read: No such file" in capsys.readouterr().err

    @pytest.mark.parametrize("point", ["1", "1,2,3", "a,b", "1.5,2"])
    def test_takes_points_in_whole_pixels(self, point: str, photograph: Path, tmp_path: Path) -> None:
        options = ["--point", point, "--checkpoint", "a.ckpt", "--out", str(tmp_path / "a.png")]
        with pytest.raises(SystemExit, match="2"):
            main(["attention", str(photograph), *options])


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        (LgsaSettings(), "LGSA, alpha 10000"),
        (LgsaSettings(alpha=0.0), "LGSA, alpha 0"),
        (LgsaSettings(attention="nonlocal"), "Non-local"),
    ],
)
def test_a_panel_is_called_after_its_method(settings: LgsaSettings, title: str, tmp_path: Path) -> None:
    assert title_of(tmp_path, settings) == title


def test_a_checkpoint_without_attention_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"a\.ckpt has no attention module"):
        title_of(tmp_path / "a.ckpt", LgsaSettings(attention="none"))
