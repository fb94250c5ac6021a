"""The flags of ``boxmask serve``, one for each setting."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from boxmask_server.operation.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

CONFIG: Final = "config"
SHOW: Final = "show_config"


def parser() -> argparse.ArgumentParser:
    """Returns a parser that yields what was given, as text: the rules are those of `Settings`."""
    made = argparse.ArgumentParser(
        prog="boxmask serve",
        usage="boxmask serve [[NAME=]DIR ...] [--config FILE] [--show-config] [flags]",
        description="Serve model bundles over gRPC (boxmask.v1.LabelingService).",
        epilog="A flag goes before the environment (BOXMASK_MAX_BYTES for --max-bytes), that before the "
        "file, that before the default. SIGTERM stops the server when it has answered what it has; SIGHUP "
        "makes it look again at bundles, tokens and certificates.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    made.add_argument(
        flag_of(CONFIG),
        metavar="FILE",
        help="settings in TOML: max_bytes = 1000000, one a line (environment: BOXMASK_CONFIG)",
    )
    made.add_argument(
        flag_of(SHOW), action="store_true", help="print the settings, where each is from, and stop"
    )
    groups: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        title = str(extra["group"])
        group = groups.setdefault(title, made.add_argument_group(title) if title not in groups else None)
        _add(group, name, field, str(extra["metavar"]))
    return made


def flag_of(name: str) -> str:
    """Returns the flag of a setting."""
    return f"--{name.replace('_', '-')}"


def _add(group: Any, name: str, field: FieldInfo, metavar: str) -> None:
    text = f"{field.description} (default: {_default(field)})".replace("%", "%%")
    if name == "bundles":
        group.add_argument(name, nargs="*", metavar=metavar, help=text)
    elif field.annotation is bool:
        group.add_argument(flag_of(name), action=argparse.BooleanOptionalAction, help=text)
    else:
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        group.add_argument(
            flag_of(name), metavar=f"{{{','.join(choices)}}}" if choices else metavar, help=text
        )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        cores = field.get_default(call_default_factory=True, validated_data={"processes": 1})
        return f"the cores of this machine, {cores}, shared out among the processes"
    if field.default is None or field.default == ():
        return "none"
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
