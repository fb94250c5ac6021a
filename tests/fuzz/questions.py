"""Fuzzing the border: messages of the contract to questions, and boxes to what the network is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.boxes import Box
from boxmask_core.compositing import compose
from boxmask_core.crops import network_crop, probability_in_image
from boxmask_core.errors import InvalidRequestError
from boxmask_core.instances import Instance
from boxmask_core.segmentation import canvas_for, checked_scales
from boxmask_server.wire.converters import MAX_CLASSES, question_of, wanted_of
from boxmask_server.wire.segment_converters import segment_question_of
from boxmask_server.work.host_steps import beside_each_other, cfs_mask, filled_mask, grabcut_mask
from tests.fuzz.damage import damaged
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from google.protobuf.message import Message

Corners = tuple[float, float, float, float]
Scene = tuple[int, int, bytes, list[Corners]]
"""Height and width of an image, what its pixels are repeated from, and boxes."""

NETWORK_CLASSES = ("cat", "dog", "person")
SIZE = 64
"""Side of the network's input."""
STEP, MAX_SIDE = 32, 256

_letters = st.characters(exclude_categories=["Cs"])
_long_names = st.builds(lambda letter, count: letter * count, _letters, st.integers(300, 2000))
_names = st.one_of(st.sampled_from(("cat", "dog", "tree", "")), st.text(max_size=30), _long_names)
_corners = st.one_of(
    st.floats(-20, 80),
    st.integers(-5, 70).map(float),
    st.floats(),
    st.sampled_from((0.5, 1e308, -1e308, 1e-308)),
)
_enums = st.one_of(st.integers(0, 4), st.integers(-(1 << 31), (1 << 31) - 1))
_boxes = st.builds(pb.BoundingBox, x0=_corners, y0=_corners, x1=_corners, y1=_corners)
_instances = st.builds(pb.Instance, id=_names, box=st.one_of(st.none(), _boxes), class_name=_names)
_requests = st.builds(
    pb.PseudoLabelRequest,
    image=st.binary(max_size=20),
    instances=st.lists(_instances, max_size=5),
    method=_enums,
    refinement=_enums,
    mask_encoding=_enums,
    class_names=st.one_of(
        st.lists(_names, max_size=5),
        st.integers(250, 260).map(lambda count: [f"class {i}" for i in range(count)]),
    ),
    omit_label_map=st.booleans(),
    priority=_enums,
    bundle=_names,
    version=_names,
)
_segment_requests = st.builds(
    pb.SegmentRequest,
    image=st.binary(max_size=20),
    refinement=_enums,
    scales=st.lists(st.one_of(st.floats(width=32), st.floats(0.25, 4, width=32)), max_size=10),
    flip=st.booleans(),
    include_scores=st.booleans(),
    priority=_enums,
    bundle=_names,
    version=_names,
)
_whole_requests = (
    pb.PseudoLabelRequest(
        image=b"picture",
        instances=[pb.Instance(id="tom", box=pb.BoundingBox(x0=1, y0=2, x1=30, y1=40), class_name="cat")] * 2,
        method=pb.METHOD_CFS,
        class_names=["cat", "dog"],
    ).SerializeToString(),
    pb.SegmentRequest(image=b"picture", scales=[0.5, 1], flip=True).SerializeToString(),
    pb.StreamPseudoLabelRequest(item_id="1", request=pb.PseudoLabelRequest(image=b"p")).SerializeToString(),
)


def _written(message: Message) -> bytes:
    return message.SerializeToString()


def _question_read(data: bytes) -> None:
    request = pb.PseudoLabelRequest()
    _parse(request, data)
    wanted = wanted_of(request, NETWORK_CLASSES)
    question = question_of(request)
    assert len(question.instances) == len(request.instances)
    if wanted.class_names is not None:
        assert len(wanted.class_names) <= MAX_CLASSES
        assert {instance.class_name for instance in question.instances} <= set(wanted.class_names)


def _segment_question_read(data: bytes) -> None:
    request = pb.SegmentRequest()
    _parse(request, data)
    question = segment_question_of(request)
    for scale in checked_scales(question.scales):
        for width, height in ((1, 1), (1, 8000), (640, 480)):
            canvas = canvas_for(width, height, STEP, MAX_SIDE, scale=scale)
            assert all(0 < side <= MAX_SIDE and side % STEP == 0 for side in canvas.padded)


def _parse(message: Message, data: bytes) -> None:
    try:
        message.ParseFromString(data)
    except DecodeError as error:  # gRPC answers it by itself, before boxmask sees anything
        raise InvalidRequestError("message", "it cannot be read") from error


def _scene_masked(scene: Scene) -> None:
    height, width, content, corners = scene
    image = np.resize(np.frombuffer(content, dtype=np.uint8), (height, width, 3))
    instances = [Instance(Box(*each), "cat") for each in corners]
    masks = []
    for instance in instances:
        crop = network_crop(image, instance.box, SIZE)
        assert crop.pixels.shape == (SIZE, SIZE, 3)
        assert crop.box_mask.any()
        probability = (np.resize(np.frombuffer(content, dtype=np.uint8), (SIZE, SIZE)) / 255).astype(
            np.float32
        )
        assert probability_in_image(probability, crop.window, (width, height))[0].size > 0
        masks += [
            filled_mask(image, instance),
            grabcut_mask(image, instance, engine="boxmask"),
            cfs_mask(image, instance, probability, crop.window, refine=True, engine="boxmask"),
            cfs_mask(image, instance, probability, crop.window, refine=False, engine="boxmask"),
        ]
    for mask in (*masks, *beside_each_other(masks)):
        window = mask.proposal.window
        assert window == window.clipped(width, height)
        assert mask.proposal.mask.shape == (window.height, window.width)
        assert 0 <= mask.quality <= 1
    assert compose(width, height, masks, {"cat": 1}).classes.shape == (height, width)


_scenes = st.tuples(
    st.integers(1, 40),
    st.integers(1, 40),
    st.binary(min_size=1, max_size=60),
    st.lists(st.tuples(_corners, _corners, _corners, _corners), max_size=2),
)

TARGETS = (
    Target("PseudoLabelRequest, any fields", _requests.map(_written), _question_read, share=2),
    Target("PseudoLabelRequest, any bytes", damaged(_whole_requests), _question_read),
    Target("SegmentRequest, any fields", _segment_requests.map(_written), _segment_question_read),
    Target("SegmentRequest, any bytes", damaged(_whole_requests), _segment_question_read),
    Target("boxes on images", _scenes, _scene_masked, share=0.5),
)
