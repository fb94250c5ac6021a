"""Reads bundles, tokens and certificates again. What cannot be used changes nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from boxmask_core.errors import BoxmaskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_server.operation.certificates import Certificates
    from boxmask_server.operation.metrics import Metrics
    from boxmask_server.operation.tokens import Tokens
    from boxmask_server.work.model_store import ModelStore, Reload

logger = logging.getLogger(__name__)


class Reloading:
    """Reloads and counts how it went.

    Args:
        store: Holds the bundles.
        tokens: Who may call, if anybody is asked.
        certificates: What is shown, if TLS is spoken.
        metrics: Counts.
    """

    def __init__(
        self,
        store: ModelStore,
        tokens: Tokens | None,
        certificates: Certificates | None,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._certificates = certificates
        self._metrics = metrics

    async def everything(self) -> None:
        """Reads everything again; tokens and certificates first, which takes no time. Never raises."""
        if self._tokens is not None:
            await self._reload("tokens", self._tokens.reload)
        if self._certificates is not None:
            await self._reload("certificates", self._certificates.reload)
        try:
            await self.models()
        except Exception:
            logger.exception("the bundles could not be read again; what is held goes on")

    async def models(self) -> list[Reload]:
        """Reads the bundles again."""
        reloads = await self._store.reload()
        for reload in reloads:
            self._metrics.reloaded("models", reload.outcome.value)
        return reloads

    async def _reload(self, subject: str, reload: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(reload)
        except BoxmaskError as error:
            logger.error("%s were not read again; those from before still count: %s", subject, error)
            self._metrics.reloaded(subject, "failed")
        else:
            logger.info("%s were read again", subject)
            self._metrics.reloaded(subject, "loaded")
