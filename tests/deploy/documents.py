"""Reads what lies in deploy/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def document(file: Path) -> dict[str, Any]:
    """Returns the one document of a YAML file."""
    (found,) = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
