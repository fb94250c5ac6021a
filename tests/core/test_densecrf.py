from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from boxmask_core.densecrf import DEEPLAB_V2, HOPELESS, NEGLIGIBLE, DenseCrf, dense_crf
from boxmask_core.engines import CRF_ENGINES
from boxmask_core.errors import InvalidInputError, InvalidMaskError, MissingExtraError
from boxmask_core.full_mean_field import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Crf = Callable[..., NDArray[np.float32]]

RED, BLUE = (200, 30, 30), (30, 30, 200)
HEIGHT, WIDTH = 24, 36
EDGE = 20
ONE_UPDATE = DenseCrf(1, gaussian_xy=2.0, bilateral_xy=5.0, bilateral_rgb=20.0)
"""Numbers of which each one tells on a small image."""

SAME = {2: 0.999, 5: 0.999, 21: 0.998}
"""Share of a photograph's pixels that both engines must give one label, by the number of labels that meet in
it. pydensecrf approximates the kernel of place too, which tells where labels meet: 21 do everywhere."""

MEAN_TOLERANCE = 0.008
"""How far a probability may be from the full sum's, on average; one update moves it by 0.11."""


def library() -> Any:
    return pytest.importorskip(
        "pydensecrf.densecrf", reason="the extra crf is not installed (it needs a compiler)"
    )


@pytest.fixture(params=CRF_ENGINES)
def crf(request: pytest.FixtureRequest) -> Crf:
    """Each engine that is installed."""
    if request.param == "pydensecrf":
        library()
    return partial(dense_crf, engine=request.param)


def reference(
    image: NDArray[np.uint8], probabilities: NDArray[np.float32], field: DenseCrf
) -> NDArray[np.float64]:
    """Mean field by the full sum over all pairs, a pixel with itself included (algorithm 1 of the source)."""
    labels, height, width = probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([columns.ravel(), rows.ravel()], axis=1)
    colour = image.reshape(-1, 3)
    pairs = field.gaussian_weight * _normalised(_exponent(place, field.gaussian_xy))
    pairs += field.bilateral_weight * _normalised(
        _exponent(place, field.bilateral_xy) + _exponent(colour, field.bilateral_rgb)
    )
    unary = np.log(np.maximum(probabilities, 1e-5)).reshape(labels, -1)
    belief = _softmax(unary)
    for _ in range(field.iterations):
        belief = _softmax(unary + belief @ pairs)
    return belief.reshape(probabilities.shape)


def _exponent(features: NDArray[np.generic], deviation: float) -> NDArray[np.float64]:
    scaled = features.astype(np.float64) / deviation
    return np.asarray(-((scaled[:, None] - scaled[None]) ** 2).sum(axis=-1) / 2)


