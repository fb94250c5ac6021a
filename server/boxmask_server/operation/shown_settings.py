"""Settings as a settings file: what ``--show-config`` prints.

Secrets lie in files of their own, and only the paths of these are told.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_server.operation.settings import Settings

if TYPE_CHECKING:
    from boxmask_server.operation.settings_sources import Loaded


def shown(loaded: Loaded) -> str:
    """Returns TOML that says the same settings again, each with where it is from."""
    return "".join(_line(loaded, name) for name in Settings.model_fields)


def _line(loaded: Loaded, name: str) -> str:
    value = getattr(loaded.settings, name)
    origin = loaded.origins.get(name, "default")
    if value is None:
        return f"# {name} is not set\n"
    return f"{name} = {_toml(value)}  # {_one_line(origin)}\n"


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Path() | str():
            return _string(str(value))
        case tuple():
            return f"[{', '.join(_string(str(each)) for each in value)}]"
    raise TypeError(f"no TOML is known for {value!r}")


def _string(text: str) -> str:
    # A JSON string is one of TOML's, but for the one control character that JSON lets stand.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return " ".join(text.split())
