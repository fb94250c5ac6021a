"""``data.yaml`` of YOLO and of Ultralytics semantic, read for a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from boxmask_core.checks import rules
from boxmask_core.formats.yolo import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_core.checks.findings import Findings


def read_config(root: Path, findings: Findings) -> Mapping[str, Any] | None:
    """Reads ``data.yaml`` in a folder, or the file itself; None where it cannot be read, a finding then."""
    file = root / CONFIG if root.is_dir() else root
    try:
        # BaseLoader keeps every scalar a string: a class called "no" stays "no".
        config = yaml.load(file.read_bytes(), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        findings.add(rules.MISSING_FILE, str(file))
        return None
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        findings.add(rules.UNREADABLE_FILE, str(file), str(error))
        return None
    if not isinstance(config, dict):
        findings.add(rules.UNREADABLE_FILE, str(file), "it must hold keys and values")
        return None
    return config


def config_names(config: Mapping[str, Any]) -> dict[int, str]:
    """Returns class names by index; empty where there are none or they break their rules."""
    names = config.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    # What aliases nest in one another can be endless as a text.
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        return {}
    try:
        return {int(index): name for index, name in names.items()}
    except ValueError:
        return {}
