"""Between the wire's messages of AdminService and the client's dataclasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask.v1 import admin_pb2 as pb
from boxmask_client.answers import Reload
from boxmask_client.messages import malformed

if TYPE_CHECKING:
    from boxmask_client.answers import ReloadOutcome

OUTCOMES: Final[dict[int, ReloadOutcome]] = {
    pb.RELOAD_OUTCOME_LOADED: "loaded",
    pb.RELOAD_OUTCOME_UNCHANGED: "unchanged",
    pb.RELOAD_OUTCOME_FAILED: "failed",
    pb.RELOAD_OUTCOME_REMOVED: "removed",
}


def to_reloads(response: pb.ReloadModelsResponse, server: str) -> tuple[Reload, ...]:
    """Returns what became of each version of each bundle of one server.

    Args:
        response: The message.
        server: The address of the server that sent it.

    Raises:
        InternalError: The message does not say what became of one.
    """
    return tuple(_reload(reload, server) for reload in response.reloads)


def _reload(reload: pb.Reload, server: str) -> Reload:
    if reload.outcome not in OUTCOMES:
        raise malformed(f"it does not say what became of {reload.bundle!r}, version {reload.version!r}")
    return Reload(server, reload.bundle, reload.version, OUTCOMES[reload.outcome], reload.problem)
