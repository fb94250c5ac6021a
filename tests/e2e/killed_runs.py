"""Runs ``boxmask convert`` again and again, and kills it each time: ``python -m tests.e2e.killed_runs``.

Everything is imported once, and each run is a fork: so a run takes as long as its work, and kills land in it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from boxmask_convert.command import main
from boxmask_convert.result.stage import hidden_folder
from boxmask_core.grabcut import refine_proposal  # noqa: F401 - loaded once
from boxmask_server.networks.cfs_engine import CfsEngine  # noqa: F401 - likewise
from boxmask_server.work.labeler import PseudoLabeler  # noqa: F401 - likewise


def lines(out: Path) -> int:
    journal = hidden_folder(out) / "journal" / "answers.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def killed(out: Path, command: list[str], wanted: int, delay: float) -> bool:
    """Kills the command when the journal has some lines and a while has passed; says whether it was."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(command))
    while lines(out) < wanted and os.waitpid(process, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
    time.sleep(delay)
    try:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    except (ProcessLookupError, ChildProcessError):
        return False
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    out, times, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    draw = random.Random(8)
    points = []
    for _ in range(times):
        if not killed(out, command, wanted=lines(out) + draw.randint(0, 4), delay=draw.uniform(0, 0.01)):
            break
        points.append(lines(out))
    sys.stdout.write(json.dumps(points) + "\n")
