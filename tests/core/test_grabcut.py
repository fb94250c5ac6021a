from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from skimage import data

from boxmask_core.boxes import Box, Window
from boxmask_core.engines import GRABCUT_ENGINES
from boxmask_core.errors import InvalidBoxError, InvalidInputError, MissingExtraError
from boxmask_core.grabcut import (
    COARSE_ITERATIONS,
    MIN_FILL,
    Fallback,
    Proposal,
    cfs_proposal,
    coarse_proposal,
    filled_box,
    refine_proposal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.engines import GrabCutEngine

engines = pytest.mark.parametrize("engine", GRABCUT_ENGINES)

RED, BLUE = (200, 30, 30), (30, 30, 200)
BOX = Box(20, 20, 60, 60)
VISIBLE = Window(10, 10, 70, 70)
"""The expanded `BOX`, inside an 80 x 80 image."""


def scene(colour: tuple[int, int, int] = RED, *, radius: int = 15, noise: int = 12) -> NDArray[np.uint8]:
    """A disc in the middle of an 80 x 80 image, with a little noise, for a colour model needs a spread."""
    rows, columns = np.mgrid[:80, :80]
    disc = (rows - 40) ** 2 + (columns - 40) ** 2 <= radius**2
    image = np.where(disc[:, :, None], colour, BLUE)
    return np.asarray(image + np.random.default_rng(3).integers(-noise, noise + 1, image.shape)).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def cup() -> NDArray[np.uint8]:
    """A photograph of a cup of coffee, every fourth pixel, (100, 150, 3)."""
    photograph = data.coffee()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.ascontiguousarray(photograph[::4, ::4])


def disc(radius: float = 15) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:40, :40]
    return np.asarray((rows - 20) ** 2 + (columns - 20) ** 2 <= radius**2)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def probability(*, inside: float, outside: float, radius: float = 15) -> NDArray[np.float32]:
    """Probability over `VISIBLE`: one value on the disc, another around it."""
    out = np.full((60, 60), outside, dtype=np.float32)
    out[10:50, 10:50][disc(radius)] = inside
    return out


def test_the_filled_box_is_the_box_inside_the_image() -> None:
    proposal = filled_box((80, 50), Box(-5, 10, 20, 90))
    assert proposal.window == Window(0, 10, 20, 50)
    assert proposal.mask.all()
    assert (proposal.fill, proposal.fallback) == (1.0, Fallback.NONE)


@engines
def test_the_coarse_proposal_finds_the_object_and_says_that_nothing_stood_in(engine: GrabCutEngine) -> None:
    proposal = coarse_proposal(scene(), BOX, engine=engine)
    assert proposal.window == BOX.window()
    assert proposal.fallback is Fallback.NONE
    assert iou(proposal.mask, disc()) > 0.97