def _normalised(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = np.exp(exponent)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return np.asarray(scale[:, None] * kernel * scale[None])


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


def unpruned(image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The engine with all labels and DeepLab-v2's numbers, called the way its own manual does."""
    labels, height, width = probabilities.shape
    field = library().DenseCRF2D(width, height, labels)
    field.setUnaryEnergy(-np.log(np.maximum(probabilities, 1e-5)).reshape(labels, -1))
    field.addPairwiseGaussian(sxy=1, compat=3)
    field.addPairwiseBilateral(sxy=67, srgb=3, rgbim=image, compat=4)
    return np.array(field.inference(10)).reshape(probabilities.shape)


def patches() -> NDArray[np.uint8]:
    """Twelve patches whose colours are 30 levels apart; 24 x 36, so that swapped sides show."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    channels = [60 + 30 * (columns // 9), 60 + 30 * (rows // 8), np.full((HEIGHT, WIDTH), 90)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def halves() -> NDArray[np.uint8]:
    """Red left of the edge and blue right of it, with a little noise."""
    left = np.arange(WIDTH)[None, :, None] < EDGE
    image = np.broadcast_to(np.where(left, RED, BLUE), (HEIGHT, WIDTH, 3))
    return np.asarray(image + np.random.default_rng(3).integers(-3, 4, image.shape)).astype(np.uint8)


def blocks(seed: int = 0, *, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.float32]:
    """Random probabilities of three labels, constant over blocks of 4 x 4 pixels."""
    drawn = np.random.default_rng(seed).dirichlet(np.ones(3), (size[0] // 4, size[1] // 4))
    return np.asarray(drawn.transpose(2, 0, 1).repeat(4, axis=1).repeat(4, axis=2), dtype=np.float32)


def made_up(image: NDArray[np.uint8], labels: int, seed: int = 0) -> NDArray[np.float32]:
    """What a network might give for a photograph: labels by colour and place, smooth, unsure at the edges."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width)) * 255 / max(height, width)
    features = np.stack([rows, columns, *cv2.GaussianBlur(image, (0, 0), 7).transpose(2, 0, 1)], axis=-1)
    centres = features[rng.integers(height, size=labels), rng.integers(width, size=labels)]
    distances = np.stack([((features - centre) ** 2).sum(axis=-1) for centre in centres])
    powers = np.exp((distances.min(axis=0) - distances) / 2000)
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def leaning() -> NDArray[np.float32]:
    """Two labels, 0.7 to 0.3, whose edge lies five columns right of the image's, with speckles."""
    right = np.broadcast_to(np.arange(WIDTH) >= EDGE + 5, (HEIGHT, WIDTH))
    right = right ^ (np.random.default_rng(5).random(right.shape) < 0.1)
    plane = np.where(right, 0.7, 0.3)
    return np.stack([1 - plane, plane]).astype(np.float32)


@pytest.mark.parametrize("field", [ONE_UPDATE, DEEPLAB_V2])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (13, 1), (2, 2), (HEIGHT, WIDTH), (32, 32)])
def test_a_small_image_gets_the_sum_over_all_pairs(
    size: tuple[int, int], field: DenseCrf, cat: NDArray[np.uint8]
) -> None:
    assert size[0] * size[1] <= MOST_PIXELS
    image = cat[60 : 60 + 7 * size[0] : 7, 100 : 100 + 7 * size[1] : 7]
    drawn = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_allclose(dense_crf(image, drawn, field), reference(image, drawn, field), atol=1e-3)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("photograph", [False, True])
def test_one_update_is_close_to_the_sum_over_all_pairs(
    crf: Crf, seed: int, photograph: bool, cat: NDArray[np.uint8]
) -> None:
    image = cat[60:252:8, 100:388:8] if photograph else patches()
    difference = crf(image, blocks(seed), ONE_UPDATE) - reference(image, blocks(seed), ONE_UPDATE)
    assert np.abs(difference).mean() < MEAN_TOLERANCE
    assert np.abs(difference).max() < 0.12


@pytest.mark.parametrize("seed", [0, 1])
def test_so_it_is_on_an_image_that_is_filtered(crf: Crf, seed: int, cat: NDArray[np.uint8]) -> None:
    image, drawn = cat[60:252:6, 100:388:6], blocks(seed, size=(32, 48))
    assert image.size // 3 > MOST_PIXELS
    difference = crf(image, drawn, ONE_UPDATE) - reference(image, drawn, ONE_UPDATE)
    assert np.abs(difference).mean() < MEAN_TOLERANCE
    assert np.abs(difference).max() < 0.12


@pytest.mark.parametrize("labels", SAME)
@pytest.mark.parametrize("photograph", ["astronaut", "cat", "coffee"])
def test_both_engines_give_a_photograph_the_same_labels(photograph: str, labels: int) -> None:
    image = getattr(data, photograph)()
    drawn = made_up(image, labels)
    result, expected = dense_crf(image, drawn), unpruned(image, drawn)
    assert (expected.argmax(axis=0) != drawn.argmax(axis=0)).mean() > 0.02
    assert (result.argmax(axis=0) == expected.argmax(axis=0)).mean() >= SAME[labels]


