"""Stores to read datasets from: a web server, an S3 that Moto plays, fsspec's memory."""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
import fsspec
import s3fs
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

BUCKET = "boxes"


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; lists folders, refuses everything or does neither, as the server is told."""

    server: _Server

    def do_GET(self) -> None:
        if self.server.refuses:
            self.send_error(HTTPStatus.FORBIDDEN)
        else:
            super().do_GET()

    def list_directory(self, path: Any) -> Any:
        if self.server.lists:
            return super().list_directory(path)
        return self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's word
        self.server.requests.append(format % args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    lists = True
    refuses = False

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(root)))
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def web_server(root: Path) -> Iterator[_Server]:
    with _Server(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yields boto3's client of an S3 with one bucket; the environment names it, as users would."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    server_url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", server_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()  # they remember the server of an earlier test
    client = boto3.client("s3")
    urlopen(
        Request(f"{server_url}/moto-api/reset", method="POST")
    ).close()  # servers of one process share all
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client
    finally:
        client.close()
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


def upload_to_s3(client: Any, root: Path, prefix: str) -> str:
    for file in (path for path in root.rglob("*") if path.is_file()):
        key = f"{prefix}/{file.relative_to(root).as_posix()}"
        client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
    return f"s3://{BUCKET}/{prefix}"


def upload_to_memory(root: Path, prefix: str) -> str:
    filesystem = fsspec.filesystem("memory")
    for file in (path for path in root.rglob("*") if path.is_file()):
        filesystem.pipe_file(f"/{prefix}/{file.relative_to(root).as_posix()}", file.read_bytes())
    return f"memory://{prefix}"
