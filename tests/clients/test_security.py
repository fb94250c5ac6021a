"""Who is trusted, who asks, and what a question carries beside itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
import trustme
from google.rpc.error_details_pb2 import ErrorInfo

from boxmask_client import (
    AuthenticationError,
    Client,
    PermissionDeniedError,
    Question,
    Retry,
    ServerError,
    Tls,
    UnavailableError,
    UnsupportedError,
)
from tests.clients.both_stacks import both_stacks
from tests.clients.scripted_server import ScriptedServer, failing, scripted, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Connect = Callable[..., Client]

ONCE = Retry(attempts=1)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[tuple[ScriptedServer, str]]:
    with scripted(f"unix:{tmp_path}/socket") as (server, address):
        yield server, address


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


def _pems(ca: trustme.CA, name: str) -> tuple[bytes, bytes]:
    """Returns a key and its certificate chain."""
    issued = ca.issue_cert(name)
    return issued.private_key_pem.bytes(), b"".join(pem.bytes() for pem in issued.cert_chain_pems)


def _credentials(ca: trustme.CA, *, name: str = "localhost", mutual: bool = False) -> grpc.ServerCredentials:
    trusted = ca.cert_pem.bytes() if mutual else None
    return grpc.ssl_server_credentials([_pems(ca, name)], trusted, mutual)


@both_stacks
def test_a_server_of_the_trusted_authority_is_spoken_to_and_another_is_not(
    connect: Connect, ca: trustme.CA, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with scripted("localhost:0", credentials=_credentials(ca)) as (_, address):
        with connect(address, tls=Tls(ca=tmp_path / "ca.pem")) as client:
            assert client.models()
        stranger = Tls(ca=trustme.CA().cert_pem.bytes())
        with connect(address, tls=stranger, retry=ONCE) as client, pytest.raises(UnavailableError):
            client.models()


@both_stacks
def test_a_certificate_of_another_name_is_taken_only_where_that_name_is_given(
    connect: Connect, ca: trustme.CA
) -> None:
    trusted = ca.cert_pem.bytes()
    with scripted("localhost:0", credentials=_credentials(ca, name="box.example")) as (_, address):
        with connect(address, tls=Tls(trusted), retry=ONCE) as client, pytest.raises(UnavailableError):
            client.models()
        with connect(address, tls=Tls(trusted, server_name="box.example")) as client:
            assert client.models()


@both_stacks
def test_a_client_shows_its_certificate_where_it_is_asked_for(connect: Connect, ca: trustme.CA) -> None:
    key, cert = _pems(ca, "editor.example")
    with scripted("localhost:0", credentials=_credentials(ca, mutual=True)) as (_, address):
        with connect(address, tls=Tls(ca.cert_pem.bytes(), cert, key)) as client:
            assert client.models()
        unknown = Tls(ca.cert_pem.bytes())
        with connect(address, tls=unknown, retry=ONCE) as client, pytest.raises(UnavailableError):
            client.models()


@both_stacks
def test_several_servers_each_have_the_name_of_their_address(connect: Connect, ca: trustme.CA) -> None:
    with (
        scripted("localhost:0", "one", credentials=_credentials(ca)) as (one, first),
        scripted("127.0.0.1:0", "two", credentials=_credentials(ca, name="127.0.0.1")) as (two, second),
        connect(f"{first},{second}", tls=Tls(ca.cert_pem.bytes())) as client,
    ):
        for _ in range(200):
            client.models()
            if one.calls and two.calls:
                break
        assert one.calls
        assert two.calls


def test_a_file_that_is_not_there_is_an_error_when_the_client_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client("localhost:1", tls=Tls(tmp_path / "none.pem"))


def test_tls_and_credentials_are_not_both_taken() -> None:
    with pytest.raises(ValueError, match="tls or credentials, but got both"):
        Client("localhost:1", tls=Tls(), credentials=grpc.ssl_channel_credentials())


@both_stacks
def test_a_token_and_the_requests_name_travel_with_single_calls_and_streams(
    connect: Connect, here: tuple[ScriptedServer, str]
) -> None:
    server, address = here
    tokens = iter(["first", "second"])
    with connect(address, token=lambda: next(tokens)) as client:
        client.pseudo_label(b"image", [], request_id="mine")
        assert server.metadata["authorization"] == "Bearer first"
        assert server.metadata["x-request-id"] == "mine"
        assert str(server.metadata["user-agent"]).startswith("boxmask-client/")
        list(client.stream_pseudo_label([(0, Question(b"image"))], request_id="theirs"))
        assert server.metadata["authorization"] == "Bearer second"
        assert server.metadata["x-request-id"] == "theirs"


@both_stacks
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, AuthenticationError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
    ],
)
def test_who_is_not_let_in_is_told_so_in_single_calls_and_in_streams(
    connect: Connect,
    here: tuple[ScriptedServer, str],
    code: grpc.StatusCode,
    expected: type[ServerError],
) -> None:
    server, address = here
    server.hook = failing(2, status_of(code, "no", ErrorInfo(reason=code.name, domain="boxmask")))
    with connect(address, token="wrong") as client:
        with pytest.raises(expected):
            client.models()
        with pytest.raises(expected) as caught:
            list(client.stream_pseudo_label([(0, Question(b"image"))]))
        assert caught.value.reason == code.name
        assert caught.value.request_id == server.metadata["x-request-id"]


@both_stacks
def test_every_server_is_asked_to_reload_and_tells_what_became_of_its_bundles(
    connect: Connect, tmp_path: Path
) -> None:
    with (
        scripted(f"unix:{tmp_path}/one", "one") as (_, first),
        scripted(f"unix:{tmp_path}/two", "two") as (_, second),
        connect([first, second]) as client,
    ):
        reloads = client.reload_models()
    assert [(each.server, each.bundle) for each in reloads] == [(first, "one")] * 4 + [(second, "two")] * 4
    assert [each.outcome for each in reloads[:4]] == ["loaded", "unchanged", "failed", "removed"]


@both_stacks
def test_a_server_without_administration_does_not_support_a_reload(connect: Connect, server: str) -> None:
    with connect(server) as client, pytest.raises(UnsupportedError):
        client.reload_models()


@both_stacks
def test_a_model_is_asked_for_by_bundle_and_version(
    connect: Connect, here: tuple[ScriptedServer, str]
) -> None:
    with connect(here[1]) as client:
        model = client.model("cfs", bundle="voc", version="3")
        answer = client.pseudo_label(b"image", [])
    assert (model.bundle, model.version) == ("voc", "3")
    assert (answer.bundle, answer.version) == ("one", "7")
