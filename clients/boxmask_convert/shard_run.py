"""One shard of a conversion: its answers go to the journal; a run without ``--shard`` writes the masks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from boxmask_convert.failures import SOME_FAILED, FailureLog
from boxmask_convert.opening import open_journal, open_labeler
from boxmask_convert.result.stage import Stage, hidden_folder
from boxmask_convert.result.tally import Tally
from boxmask_convert.run import Work, followed

if TYPE_CHECKING:
    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.plan import Plan
    from boxmask_convert.settings import Shard


def run_shard(plan: Plan, keys: AnswerKeys, shard: Shard) -> int:
    """Makes the masks of one shard, beside other shards that do so at the same time.

    Args:
        plan: What to convert.
        keys: Gives the answers' keys.
        shard: The part of it.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: The run could not be finished; what was answered is in the journal.
        OSError: The journal cannot be written.
    """
    settings, tally = plan.settings, Tally()
    with (
        Stage(settings.out, overwrite=True, shared=True) as stage,
        open_journal(stage, settings) as journal,
        FailureLog(None) as failures,
        open_labeler(settings) as labeler,
    ):
        sys.stdout.write(plan.describe(labeler.description))
        sys.stdout.flush()
        total = len(range(shard.index, len(plan), shard.count))
        for _ in followed(Work(plan, keys, journal, labeler), failures, tally, total, shard):
            pass  # each answer is in the journal when it comes
    done = f"shard {shard.index} of {shard.count}: {tally.images} of {total} images, {tally.reused} of them"
    lines = [
        f"done    {done} from the journal ({hidden_folder(settings.out)})",
        "next    when all shards are done, the same command without --shard writes OUT",
    ]
    if failures.kinds:
        kinds = ", ".join(f"{times} {kind}" for kind, times in sorted(failures.kinds.items()))
        lines.append(f"failed  {kinds}; the command without --shard names them")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return SOME_FAILED if failures.kinds else 0
