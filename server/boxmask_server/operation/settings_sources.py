"""Where settings come from: flags, then the environment, then a file, then their defaults."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from boxmask_core.errors import SettingsError
from boxmask_server.operation.flags import CONFIG, SHOW, flag_of, parser
from boxmask_server.operation.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

CLOSE = 0.8
"""How alike an unknown name must be to a setting's to be taken for a slip."""
CLIENTS_OWN = frozenset({"token"})
"""What clients read from the environment, and is no slip where a server finds it too."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they are from.

    Attributes:
        settings: The settings.
        origins: For each that is not its default: its flag, its variable, or the file.
        show: Whether the operator wants to see them, and nothing else.
    """

    settings: Settings
    origins: Mapping[str, str]
    show: bool


def load(argv: Sequence[str]) -> Loaded:
    """Reads the settings of a server.

    Args:
        argv: The arguments after ``boxmask serve``.

    Raises:
        SettingsError: A value breaks its rule, a name is none, or the file cannot be read.
        SystemExit: The flags are none, or ask for help.
    """
    flags = vars(parser().parse_args(argv))
    if not flags.get("bundles"):
        flags.pop("bundles", None)
    show = flags.pop(SHOW, False)
    file = flags.pop(CONFIG, None) or os.environ.get(PREFIX + CONFIG.upper()) or None
    _refuse_slips(os.environ)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, origin_of in (
        (_file(Path(file)) if file is not None else {}, lambda name: f"{name} in {file}"),
        (EnvSettingsSource(Settings)(), lambda name: PREFIX + name.upper()),
        (flags, _flag),
    ):
        values |= source
        origins |= {name: origin_of(name) for name in source}
    try:
        return Loaded(Settings(**values), origins, show)
    except ValidationError as error:
        raise _refusal(error.errors()[0], origins) from None  # the first is enough, and no trace is


def _flag(name: str) -> str:
    return "the command line" if name == "bundles" else flag_of(name)


def _file(file: Path) -> dict[str, Any]:
    try:
        file.read_bytes()  # pydantic takes a file that is not there for an empty one
        return TomlConfigSettingsSource(Settings, file)()
    except OSError as error:
        raise SettingsError(flag_of(CONFIG), f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(flag_of(CONFIG), f"{file} is not TOML: {error}") from error


def _refuse_slips(environ: Mapping[str, str]) -> None:
    """Refuses variables that look as if they were settings; others are not ours to judge."""
    known = [*Settings.model_fields, CONFIG]
    for variable in environ:
        name = variable.lower().removeprefix(PREFIX.lower())
        if variable.upper().startswith(PREFIX) and name not in (*known, *CLIENTS_OWN):
            meant = difflib.get_close_matches(name, known, 1, CLOSE)
            if meant:
                raise SettingsError(
                    variable, f"there is no such setting; did you mean {PREFIX}{meant[0].upper()}?"
                )


def _refusal(found: ErrorDetails, origins: Mapping[str, str]) -> SettingsError:
    name = str(found["loc"][0]) if found["loc"] else ""
    if found["type"] == "extra_forbidden":
        meant = difflib.get_close_matches(name, Settings.model_fields, 1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        return SettingsError(origins[name], f"there is no such setting{hint}")
    if found["type"] == "value_error":
        problem = str(found["ctx"]["error"])
        return SettingsError(origins.get(name, name) or "settings", problem)
    rule = found["msg"].replace("Input should be", "expected")
    if found["type"].startswith("byte_size"):
        rule = "expected a number of bytes, such as 67108864 or 64MiB"
    return SettingsError(origins.get(name, name), f"{rule}, but got {found['input']!r}")
