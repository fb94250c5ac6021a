"""The examples run as they stand, against real servers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme

from tests.clients.scenes import cat, jpeg
from tests.clients.serving_process import serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_core.bundle import Bundle

EXAMPLES = Path(__file__).parents[2] / "clients" / "examples"
TOKEN = "correct-horse-battery-staple"


class Run(NamedTuple):
    """How an example is run.

    Attributes:
        arguments: With ``{image}``, ``{folder}`` and ``{keys}`` for what lies where.
        told: What it tells, among other things.
        server: The fixture that gives the server's address.
    """

    arguments: list[str]
    told: list[str]
    server: str = "server"


RUNS = {
    "aio.py": Run(["{image}", "{image}"], ["cat.jpg: background"]),
    "aio_stream.py": Run(["{folder}"], ["cat.jpg: ", " classes", "broken.jpg: "]),
    "bundles.py": Run(["{image}"], ["voc 1: ", "voc 2: ", "by itself: voc 2"], "versions"),
    "connection.py": Run(["{image}"], ["bytes: 225 pixels wide", "messages of 1000 bytes: "]),
    "errors.py": Run(["{image}"], ["INVALID_BOX: \n  instances[0].box: ", "MODEL_NOT_FOUND: ask another"]),
    "models.py": Run([], ["cfs: constrained-foreground-segmentation, 3 classes"]),
    "mutual_tls.py": Run(
        ["{keys}/ca.pem", "{keys}/client.pem", "{keys}/client.key"], ["let in: 2 networks"], "mutual"
    ),
    "priorities.py": Run(["{image}"], ["interactive: waited ", "bulk: waited "]),
    "pseudo_label.py": Run(["{image}", "cat", "40", "8", "190", "140"], ["cat: "]),
    "reload.py": Run([], [": voc 2 unchanged"], "versions"),
    "segment.py": Run(["{image}"], [" % of the image, probability 0."]),
    "several_servers.py": Run(["{cats}"], ["cat.jpg: 225 pixels wide", "1 of 1 answered"], "two"),
    "stream.py": Run(["{folder}"], ["broken.jpg: ", "cat.jpg: quality "]),
    "timeouts.py": Run(["{image}"], ["no answer within", "taken back: True", "both in time: 225 and 225"]),
    "tls_and_token.py": Run(
        ["{keys}/ca.pem", "{keys}/token"],
        ["let in: 2 networks", "turned away: UNAUTHENTICATED"],
        "secured",
    ),
    "when_full.py": Run(["{image}"], ["16 of 16 answered"], "small"),
}

WITHOUT_SERVER = {"explore_in_fiftyone.py"}
"""Run by tests of their own."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a server and of a client, whom they trust, and tokens."""
    folder = tmp_path_factory.mktemp("keys")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name, host in (("server", "localhost"), ("client", "editor.example")):
        issued = ca.issue_cert(host)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    for secret in folder.iterdir():
        secret.chmod(0o600)
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "tokens").write_text(f"editor {TOKEN}\n")
    (folder / "tokens").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def secured(bundle: Bundle, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks TLS and asks for tokens."""
    tls = ("--tls-cert", str(keys / "server.pem"), "--tls-key", str(keys / "server.key"))
    folder = tmp_path_factory.mktemp("secured")
    tokens = ("--tokens", str(keys / "tokens"))
    with serving_process(bundle.root, folder, *tls, *tokens, listen="localhost:0") as address:
        yield address


@pytest.fixture(scope="module")
def mutual(bundle: Bundle, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for certificates."""
    tls = ("--tls-cert", str(keys / "server.pem"), "--tls-key", str(keys / "server.key"))
    folder = tmp_path_factory.mktemp("mutual")
    trusted = ("--tls-client-ca", str(keys / "ca.pem"))
    with serving_process(bundle.root, folder, *tls, *trusted, listen="localhost:0") as address:
        yield address


@pytest.fixture(scope="module")
def versions(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of two versions of a bundle, which may be asked to look for more."""
    folder = tmp_path_factory.mktemp("versions")
    for version in ("1", "2"):
        shutil.copytree(bundle.root, folder / "voc" / version)
    with serving_process(folder / "voc", folder, "--versions", "all", "--admin") as address:
        yield address


@pytest.fixture(scope="module")
def two(server: str, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two servers."""
    with serving_process(bundle.root, tmp_path_factory.mktemp("two")) as address:
        yield f"{server},{address}"


@pytest.fixture(scope="module")
def small(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with room for four."""
    with serving_process(bundle.root, tmp_path_factory.mktemp("small"), "--queue", "4") as address:
        yield address


def test_every_example_is_run() -> None:
    assert RUNS.keys() | WITHOUT_SERVER == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", RUNS)
def test_example(name: str, keys: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run = RUNS[name]
    cats = tmp_path / "cats"
    cats.mkdir()
    for folder in (tmp_path, cats):
        (folder / "cat.jpg").write_bytes(jpeg(cat()))
    (tmp_path / "broken.jpg").write_bytes(jpeg(cat())[:5000])
    places = {"image": tmp_path / "cat.jpg", "folder": tmp_path, "cats": cats, "keys": keys}
    arguments = [argument.format(**places) for argument in run.arguments]
    command = [sys.executable, EXAMPLES / name, *arguments, request.getfixturevalue(run.server)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stderr == ""
    assert told.returncode == 0
    for part in run.told:
        assert part in told.stdout
