"""The command ``boxmask serve``: reads the settings, then runs one server, or several under a supervisor."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from boxmask_core.errors import SettingsError
from boxmask_server import supervise
from boxmask_server.operation.logs import configure
from boxmask_server.operation.settings_sources import load
from boxmask_server.operation.shown_settings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_server.operation.settings import Settings

USAGE = 2
"""The exit status of a wrong command line, and of any other wrong setting."""


def main(argv: Sequence[str]) -> int:
    """Serves bundles until SIGTERM or SIGINT, then drains.

    Args:
        argv: The arguments after ``boxmask serve``.

    Returns:
        The exit status: 0 after a drain, 2 for a wrong setting.

    Raises:
        BundleError: A bundle is missing or damaged.
        DeviceError: The device asked for is not to be had.
        ListenError: The address is malformed or taken.
        MissingExtraError: A setting needs an extra that is not installed.
    """
    try:
        loaded = load(argv)
        if loaded.show:
            sys.stdout.write(shown(loaded))
            return 0
        return _run(loaded.settings, argv)
    except SettingsError as error:
        sys.stderr.write(f"boxmask serve: error: {error}\n")
        return USAGE


def _run(settings: Settings, argv: Sequence[str]) -> int:
    lines = configure(settings.log_format, settings.log_level)
    place = supervise.place()
    if place is None and settings.processes > 1:
        command = [sys.executable, "-m", "boxmask_core.cli", "serve", *argv]
        return supervise.run(
            command, listen=settings.listen, processes=settings.processes, grace=settings.grace
        )
    # Before gRPC is loaded: what its native part has to say below an error is written past our log.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from boxmask_server.running import run  # a supervisor does without gRPC and the networks

    return asyncio.run(run(settings, lines, place))
