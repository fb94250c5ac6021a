"""What the server's image promises, read from its Dockerfile: building it needs a daemon that tests lack."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from boxmask_server.operation.settings_sources import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
FINAL = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]


def test_the_final_image_is_slim_and_installs_nothing() -> None:
    assert re.fullmatch(r"FROM python:3\.\d+-slim-\w+", FINAL[0])
    assert not [line for line in FINAL if re.search(r"\b(pip|apt-get|apt|gcc|git|curl)\b", line)]
    assert "COPY --from=build /opt/boxmask /opt/boxmask" in FINAL


def test_the_server_does_not_run_as_root() -> None:
    users = [line for line in FINAL if line.startswith("USER ")]
    assert users == ["USER 10001"]
    assert FINAL.index(users[0]) < min(i for i, line in enumerate(FINAL) if line.startswith("ENTRYPOINT"))


def test_health_is_asked_where_the_server_listens() -> None:
    entry = json.loads(_argument("ENTRYPOINT"))
    check = json.loads(_argument("HEALTHCHECK").partition("CMD")[2])
    assert entry[:2] == ["boxmask", "serve"]
    listen = load(entry[2:]).settings.listen
    assert listen == "0.0.0.0:8500"
    assert check == ["python", "-m", "boxmask_server.healthcheck", "127.0.0.1:8500"]
    assert _argument("EXPOSE") == "8500"


def test_what_is_compiled_is_compiled_in_the_build_and_kept_where_the_server_looks() -> None:
    (build,) = [line for line in LINES if line.endswith("-m boxmask_core.warm_up")]
    (cache,) = re.findall(r"NUMBA_CACHE_DIR=(\S+)", build)
    assert cache.startswith("/opt/boxmask/")  # the folder that the final image takes over
    assert any(f"NUMBA_CACHE_DIR={cache}" in line for line in FINAL if line.startswith("ENV "))
    assert any(f"chown -R 10001 {cache}" in line for line in FINAL)


def test_no_torch_and_no_compiler_come_with_the_extras() -> None:
    build = " ".join(LINES)
    assert "--only-binary :all:" in build  # without wheels a compiler would be needed
    extras = re.search(r"ARG EXTRAS=(\S+)", build)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = _requirements(project, extras[1].split(","))
    assert not [name for name in wanted if re.match(r"torch|lightning|onnxscript|onnx\b(?!runtime)", name)]
    assert any(name.startswith("onnxruntime") for name in wanted)


@pytest.mark.parametrize("folder", ["clients", "core", "export", "models", "protos", "server", "training"])
def test_what_the_wheel_is_built_from_is_sent_to_the_build(folder: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert f"!{folder}" in ignored
    assert (ROOT / folder).is_dir()


def _argument(instruction: str) -> str:
    (line,) = [line for line in FINAL if line.startswith(instruction + " ")]
    return line.removeprefix(instruction).strip()


def _requirements(project: dict[str, dict[str, list[str]]], extras: list[str]) -> list[str]:
    found: list[str] = []
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            inner = re.fullmatch(r"boxmask\[(.+)\]", requirement)
            found += _requirements(project, inner[1].split(",")) if inner else [requirement]
    return found
