from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_server import healthcheck
from boxmask_server.operation.stages import STAGES
from boxmask_server.serve import main
from boxmask_server.server import SERVICE_NAME
from tests.bundles import write_tiny_bundle
from tests.server.collector import collecting
from tests.server.pictures import CAT, png
from tests.server.serving import request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boxmask_core.bundle import Bundle

SERVE = "import sys; from boxmask_server.serve import main; sys.exit(main(sys.argv[1:]))"
SECRET, OTHER = "the-secret-of-editor", "the-secret-of-another"


def test_the_command_serves_until_it_is_told_to_stop_and_answers_what_it_has(
    bundle: Bundle, socket: str
) -> None:
    with _process(bundle, "--listen", socket, "--workers", "1", "--queue", "1") as here:
        assert here.address == socket
        assert healthcheck.main([here.address]) == 0
        with grpc.insecure_channel(here.address) as channel:
            stub = pb_grpc.LabelingServiceStub(channel)
            slow = request_of(png("cat"), *[CAT] * 3, method=pb.METHOD_GRABCUT)
            running = stub.StreamPseudoLabel(
                iter([pb.StreamPseudoLabelRequest(item_id="slow", request=slow)])
            )
            _until_the_only_place_is_taken(stub)
            here.process.send_signal(signal.SIGTERM)
            assert len(next(running).response.masks) == 3
        assert here.process.wait(20) == 0
    assert healthcheck.main([here.address]) == 1


def test_an_interrupt_stops_it_as_well_and_the_free_port_is_told(bundle: Bundle) -> None:
    with _process(bundle, "--listen", "127.0.0.1:0", "--device", "cpu") as here:
        assert healthcheck.main([here.address]) == 0
        here.process.send_signal(signal.SIGINT)
        assert here.process.wait(20) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0"],
        ["--max-pixels", "many"],
        ["--device", "tpu"],
        ["--grace", "-1"],
        ["--tls-cert", "cert.pem"],
        ["--tls-key", "key.pem"],
        ["one/x", "two/x"],
        ["--nonsense"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stopped:  # argparse has its own way out
        status = int(stopped.code or 0)
    assert status == 2
    assert "boxmask serve: error:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--tokens", "nowhere"], ["--tls-cert", "a", "--tls-key", "b"]])
