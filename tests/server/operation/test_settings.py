from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_core.errors import SettingsError
from boxmask_server.networks.cores import available_cores
from boxmask_server.operation.flags import flag_of, parser
from boxmask_server.operation.settings import BundleSource, Settings
from boxmask_server.operation.settings_sources import Loaded, load
from boxmask_server.operation.shown_settings import shown
from boxmask_server.server import Settings as ServerSettings
from boxmask_server.work.host_pool import OPEN_PIXELS
from boxmask_server.work.labeler import Limits
from boxmask_server.work.pipelines import WorkOptions

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"BOXMASK_{name.upper()}", raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str) -> Path:
        file = tmp_path / "boxmask.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('queue = 1\nmax_boxes = 2\nworkers = 3\nlisten = "file:1"\n')
    monkeypatch.setenv("BOXMASK_MAX_BOXES", "20")
    monkeypatch.setenv("BOXMASK_WORKERS", "30")
    loaded = load(["--config", str(file), "--workers", "300"])
    found = loaded.settings
    assert (found.workers, found.max_boxes, found.queue, found.stream_window) == (300, 20, 1, 16)
    assert loaded.origins == {
        "queue": f"queue in {file}",
        "listen": f"listen in {file}",
        "max_boxes": "BOXMASK_MAX_BOXES",
        "workers": "--workers",
    }


