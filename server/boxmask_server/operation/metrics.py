"""What the server counts for Prometheus: outcomes of requests, and where the work goes.

The rate of ``boxmask_stage_seconds_sum`` says how many threads are at work in a stage. Where the host's
stages together (on the CPU, with CFS among them) reach ``boxmask_host_workers``, or the network reaches 1 on
its one device, that limits the speed. Labels take values from lists that the server knows beforehand, so that
no caller can make series.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from boxmask_core.errors import ListenError
from boxmask_server.operation.stages import seconds_by_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import Metric

    from boxmask.v1 import labeling_pb2 as pb

OK: Final = "OK"
CANCELLED: Final = "CANCELLED"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
PIXELS: Final = tuple(4**power for power in range(7, 14))
"""From 16 thousand to 67 million."""


class Model(NamedTuple):
    """What a network that is held is known by."""

    bundle: str
    version: str
    network: str
    provider: str
    digest: str


class Metrics:
    """Counts; `serve` shows the counts. It is what batchers report to (`boxmask_server.work.observer`).

    Args:
        workers: Threads of the host pool.
        reason_of: Returns what an error is counted under.
    """

    def __init__(self, workers: int, reason_of: Callable[[Exception], str]) -> None:
        self._reason_of = reason_of
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("resident_memory_peak_bytes", "Most memory that the process has held.", _peak_bytes)
        self._gauge("host_workers", "Threads of the host pool.", lambda: workers)
        self._requests = self._counter(
            "requests", "Requests and items of streams, by their outcome.", "method", "outcome"
        )
        self._callers = self._counter("caller_calls", "Calls of each token; a stream is one.", "caller")
        self._refusals = self._counter("auth_failures", "Calls without the right to be made.", "reason")
        self._request_seconds = self._histogram(
            "request_seconds", "From arrival to answer, of requests and items of streams.", SECONDS, "method"
        )
        self._stages = self._histogram(
            "stage_seconds", "Work of a request in each stage; of 'queue', waiting.", SECONDS, "stage"
        )
        self._batch_seconds = self._histogram("batch_seconds", "Runs of a network.", SECONDS, "network")
        self._batch_wait = self._histogram(
            "batch_wait_seconds", "Waiting of an item for its batch to leave.", SECONDS, "network"
        )
        self._batch_items = self._histogram("batch_items", "Items of a batch.", ITEMS, "network")
        self._batch_pixels = self._histogram(
            "batch_pixels", "Pixels of a batch, padding included.", PIXELS, "network"
        )
        self._padding = self._counter("batch_padding_pixels", "Pixels that were padding.", "network")
        self._dropped = self._counter("dropped", "Items that were dropped before they cost a run.", "reason")
        self._restarts = self._counter("batcher_restarts", "Batchers that failed and began anew.", "network")
        self._reloads = self._counter(
            "reloads", "Models, tokens and certificates that were read again.", "subject", "outcome"
        )
        self._lag = self._histogram(
            "event_loop_lag_seconds", "How much later than asked the event loop woke up.", SECONDS
        )

    @contextmanager
    def counted(self, method: str) -> Iterator[None]:
        """Counts the block's time and its outcome: OK, CANCELLED, or the reason of its error."""
        outcome = OK
        began = perf_counter()
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
            self._request_seconds.labels(method).observe(perf_counter() - began)

    def refused(self, method: str, error: Exception) -> None:
        """Counts a call that did not get as far as its service."""
        self._requests.labels(method, self._reason_of(error)).inc()

    def unauthenticated(self, error: Exception) -> None:
        """Counts a call without the right to be made."""
        self._refusals.labels(self._reason_of(error)).inc()

    def called(self, caller: str) -> None:
        """Counts a call of a token that is known."""
        self._callers.labels(caller).inc()

    def worked(self, timings: pb.Timings) -> None:
        """Counts where the time of one answer went."""
        for stage, seconds in seconds_by_stage(timings).items():
            self._stages.labels(stage).observe(seconds)

    def batch(
        self, network: str, items: int, pixels: int, padding: int, waited: Sequence[float], seconds: float
    ) -> None:
        """Counts a batch; see `boxmask_server.work.observer.Observer.batch`."""
        self._batch_items.labels(network).observe(items)
        self._batch_pixels.labels(network).observe(pixels)
        self._batch_seconds.labels(network).observe(seconds)
        self._padding.labels(network).inc(padding)
        wait = self._batch_wait.labels(network)
        for each in waited:
            wait.observe(each)

    def dropped(self, reason: str) -> None:
        """Counts an item that was dropped."""
        self._dropped.labels(reason).inc()

    def restarted(self, network: str) -> None:
        """Counts a batcher that began anew."""
        self._restarts.labels(network).inc()

    def reloaded(self, subject: str, outcome: str) -> None:
        """Counts what was read again: ``models``, ``tokens`` or ``certificates``, and what became of it."""
        self._reloads.labels(subject, outcome).inc()

    def lagged(self, seconds: float) -> None:
        """Counts how late the event loop was."""
        self._lag.observe(seconds)

    def queues(self, items: Mapping[str, Callable[[], int]], size: Callable[[], int]) -> None:
        """Shows what waits.

        Args:
            items: For each priority, what returns how many requests, batch items and steps on the CPU wait.
            size: Returns the bytes of the encoded images inside.
        """
        gauge = Gauge(
            "boxmask_queue_items",
            "Requests, batch items and steps on the CPU that wait.",
            ["priority"],
            registry=self.registry,
        )
        for priority, waiting in items.items():
            gauge.labels(priority).set_function(waiting)
        self._gauge("queue_bytes", "Bytes of the encoded images inside.", size)

    def inside(self, now: Callable[[], int]) -> None:
        """Shows how many requests are worked on or wait."""
        self._gauge("requests_inside", "Requests that are worked on or wait.", now)

    def calls(self, now: Callable[[], int]) -> None:
        """Shows how many calls are open."""
        self._gauge("calls_open", "Calls that are open, streams among them.", now)

    def logs(self, lost: Callable[[], int]) -> None:
        """Shows how many lines of the log could not be written."""
        name, text = "boxmask_log_lines_lost", "Lines of the log that could not be written."
        self.registry.register(_Asked(lambda: CounterMetricFamily(name, text, lost())))

    def models(self, held: Callable[[], Iterable[Model]]) -> None:
        """Shows which networks are held."""
        self.registry.register(_Asked(lambda: _model_info(held())))

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

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"boxmask_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"boxmask_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, text: str, now: Callable[[], float]) -> None:
        Gauge(f"boxmask_{name}", text, registry=self.registry).set_function(now)


class _Asked(Collector):
    """A family whose values are asked for whenever somebody looks."""

    def __init__(self, family: Callable[[], Metric]) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        yield self._family()


def _model_info(models: Iterable[Model]) -> Metric:
    family = GaugeMetricFamily("boxmask_model_info", "1 for each network that is held.", labels=Model._fields)
    for model in models:
        family.add_metric(model, 1)
    return family


def _peak_bytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
