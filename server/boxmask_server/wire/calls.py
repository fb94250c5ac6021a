"""What every call passes on its way to a service: it is named, let in or not, followed, and logged.

Calls of ``grpc.health.v1.Health`` pass without any of this: probes have no token, and are no news.
Reflection asks for a token as any other service does.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from contextvars import copy_context
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health

from boxmask_core.errors import AuthenticationError, BoxmaskError, PermissionDeniedError
from boxmask_server.operation.call import CURRENT, Call, host_of, request_id_of
from boxmask_server.operation.logs import FACTS
from boxmask_server.wire.status import abort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from boxmask_server.operation.allowances import Allowances
    from boxmask_server.operation.metrics import Metrics
    from boxmask_server.operation.tokens import Caller, Tokens
    from boxmask_server.operation.tracing import Tracing

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Around = Callable[[Context], AbstractAsyncContextManager[None]]

REQUEST_ID: Final = "x-request-id"
ADMIN_SERVICE: Final = "boxmask.v1.AdminService"

access = logging.getLogger("boxmask_server.access")


class Calls(grpc.aio.ServerInterceptor):
    """Sees every call.

    Args:
        tokens: Who may call; None lets everybody.
        allowances: How many calls there may be.
        metrics: Counts them.
        tracing: Follows them.
    """

    def __init__(
        self, tokens: Tokens | None, allowances: Allowances, metrics: Metrics, tracing: Tracing
    ) -> None:
        self._tokens = tokens
        self._allowances = allowances
        self._metrics = metrics
        self._tracing = tracing
        self._unwritten = 0
        self._all_written = asyncio.Event()
        self._all_written.set()

    async def written(self) -> None:
        """Returns when the answer of every call that came has been handed to the network."""
        await self._all_written.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler of a call; a method that nobody serves has none."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if handler is None or service == health.SERVICE_NAME:
            return handler
        metadata = {
            key: value
            for key, value in handler_call_details.invocation_metadata or ()
            if isinstance(value, str)
        }
        call = Call(service, method, request_id_of(metadata.get(REQUEST_ID)))
        return _wrapped(handler, call, partial(self._around, call, metadata))

    @asynccontextmanager
    async def _around(self, call: Call, metadata: Mapping[str, str], context: Context) -> AsyncIterator[None]:
        CURRENT.set(call)  # a call has a task of its own, so that nothing need be reset
        call.peer = host_of(context.peer())
        call.certificate = _common_name(context)
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        # Its end is logged when its answer has been written out, in another context.
        self._unwritten += 1
        self._all_written.clear()
        own = copy_context()

        def ended(ctx: Context) -> None:  # noqa: ARG001 - the signature is gRPC's
            self._unwritten -= 1
            if not self._unwritten:
                self._all_written.set()
            own.run(_log, call)

        context.add_done_callback(ended)  # type: ignore[arg-type]  # the stub asks for a generic one
        with self._tracing.call(call, metadata), _ending(call, context), ExitStack() as stack:
            try:
                stack.enter_context(self._allowances.call(self._caller(call, metadata)))
            except BoxmaskError as error:
                self._metrics.refused(call.method, error)
                await abort(context, error)
            yield

    def _caller(self, call: Call, metadata: Mapping[str, str]) -> Caller | None:
        """Returns who calls, or None where no tokens are asked for.

        Raises:
            AuthenticationError: Nobody who is known.
            PermissionDeniedError: One who may not do that.
        """
        if self._tokens is None:
            return None
        try:
            caller = self._tokens.caller_of(metadata.get("authorization"))
            call.caller = caller.name
            if call.service == ADMIN_SERVICE and not caller.admin:
                raise PermissionDeniedError(caller.name, call.service, "admin")
        except (AuthenticationError, PermissionDeniedError) as error:
            self._metrics.unauthenticated(error)
            raise
        self._metrics.called(caller.name)
        return caller


@contextmanager
def _ending(call: Call, context: Context) -> Iterator[None]:
    """Notes how a call ended."""
    try:
        yield
        call.code = _code(context, grpc.StatusCode.OK)
    except Exception:
        call.code = _code(context, grpc.StatusCode.UNKNOWN)
        raise
    except BaseException:  # cancelled: by the caller, by its deadline, or by a server that stops
        call.code = grpc.StatusCode.CANCELLED.name
        raise


def _code(context: Context, otherwise: grpc.StatusCode) -> str:
    """Returns the name of the code that the handler set, if it set one."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else otherwise.name


def _common_name(context: Context) -> str:
    names = tuple(context.auth_context().get("x509_common_name", ()))
    return names[0].decode(errors="replace") if names else ""


def _log(call: Call) -> None:
    facts = {
        "service": call.service,
        "outcome": call.code,
        "reason": call.reason,
        "peer": call.peer,
        "certificate": call.certificate,
        "ms": (perf_counter() - call.began) * 1e3,
        "received": call.received,
        "received_bytes": call.received_bytes,
        "sent": call.sent,
        "sent_bytes": call.sent_bytes,
    }
    access.info("call ended", extra={FACTS: facts})


def _wrapped(handler: Handler, call: Call, around: Around) -> Handler:
    """Returns a handler that runs inside ``around`` and counts messages and their bytes."""
    receive, send = _receiving(handler, call), _sending(handler, call)
    if handler.response_streaming:
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _streaming(handler.stream_stream, around), receive, send
            )
        return grpc.unary_stream_rpc_method_handler(_streaming(handler.unary_stream, around), receive, send)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(_answering(handler.stream_unary, around), receive, send)
    return grpc.unary_unary_rpc_method_handler(_answering(handler.unary_unary, around), receive, send)


def _answering(inner: Any, around: Around) -> Any:
    async def behaviour(request: Any, context: Context) -> Any:
        async with around(context):
            return await inner(request, context)

    return behaviour


def _streaming(inner: Any, around: Around) -> Any:
    if not inspect.isasyncgenfunction(inner):  # it writes its answers by itself
        return _answering(inner, around)

    async def behaviour(request: Any, context: Context) -> AsyncIterator[Any]:
        async with around(context), aclosing(inner(request, context)) as responses:
            async for response in responses:
                yield response

    return behaviour


def _receiving(handler: Handler, call: Call) -> Callable[[bytes], Any]:
    deserialize = handler.request_deserializer

    def receive(data: bytes) -> Any:
        call.received += 1
        call.received_bytes += len(data)
        return data if deserialize is None else deserialize(data)

    return receive


def _sending(handler: Handler, call: Call) -> Callable[[Any], bytes]:
    serialize = handler.response_serializer

    def send(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        call.sent += 1
        call.sent_bytes += len(data)
        return data

    return send
