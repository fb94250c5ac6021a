from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from boxmask_core.errors import SettingsError
from boxmask_server.operation.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ANSWERED = "answered"
REFUSED = grpc.StatusCode.UNAVAILABLE.name


def test_who_trusts_the_certificate_is_answered_and_who_does_not_turns_away(tmp_path: Path) -> None:
    here, elsewhere = trustme.CA(), trustme.CA()
    certificates = _files(tmp_path, here).certificates()

    async def scene() -> None:
        async with _listening(certificates) as address:
            assert await _ask(address, here) == ANSWERED
            assert await _ask(address, elsewhere) == REFUSED

    asyncio.run(scene())


def test_a_reload_shows_the_new_certificate_to_who_comes_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    before, after = trustme.CA(), trustme.CA()
    files = _files(tmp_path, before)
    certificates = files.certificates()

    async def scene() -> None:
        async with _listening(certificates) as address:
            assert await _ask(address, before) == ANSWERED
            _files(tmp_path, after)
            assert await _ask(address, before) == ANSWERED  # nobody has told it yet
            certificates.reload()
            assert await _ask(address, after) == ANSWERED
            assert await _ask(address, before) == REFUSED
            files.key.write_bytes(b"broken")
            with pytest.raises(SettingsError):
                certificates.reload()
            assert await _ask(address, after) == ANSWERED

    asyncio.run(scene())


def test_with_mutual_tls_only_clients_of_the_named_authority_connect(tmp_path: Path) -> None:
    server_ca, client_ca, stranger = trustme.CA(), trustme.CA(), trustme.CA()
    client_ca.cert_pem.write_to_path(tmp_path / "clients.pem")
    files = _files(tmp_path, server_ca)
    certificates = Certificates(files.certificate, files.key, tmp_path / "clients.pem")

    async def scene() -> None:
        async with _listening(certificates) as address:
            assert await _ask(address, server_ca, client_ca.issue_cert("editor.example")) == ANSWERED
            assert await _ask(address, server_ca) == REFUSED
            assert await _ask(address, server_ca, stranger.issue_cert("editor.example")) == REFUSED

    asyncio.run(scene())


def test_a_key_of_another_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    files = _files(tmp_path, trustme.CA())
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(files.key)
    with pytest.raises(SettingsError, match=r"--tls-cert: .*cert\.pem and --tls-key .*key\.pem do not go"):
        files.certificates()


@pytest.mark.parametrize("missing", ["cert.pem", "key.pem"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, missing: str) -> None:
    files = _files(tmp_path, trustme.CA())
    (tmp_path / missing).unlink()
    with pytest.raises(SettingsError, match=f"{missing} cannot be read: No such file"):
        files.certificates()


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"]
)
def test_a_client_authority_that_is_no_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    files = _files(tmp_path, trustme.CA())
    (tmp_path / "clients.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=r"--tls-client-ca: .* holds no PEM certificates"):
        Certificates(files.certificate, files.key, tmp_path / "clients.pem")


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    files = _files(tmp_path, trustme.CA())
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"hush")
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    with pytest.raises(SettingsError, match="not encrypted"):
        files.certificates()


@dataclass(frozen=True)
class _Files:
    certificate: Path
    key: Path

    def certificates(self) -> Certificates:
        return Certificates(self.certificate, self.key)


def _files(folder: Path, authority: trustme.CA) -> _Files:
    leaf = authority.issue_cert("localhost")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    return _Files(certificate, key)


@contextlib.asynccontextmanager
async def _listening(certificates: Certificates) -> AsyncIterator[str]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_secure_port("localhost:0", certificates.credentials())
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


async def _ask(address: str, trusted: trustme.CA, own: trustme.LeafCert | None = None) -> str:
    """Connects anew; returns whether the server answered, or the code of the failure."""
    key = own.private_key_pem.bytes() if own is not None else None
    chain = b"".join(pem.bytes() for pem in own.cert_chain_pems) if own is not None else None
    credentials = grpc.ssl_channel_credentials(trusted.cert_pem.bytes(), key, chain)
    # Without this, channels to one address share their connection.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(  # type: ignore[attr-defined]  # types-grpcio leaves methods out
                health_pb2.HealthCheckRequest(), timeout=10
            )
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return ANSWERED
