"""What the wheel holds, and what installing each part of it brings."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).parents[1]
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}
ELSEWHERE = {"sys_platform": "darwin", "platform_machine": "arm64"}
PACKAGES = {
    "boxmask",
    "boxmask_client",
    "boxmask_convert",
    "boxmask_core",
    "boxmask_export",
    "boxmask_server",
    "boxmask_training",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = out.glob("*.whl")
    return zipfile.Path(file)


@pytest.fixture(scope="module")
def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path, names: set[str]) -> Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr((wheel / name).read_text())


def _brought(metadata: Message, extra: str, environment: dict[str, str]) -> set[str]:
    """Names of the direct requirements of an extra (empty: of the plain install), our own extras followed."""
    found: set[str] = set()
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        plain = not requirement.marker or requirement.marker.evaluate({**environment, "extra": ""})
        if extra and plain:
            continue
        if requirement.name == "boxmask":
            found = found.union(*(_brought(metadata, part, environment) for part in requirement.extras))
        else:
            found.add(requirement.name.lower().replace("_", "-"))
    return found


def test_it_holds_every_package_and_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_package_says_that_it_is_typed(names: set[str], package: str) -> None:
    assert f"{package}/py.typed" in names


def test_it_carries_the_starter_bundle_with_its_card(wheel: zipfile.Path, names: set[str]) -> None:
    for file in ("bundle.json", "cfs.onnx", "README.md"):
        packed = f"boxmask_core/starter/{file}"
        assert packed in names
        assert (wheel / packed).read_bytes() == (ROOT / "models" / "starter" / file).read_bytes()


def test_it_carries_the_contract_its_stubs_and_the_reports_style(names: set[str]) -> None:
    stubs = {
        "labeling.proto",
        "labeling_pb2.py",
        "labeling_pb2.pyi",
        "labeling_pb2_grpc.py",
        "labeling_pb2_grpc.pyi",
    }
    assert {f"boxmask/v1/{stub}" for stub in stubs} <= names
    assert "boxmask_convert/report/page.css" in names


def test_the_console_script_and_the_licence_are_in(wheel: zipfile.Path, names: set[str]) -> None:
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "boxmask = boxmask_core.cli:main" in (wheel / entry_points).read_text()
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.parametrize("environment", [LINUX, ELSEWHERE], ids=["linux", "elsewhere"])
def test_a_client_installs_no_network_runtime_and_no_server(
    metadata: Message, environment: dict[str, str]
) -> None:
    brought = _brought(metadata, "", environment)
    assert {"grpcio", "numpy", "protobuf"} <= brought
    heavy = {"torch", "torchvision", "onnx", "onnxruntime", "onnxruntime-gpu", "grpcio-health-checking"}
    assert not brought & heavy


@pytest.mark.parametrize("environment", [LINUX, ELSEWHERE], ids=["linux", "elsewhere"])
def test_a_server_installs_one_onnxruntime_and_no_torch(
    metadata: Message, environment: dict[str, str]
) -> None:
    brought = _brought(metadata, "server", environment)
    expected = {"onnxruntime-gpu"} if environment is LINUX else {"onnxruntime"}
    assert {name for name in brought if name.startswith("onnxruntime")} == expected
    assert not brought & {"torch", "torchvision", "lightning-fabric"}


def test_training_brings_torch(metadata: Message) -> None:
    assert {"torch", "torchvision", "lightning-fabric"} <= _brought(metadata, "train", LINUX)
