"""Everything that is told of a request: it is counted, followed and, at the level of debugging, logged."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from boxmask_server.operation.logs import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask.v1 import labeling_pb2 as pb
    from boxmask_server.operation.metrics import Metrics
    from boxmask_server.operation.tracing import Tracing

logger = logging.getLogger(__name__)


class Watch:
    """Is told of requests, by the services.

    Args:
        metrics: Counts them.
        tracing: Follows them.
    """

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def request(self, method: str) -> Iterator[None]:
        """Watches a call that is one request."""
        with self._metrics.counted(method):
            yield

    @contextmanager
    def item(self, method: str, item_id: str) -> Iterator[None]:
        """Watches one item of a stream, in a task of its own."""
        began = perf_counter()
        error: BaseException | None = None
        try:
            with self._tracing.item(item_id), self._metrics.counted(method):
                yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            if logger.isEnabledFor(logging.DEBUG):
                facts = {"item_id": item_id[:100], "ms": (perf_counter() - began) * 1e3}
                outcome = "answered" if error is None else f"ended by {type(error).__name__}"
                logger.debug("item %s", outcome, extra={FACTS: facts})

    def worked(self, timings: pb.Timings) -> None:
        """Notes where the time of one answer went."""
        self._metrics.worked(timings)
        self._tracing.worked(timings)
