"""The server's certificate, and whose clients it trusts. Read at the start, and again when it is told to."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc

from boxmask_core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


class Certificates:
    """What the server shows to whoever connects; `reload` reads the files again.

    Args:
        certificate: PEM certificate chain. key: PEM private key. client_ca: PEM certificates; only clients
            with a certificate signed by one of them may connect. None lets
            everybody connect.

    Raises:
        SettingsError: A file cannot be read, holds no PEM, or the key is another certificate's.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        self._files = certificate, key, client_ca
        self._current = self._read()

    def reload(self) -> None:
        """Reads the files again; connections that come from now on see them.

        Raises:
            SettingsError: They cannot be used; what was read before is still shown.
        """
        self._current = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Returns what a port is opened with; it follows `reload`."""
        mutual = self._files[2] is not None
        return grpc.dynamic_ssl_server_credentials(self._current, lambda: self._current, mutual)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, client_ca = self._files
        pair = _bytes("--tls-key", key), _bytes("--tls-cert", certificate)
        trusted = None if client_ca is None else _bytes("--tls-client-ca", client_ca)
        _check(certificate, key, client_ca)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=trusted)


def _bytes(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(setting, f"{file} cannot be read: {error.strerror}") from error


def _check(certificate: Path, key: Path, client_ca: Path | None) -> None:
    """Loads the files as OpenSSL does: gRPC takes anything, and then fails every handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without an answer to "what is the password?", OpenSSL would ask at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(
            "--tls-cert",
            f"{certificate} and --tls-key {key} do not go together: {error}; "
            "give a PEM certificate chain and its own key, not encrypted",
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise SettingsError(
                "--tls-client-ca", f"{client_ca} holds no PEM certificates: {error}"
            ) from error
