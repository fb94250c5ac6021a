"""The console script ``boxmask``: a table from sub-command to function, imported only when it is called."""

from __future__ import annotations

import importlib
import logging
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from boxmask_core.errors import BoxmaskError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USAGE, INTERRUPTED = 2, 130


@dataclass(frozen=True, slots=True)
class Command:
    """Where a sub-command lives.

    Attributes:
        target: ``module:function``; the function takes the arguments and returns the exit status.
        extra: The extra of the distribution that brings what it imports.
        help: What it does, in one line.
        log_level: What is logged on the standard error. Commands that tell programs there how far they are
            log warnings only.
    """

    target: str
    extra: str
    help: str
    log_level: int = logging.INFO


COMMANDS: Mapping[str, Command] = {
    "convert": Command(
        "boxmask_convert.command:main", "local", "turn a box dataset into a mask dataset", logging.WARNING
    ),
    "plan": Command(
        "boxmask_convert.plan_command:main",
        "local",
        "what a conversion would do, find wrong, lose and take",
        logging.WARNING,
    ),
    "check": Command(
        "boxmask_convert.check_command:main", "local", "whether a dataset is what its format says"
    ),
    "segment": Command(
        "boxmask_convert.segment_command:main", "local", "give every pixel of images its class"
    ),
    "evaluate": Command(
        "boxmask_core.evaluate:main", "local", "compare label maps with the truth: mIoU, boundary IoU"
    ),
    "train cfs": Command(
        "boxmask_training.cfs_command:main", "train", "train the network that makes the masks"
    ),
    "train lgsa": Command(
        "boxmask_training.lgsa_command:main", "train", "train the network that segments whole images"
    ),
    "export": Command("boxmask_export.command:main", "export", "turn a checkpoint into an ONNX bundle"),
    "serve": Command("boxmask_server.serve:main", "server", "serve a bundle over gRPC"),
    "reproduce": Command(
        "boxmask_training.reproduce.command:main", "export", "the whole chain, to a table beside the paper's"
    ),
    "attention": Command(
        "boxmask_training.attention_command:main", "train", "draw what a trained network attends to"
    ),
}
"""Sub-command, one word or two, to where it lives."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the sub-command that the arguments name.

    Args:
        argv: Arguments after ``boxmask``; those of the process if None.

    Returns:
        The exit status: the sub-command's own; that of an error that it names (`BoxmaskError.exit_status`):
        2 for what cannot be worked on, a wrong command line or a missing extra, 3 for a server that cannot be
        reached, 1 else; 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"boxmask {version('boxmask')}\n")
        return 0
    name = next((name for name in COMMANDS if arguments[: len(name.split())] == name.split()), None)
    if name is None:
        return _explain(arguments)
    logging.basicConfig(level=COMMANDS[name].log_level, format="%(levelname)s %(name)s: %(message)s")
    try:
        return _run(name, arguments[len(name.split()) :])
    except BoxmaskError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(name: str, arguments: list[str]) -> int:
    command = COMMANDS[name]
    module, function = command.target.split(":")
    try:
        status: int = getattr(importlib.import_module(module), function)(arguments)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.startswith("boxmask") and "." in missing:
            raise  # a part of our own package is gone: that is a defect, and no extra would mend it
        raise MissingExtraError(f"boxmask {name}", missing, command.extra) from error
    return status


def _explain(arguments: Sequence[str]) -> int:
    """Writes the help: asked for, of a group of commands, or because there is no such command."""
    words = [word for word in arguments if word not in {"-h", "--help"}]
    group = [name for name in COMMANDS if words and name.split()[0] == words[0]]
    asked_for = len(words) < len(arguments) and (group or not words)
    out = sys.stdout if asked_for else sys.stderr
    if words and not group:
        out.write(f"boxmask: there is no command {words[0]!r}\n")
    names = group or list(COMMANDS)
    lines = [f"  {name:<10} {COMMANDS[name].help}\n" for name in names]
    out.write("usage: boxmask COMMAND ...\n\n" + "".join(lines))
    out.write("\nboxmask COMMAND --help describes a command; boxmask --version prints the version.\n")
    return 0 if asked_for else USAGE


def _fail(error: BoxmaskError) -> int:
    message = " ".join(str(error).split())
    sys.stderr.write(f"boxmask: {message}\n")
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
