"""The command ``boxmask serve``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.engines import CRF_ENGINES, GRABCUT_ENGINES, HostEngines
from boxmask_server.networks.cores import available_cores
from boxmask_server.server import Server, Settings
from boxmask_server.wire.converters import model_of
from boxmask_server.work.labeler import Limits
from boxmask_server.work.pipelines import Engines, open_engines, open_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULTS = Limits()

logger = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Serves a bundle until SIGTERM or SIGINT, then drains.

    Args:
        argv: The arguments after ``boxmask serve``.

    Returns:
        The exit status: 0 after a drain.

    Raises:
        BundleError: The bundle is missing or damaged.
        DeviceError: The device asked for is not to be had.
        ListenError: The address is malformed or taken.
    """
    arguments = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    bundle = Bundle.load(arguments.bundle or starter_path())
    engines = open_engines(bundle, device=arguments.device, threads=arguments.threads)
    return asyncio.run(_serve(engines, arguments))


async def _serve(engines: Engines, arguments: argparse.Namespace) -> int:
    limits = Limits(arguments.max_bytes, arguments.max_pixels, arguments.max_boxes)
    settings = Settings(arguments.listen, arguments.queue, arguments.stream_window, _credentials(arguments))
    models = [model_of(engine, limits, arguments.stream_window) for engine in engines.all()]
    stop = _stop_signal()
    host = HostEngines(arguments.grabcut_engine, arguments.crf_engine)
    async with open_pipelines(
        engines, workers=arguments.workers, limits=limits, max_batch=arguments.max_batch, host=host
    ) as pipelines:
        server = Server(pipelines, models, settings)
        with _metrics(server, arguments.metrics):
            address = await server.start()
            sys.stdout.write(f"listening on {address}\n")
            sys.stdout.flush()
            await stop.wait()
            logger.info("draining, at most %g s", arguments.grace)
            await server.drain(arguments.grace)
    return 0


@contextlib.contextmanager
def _metrics(server: Server, address: str | None) -> Iterator[None]:
    if address is None:
        yield
        return
    with server.metrics.serve(address) as taken:
        logger.info("metrics at http://%s/metrics", taken)
        yield


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _credentials(arguments: argparse.Namespace) -> grpc.ServerCredentials | None:
    if arguments.tls_cert is None:
        return None
    pair = (arguments.tls_key.read_bytes(), arguments.tls_cert.read_bytes())
    return grpc.ssl_server_credentials([pair])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    return arguments


def _parser() -> argparse.ArgumentParser:
    cores = available_cores()
    parser = argparse.ArgumentParser(
        prog="boxmask serve",
        description="Serve a model bundle over gRPC (boxmask.v1.LabelingService).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, help="bundle folder; without it, the one that boxmask ships")
    add("--listen", metavar="ADDR", default="127.0.0.1:8500", help="HOST:PORT or unix:PATH")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run")
    add("--threads", type=_positive, default=cores, help="threads of one segmentation run on the CPU")
    add(
        "--workers",
        type=_positive,
        default=cores,
        help="threads that decode, cut, encode and, on the CPU, run CFS",
    )
    add("--grabcut-engine", choices=GRABCUT_ENGINES, default="boxmask", help="who computes GrabCut")
    add("--crf-engine", choices=CRF_ENGINES, default="boxmask", help="who computes the DenseCRF")
    add("--max-batch", type=_positive, default=16, help="boxes that the network is given at once")
    add("--max-bytes", type=_positive, default=DEFAULTS.max_bytes, help="bytes of one encoded image")
    add("--max-pixels", type=_positive, default=DEFAULTS.max_pixels, help="pixels of one image")
    add("--max-boxes", type=_positive, default=DEFAULTS.max_boxes, help="boxes of one image")
    add("--queue", type=_positive, default=256, help="requests inside; more are refused")
    add("--stream-window", type=_positive, default=16, help="unanswered items of one stream")
    add("--grace", type=_seconds, default=30.0, help="seconds that a drain may take")
    add("--metrics", metavar="HOST:PORT", help="where Prometheus metrics are served; without it, nowhere")
    add("--tls-cert", type=Path, help="PEM certificate chain; needs --tls-key")
    add("--tls-key", type=Path, help="PEM private key; needs --tls-cert")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, but got {value}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds from 0 up, but got {value:g}")
    return value