def test_a_file_that_cannot_be_used_ends_it_before_anything_is_loaded(
    bundle: Bundle, arguments: list[str]
) -> None:
    command = [sys.executable, "-c", SERVE, str(bundle.root), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert f"boxmask serve: error: {arguments[0] if arguments[0] == '--tokens' else '--tls'}" in ended.stderr
    assert "cannot be read" in ended.stderr
    assert "is ready" not in ended.stderr


def test_the_settings_are_shown_and_nothing_is_served(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOXMASK_MAX_BOXES", "7")
    file = tmp_path / "boxmask.toml"
    file.write_text("queue = 3\n", encoding="utf-8")
    assert main([str(bundle.root), "--config", str(file), "--grace", "2", "--show-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"queue = 3  # queue in {file}" in lines
    assert "max_boxes = 7  # BOXMASK_MAX_BOXES" in lines
    assert "grace = 2.0  # --grace" in lines


def test_several_bundles_are_served_by_the_names_that_they_are_given(
    bundle: Bundle, socket: str, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        write_tiny_bundle(tmp_path / "pets" / version)
    arguments = (f"animals={tmp_path / 'pets'}", "--versions", "all", "--listen", socket)
    with _process(bundle, *arguments) as here, grpc.insecure_channel(socket) as channel:
        stub = pb_grpc.LabelingServiceStub(channel)
        models = stub.ListModels(pb.ListModelsRequest()).models
        assert {(model.bundle, model.version) for model in models} == {
            ("tiny", "1"),
            ("animals", "1"),
            ("animals", "2"),
        }
        assert here.process.poll() is None


def test_a_hangup_reads_tokens_and_bundles_again_and_a_broken_file_changes_nothing(
    socket: str, tmp_path: Path
) -> None:
    folder = tmp_path / "pets"
    write_tiny_bundle(folder / "1")
    tokens = _tokens(tmp_path, SECRET)
    metrics = f"127.0.0.1:{_free_port()}"
    arguments = ("--tokens", str(tokens), "--metrics", metrics, "--listen", socket)
    with _process(folder, *arguments) as here, grpc.insecure_channel(socket) as channel:
        stub = pb_grpc.LabelingServiceStub(channel)
        assert _versions(stub, SECRET) == ["1"]
        write_tiny_bundle(folder / "2")
        tokens.write_text(f"editor {OTHER}\n", encoding="utf-8")
        here.hang_up(metrics, 'boxmask_reloads_total{outcome="loaded",subject="models"} 1.0')
        assert _versions(stub, OTHER) == ["2"]
        with pytest.raises(grpc.RpcError) as caught:
            _versions(stub, SECRET)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        tokens.write_text("editor short\n", encoding="utf-8")
        shutil.rmtree(folder / "2")
        (folder / "2").mkdir()
        (folder / "2" / "bundle.json").write_text("{", encoding="utf-8")
        here.hang_up(metrics, 'boxmask_reloads_total{outcome="failed",subject="models"} 1.0')
        assert _versions(stub, OTHER) == ["2"]
        assert 'boxmask_reloads_total{outcome="failed",subject="tokens"} 1.0' in _metrics(metrics)
        assert 'boxmask_model_info{bundle="pets",digest=' in _metrics(metrics)


def test_tls_is_spoken_by_the_files_and_the_health_check_can_too(bundle: Bundle, tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf, client = authority.issue_cert("boxmask.example"), authority.issue_cert(common_name="probe")
    names = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key", "own_cert", "own_key")}
    authority.cert_pem.write_to_path(names["ca"])
    leaf.cert_chain_pems[0].write_to_path(names["cert"])
    leaf.private_key_pem.write_to_path(names["key"])
    client.cert_chain_pems[0].write_to_path(names["own_cert"])
    client.private_key_pem.write_to_path(names["own_key"])
    tls = [f"--tls-{name}={names[name]}" for name in ("cert", "key")]
    tls += [f"--tls-client-ca={names['ca']}", "--log-format=json"]
    with _process(bundle, "--listen", "127.0.0.1:0", *tls, err=subprocess.PIPE) as here:
        trusting = [here.address, "--ca", str(names["ca"]), "--server-name", "boxmask.example"]
        own = ["--cert", str(names["own_cert"]), "--key", str(names["own_key"])]
        assert healthcheck.main([*trusting, *own, "--service", SERVICE_NAME]) == 0
        assert healthcheck.main(trusting) == 1  # without a certificate of its own
        assert healthcheck.main([here.address]) == 1  # in plain text
        assert healthcheck.main([*trusting, "--cert", "nowhere"]) == 1
        credentials = grpc.ssl_channel_credentials(
            *(names[name].read_bytes() for name in ("ca", "own_key", "own_cert"))
        )
        options = [("grpc.ssl_target_name_override", "boxmask.example")]
        with grpc.secure_channel(here.address, credentials, options) as channel:
            pb_grpc.LabelingServiceStub(channel).ListModels(pb.ListModelsRequest())
        here.process.send_signal(signal.SIGTERM)
        told = map(json.loads, here.process.communicate(timeout=20)[1].splitlines())
    (call,) = [line for line in told if line["logger"] == "boxmask_server.access"]
    assert (call["certificate"], call["peer"]) == ("probe", "ipv4:127.0.0.1")


def test_logs_are_json_with_one_line_for_a_call_and_no_word_of_its_image(bundle: Bundle, socket: str) -> None:
    with (
        _process(bundle, "--listen", socket, "--log-format", "json", err=subprocess.PIPE) as here,
        grpc.insecure_channel(socket) as channel,
    ):
        stub = pb_grpc.LabelingServiceStub(channel)
        metadata = (("x-request-id", "mine-7"),)
        stub.PseudoLabel(request_of(png("cat"), CAT), metadata=metadata)
        here.process.send_signal(signal.SIGTERM)
        told = here.process.communicate(timeout=20)[1]
    lines = [json.loads(line) for line in told.splitlines()]
    (call,) = [line for line in lines if line["logger"] == "boxmask_server.access"]
    assert (call["request_id"], call["method"], call["outcome"]) == ("mine-7", "PseudoLabel", "OK")
    assert call["received_bytes"] > len(png("cat"))
    assert max(len(line) for line in told.splitlines()) < 2000


def test_a_full_disk_under_the_logs_stops_nothing_and_is_counted(bundle: Bundle, socket: str) -> None:
    metrics = f"127.0.0.1:{_free_port()}"
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        _process(bundle, "--listen", socket, "--metrics", metrics, out=full, err=full) as here,
    ):
        _until(lambda: Path(socket.removeprefix("unix:")).exists())
        with grpc.insecure_channel(socket) as channel:
            stub = pb_grpc.LabelingServiceStub(channel)
            answer = stub.PseudoLabel(request_of(png("cat"), CAT), wait_for_ready=True, timeout=60)
            assert len(answer.masks) == 1
        (lost,) = [
            line for line in _metrics(metrics).splitlines() if line.startswith("boxmask_log_lines_lost_total")
        ]
        assert float(lost.split()[1]) > 0
        here.process.send_signal(signal.SIGTERM)
        assert here.process.wait(20) == 0


def test_a_call_is_followed_from_the_caller_through_its_stages(bundle: Bundle, socket: str) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with collecting() as (kept, endpoint):
        with (
            _process(bundle, "--listen", socket, "--otlp-endpoint", endpoint) as here,
            grpc.insecure_channel(socket) as channel,
        ):
            stub = pb_grpc.LabelingServiceStub(channel)
            metadata = (("traceparent", f"00-{trace}-{parent}-01"),)
            stub.PseudoLabel(request_of(png("cat"), CAT), metadata=metadata)
            item = pb.StreamPseudoLabelRequest(item_id="it", request=request_of(png("cat"), CAT))
            assert list(stub.StreamPseudoLabel(iter([item])))
            here.process.send_signal(signal.SIGTERM)
            assert here.process.wait(20) == 0
        spans = kept.spans()
    (call,) = [span for span in spans if span.name.endswith("/PseudoLabel")]
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (trace, parent)
    assert {span.name for span in spans if span.parent_span_id == call.span_id} == set(STAGES)
    (stream,) = [span for span in spans if span.name.endswith("/StreamPseudoLabel")]
    (answered,) = [span for span in spans if span.name == "item"]
    assert answered.parent_span_id == stream.span_id
    assert {span.name for span in spans if span.parent_span_id == answered.span_id} == set(STAGES)


def test_several_processes_share_a_port_and_one_that_is_killed_is_replaced(bundle: Bundle) -> None:
    arguments = ("--listen", "127.0.0.1:0", "--processes", "2", "--workers", "1", "--threads", "1")
    with _process(bundle, *arguments, err=subprocess.PIPE) as here:
        assert here.process.stderr is not None
        pids = _ready(here.process.stderr, 2)
        assert healthcheck.main([here.address]) == 0
        os.kill(pids[0], signal.SIGKILL)
        assert _ready(here.process.stderr, 1)
        assert healthcheck.main([here.address]) == 0
        here.process.send_signal(signal.SIGTERM)
        here.process.stderr.read()
        assert here.process.wait(30) == 0


def test_the_health_check_asks_for_one_service(bundle: Bundle, socket: str) -> None:
    with _process(bundle, "--listen", socket) as here:
        assert healthcheck.main([here.address, "--service", SERVICE_NAME]) == 0
        assert healthcheck.main([here.address, "--service", "inference.GRPCInferenceService"]) == 0
        assert healthcheck.main([here.address, "--service", "nothing"]) == 1


def test_the_health_check_needs_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        healthcheck.main([])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_health_is_watched_through_the_drain(bundle: Bundle, socket: str) -> None:
    with _process(bundle, "--listen", socket) as here, grpc.insecure_channel(socket) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(  # type: ignore[attr-defined]  # types-grpcio leaves methods out
            health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        here.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert here.process.wait(20) == 0


@dataclass(frozen=True)
class _Here:
    process: subprocess.Popen[str]
    address: str

    def hang_up(self, metrics: str, told: str) -> None:
        """Sends SIGHUP, and returns when a count says that all is read."""
        self.process.send_signal(signal.SIGHUP)
        _until(lambda: told in _metrics(metrics))


@contextlib.contextmanager
def _process(
    bundle: Bundle | Path, *arguments: str, out: Any = subprocess.PIPE, err: Any = None
) -> Iterator[_Here]:
    root = bundle if isinstance(bundle, Path) else bundle.root
    command = [sys.executable, "-c", SERVE, str(root), *arguments]
    with subprocess.Popen(
        command, stdout=out, stderr=err, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        try:
            address = ""
            if out is subprocess.PIPE:
                assert process.stdout is not None
                words = process.stdout.readline().split()
                assert words[:2] == ["listening", "on"]
                address = words[2]
            yield _Here(process, address)
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
            process.kill()


def _until_the_only_place_is_taken(stub: pb_grpc.LabelingServiceStub) -> None:
    code = None
    while code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        with pytest.raises(grpc.RpcError) as caught:
            stub.PseudoLabel(pb.PseudoLabelRequest())
        code = caught.value.code()


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _ready(told: Any, count: int) -> list[int]:
    """Reads a supervisor's log until so many processes are ready; returns their pids."""
    pids: list[int] = []
    while len(pids) < count:
        line = told.readline()
        assert line, "the supervisor has ended"
        if "is ready (pid " in line:
            pids.append(int(line.partition("(pid ")[2].partition(")")[0]))
    return pids


def _tokens(folder: Path, secret: str) -> Path:
    file = folder / "tokens"
    file.write_text(f"editor {secret}\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def _versions(stub: pb_grpc.LabelingServiceStub, secret: str) -> list[str]:
    metadata = (("authorization", f"Bearer {secret}"),)
    models = stub.ListModels(pb.ListModelsRequest(), metadata=metadata).models
    return sorted({model.version for model in models})


def _metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return str(page.read().decode())


def _free_port() -> int:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
