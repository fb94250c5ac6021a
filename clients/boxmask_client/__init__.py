"""The Python client of boxmask: boxes of an image in, masks out; an image in, its label map out; over gRPC.

::

    from boxmask_client import Client
    from boxmask_core.boxes import Box
    from boxmask_core.instances import Instance

    with Client("localhost:8500") as client:
        answer = client.pseudo_label(Path("cat.jpg"), [Instance(Box(10, 20, 200, 180), "cat")])
        label_map = client.segment(Path("cat.jpg")).label_map
"""

from boxmask_client.answers import Answer, ClassScore, Limits, Model, Segmentation, Timings
from boxmask_client.client import Client
from boxmask_client.errors import (
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    OverloadedError,
    RejectedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from boxmask_client.questions import Method, Question, SegmentQuestion

__all__ = [
    "Answer",
    "ClassScore",
    "Client",
    "DeadlineExceededError",
    "InternalError",
    "Limits",
    "Method",
    "Model",
    "NotFoundError",
    "OverloadedError",
    "Question",
    "RejectedError",
    "SegmentQuestion",
    "Segmentation",
    "ServerError",
    "Timings",
    "UnavailableError",
    "UnsupportedError",
]
