"""Who may call: a file of bearer tokens, and how many calls each of them may have.

One caller a line, ``#`` begins a comment::

    # NAME    SECRET                           [admin] [calls=N] [rate=N]
    editor    correct-horse-battery-staple     calls=8
    deploy    sha256:9f86d081884c7d65...       admin
    nightly   sha256:60303ae22b998861...       calls=2 rate=50

The secret is what the caller sends, or its SHA-256 in hex (``printf %s SECRET | sha256sum``), with which
nobody who reads the file can call. ``calls`` is how many calls the caller may have at once, ``rate`` how many
it may begin in a second; a stream is one call.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from boxmask_core.errors import AuthenticationError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHORTEST: Final = 16
"""Characters of a secret, at least."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
LIMIT: Final = re.compile(r"(calls|rate)=([0-9]{1,9})")
SCHEME: Final = "bearer "

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """One who may call.

    Attributes:
        name: What logs and metrics call it.
        admin: Whether it may call AdminService.
        calls: Calls that it may have at once; None for as many as it likes.
        rate: Calls that it may begin in a second; None likewise.
    """

    name: str
    admin: bool = False
    calls: int | None = None
    rate: int | None = None


class _Entry(NamedTuple):
    digest: bytes
    caller: Caller
    is_digest: bool


class Tokens:
    """The callers of a file.

    Args:
        file: The file; `reload` reads it again.

    Raises:
        SettingsError: The file cannot be read, or a line breaks a rule.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._callers = _read(file)

    @property
    def names(self) -> frozenset[str]:
        """The names of all callers."""
        return frozenset(caller.name for _, caller in self._callers)

    def reload(self) -> None:
        """Reads the file again.

        Raises:
            SettingsError: It cannot be used; what was read before still counts.
        """
        self._callers = _read(self._file)

    def caller_of(self, authorization: str | None) -> Caller:
        """Returns who sends an ``authorization``; takes equally long whoever it is.

        Raises:
            AuthenticationError: Nobody who is known.
        """
        if authorization is None:
            raise AuthenticationError("there is no token")
        if not authorization.lower().startswith(SCHEME):
            raise AuthenticationError("the token is not a bearer token")
        digest = _digest(authorization[len(SCHEME) :].strip())
        found = None
        for known, caller in self._callers:  # every one of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise AuthenticationError("the token is not known")
        return found


def _read(file: Path) -> tuple[tuple[bytes, Caller], ...]:
    try:
        text = file.read_text(encoding="utf-8")
        readable_by_all = file.stat().st_mode & stat.S_IROTH
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("--tokens", f"{file} cannot be read: {error}") from error
    found = tuple(_lines(file, text))
    if not found:
        raise SettingsError("--tokens", f"{file} holds no token, so that nobody could call; add one")
    if readable_by_all and any(not each.is_digest for each in found):
        logger.warning(
            "everybody on this machine can read the secrets in %s; write digests, or run: chmod o-r %s",
            file,
            file,
        )
    return tuple((each.digest, each.caller) for each in found)


def _lines(file: Path, text: str) -> Iterator[_Entry]:
    names: set[str] = set()
    digests: set[bytes] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            entry = _entry(words)
            if entry.caller.name in names or entry.digest in digests:
                raise ValueError("expected names and secrets of their own, but it repeats another line's")
        except ValueError as error:
            # Only the rule and, where it is no secret, the value.
            raise SettingsError("--tokens", f"{file}, line {number}: {error}") from None
        names.add(entry.caller.name)
        digests.add(entry.digest)
        yield entry


def _entry(words: list[str]) -> _Entry:
    name, *rest = words
    if not NAME.fullmatch(name):
        raise ValueError(
            "expected a name of letters, digits, '.', '_' and '-', at most 63, in the first place"
        )
    if not rest:
        raise ValueError("expected NAME SECRET, but the second is missing")
    secret, *rights = rest
    limits: dict[str, int] = {}
    admin = False
    for right in rights:
        limit = LIMIT.fullmatch(right)
        if right == "admin":
            admin = True
        elif limit is not None and int(limit[2]) > 0:
            limits[limit[1]] = int(limit[2])
        else:
            raise ValueError("expected 'admin', 'calls=N' or 'rate=N' after the secret, N from 1 up")
    caller = Caller(name, admin, limits.get("calls"), limits.get("rate"))
    return _Entry(_digest_in_file(secret), caller, is_digest=DIGEST.fullmatch(secret) is not None)


def _digest_in_file(secret: str) -> bytes:
    digest = DIGEST.fullmatch(secret)
    if digest is not None:
        return bytes.fromhex(digest[1])
    if secret.startswith("sha256:"):
        raise ValueError("expected 64 hexadecimal digits after 'sha256:'")
    if len(secret) < SHORTEST:
        raise ValueError(
            f"expected a secret of at least {SHORTEST} characters, but got {len(secret)}; "
            "make one: openssl rand -hex 32"
        )
    return _digest(secret)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
