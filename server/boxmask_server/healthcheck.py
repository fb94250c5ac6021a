"""The health probe of containers: ``python -m boxmask_server.healthcheck ADDR`` exits 0 if it is SERVING.

It stands in for a probe by gRPC where there is none, or where the server speaks TLS, which Kubernetes' own
probes do not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 3.0


def main(argv: Sequence[str]) -> int:
    """Asks one server for its health.

    Args:
        argv: The server's address, and how to speak to it.

    Returns:
        0 if it is serving, 1 if it is not or does not answer.

    Raises:
        SystemExit: The arguments make no sense; its status is 2.
    """
    arguments = _parser().parse_args(argv)
    try:
        channel = _channel(arguments)
    except OSError as error:
        sys.stderr.write(f"{error.filename} cannot be read: {error.strerror}\n")
        return 1
    with channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(  # type: ignore[attr-defined]  # types-grpcio leaves the methods out
                health_pb2.HealthCheckRequest(service=arguments.service), timeout=TIMEOUT
            )
        except grpc.RpcError as error:
            sys.stderr.write(f"{arguments.address} does not answer: {error.details()}\n")
            return 1
    return 0 if response.status == health_pb2.HealthCheckResponse.SERVING else 1


def _channel(arguments: argparse.Namespace) -> grpc.Channel:
    if arguments.ca is None:
        return grpc.insecure_channel(arguments.address)
    pair = [None if file is None else file.read_bytes() for file in (arguments.key, arguments.cert)]
    credentials = grpc.ssl_channel_credentials(arguments.ca.read_bytes(), *pair)
    name = arguments.server_name
    options = [] if name is None else [("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(arguments.address, credentials, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m boxmask_server.healthcheck", description="Ask a server for its health."
    )
    parser.add_argument("address", metavar="ADDR", help="HOST:PORT or unix:PATH")
    parser.add_argument("--service", default="", help="ask for one service; without it, for the process")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="speak TLS, and trust these PEM certificates")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="PEM certificate to show, with --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="PEM key of --cert")
    parser.add_argument(
        "--server-name", metavar="NAME", help="name in the server's certificate, if not ADDR's"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
