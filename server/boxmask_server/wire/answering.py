"""How one call is answered: by its result or by its error, and in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from boxmask_core.errors import DeadlineError
from boxmask_server.wire.status import abort

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractContextManager
    from typing import Any

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

Response = TypeVar("Response")


async def single(
    work: Coroutine[Any, Any, Response], context: Context, counted: AbstractContextManager[None]
) -> Response:
    """Answers one call, by its result or by its error.

    Args:
        work: Makes the result.
        context: The call.
        counted: Counts the outcome.
    """
    try:
        with counted:
            return await work
    except Exception as error:
        await abort(context, error)


async def in_time(work: Coroutine[Any, Any, Response], seconds: float | None) -> Response:
    """Returns what the work gives, if it does within so many seconds; otherwise the work is cancelled.

    Raises:
        DeadlineError: It does not.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise DeadlineError from None
