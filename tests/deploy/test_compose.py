from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest

from boxmask_server.operation.settings_sources import load
from boxmask_server.operation.tokens import Tokens
from boxmask_server.server import LAST_WRITES
from tests.deploy.documents import DEPLOY, document

SERVERS = ("server-1", "server-2")


def test_the_file_obeys_the_compose_specification() -> None:
    package = Path(check_jsonschema.__file__).parent
    schema = json.loads((package / "builtin_schemas" / "vendor" / "compose-spec.json").read_text("utf-8"))
    jsonschema.validate(_compose(), schema)


def test_what_the_file_names_is_there() -> None:
    compose = _compose()
    files = [each["file"] for each in compose["configs"].values()]
    assert all((DEPLOY / file).is_file() for file in files)
    assert compose["secrets"]["tokens"]["file"] == "./tokens"
    assert Tokens(DEPLOY / "tokens.example").names
    assert (DEPLOY / "tokens.example").read_bytes() == (DEPLOY / "kubernetes" / "tokens.example").read_bytes()
    volumes = set(compose["volumes"])
    assert {compose["services"][name]["volumes"][0].partition(":")[0] for name in SERVERS} == volumes


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_given_settings_that_are_some_and_the_time_to_drain(name: str) -> None:
    server = _compose()["services"][name]
    (config,) = server["configs"]
    assert server["command"] == ["--config", config["target"]]
    settings = load(["--config", str(DEPLOY / "boxmask.toml")]).settings
    assert str(settings.tokens) == "/run/secrets/tokens"
    assert server["secrets"] == ["tokens"]
    assert settings.grace + LAST_WRITES < int(server["stop_grace_period"].removesuffix("s"))


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_asked_for_its_health_and_reached_where_it_listens(name: str) -> None:
    server = _compose()["services"][name]
    assert server["healthcheck"]["test"][1:] == [
        "python",
        "-m",
        "boxmask_server.healthcheck",
        "127.0.0.1:8500",
    ]
    assert server["ports"][0].endswith(":8500")
    assert server["ports"][0].startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_writes_where_it_may_and_nowhere_else(name: str) -> None:
    server = _compose()["services"][name]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert server["volumes"][0].endswith(":/opt/boxmask/compiled")  # where the image keeps what it compiled


def test_the_client_knows_both_servers_and_waits_for_them() -> None:
    client = _compose()["services"]["convert"]
    assert client["entrypoint"][:2] == ["boxmask", "convert"]
    addresses = client["entrypoint"][client["entrypoint"].index("--server") + 1].split(",")
    assert addresses == [f"{name}:8500" for name in SERVERS]
    assert set(client["depends_on"]) == set(SERVERS)


def test_prometheus_reads_the_metrics_of_both() -> None:
    settings = load(["--config", str(DEPLOY / "boxmask.toml")]).settings
    assert settings.metrics is not None
    port = settings.metrics.rpartition(":")[2]
    (job,) = document(DEPLOY / "prometheus.yml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"{name}:{port}" for name in SERVERS]


def _compose() -> dict[str, Any]:
    return document(DEPLOY / "compose.yaml")