def test_threads_change_no_bit(cat: NDArray[np.uint8]) -> None:
    drawn = made_up(cat, 3)
    expected = dense_crf(cat, drawn)
    with ThreadPoolExecutor(2) as pool:
        assert all((found == expected).all() for found in pool.map(dense_crf, [cat] * 4, [drawn] * 4))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(DenseCrf)])
def test_that_closeness_tells_every_number_from_its_double(crf: Crf, name: str) -> None:
    doubled = dataclasses.replace(ONE_UPDATE, **{name: 2 * getattr(ONE_UPDATE, name)})
    result, expected = crf(patches(), blocks(), doubled), reference(patches(), blocks(), ONE_UPDATE)
    assert np.abs(result - expected).mean() > 1.5 * MEAN_TOLERANCE


def test_the_default_numbers_are_those_of_deeplab() -> None:
    assert dataclasses.astuple(DEEPLAB_V2) == (10, 3, 1, 4, 67, 3)


def test_ten_updates_with_the_numbers_of_deeplab_end_where_the_sum_over_all_pairs_does(crf: Crf) -> None:
    result, expected = crf(halves(), leaning()), reference(halves(), leaning(), DEEPLAB_V2)
    assert np.abs(result - expected).mean() < 0.001
    assert (result.argmax(axis=0) == expected.argmax(axis=0)).all()


def test_labels_move_to_the_edge_of_the_image_and_speckles_go(crf: Crf) -> None:
    labels = crf(halves(), leaning()).argmax(axis=0)
    assert (labels == (np.arange(WIDTH) >= EDGE)).all()


def test_one_deviation_for_all_colours_makes_their_order_of_no_consequence(crf: Crf) -> None:
    red_first, blue_first = (crf(image, blocks(), ONE_UPDATE) for image in (patches(), patches()[..., ::-1]))
    assert np.abs(red_first - blue_first).mean() < MEAN_TOLERANCE


def test_leaving_negligible_labels_out_changes_no_label() -> None:
    library()
    probabilities = np.zeros((6, HEIGHT, WIDTH), dtype=np.float32)
    probabilities[[1, 2, 4]] = blocks() * (1 - 3 * 0.9 * NEGLIGIBLE)
    probabilities[[0, 3, 5]] = 0.9 * NEGLIGIBLE
    image = np.ascontiguousarray(patches())
    result = dense_crf(image, probabilities, engine="pydensecrf")
    expected = unpruned(image, probabilities)
    assert not result[[0, 3, 5]].any()
    assert (result.argmax(axis=0) == expected.argmax(axis=0)).all()
    assert expected[[0, 3, 5]].max() < NEGLIGIBLE
    assert np.abs(result - expected).mean() < 0.001


def test_a_label_that_nowhere_comes_near_the_best_is_left_out_and_one_that_does_stays() -> None:
    probabilities = np.zeros((3, HEIGHT, WIDTH), dtype=np.float32)
    probabilities[1] = probabilities[2] = 0.9 * HOPELESS / (1 + 2 * HOPELESS)
    probabilities[1:, 3, 4] = 0.04, 0.5
    probabilities[0] = 1 - probabilities[1:].sum(axis=0)
    result = dense_crf(patches(), probabilities)
    assert not result[1].any()
    assert result[2].all()


def test_however_many_labels_share_a_pixel_its_most_probable_one_stays(crf: Crf) -> None:
    probabilities = np.full((200, 2, 3), 1 / 200, dtype=np.float32)
    np.testing.assert_allclose(crf(patches()[:2, :3], probabilities), 1 / 200, rtol=1e-3)


def test_a_certain_pixel_keeps_its_label_among_certain_ones(crf: Crf) -> None:
    certain = np.zeros((2, HEIGHT, WIDTH), dtype=np.float32)
    certain[0, :, :EDGE], certain[1, :, EDGE:] = 1, 1
    result = crf(halves(), certain)
    assert np.isfinite(result).all()
    assert (result.argmax(axis=0) == certain.argmax(axis=0)).all()


