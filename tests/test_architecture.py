"""Which package may import which: the contracts of ``.importlinter``, and what only a run can show."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_the_packages_import_only_what_they_may() -> None:
    command = [sys.executable, "-c", LINT, "--config", ".importlinter", "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_package_of_the_distribution_is_under_contract() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    contracts = configparser.ConfigParser()
    contracts.read(REPOSITORY / ".importlinter")
    assert set(contracts["importlinter"]["root_packages"].split()) == {
        Path(package).name for package in packages
    }
    sources = {name for section in contracts.values() for name in section.get("source_modules", "").split()}
    assert sources >= {Path(package).name for package in packages}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("boxmask_client", {"boxmask_server", "onnxruntime", "torch"}),
        ("boxmask_convert.command", {"boxmask_server", "onnxruntime", "ray", "torch"}),
        ("boxmask_server.serve", {"torch", "onnx", "boxmask_training"}),
        ("boxmask_core.formats", {"grpc", "onnxruntime", "torch"}),
    ],
)
def test_importing_a_package_does_not_load_what_its_users_may_lack(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; sys.exit(' '.join({heavy!r} & sys.modules.keys()) or 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{module} loads {result.stderr}"
