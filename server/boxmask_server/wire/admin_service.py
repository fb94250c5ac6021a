"""The servicer of what an operator may ask: parse, await, encode, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask.v1 import admin_pb2 as pb
from boxmask.v1 import admin_pb2_grpc as pb_grpc
from boxmask_server.work.model_store import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    import grpc

    from boxmask_server.work.model_store import Reload

    Context = grpc.aio.ServicerContext[Any, Any]

OUTCOMES: Mapping[Outcome, pb.ReloadOutcome.ValueType] = {
    Outcome.LOADED: pb.RELOAD_OUTCOME_LOADED,
    Outcome.UNCHANGED: pb.RELOAD_OUTCOME_UNCHANGED,
    Outcome.FAILED: pb.RELOAD_OUTCOME_FAILED,
    Outcome.REMOVED: pb.RELOAD_OUTCOME_REMOVED,
}


class AdminService(pb_grpc.AdminServiceServicer):
    """Answers an operator.

    Args:
        reload: Looks at the bundles again.
    """

    def __init__(self, reload: Callable[[], Awaitable[Sequence[Reload]]]) -> None:
        self._reload = reload

    async def ReloadModels(  # noqa: N802, D102 - named and documented in the contract
        self,
        request: pb.ReloadModelsRequest,  # noqa: ARG002 - it has no fields
        context: Context,  # noqa: ARG002
    ) -> pb.ReloadModelsResponse:
        return pb.ReloadModelsResponse(reloads=[_message(reload) for reload in await self._reload()])


def _message(reload: Reload) -> pb.Reload:
    return pb.Reload(
        bundle=reload.bundle,
        version=reload.version,
        outcome=OUTCOMES[reload.outcome],
        problem=reload.problem,
    )
