from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_server import healthcheck
from boxmask_server.serve import main
from tests.server.pictures import CAT, png
from tests.server.serving import request_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_core.bundle import Bundle

SERVE = "import sys; from boxmask_server.serve import main; sys.exit(main(sys.argv[1:]))"


def test_the_command_serves_until_it_is_told_to_stop_and_answers_what_it_has(
    bundle: Bundle, socket: str
) -> None:
    with _process(bundle, "--listen", socket, "--workers", "1", "--queue", "1") as (process, address):
        assert address == socket
        assert healthcheck.main([address]) == 0
        with grpc.insecure_channel(address) as channel:
            stub = pb_grpc.LabelingServiceStub(channel)
            slow = request_of(png("cat"), *[CAT] * 3, method=pb.METHOD_GRABCUT)
            running = stub.StreamPseudoLabel(
                iter([pb.StreamPseudoLabelRequest(item_id="slow", request=slow)])
            )
            _until_the_only_place_is_taken(stub)
            process.send_signal(signal.SIGTERM)
            assert len(next(running).response.masks) == 3
        assert process.wait(20) == 0
    assert healthcheck.main([address]) == 1


def test_an_interrupt_stops_it_as_well_and_the_free_port_is_told(bundle: Bundle) -> None:
    with _process(bundle, "--listen", "127.0.0.1:0", "--device", "cpu") as (process, address):
        assert healthcheck.main([address]) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0"],
        ["--max-pixels", "many"],
        ["--device", "tpu"],
        ["--grace", "-1"],
        ["--tls-cert", "cert.pem"],
        ["--tls-key", "key.pem"],
        ["one", "two"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "boxmask serve: error:" in capsys.readouterr().err


def test_the_health_check_needs_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main([]) == 2
    assert "usage" in capsys.readouterr().err


def _until_the_only_place_is_taken(stub: pb_grpc.LabelingServiceStub) -> None:
    code = None
    while code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        with pytest.raises(grpc.RpcError) as caught:
            stub.PseudoLabel(pb.PseudoLabelRequest())
        code = caught.value.code()


@contextlib.contextmanager
def _process(bundle: Bundle, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SERVE, str(bundle.root), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["listening", "on"]
            yield process, words[2]
        finally:
            process.kill()
