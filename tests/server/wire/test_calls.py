from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from boxmask.v1 import admin_pb2, admin_pb2_grpc
from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.errors import InvalidImageError
from boxmask_server.operation.allowances import Allowances
from boxmask_server.operation.call import CURRENT
from boxmask_server.operation.logs import FACTS
from boxmask_server.operation.metrics import Metrics
from boxmask_server.operation.tokens import Tokens
from boxmask_server.operation.tracing import NoTracing
from boxmask_server.wire.calls import Calls
from boxmask_server.wire.status import abort, reason_of
from tests.server.details import reason_of as reason_in
from tests.server.details import retry_seconds_of, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CODE = grpc.StatusCode
EDITOR, ADMIN, TWO = "the-secret-of-editor", "the-secret-of-admin-", "the-secret-of-two---"
Context = grpc.aio.ServicerContext[Any, Any]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    file = tmp_path / "tokens"
    file.write_text(f"editor {EDITOR}\nadmin {ADMIN} admin\ntwo {TWO} calls=2\n", encoding="utf-8")
    file.chmod(0o600)
    return Tokens(file)


def test_who_sends_a_known_token_is_answered_by_its_name(socket: str, tokens: Tokens) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            answer = await here.labeling.GetModel(pb.GetModelRequest(), metadata=_token(EDITOR))
            assert answer.model.name == "editor"
            items = here.labeling.StreamSegment(metadata=_token(TWO))
            await items.write(pb.StreamSegmentRequest(item_id="it"))
            await items.done_writing()
            assert [each.item_id async for each in items] == ["it of two"]
            assert here.count("caller_calls_total", caller="editor") == 1
            assert here.count("caller_calls_total", caller="two") == 1

    asyncio.run(scene())


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer a-token-of-nobody"),)])
def test_who_sends_none_is_refused_whatever_it_calls(
    socket: str, tokens: Tokens, metadata: tuple[tuple[str, str], ...]
) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            with pytest.raises(grpc.aio.AioRpcError) as unary:
                await here.labeling.GetModel(pb.GetModelRequest(), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as stream:
                await here.labeling.StreamSegment(metadata=metadata).read()
            with pytest.raises(grpc.aio.AioRpcError) as reflected:
                await here.reflect(metadata)
            for caught in (unary, stream, reflected):
                assert caught.value.code() is CODE.UNAUTHENTICATED
                assert reason_in(status_of(caught.value)) == "UNAUTHENTICATED"
            assert here.count("auth_failures_total", reason="UNAUTHENTICATED") == 3
            assert here.count("requests_total", method="GetModel", outcome="UNAUTHENTICATED") == 1

    asyncio.run(scene())


def test_probes_need_no_token_and_everything_else_finds_reflection_behind_it(
    socket: str, tokens: Tokens
) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            stub = health_pb2_grpc.HealthStub(here.channel)
            request = health_pb2.HealthCheckRequest()
            response = await stub.Check(request)  # type: ignore[attr-defined]  # types-grpcio leaves them out
            assert response.status == health_pb2.HealthCheckResponse.SERVING
            watch = stub.Watch(request)  # type: ignore[attr-defined]
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()
            assert await here.reflect(_token(EDITOR))

    asyncio.run(scene())


def test_the_admin_service_is_for_tokens_that_are_marked(socket: str, tokens: Tokens) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            stub = admin_pb2_grpc.AdminServiceStub(here.channel)
            request = admin_pb2.ReloadModelsRequest()
            assert (await stub.ReloadModels(request, metadata=_token(ADMIN))).reloads
            with pytest.raises(grpc.aio.AioRpcError, match="'editor' may not call") as caught:
                await stub.ReloadModels(request, metadata=_token(EDITOR))
            assert caught.value.code() is CODE.PERMISSION_DENIED
            assert reason_in(status_of(caught.value)) == "PERMISSION_DENIED"
            assert here.count("auth_failures_total", reason="PERMISSION_DENIED") == 1

    asyncio.run(scene())


def test_a_caller_beyond_its_calls_is_told_when_to_come_back_and_others_are_answered(
    socket: str, tokens: Tokens
) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            streams = [here.labeling.StreamSegment(metadata=_token(TWO)) for _ in range(2)]
            for stream in streams:
                await stream.write(pb.StreamSegmentRequest(item_id="it"))
                await stream.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.labeling.GetModel(pb.GetModelRequest(), metadata=_token(TWO))
            assert caught.value.code() is CODE.RESOURCE_EXHAUSTED
            assert reason_in(status_of(caught.value)) == "TOO_MANY_CALLS"
            assert retry_seconds_of(status_of(caught.value)) == 1
            assert here.count("requests_total", method="GetModel", outcome="TOO_MANY_CALLS") == 1
            await here.labeling.GetModel(pb.GetModelRequest(), metadata=_token(EDITOR))
            streams[0].cancel()
            await _until(lambda: here.allowances.calls == 1)
            await here.labeling.GetModel(pb.GetModelRequest(), metadata=_token(TWO))

    asyncio.run(scene())


def test_the_server_has_no_more_calls_than_it_may_and_probes_are_not_counted(socket: str) -> None:
    async def scene() -> None:
        async with _serving(socket, None, concurrent_calls=1) as here:
            stream = here.labeling.StreamSegment()
            await stream.write(pb.StreamSegmentRequest(item_id="it"))
            await stream.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.labeling.GetModel(pb.GetModelRequest())
            assert reason_in(status_of(caught.value)) == "TOO_MANY_CALLS"
            stub = health_pb2_grpc.HealthStub(here.channel)
            await stub.Check(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]

    asyncio.run(scene())


def test_a_call_keeps_the_id_that_it_came_with_in_log_and_answer(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "boxmask_server.access")

    async def scene() -> None:
        async with _serving(socket, None) as here:
            metadata = (("x-request-id", "mine-7"),)
            call = here.labeling.GetModel(pb.GetModelRequest(name="long" * 100), metadata=metadata)
            await call
            assert dict(await call.trailing_metadata())["x-request-id"] == "mine-7"

    asyncio.run(scene())
    (record,) = caplog.records
    facts = getattr(record, FACTS)
    assert (facts["service"], facts["outcome"], facts["reason"]) == (
        "boxmask.v1.LabelingService",
        "OK",
        "",
    )
    assert (facts["received"], facts["received_bytes"], facts["sent"]) == (1, 403, 1)
    assert facts["peer"] == "unix:"
    assert facts["ms"] > 0


def test_a_call_without_an_id_is_given_one_and_told_it_even_if_it_fails(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "boxmask_server.access")

    async def scene() -> None:
        async with _serving(socket, None) as here:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.labeling.Segment(pb.SegmentRequest(image=b"no image, and nobody's business"))
            assert reason_in(status_of(caught.value)) == "INVALID_IMAGE"
            assert len(str(dict(caught.value.trailing_metadata() or ())["x-request-id"])) == 16

    asyncio.run(scene())
    (record,) = caplog.records
    facts = getattr(record, FACTS)
    assert (facts["outcome"], facts["reason"]) == ("INVALID_ARGUMENT", "INVALID_IMAGE")
    assert "nobody's business" not in str(vars(record))


def test_a_call_that_is_cancelled_and_one_that_breaks_are_logged_as_such(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "boxmask_server.access")

    async def scene() -> None:
        async with _serving(socket, None) as here:
            slow = here.labeling.PseudoLabel(pb.PseudoLabelRequest())
            await _until(lambda: here.allowances.calls == 1)
            slow.cancel()
            await _until(lambda: here.allowances.calls == 0)
            with pytest.raises(grpc.aio.AioRpcError):
                await here.labeling.ListModels(pb.ListModelsRequest())

    asyncio.run(scene())
    outcomes = [getattr(each, FACTS)["outcome"] for each in caplog.records if hasattr(each, FACTS)]
    assert outcomes == ["CANCELLED", "UNKNOWN"]


def test_a_method_that_nobody_serves_stays_unimplemented(socket: str, tokens: Tokens) -> None:
    async def scene() -> None:
        async with _serving(socket, tokens) as here:
            nothing: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = here.channel.unary_unary(
                "/boxmask.v1.LabelingService/Nothing"
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await nothing(b"", metadata=_token(EDITOR))
            assert caught.value.code() is CODE.UNIMPLEMENTED

    asyncio.run(scene())


class _Labeling(pb_grpc.LabelingServiceServicer):
    """Answers with the caller's name."""

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: ARG002
        return pb.GetModelResponse(model=pb.Model(name=_caller()))

    async def Segment(self, request: pb.SegmentRequest, context: Context) -> pb.SegmentResponse:  # noqa: ARG002
        await abort(context, InvalidImageError("image", "it is none"))

    async def PseudoLabel(self, request: pb.PseudoLabelRequest, context: Context) -> pb.PseudoLabelResponse:  # noqa: ARG002
        await asyncio.sleep(60)
        return pb.PseudoLabelResponse()

    async def StreamPseudoLabel(
        self,
        request_iterator: AsyncIterator[pb.StreamPseudoLabelRequest],
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[pb.StreamPseudoLabelResponse]:
        async for item in request_iterator:
            yield pb.StreamPseudoLabelResponse(item_id=item.item_id)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: ARG002
        raise ZeroDivisionError

    async def StreamSegment(
        self,
        request_iterator: AsyncIterator[pb.StreamSegmentRequest],
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[pb.StreamSegmentResponse]:
        async for item in request_iterator:
            yield pb.StreamSegmentResponse(item_id=f"{item.item_id} of {_caller()}")


class _Admin(admin_pb2_grpc.AdminServiceServicer):
    async def ReloadModels(
        self,
        request: admin_pb2.ReloadModelsRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> admin_pb2.ReloadModelsResponse:
        return admin_pb2.ReloadModelsResponse(reloads=[admin_pb2.Reload(bundle="pets")])


class _Here:
    def __init__(self, channel: grpc.aio.Channel, allowances: Allowances, metrics: Metrics) -> None:
        self.channel = channel
        self.allowances = allowances
        self.labeling = pb_grpc.LabelingServiceStub(channel)
        self._metrics = metrics

    def count(self, name: str, **labels: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"boxmask_{name}", labels)

    async def reflect(self, metadata: tuple[tuple[str, str], ...]) -> object:
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)  # type: ignore[arg-type]  # aio too
        call = stub.ServerReflectionInfo(metadata=metadata)  # type: ignore[operator]  # they leave methods out
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.UsageError):
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        response = await call.read()
        call.cancel()
        return response


@contextlib.asynccontextmanager
async def _serving(socket: str, tokens: Tokens | None, concurrent_calls: int = 100) -> AsyncIterator[_Here]:
    metrics = Metrics(1, reason_of)
    allowances = Allowances(concurrent_calls)
    server = grpc.aio.server(interceptors=[Calls(tokens, allowances, metrics, NoTracing())])
    pb_grpc.add_LabelingServiceServicer_to_server(_Labeling(), server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(_Admin(), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    reflection.enable_server_reflection((reflection.SERVICE_NAME,), server)
    server.add_insecure_port(socket)
    await server.start()
    async with grpc.aio.insecure_channel(socket) as channel:
        yield _Here(channel, allowances, metrics)
    await server.stop(1)


def _caller() -> str:
    call = CURRENT.get()
    assert call is not None
    return call.caller


def _token(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


async def _until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)