@pytest.mark.parametrize("others", [0, 3])
def test_a_label_alone_stays_certain(crf: Crf, others: int) -> None:
    probabilities = np.zeros((1 + others, HEIGHT, WIDTH), dtype=np.float32)
    probabilities[0] = 1
    assert (crf(halves(), probabilities) == probabilities).all()


def test_an_image_of_one_pixel_keeps_its_most_probable_label(crf: Crf) -> None:
    pixel = np.array([0.5, 0.3, 0.2], dtype=np.float32).reshape(3, 1, 1)
    result = crf(np.zeros((1, 1, 3), dtype=np.uint8), pixel)
    np.testing.assert_allclose(result, reference(np.zeros((1, 1, 3), np.uint8), pixel, DEEPLAB_V2), atol=0.01)


@pytest.mark.parametrize("times", [1, 2])
def test_the_arrays_layout_in_memory_is_of_no_consequence_and_they_are_left_alone(
    crf: Crf, times: int
) -> None:
    image = patches().repeat(times, axis=0)
    probabilities = blocks().repeat(times, axis=1)
    strided = np.repeat(image, 2, axis=1)[:, ::2]
    channels_last = np.ascontiguousarray(probabilities.transpose(1, 2, 0)).transpose(2, 0, 1)
    for array in (image, strided, probabilities, channels_last):
        array.setflags(write=False)
    expected = crf(image, probabilities)
    assert (crf(strided, channels_last) == expected).all()
    assert expected.flags.c_contiguous
    assert expected.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(1, 48),
    st.integers(1, 48),
)
def test_whatever_the_pixels_the_answer_is_a_probability(
    seed: int, labels: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    drawn = rng.dirichlet(np.full(labels, 0.3), (height, width)).transpose(2, 0, 1).astype(np.float32)
    result = dense_crf(image, drawn)
    assert result.shape == drawn.shape
    assert result.min() >= 0
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    "image", [patches().astype(np.float32), patches()[..., 0], patches()[..., :2], patches()[:0]]
)
def test_an_image_of_another_kind_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidInputError, match=r"uint8 RGB of shape \(H, W, 3\), but got .*\("):
        dense_crf(image, blocks())


@pytest.mark.parametrize("wrong", [blocks().transpose(0, 2, 1), blocks()[0], blocks()[:0]])
def test_probabilities_of_another_shape_are_refused(wrong: NDArray[np.float32]) -> None:
    with pytest.raises(InvalidMaskError, match=r"one plane of \(24, 36\) per class.*but got \("):
        dense_crf(patches(), wrong)


@pytest.mark.parametrize("value", [np.nan, -0.1, 0.9, 255])
def test_planes_that_are_no_probabilities_are_refused(value: float) -> None:
    wrong = blocks().copy()
    wrong[0, 3, 4] = value
    with pytest.raises(InvalidMaskError, match=r"0 or more and to sum to 1, but got .*off by"):
        dense_crf(patches(), wrong)


@pytest.mark.parametrize(
    ("name", "value"), [("iterations", 0), ("gaussian_weight", -1), ("bilateral_rgb", 0)]
)
def test_settings_that_make_no_field_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"at least 1 iteration.*{name}={value}"):
        dataclasses.replace(DEEPLAB_V2, **{name: value})


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"one of \('boxmask', 'pydensecrf'\), but got 'opencv'"):
        dense_crf(patches(), blocks(), engine="opencv")  # type: ignore[arg-type]  # what is tested


def test_without_pydensecrf_the_error_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydensecrf", "pydensecrf.densecrf"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"'pydensecrf', which is not installed.*boxmask\[crf\]"):
        dense_crf(patches(), blocks(), engine="pydensecrf")


def test_without_numba_the_error_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, cat: NDArray[np.uint8]
) -> None:
    compiled = [name for name, module in sys.modules.items() if "jit" in getattr(module, "__dict__", ())]
    for name in ["boxmask_core.jit", *compiled]:
        if name.startswith("boxmask_core."):
            monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingExtraError, match=r"'numba', which is not installed.*boxmask\[local\]"):
        dense_crf(cat, made_up(cat, 2))
