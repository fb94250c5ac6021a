from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import ListenError
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.operation.certificates import Certificates
from boxmask_server.server import SERVICE_NAME, Settings
from boxmask_server.wire.converters import MESSAGE_SLACK
from boxmask_server.work.labeler import Limits
from tests.server.details import reason_of, status_of
from tests.server.pictures import CAT, HEAD, png
from tests.server.serving import Serving, request_of, serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.cfs_engine import CfsInput
    from boxmask_server.networks.session import Inferred

CODE = grpc.StatusCode
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_free_port_is_taken_and_told(engine: CfsEngine) -> None:
    async def scene() -> None:
        async with serving(engine, Settings("127.0.0.1:0")) as here:
            host, port = here.address.split(":")
            assert host == "127.0.0.1"
            assert int(port) > 0
            assert (await here.stub.PseudoLabel(request_of(png("astronaut"), HEAD))).masks

    asyncio.run(scene())


def test_a_taken_port_is_an_error_and_not_shared(engine: CfsEngine) -> None:
    async def scene() -> None:
        async with serving(engine, Settings("127.0.0.1:0")) as here:
            with pytest.raises(ListenError, match=f"cannot listen at {here.address}"):
                async with serving(engine, Settings(here.address)):
                    pass

    asyncio.run(scene())


def test_health_says_serving_by_server_and_by_service(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket)) as here:
            assert await _health(here, "") == SERVING
            assert await _health(here, SERVICE_NAME) == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _health(here, "nothing")
            assert caught.value.code() is CODE.NOT_FOUND

    asyncio.run(scene())


def test_reflection_lists_the_services(engine: CfsEngine, socket: str) -> None:
    async def question() -> list[str]:
        async with serving(engine, Settings(socket)) as here:
            stub = reflection_pb2_grpc.ServerReflectionStub(here.channel)  # type: ignore[arg-type]  # aio too
            call = stub.ServerReflectionInfo()  # type: ignore[operator]  # types-grpcio leaves methods out
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            response = await call.read()
            call.cancel()
            return [service.name for service in response.list_services_response.service]

    assert set(asyncio.run(question())) == {
        "boxmask.v1.LabelingService",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_message_beyond_the_limit_is_refused_before_it_is_read(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket), limits=Limits(max_bytes=1000)) as here:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.stub.PseudoLabel(pb.PseudoLabelRequest(image=bytes(MESSAGE_SLACK + 2000)))
            assert caught.value.code() is CODE.RESOURCE_EXHAUSTED

    asyncio.run(scene())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_spoken_where_a_certificate_is_given(engine: CfsEngine, tmp_path: Path) -> None:
    key, certificate = _self_signed(tmp_path)
    settings = Settings("localhost:0", certificates=Certificates(certificate, key))

    async def scene() -> None:
        async with serving(engine, settings, trusted=certificate.read_bytes()) as here:
            assert (await here.stub.ListModels(pb.ListModelsRequest())).models

    asyncio.run(scene())


def test_a_drain_answers_what_it_has_and_refuses_what_comes(bundle: Bundle, socket: str) -> None:
    engine = HeldEngine(bundle)

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            running = asyncio.ensure_future(_answer(here, request_of(png("cat"), CAT)))
            await engine.is_held()
            health = health_pb2_grpc.HealthStub(here.channel)
            watch = health.Watch(  # type: ignore[attr-defined]  # types-grpcio leaves methods out
                health_pb2.HealthCheckRequest()
            )
            assert (await watch.read()).status == SERVING
            draining = asyncio.create_task(here.server.drain(20))
            assert (await watch.read()).status == NOT_SERVING
            assert await _health(here, SERVICE_NAME) == NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.stub.PseudoLabel(request_of(png("cat"), CAT))
            assert caught.value.code() is CODE.UNAVAILABLE
            assert reason_of(status_of(caught.value)) == "DRAINING"
            engine.free.set()
            assert len((await running).masks) == 1
            await draining

    asyncio.run(scene())


