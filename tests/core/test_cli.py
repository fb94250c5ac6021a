from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from boxmask_core import cli
from boxmask_core.cli import COMMANDS, Command, main
from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def interrupted(_: Sequence[str]) -> int:
    raise KeyboardInterrupt


def failing(arguments: Sequence[str]) -> int:
    raise DatasetError("a.xml", f"is\nbroken {list(arguments)}")


def lacking(_: Sequence[str]) -> int:
    raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


def defective(_: Sequence[str]) -> int:
    raise ModuleNotFoundError("No module named 'boxmask_core.gone'", name="boxmask_core.gone")


@pytest.fixture
def _commands_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "commands_under_test", sys.modules[__name__])
    functions = ("interrupted", "failing", "lacking", "defective")
    table = {name: Command(f"commands_under_test:{name}", "extra-x", "") for name in functions}
    monkeypatch.setattr(cli, "COMMANDS", table)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out and command.help in out for name, command in COMMANDS.items())


def test_help_of_a_group_lists_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert "train cfs" in out
    assert "convert" not in out


@pytest.mark.parametrize("arguments", [[], ["train"], ["bogus"], ["bogus", "--help"]])
def test_without_a_command_the_help_is_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: boxmask COMMAND" in captured.err
    assert ("there is no command 'bogus'" in captured.err) == ("bogus" in arguments)


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"boxmask {version('boxmask')}\n"


def test_a_command_gets_the_arguments_after_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path / "one"), str(tmp_path / "two")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert f"boxmask: {tmp_path / 'two'}: holds no PNG file" in captured.err


@pytest.mark.usefixtures("_commands_of_our_own")
def test_an_error_of_ours_is_one_line_and_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["failing", "--x"]) == 2
    assert capsys.readouterr().err == "boxmask: a.xml: is broken ['--x']\n"


@pytest.mark.usefixtures("_commands_of_our_own")
def test_a_missing_module_names_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lacking"]) == 2
    err = capsys.readouterr().err
    assert "boxmask lacking needs the Python module 'tensorflow'" in err
    assert "pip install 'boxmask[extra-x]'" in err


@pytest.mark.usefixtures("_commands_of_our_own")
def test_a_hole_in_our_own_package_is_not_blamed_on_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"boxmask_core\.gone"):
        main(["defective"])


@pytest.mark.usefixtures("_commands_of_our_own")
def test_an_interrupt_ends_quietly() -> None:
    assert main(["interrupted"]) == 130


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    module, function = COMMANDS[name].target.split(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert function == "main"


def test_nothing_heavy_is_imported_before_a_command_is_called() -> None:
    code = (
        "import sys; from boxmask_core.cli import main; main(['--version']);"
        "heavy = {'numpy', 'cv2', 'PIL', 'grpc', 'onnxruntime', 'torch'} & sys.modules.keys();"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
