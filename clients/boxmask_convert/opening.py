"""What a run works with: its journal, and who makes the masks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from boxmask_convert.answers.asking import WINDOW
from boxmask_convert.answers.journal import ANSWERS_FILE, UNUSED_FILE, Journal
from boxmask_convert.labelers.late import LateLabeler
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.labelers.remote import open_remote_labeler
from boxmask_convert.result.stage import JOURNAL
from boxmask_core.bundle import CFS

if TYPE_CHECKING:
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.result.stage import Stage
    from boxmask_convert.settings import Settings


def open_journal(stage: Stage, settings: Settings) -> Journal:
    """Opens the journal of a run, with all that earlier runs and other shards left.

    Args:
        stage: Where the run works.
        settings: Which part of the dataset it works on.

    Raises:
        DatasetError: Another process works on the same part.
        OSError: The file system refuses.
    """
    shard = settings.shard
    finished = [settings.out / JOURNAL / kept for kept in (UNUSED_FILE, ANSWERS_FILE)]
    name = ANSWERS_FILE if shard is None else f"answers-{shard.index}-of-{shard.count}.jsonl"
    earlier = [*finished, *sorted(stage.journal.glob("*.jsonl"))]
    return Journal(stage.journal / name, earlier, failed=not settings.retry_failed)


def open_labeler(settings: Settings) -> Labeler:
    """Opens who makes the masks.

    Raises:
        BoxmaskError: There is no bundle, no device, or no server.
    """
    if settings.engine == "ray":
        return LateLabeler(
            partial(open_local_labeler, _for_what_is_left(settings)), "the workers of a Ray cluster"
        )
    if settings.server is not None:
        network = CFS if settings.method == CFS else None
        return open_remote_labeler(settings.server, window=WINDOW, network=network)
    return open_local_labeler(settings)


def _for_what_is_left(settings: Settings) -> Settings:
    """Of a run whose answers come from Ray: the report's few pictures are drawn here, where no GPU may be."""
    return replace(settings, device="auto") if settings.device == "cuda" else settings