def test_a_drain_ends_a_stream_after_what_it_has_read(bundle: Bundle, socket: str) -> None:
    engine = HeldEngine(bundle)

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            call = here.stub.StreamPseudoLabel()
            await call.write(pb.StreamPseudoLabelRequest(item_id="it", request=request_of(png("cat"), CAT)))
            await engine.is_held()
            draining = asyncio.create_task(here.server.drain(20))
            await asyncio.sleep(0)
            engine.free.set()
            answer = await call.read()
            assert isinstance(answer, pb.StreamPseudoLabelResponse)
            assert answer.HasField("response")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is CODE.UNAVAILABLE
            assert reason_of(status_of(caught.value)) == "DRAINING"
            await draining

    asyncio.run(scene())


def test_a_drain_that_outlasts_its_grace_cancels_the_rest(bundle: Bundle, socket: str) -> None:
    engine = HeldEngine(bundle)

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            running = asyncio.ensure_future(_answer(here, request_of(png("cat"), CAT)))
            await engine.is_held()
            await asyncio.wait_for(here.server.drain(0.1), 10)
            with pytest.raises(grpc.aio.AioRpcError):
                await running
            engine.free.set()

    asyncio.run(scene())


def test_health_turns_while_a_batch_is_stuck_and_back_when_it_ends(bundle: Bundle, socket: str) -> None:
    engine = HeldEngine(bundle)

    async def scene() -> None:
        async with serving(engine, Settings(socket, stall_seconds=0.1), workers=1) as here:
            watches = [_watch(here, name) for name in ("", SERVICE_NAME)]
            assert [(await watch.read()).status for watch in watches] == [SERVING, SERVING]
            running = asyncio.ensure_future(_answer(here, request_of(png("cat"), CAT)))
            assert [(await watch.read()).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
            engine.free.set()
            assert (await running).masks
            assert [(await watch.read()).status for watch in watches] == [SERVING, SERVING]

    asyncio.run(scene())


def test_what_waits_and_what_is_held_is_shown_in_metrics(bundle: Bundle, socket: str) -> None:
    engine = HeldEngine(bundle)

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            value = here.server.metrics.registry.get_sample_value
            running = [asyncio.ensure_future(_answer(here, request_of(png("cat"), CAT))) for _ in range(3)]
            await engine.is_held()
            async with asyncio.timeout(20):
                while not value("boxmask_queue_items", {"priority": "interactive"}):
                    await asyncio.sleep(0.005)
            assert value("boxmask_queue_items", {"priority": "bulk"}) == 0
            assert value("boxmask_queue_bytes") == 3 * len(png("cat"))
            assert value("boxmask_requests_inside") == 3
            assert value("boxmask_calls_open") == 3
            engine.free.set()
            await asyncio.gather(*running)
            assert value("boxmask_queue_items", {"priority": "interactive"}) == 0
            assert value("boxmask_queue_bytes") == 0
            held = {"bundle": "tiny", "version": "1", "network": "cfs", "digest": engine.digest}
            assert value("boxmask_model_info", held | {"provider": "CPUExecutionProvider"}) == 1
            assert value("boxmask_event_loop_lag_seconds_count") is not None

    asyncio.run(scene())


class HeldEngine(CfsEngine):
    """The real engine; it holds the first batch until it is let free."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu", threads=1)
        self.free = threading.Event()
        self._held = threading.Event()

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        if batch[0].box_mask.any():  # not the warm-up
            self._held.set()
            self.free.wait(20)
        return super().infer(batch)

    async def is_held(self) -> None:
        """Returns when a request has come as far as the network."""
        while not self._held.is_set():
            await asyncio.sleep(0.001)


async def _answer(here: Serving, request: pb.PseudoLabelRequest) -> pb.PseudoLabelResponse:
    return await here.stub.PseudoLabel(request)


def _watch(here: Serving, service: str) -> Any:
    stub = health_pb2_grpc.HealthStub(here.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    return stub.Watch(request)  # type: ignore[attr-defined]  # types-grpcio leaves methods out


async def _health(here: Serving, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(here.channel)
    response = await stub.Check(  # type: ignore[attr-defined]  # types-grpcio leaves methods out
        health_pb2.HealthCheckRequest(service=service)
    )
    return int(response.status)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*command, *subject, *files, "-days", "1"], check=True, capture_output=True)
    return key, certificate