def test_the_file_can_be_named_in_the_environment(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXMASK_CONFIG", str(write("queue = 7\n")))
    assert load([]).settings.queue == 7


def test_a_switch_can_be_turned_off_again_by_its_flag(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("admin = true\n")
    assert load(["--config", str(file)]).settings.admin
    assert not load(["--config", str(file), "--no-admin"]).settings.admin
    monkeypatch.setenv("BOXMASK_ADMIN", "false")
    assert not load(["--config", str(file)]).settings.admin


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXMASK_QUEUE", "")
    assert load([]).settings.queue == Settings().queue


def test_threads_and_workers_are_the_cores_shared_out_among_processes_unless_they_are_said() -> None:
    cores = available_cores()
    assert (Settings().threads, Settings().workers) == (cores, cores)
    assert Settings(processes=2).workers == max(1, cores // 2)
    assert Settings(processes=1000, threads=3).workers == 1
    assert Settings(processes=1000, threads=3).threads == 3


@pytest.mark.parametrize(
    ("text", "name", "folder"),
    [
        ("models/cats", "cats", "models/cats"),
        ("pets=models/cats", "pets", "models/cats"),
        ("/models/v=1/cats", "cats", "/models/v=1/cats"),
        ("pets=/models/v=1", "pets", "/models/v=1"),
    ],
)
def test_a_bundle_has_its_folders_name_unless_it_is_given_one(text: str, name: str, folder: str) -> None:
    assert load([text]).settings.bundles == (BundleSource(name, Path(folder)),)


def test_several_bundles_come_from_flags_the_environment_or_the_file(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = (BundleSource("a", Path("/x")), BundleSource("b", Path("/b")))
    assert load(["a=/x", "/b"]).settings.bundles == wanted
    assert load(["--config", str(write('bundles = ["a=/x", "/b"]'))]).settings.bundles == wanted
    monkeypatch.setenv("BOXMASK_BUNDLES", "a=/x, /b")
    assert load([]).settings.bundles == wanted


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workers", "0"], "--workers: expected greater than or equal to 1, but got '0'"),
        (["--max-pixels", "many"], "--max-pixels: expected a valid integer"),
        (["--device", "tpu"], "--device: expected 'auto', 'cpu' or 'cuda', but got 'tpu'"),
        (["--grace", "-1"], "--grace: expected greater than or equal to 0, but got '-1'"),
        (["--grace", "inf"], "--grace: expected a finite number, but got 'inf'"),
        (["--stall-seconds", "0"], "--stall-seconds: expected greater than 0, but got '0'"),
        (["--trace-ratio", "2"], "--trace-ratio: expected less than or equal to 1, but got '2'"),
        (["--queue-bytes", "-1"], "--queue-bytes: expected a number of bytes, such as 67108864 or 64MiB"),
        (["--versions", "0"], "--versions: expected 'latest', 'all' or a number from 1 up, but got '0'"),
        (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-key", "key.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca needs --tls-cert and --tls-key"),
        (["--processes", "0"], "--processes: expected greater than or equal to 1, but got '0'"),
        (["--processes", "2", "--listen", "unix:x"], "--processes cannot share a Unix socket"),
        (["--tensorrt-cache", "built"], "--tensorrt-cache needs --tensorrt"),
        (["--otlp-endpoint", "collector"], "--otlp-endpoint: expected http://HOST:PORT"),
        (["a/cats", "b/cats"], "the command line: expected each name once, but got 'cats' twice"),
        (["/"], "the command line: expected a name of letters, digits"),
        (["pets="], "the command line: expected NAME=DIR, but got 'pets='"),
        (["--config", "/nowhere.toml"], "--config: /nowhere.toml cannot be read"),
    ],
)
def test_a_value_that_breaks_a_rule_is_named_with_the_rule(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(arguments)
    assert sentence in str(caught.value)


def test_a_wrong_value_is_named_by_where_it_is_from(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("queue = 0\n")
    with pytest.raises(SettingsError, match=rf"^queue in {file}: "):
        load(["--config", str(file)])
    monkeypatch.setenv("BOXMASK_QUEUE", "none")
    with pytest.raises(SettingsError, match=r"^BOXMASK_QUEUE: "):
        load([])


def test_a_name_that_is_no_setting_is_refused_with_the_one_that_was_meant(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"max_byte in .*: there is no such setting; .* max_bytes"):
        load(["--config", str(write("max_byte = 1\n"))])
    monkeypatch.setenv("BOXMASK_MAX_BOXS", "1")
    with pytest.raises(SettingsError, match=r"BOXMASK_MAX_BOXS: .* did you mean BOXMASK_MAX_BOXES"):
        load([])


def test_variables_that_others_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Kubernetes tells every container of a service that is named boxmask.
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_8500_TCP_ADDR"):
        monkeypatch.setenv(f"BOXMASK_{name}", "tcp://10.0.0.1:8500")
    for name in ("VOC", "TOKEN"):  # a test's and a client's
        monkeypatch.setenv(f"BOXMASK_{name}", "/data")
    assert load([]).settings == Settings()


def test_a_file_that_is_not_toml_is_named(write: Callable[[str], Path]) -> None:
    with pytest.raises(SettingsError, match=r"--config: .*boxmask\.toml is not TOML: "):
        load(["--config", str(write("queue: 7\n"))])


def test_a_password_in_an_url_is_refused_and_not_told() -> None:
    with pytest.raises(SettingsError) as caught:
        load(["--otlp-endpoint", "http://me:hush@collector:4317"])
    assert "OTEL_EXPORTER_OTLP_HEADERS" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_every_setting_has_a_flag_that_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert ("[NAME=]DIR" if name == "bundles" else f"{flag_of(name)} ") in text.replace(",", " ")
        assert field.description
    assert "(default: 127.0.0.1:8500)" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_flags_must_be_written_out() -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--max-b", "1"])
    assert caught.value.code == 2


def test_what_is_shown_is_a_file_that_says_the_same(write: Callable[[str], Path]) -> None:
    given_ = load(["--max-bytes", "3MiB", "pets=/models/cats", "--admin", "--otlp-endpoint", "http://c:1"])
    text = shown(given_)
    again = load(["--config", str(write(text))])
    assert again.settings == given_.settings
    assert "max_bytes = 3145728  # --max-bytes" in text
    assert "queue = 256  # default" in text
    assert "# tokens is not set" in text


def test_what_is_shown_tells_the_place_of_secrets_and_not_the_secrets(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("editor a-very-secret-secret", encoding="utf-8")
    text = shown(load(["--tokens", str(file)]))
    assert str(file) in text
    assert "secret-secret" not in text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_path_survives_being_shown(path: str) -> None:
    text = shown(Loaded(Settings(tensorrt=True, tensorrt_cache=Path(path)), {}, show=False))
    assert tomllib.loads(text)["tensorrt_cache"] == str(Path(path))


def test_defaults_are_those_of_the_parts_that_they_are_for() -> None:
    found = Settings()
    assert found.max_batch_pixels == WorkOptions().max_batch_pixels
    assert found.open_pixels == OPEN_PIXELS
    assert Limits() == Limits(found.max_bytes, found.max_pixels, found.max_boxes)
    listening = ServerSettings(found.listen)
    for name in ("queue", "queue_bytes", "stream_window", "concurrent_calls", "admin", "stall_seconds"):
        assert getattr(listening, name) == getattr(found, name)
