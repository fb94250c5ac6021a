from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

from boxmask_server.operation.settings_sources import load
from boxmask_server.operation.tokens import Tokens
from boxmask_server.server import LAST_WRITES, SERVICE_NAME
from tests.deploy.documents import KUBERNETES, document

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_server.operation.settings import Settings

MANIFESTS = sorted(set(KUBERNETES.glob("*.yaml")) - {KUBERNETES / "kustomization.yaml"})
OLDEST = "1.31"
"""The oldest Kubernetes that all of it is valid on: probes by gRPC, sleep in preStop, autoscaling/v2."""


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_a_manifest_obeys_the_strict_schema(file: Path, version: str) -> None:
    kubernetes_validate.validate(document(file), version, strict=True)


def test_the_kustomization_names_every_manifest_and_the_files_that_it_needs() -> None:
    kustomization = document(KUBERNETES / "kustomization.yaml")
    assert {KUBERNETES / name for name in kustomization["resources"]} == set(MANIFESTS)
    (settings,), (tokens,) = kustomization["configMapGenerator"], kustomization["secretGenerator"]
    assert (KUBERNETES / settings["files"][0]).is_file()
    assert tokens["files"] == ["tokens"]
    assert (KUBERNETES / "tokens.example").is_file()
    volumes = {volume["name"]: volume for volume in _pod()["volumes"]}
    assert volumes["settings"]["configMap"]["name"] == settings["name"]
    assert volumes["tokens"]["secret"]["secretName"] == tokens["name"]


def test_the_settings_are_settings_and_lie_where_the_server_is_told_to_look() -> None:
    settings = _settings()
    container = _container()
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["args"] == ["--config", f"{mounts['settings']}/boxmask.toml"]
    assert str(settings.tokens) == f"{mounts['tokens']}/tokens"
    assert settings.log_format == "json"


def test_the_example_of_tokens_is_readable_and_lets_nobody_in() -> None:
    tokens = Tokens(KUBERNETES / "tokens.example")
    assert tokens.names == {"editor", "operator"}
    text = (KUBERNETES / "tokens.example").read_text(encoding="utf-8")
    words = [line.split()[1] for line in text.splitlines() if line and not line.startswith("#")]
    assert all(word.startswith("sha256:" + "0" * 60) for word in words)  # the digest of nothing known


def test_ports_are_those_that_the_server_listens_at() -> None:
    ports = {port["name"]: port["containerPort"] for port in _container()["ports"]}
    assert ports["grpc"] == 8500  # the image's --listen, which test_dockerfile.py keeps
    assert _settings().metrics == f"0.0.0.0:{ports['metrics']}"
    service = document(KUBERNETES / "service.yaml")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    annotations = document(KUBERNETES / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"])


def test_probes_ask_for_services_that_health_knows() -> None:
    container = _container()
    for name in ("startupProbe", "readinessProbe"):
        assert container[name]["grpc"] == {"port": 8500, "service": SERVICE_NAME}
    assert container["livenessProbe"]["grpc"] == {"port": 8500}


def test_a_pod_is_given_the_time_that_a_drain_takes() -> None:
    pod, settings = _pod(), _settings()
    before = _container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before + settings.grace + LAST_WRITES < pod["terminationGracePeriodSeconds"]


def test_a_stalled_batch_is_found_before_a_slow_one_is_ended() -> None:
    probe = _container()["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < _settings().stall_seconds


def test_what_is_held_at_once_fits_into_the_memory_of_the_container() -> None:
    settings = _settings()
    limit = _container()["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    held = settings.queue_bytes + 3 * settings.open_pixels  # RGB
    assert held < int(limit.removesuffix("Gi")) * 2**30 / 2  # the networks need the rest


def test_pods_run_without_rights_on_a_read_only_file_system() -> None:
    pod = _pod()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001  # the image's user
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in (*pod["containers"], *pod["initContainers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_what_numba_compiles_has_a_place_that_starts_with_what_the_image_brings() -> None:
    (copy,) = _pod()["initContainers"]
    (target,) = [mount["mountPath"] for mount in copy["volumeMounts"]]
    assert copy["command"] == ["cp", "--recursive", "/opt/boxmask/compiled/.", target]
    assert {"name": "NUMBA_CACHE_DIR", "value": target} in _container()["env"]
    assert target in [mount["mountPath"] for mount in _container()["volumeMounts"]]


def test_selectors_meet_the_labels_of_the_pods() -> None:
    deployment = document(KUBERNETES / "deployment.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert document(KUBERNETES / "service.yaml")["spec"]["selector"] == labels
    budget = document(KUBERNETES / "disruption-budget.yaml")["spec"]
    assert budget["selector"]["matchLabels"] == labels


def test_the_service_is_headless_so_that_clients_see_every_pod() -> None:
    assert document(KUBERNETES / "service.yaml")["spec"]["clusterIP"] == "None"
    assert _settings().connection_age is not None  # else they would never look again


def test_the_autoscaler_counts_what_the_server_counts_and_leaves_the_number_to_no_one_else() -> None:
    scaler = document(KUBERNETES / "autoscaler.yaml")["spec"]
    deployment = document(KUBERNETES / "deployment.yaml")
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == "boxmask_queue_items"
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


def _pod() -> dict[str, Any]:
    pod = document(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def _container() -> dict[str, Any]:
    (container,) = _pod()["containers"]
    assert isinstance(container, dict)
    return container


def _settings() -> Settings:
    return load(["--config", str(KUBERNETES / "boxmask.toml")]).settings
