from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import AuthenticationError, SettingsError
from boxmask_server.operation.tokens import Caller, Tokens

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery-staple"
OTHER = "another-horse-another-staple"


def test_a_caller_is_known_by_its_secret_and_has_what_its_line_says(tmp_path: Path) -> None:
    tokens = Tokens(
        _file(
            tmp_path,
            f"""
            # who may call
            editor   {SECRET}          # nothing more
            nightly  {_digest(OTHER)}  calls=2 rate=50 admin
            """,
        )
    )
    assert tokens.names == {"editor", "nightly"}
    assert tokens.caller_of(f"Bearer {SECRET}") == Caller("editor")
    assert tokens.caller_of(f"bearer {OTHER}") == Caller("nightly", admin=True, calls=2, rate=50)


@pytest.mark.parametrize(
    ("authorization", "problem"),
    [
        (None, "there is no token"),
        ("", "not a bearer token"),
        (f"Basic {SECRET}", "not a bearer token"),
        (SECRET, "not a bearer token"),
        ("Bearer ", "the token is not known"),
        (f"Bearer {SECRET}x", "the token is not known"),
        (f"Bearer {SECRET[:-1]}", "the token is not known"),
        (f"Bearer {SECRET.upper()}", "the token is not known"),
    ],
)
def test_nobody_else_is_let_in_and_the_token_is_not_repeated(
    tmp_path: Path, authorization: str | None, problem: str
) -> None:
    with pytest.raises(AuthenticationError, match=problem) as caught:
        Tokens(_file(tmp_path, f"editor {SECRET}")).caller_of(authorization)
    assert SECRET[:-1] not in str(caught.value)


def test_the_digest_in_the_file_is_no_secret(tmp_path: Path) -> None:
    tokens = Tokens(_file(tmp_path, f"editor {_digest(SECRET)}"))
    with pytest.raises(AuthenticationError):
        tokens.caller_of(f"Bearer {_digest(SECRET)}")


def test_every_entry_is_compared_so_that_the_time_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, digest: bytes) -> bool:
        compared.append(known)
        return known == digest

    monkeypatch.setattr("boxmask_server.operation.tokens.hmac.compare_digest", compare)
    tokens = Tokens(_file(tmp_path, f"first {SECRET}\nsecond {OTHER}\nthird {_digest('x')}"))
    assert tokens.caller_of(f"Bearer {SECRET}").name == "first"
    assert len(compared) == 3


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("editor", "expected NAME SECRET"),
        ("editor short", "at least 16 characters, but got 5"),
        (f"ed/itor {SECRET}", "expected a name of letters"),
        (f"editor {SECRET} root", "expected 'admin', 'calls=N' or 'rate=N'"),
        (f"editor {SECRET} calls=0", "N from 1 up"),
        (f"editor {SECRET} calls=-1", "N from 1 up"),
        ("editor sha256:12", "64 hexadecimal digits"),
        (f"first {OTHER}", "it repeats another line's"),
    ],
)
def test_a_line_that_breaks_a_rule_is_named_by_its_number(tmp_path: Path, line: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Tokens(_file(tmp_path, f"first {'s' * 20}\n\n{line}\n"))
    assert "line 3: " in str(caught.value)
    assert rule in str(caught.value)
    assert SECRET not in str(caught.value)


def test_one_secret_for_two_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 2: .*repeats"):
        Tokens(_file(tmp_path, f"first {SECRET}\nsecond {_digest(SECRET)}\n"))


@pytest.mark.parametrize("text", ["", "# nobody\n"])
def test_a_file_without_tokens_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="holds no token"):
        Tokens(_file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--tokens: .*nowhere cannot be read"):
        Tokens(tmp_path / "nowhere")


def test_a_file_that_everybody_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path, f"editor {SECRET}")
    Tokens(file)
    assert not caplog.records
    file.chmod(0o644)
    Tokens(file)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert SECRET not in caplog.text
    caplog.clear()
    file.write_text(f"editor {_digest(SECRET)}", encoding="utf-8")
    Tokens(file)  # with which nobody can call
    assert not caplog.records


def test_a_reload_takes_the_new_file_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = _file(tmp_path, f"editor {SECRET}")
    tokens = Tokens(file)
    file.write_text(f"editor {OTHER} calls=3", encoding="utf-8")
    tokens.reload()
    assert tokens.caller_of(f"Bearer {OTHER}").calls == 3
    with pytest.raises(AuthenticationError):
        tokens.caller_of(f"Bearer {SECRET}")
    file.write_text("editor short", encoding="utf-8")
    with pytest.raises(SettingsError):
        tokens.reload()
    assert tokens.caller_of(f"Bearer {OTHER}").name == "editor"


def _file(folder: Path, text: str) -> Path:
    file = folder / "tokens"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def _digest(secret: str) -> str:
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
