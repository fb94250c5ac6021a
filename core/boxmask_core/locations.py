"""Where data lie: a path of this machine, or a URL that fsspec reads (``s3://``, ``gs://``, ``https://``)."""

from __future__ import annotations

import errno
import os
import re
from importlib import import_module
from pathlib import Path, PosixPath, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from boxmask_core.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB: Final = frozenset({"http", "https"})
_HEAD_BYTES: Final = 1 << 16
_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "s3": ("s3fs", "remote"),
    "s3a": ("s3fs", "remote"),
    "http": ("aiohttp", "remote"),
    "https": ("aiohttp", "remote"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
}
"""URL scheme to the module that reads it, and the extra that brings the module."""

_AMAZON: Final = (
    "name who you are by AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a store that is not "
    "Amazon's by AWS_ENDPOINT_URL; for public data set FSSPEC_S3_ANON=true"
)
_GOOGLE: Final = (
    "log in by 'gcloud auth application-default login', or name a key file by "
    "GOOGLE_APPLICATION_CREDENTIALS; for public data set FSSPEC_GS_TOKEN=anon"
)
_ACCESS: Final[Mapping[str, str]] = {"s3": _AMAZON, "s3a": _AMAZON, "gs": _GOOGLE, "gcs": _GOOGLE}


def location(text: str) -> Path:
    """Returns the path of this machine, or the `RemotePath`, that a user names.

    Args:
        text: A path or a URL.

    Raises:
        DatasetError: The URL has a query; it names one file, and nothing beside it could be found.
    """
    if not _URL.match(text):
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if parts.scheme not in _WEB:
        return RemotePath(text)
    if parts.query or parts.fragment:
        problem = "the address of a dataset must have no query (?...) and no fragment (#...)"
        raise DatasetError(text, f"{problem}, for its images are named relative to it; download the file")
    return RemotePath(unquote(text))


class RemotePath(PosixPath):
    """The URL of a file or folder, with what `pathlib.Path` says of names and what fsspec reads there.

    Names are as the store has them; those of web servers are quoted when they are asked for. It pickles as
    its URL, so that it means the same in another process and on another machine.

    Credentials come from where the store's own tools take them; see the documentation of s3fs and gcsfs.
    """

    def __str__(self) -> str:
        scheme, separator, rest = super().__str__().partition(":/")
        return f"{scheme}://{rest.lstrip('/')}" if separator else scheme

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is no path of this machine")

    def __truediv__(self, name: object) -> RemotePath:
        return self.joinpath(*PurePosixPath(str(name)).parts)

    @property
    def scheme(self) -> str:
        """Which kind of store it lies in: "s3", "gs", "https" and so on."""
        return self.parts[0].removesuffix(":")

    def absolute(self) -> RemotePath:
        """Returns the same: a URL is always absolute."""
        return self

    def relative_to(self, *other: Any) -> Path:  # type: ignore[override]  # what is relative is no URL
        """Returns the path below another URL."""
        return Path(*super().relative_to(*other).parts)

    def exists(self) -> bool:
        """Says whether there is such a file or folder; False where that cannot be asked."""
        return self._says("exists")

    def is_file(self) -> bool:
        """Says whether there is such a file; False where that cannot be asked."""
        return self._says("isfile")

    def is_dir(self) -> bool:
        """Says whether there is such a folder; False where that cannot be asked."""
        return self._says("isdir")

    def read_bytes(self) -> bytes:
        """Returns what the file holds. May be called by several threads at once.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read; the error says why and what to do.
            MissingExtraError: No module that reads such URLs is installed.
        """
        return self._read(None)

    def read_head(self) -> bytes:
        """Returns at most the first 64 KiB of what the file holds, or all, where a server sends no parts.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read; the error says why and what to do.
            MissingExtraError: No module that reads such URLs is installed.
        """
        return self._read(_HEAD_BYTES)

    def filesystem(self) -> tuple[Any, str]:
        """Returns fsspec's file system and how the URL is called there.

        Raises:
            MissingExtraError: No module that reads such URLs is installed.
            DatasetError: fsspec knows no such URL.
        """
        module, extra = _EXTRAS.get(self.scheme, ("fsspec", "remote"))
        try:
            filesystem, name = import_module("fsspec.core").url_to_fs(self._address())
        except ImportError as error:
            raise MissingExtraError(f"reading {self}", module, extra) from error
        except ValueError as error:
            raise DatasetError(self, f"is no URL that fsspec reads: {error}") from error
        return filesystem, name

    def refusal(self, error: Exception) -> OSError:
        """Returns the error of a store as an error of the system, with the remedy.

        Args:
            error: Anything that fsspec raised; the libraries behind it share no kind of error.
        """
        remedy = _ACCESS.get(self.scheme, "check the address, and that it can be reached from here")
        reason = str(error) or type(error).__name__
        problem = f"{reason.splitlines()[0]}; {remedy}"
        number = errno.EACCES if isinstance(error, PermissionError) else errno.EIO
        return OSError(number, problem, str(self))

    def _address(self) -> str:
        if self.scheme not in _WEB:
            return str(self)
        host, *names = self.parts[1:]
        return f"{self.scheme}://{host}/{quote('/'.join(names))}"

    def _says(self, question: str) -> bool:
        filesystem, name = self.filesystem()
        try:
            return bool(getattr(filesystem, question)(name))
        except Exception:  # whatever a store raises; reading the file will tell
            return False

    def _read(self, end: int | None) -> bytes:
        filesystem, name = self.filesystem()
        try:
            data: bytes = filesystem.cat_file(name, start=None if end is None else 0, end=end)
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from None
        except Exception as error:
            raise self.refusal(error) from error
        return data


def stands_for(link: Path) -> RemotePath | None:
    """Returns the URL that a link on this machine points to, None where it is no such link.

    Datasets at a URL are read through such links, so that a folder of them tells what there is.
    """
    try:
        target = os.readlink(link)  # noqa: PTH115 - a Path would lose one of the slashes
    except (OSError, TypeError, ValueError):
        return None
    return RemotePath(target) if _URL.match(target) else None
