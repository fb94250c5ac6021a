"""Callers that speak HTTP/2 by hand, since no library lets them be as slow, or as many, as they are here."""

from __future__ import annotations

import socket
import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_HEADERS, _ACK = 4, 1
_INDEXED, _LITERAL = 0x80, 0x00
_METHOD_POST, _SCHEME_HTTP, _AUTHORITY, _PATH, _CONTENT_TYPE = 3, 6, 1, 4, 31
"""Places in HPACK's static table (RFC 7541, appendix A)."""


def greeting() -> bytes:
    """Returns what a connection begins with, the server's settings acknowledged."""
    return PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_SETTINGS, _ACK, 0, b"")


def unfinished_call(path: str, claimed: int) -> bytes:
    """Returns the beginning of a call, up to its first message, of which the size alone is told.

    Args:
        path: The procedure, ``/package.Service/Method``.
        claimed: Bytes that the message is to have.
    """
    headers = bytes([_INDEXED | _METHOD_POST, _INDEXED | _SCHEME_HTTP]) + b"".join(
        _prefixed(_LITERAL, 4, place) + _text(value)
        for place, value in ((_PATH, path), (_AUTHORITY, "server"), (_CONTENT_TYPE, "application/grpc"))
    )
    headers += bytes([_LITERAL]) + _text("te") + _text("trailers")
    upload = struct.pack(">BI", 0, claimed)
    # The frame's header claims more than follows it: what comes later, a byte at a time, belongs to it.
    begun = struct.pack(">I", 16_384)[1:] + struct.pack(">BBI", _DATA, 0, 1) + upload
    return _frame(_HEADERS, _END_HEADERS, 1, headers) + begun


def connected(address: str) -> socket.socket:
    """Returns a connection to ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def _text(value: str) -> bytes:
    return _prefixed(0, 7, len(value)) + value.encode("ascii")


def _prefixed(first: int, bits: int, number: int) -> bytes:
    """Encodes a number as HPACK does (RFC 7541, 5.1); none here needs more than two bytes."""
    most = (1 << bits) - 1
    return bytes([first | number]) if number < most else bytes([first | most, number - most])
