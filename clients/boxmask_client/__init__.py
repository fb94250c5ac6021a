"""The Python client of boxmask: boxes of an image in, masks out; an image in, its label map out; over gRPC.

::

    from boxmask_client import Client
    from boxmask_core.boxes import Box
    from boxmask_core.instances import Instance

    with Client("localhost:8500") as client:
        answer = client.pseudo_label(Path("cat.jpg"), [Instance(Box(10, 20, 200, 180), "cat")])
        label_map = client.segment(Path("cat.jpg")).label_map

`AsyncClient` has the same methods, to be awaited. Both share their load among several servers
(``Client("one:8500,two:8500")``), ask again where a server restarts, and raise the errors of
`boxmask_client.errors`.
"""

from boxmask_client.aio import AsyncClient
from boxmask_client.answers import (
    Answer,
    ClassScore,
    Limits,
    Model,
    Reload,
    ReloadOutcome,
    Segmentation,
    Timings,
)
from boxmask_client.client import Client
from boxmask_client.errors import (
    AuthenticationError,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RejectedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from boxmask_client.keep_alive import KeepAlive
from boxmask_client.questions import Method, Priority, Question, SegmentQuestion
from boxmask_client.retry import Retry
from boxmask_client.tls import Tls

__all__ = [
    "Answer",
    "AsyncClient",
    "AuthenticationError",
    "ClassScore",
    "Client",
    "DeadlineExceededError",
    "InternalError",
    "KeepAlive",
    "Limits",
    "Method",
    "Model",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "Priority",
    "Question",
    "RejectedError",
    "Reload",
    "ReloadOutcome",
    "Retry",
    "SegmentQuestion",
    "Segmentation",
    "ServerError",
    "Timings",
    "Tls",
    "UnavailableError",
    "UnsupportedError",
]
