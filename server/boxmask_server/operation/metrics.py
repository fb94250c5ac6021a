"""What the server counts for Prometheus: outcomes of requests, and where the work goes.

The rate of ``boxmask_stage_seconds_total`` says how many threads are at work in a stage. Where the host's
stages together (on the CPU, with CFS among them) reach ``boxmask_host_workers``, or the network reaches 1 on
its one device, that limits the speed.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server

from boxmask_core.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from boxmask.v1 import labeling_pb2 as pb

OK = "OK"
CANCELLED = "CANCELLED"


class Metrics:
    """Counts; `serve` shows the counts.

    Args:
        workers: Threads of the host pool.
        inside: Returns how many requests are worked on or wait.
        reason_of: Returns what an error is counted under.
    """

    def __init__(
        self, workers: int, inside: Callable[[], int], reason_of: Callable[[Exception], str]
    ) -> None:
        self._reason_of = reason_of
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "boxmask_requests", "Requests and items of streams, by their outcome.", ["method", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._stages = Counter(
            "boxmask_stage_seconds", "Seconds of work in each stage, without waiting.", ["stage"],
            registry=self.registry,
        )  # fmt: skip
        Gauge("boxmask_host_workers", "Threads of the host pool.", registry=self.registry).set(workers)
        Gauge(
            "boxmask_requests_inside", "Requests that are worked on or wait.", registry=self.registry
        ).set_function(inside)

    @contextmanager
    def counted(self, method: str) -> Iterator[None]:
        """Counts the outcome of the block: OK, CANCELLED, or the reason of its error."""
        outcome = OK
        try:
            yield
        except asyncio.CancelledError:
            outcome = CANCELLED
            raise
        except Exception as error:
            outcome = self._reason_of(error)
            raise
        finally:
            self._requests.labels(method, outcome).inc()

    def worked(self, timings: pb.Timings) -> None:
        """Counts where the work of one answer went."""
        for stage, milliseconds in (
            ("decode", timings.decode_ms),
            ("crop", timings.crop_ms),
            ("network", timings.inference_ms),
            ("refine", timings.refine_ms),
            ("encode", timings.encode_ms),
        ):
            self._stages.labels(stage).inc(milliseconds / 1e3)

    @contextmanager
    def serve(self, address: str) -> Iterator[str]:
        """Shows the counts at ``http://HOST:PORT/metrics`` while the block runs; yields the address.

        Args:
            address: ``HOST:PORT``; port 0 takes any free one.

        Raises:
            ListenError: The address is malformed or taken.
        """
        server, thread = self._listen(address)
        try:
            yield f"{address.rpartition(':')[0]}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _listen(self, address: str) -> tuple[WSGIServer, Thread]:
        host, _, port = address.rpartition(":")
        try:
            return start_http_server(int(port), host, self.registry)
        except (OSError, ValueError, OverflowError) as error:
            raise ListenError(address, f"{error}; is it taken? Metrics are served at HOST:PORT") from error