def test_the_coarse_proposal_is_rectangle_grabcut_on_the_expanded_crop(cup: NDArray[np.uint8]) -> None:
    box = Box(45, 8, 97, 48)
    crop = np.ascontiguousarray(cup[0:58, 32:110, ::-1])
    labels = np.zeros(crop.shape[:2], dtype=np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(crop, labels, (13, 8, 52, 40), *models, COARSE_ITERATIONS, cv2.GC_INIT_WITH_RECT)
    theirs, ours = (coarse_proposal(cup, box, engine=engine) for engine in ("opencv", "boxmask"))
    assert box.expanded().window() == Window(32, -2, 110, 58)
    assert {theirs.fallback, ours.fallback} == {Fallback.NONE}
    assert (theirs.mask == (labels % 2 == 1)[8:48, 13:65]).all()
    assert iou(ours.mask, theirs.mask) > 0.98


@pytest.mark.parametrize("box", [Box(5, 5, 7, 40), Box(5, 5, 40, 6), Box(9.9, 5, 10.8, 9)])
@engines
def test_a_tiny_box_is_filled(engine: GrabCutEngine, box: Box) -> None:
    proposal = coarse_proposal(scene(), box, engine=engine)
    assert proposal.fallback is Fallback.TINY_BOX
    assert proposal.mask.all()


@engines
def test_a_box_over_the_whole_image_is_cut_within_a_rim(engine: GrabCutEngine) -> None:
    proposal = coarse_proposal(scene()[15:65, 15:65], Box(0, 0, 50, 50), engine=engine)
    assert proposal.fallback is Fallback.BOX_COVERS_IMAGE
    assert proposal.window == Window(0, 0, 50, 50)
    assert iou(proposal.mask[5:45, 5:45], disc()) > 0.97
    assert not proposal.mask[:3].any()


@engines
def test_constant_colours_fill_the_box(engine: GrabCutEngine) -> None:
    proposal = coarse_proposal(np.full((80, 80, 3), 90, dtype=np.uint8), BOX, engine=engine)
    assert proposal.fallback is Fallback.CONSTANT_COLOUR
    assert proposal.mask.all()


@engines
def test_a_cut_that_leaves_nothing_fills_the_box(engine: GrabCutEngine) -> None:
    image = np.zeros((80, 80, 3), dtype=np.uint8)
    image[:, 40:] = 200  # inside and outside the box the same two colours
    proposal = coarse_proposal(image, BOX, engine=engine)
    assert proposal.fallback is Fallback.EMPTY_FOREGROUND
    assert proposal.mask.all()


@engines
def test_a_cut_that_leaves_too_little_fills_the_box(engine: GrabCutEngine) -> None:
    proposal = coarse_proposal(scene(radius=5), BOX, engine=engine)
    assert proposal.fallback is Fallback.SMALL_MASK
    assert proposal.mask.all()


@engines
def test_refinement_moves_an_unsure_border_to_the_edge_of_the_object(engine: GrabCutEngine) -> None:
    belief = np.full((60, 60), 0.1, dtype=np.float32)
    belief[10:50, 10:50][disc(18)] = 0.5
    belief[10:50, 10:50][disc(10)] = 0.9
    proposal = refine_proposal(scene(), BOX, belief, VISIBLE, engine=engine)
    assert proposal.fallback is Fallback.NONE
    assert iou(proposal.mask, disc()) > 0.97


@engines
def test_refinement_keeps_what_is_certain(engine: GrabCutEngine) -> None:
    proposal = refine_proposal(
        scene(), BOX, probability(inside=0.9, outside=0.1, radius=18), VISIBLE, engine=engine
    )
    assert (proposal.mask == disc(18)).all()


@engines
def test_refinement_never_leaves_the_box(engine: GrabCutEngine) -> None:
    proposal = refine_proposal(scene(), BOX, np.full((60, 60), 0.9, dtype=np.float32), VISIBLE, engine=engine)
    assert proposal.window == BOX.window()
    assert proposal.mask.shape == (40, 40)


@engines
def test_without_certain_foreground_the_networks_own_mask_stands(engine: GrabCutEngine) -> None:
    belief = probability(inside=0.55, outside=0.1)
    proposal = refine_proposal(scene(), BOX, belief, VISIBLE, engine=engine)
    assert proposal.fallback is Fallback.EMPTY_FOREGROUND
    assert (proposal.mask == disc()).all()


@engines
def test_without_certain_background_the_networks_own_mask_stands(engine: GrabCutEngine) -> None:
    image = scene()[20:60, 20:60]
    belief = probability(inside=0.9, outside=0.45)[10:50, 10:50]
    proposal = refine_proposal(image, Box(0, 0, 40, 40), belief, Window(0, 0, 40, 40), engine=engine)
    assert proposal.fallback is Fallback.EMPTY_BACKGROUND
    assert (proposal.mask == disc()).all()


@engines
def test_over_constant_colours_the_networks_own_mask_stands(engine: GrabCutEngine) -> None:
    image = np.full((80, 80, 3), 90, dtype=np.uint8)
    proposal = refine_proposal(image, BOX, probability(inside=0.9, outside=0.1), VISIBLE, engine=engine)
    assert proposal.fallback is Fallback.CONSTANT_COLOUR
    assert (proposal.mask == disc()).all()


@engines
def test_where_refinement_leaves_too_little_the_networks_own_mask_stands(engine: GrabCutEngine) -> None:
    # The network is sure of a speck of red and unsure of blue, which is the background's colour as well.
    belief = np.full((60, 60), 0.1, dtype=np.float32)
    belief[10:50, 10:50][disc(18)] = 0.55
    belief[10:50, 10:50][disc(3)] = 0.9
    proposal = refine_proposal(scene(radius=4), BOX, belief, VISIBLE, engine=engine)
    assert proposal.fallback is Fallback.SMALL_MASK
    assert (proposal.mask == disc(18)).all()


@engines
def test_a_silent_network_is_answered_for_by_the_coarse_proposal(engine: GrabCutEngine) -> None:
    belief = probability(inside=0.9, outside=0.1, radius=5)
    assert belief[10:50, 10:50].mean() > 0
    for refine in (refine_proposal, cfs_proposal):
        proposal = refine(scene(), BOX, belief, VISIBLE, engine=engine)
        assert proposal.fallback is Fallback.CFS_SILENT
        assert (proposal.mask == coarse_proposal(scene(), BOX, engine=engine).mask).all()


@engines
def test_the_networks_own_mask_is_where_it_leans_to_foreground(engine: GrabCutEngine) -> None:
    belief = probability(inside=0.51, outside=0.5)
    proposal = cfs_proposal(scene(), BOX, belief, VISIBLE, engine=engine)
    assert proposal.fallback is Fallback.NONE
    assert (proposal.mask == disc()).all()


@engines
def test_a_box_outside_the_image_is_refused(engine: GrabCutEngine) -> None:
    outside = Box(100, 0, 120, 20)
    with pytest.raises(InvalidBoxError, match="outside the 80 x 80 image"):
        coarse_proposal(scene(), outside, engine=engine)
    with pytest.raises(InvalidBoxError, match="outside the 80 x 80 image"):
        cfs_proposal(scene(), outside, np.ones((20, 20), dtype=np.float32), VISIBLE, engine=engine)


@engines
def test_the_result_depends_on_the_seed_alone(engine: GrabCutEngine, cup: NDArray[np.uint8]) -> None:
    box = Box(45, 8, 97, 48)
    masks: list[NDArray[np.bool_]] = []

    def work(disturbance: int) -> None:
        cv2.setRNGSeed(disturbance)  # whatever ran before on this thread
        masks.append(coarse_proposal(cup, box, iterations=2, seed=5, engine=engine).mask)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((mask == masks[0]).all() for mask in masks)
    assert len(masks) == 3


@engines
def test_a_box_partly_outside_gives_what_its_visible_part_gives(engine: GrabCutEngine) -> None:
    image = scene()[:, :45]
    beyond, visible = (
        coarse_proposal(image, Box(20, 20, 5000, 60), engine=engine),
        coarse_proposal(image, Box(20, 20, 45, 60), engine=engine),
    )
    assert beyond.window == visible.window
    assert (beyond.mask == visible.mask).all()


corners = st.floats(-30, 30, allow_nan=False)
sides = st.floats(0.01, 60, allow_nan=False)


@st.composite
def questions(draw: st.DrawFn) -> tuple[NDArray[np.uint8], Box]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    levels = draw(st.sampled_from([1, 2, 256]))
    pixels = draw(npst.arrays(np.uint8, (height, width, 3), elements=st.integers(0, levels - 1)))
    x0, y0 = draw(corners), draw(corners)
    box = Box(x0, y0, x0 + draw(sides), y0 + draw(sides))
    return pixels, box


def check(proposal: Proposal, image: NDArray[np.uint8], box: Box) -> None:
    height, width = image.shape[:2]
    assert proposal.window == filled_box((width, height), box).window
    assert proposal.mask.shape == (proposal.window.height, proposal.window.width)
    assert proposal.mask.dtype == np.bool_
    assert proposal.fill >= MIN_FILL


@settings(max_examples=250, deadline=None)
@given(questions(), st.floats(0, 1), st.floats(0, 1), st.sampled_from(GRABCUT_ENGINES))
def test_whatever_the_pixels_and_the_box_there_is_an_answer(
    question: tuple[NDArray[np.uint8], Box], left: float, right: float, engine: GrabCutEngine
) -> None:
    image, box = question
    height, width = image.shape[:2]
    try:
        window = box.clipped(width, height).expanded().window().clipped(width, height)
    except InvalidBoxError:
        return
    belief = np.linspace(left, right, window.area, dtype=np.float32).reshape(window.height, window.width)
    check(coarse_proposal(image, box, engine=engine), image, box)
    check(cfs_proposal(image, box, belief, window, engine=engine), image, box)
    check(refine_proposal(image, box, belief, window, engine=engine), image, box)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan])
