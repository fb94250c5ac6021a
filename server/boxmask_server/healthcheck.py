"""The health probe of containers: ``python -m boxmask_server.healthcheck ADDR`` exits 0 if it is SERVING."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 3.0


def main(argv: Sequence[str]) -> int:
    """Asks one server for its health.

    Args:
        argv: The server's address.

    Returns:
        0 if it is serving, 1 if it is not or does not answer, 2 if the address is missing.
    """
    if len(argv) != 1:
        sys.stderr.write("usage: python -m boxmask_server.healthcheck ADDR\n")
        return 2
    with grpc.insecure_channel(argv[0]) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(  # type: ignore[attr-defined]  # types-grpcio leaves the methods out
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT
            )
        except grpc.RpcError as error:
            sys.stderr.write(f"{argv[0]} does not answer: {error.details()}\n")
            return 1
    return 0 if response.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