@engines
def test_an_image_of_one_pixel_has_an_answer(engine: GrabCutEngine, value: float) -> None:
    image, box, window = np.zeros((1, 1, 3), dtype=np.uint8), Box(0, 0, 1, 1), Window(0, 0, 1, 1)
    belief = np.full((1, 1), value, dtype=np.float32)
    assert coarse_proposal(image, box, engine=engine).fallback is Fallback.TINY_BOX
    assert refine_proposal(image, box, belief, window, engine=engine).mask.all()


def test_an_unknown_engine_is_refused_whatever_the_box() -> None:
    unknown: Any = "scissors"
    belief = probability(inside=0.9, outside=0.1)
    sentence = r"one of \('boxmask', 'opencv'\), but got 'scissors'"
    for box in (BOX, Box(5, 5, 7, 40)):
        with pytest.raises(InvalidInputError, match=sentence):
            coarse_proposal(scene(), box, engine=unknown)
        with pytest.raises(InvalidInputError, match=sentence):
            cfs_proposal(scene(), box, belief, VISIBLE, engine=unknown)
        with pytest.raises(InvalidInputError, match=sentence):
            refine_proposal(scene(), box, belief, VISIBLE, engine=unknown)


def test_without_numba_the_error_names_the_extra_and_the_engine_that_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("boxmask_core.")]:
        if hasattr(sys.modules[name], "jit"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "boxmask_core.jit", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(
        MissingExtraError, match=r"'opencv' .* module 'numba', .* pip install 'boxmask\[local\]'"
    ):
        coarse_proposal(scene(), BOX)
    assert coarse_proposal(scene(), BOX, engine="opencv").fallback is Fallback.NONE
    assert coarse_proposal(scene(), Box(5, 5, 7, 40)).fallback is Fallback.TINY_BOX


def test_the_proposals_types_are_imported_without_the_compiler() -> None:
    program = "import sys, boxmask_core.grabcut; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
