"""Answers that are not a store's become a BucketError with words, whatever they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.object_storage.location import BucketLocation
from components.object_storage.s3 import client
from components.object_storage.s3.client import S3Credentials, reached
from components.object_storage.s3.errors import BucketError

CREDENTIALS = S3Credentials(access_key="SANDBOXACCESSKEY01", secret_key="s3cr3t" * 6)
PAGE = b"<!DOCTYPE html><html>Log in</html>"
ELSEWHERE = b"<Error><Code>TemporaryRedirect</Code><Endpoint>s3.a.b</Endpoint></Error>"


class Server(ThreadingHTTPServer):
    """Answers every request alike."""

    daemon_threads = True
    status: int = 200
    answer_headers: dict[str, str]
    body: bytes = b""
    requests: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.server.status)
        for name, value in self.server.answer_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    do_GET = do_HEAD = do_PUT = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("call", ["head_bucket", "list_objects_v2", "create_bucket"])
@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (307, {"Location": "https://login.a.b/"}, PAGE, "It redirects elsewhere"),
        (307, {}, b"", "It redirects elsewhere"),
        (307, {"Location": "https://s3.a.b/"}, ELSEWHERE, "It redirects elsewhere"),
        (301, {"x-amz-bucket-region": "eu-west-1"}, b"", "It redirects elsewhere"),
        (302, {"Location": "/login"}, PAGE, "It redirects elsewhere"),
        (400, {}, PAGE, "was answered"),
    ],
)
def test_a_redirect_is_told_and_not_followed(
    call: str, status: int, headers: dict[str, str], body: bytes, words: str, server: Server
) -> None:
    server.status, server.answer_headers, server.body = status, headers, body
    endpoint = f"http://127.0.0.1:{server.server_port}"
    location = BucketLocation(bucket="nizwa-harbor", region="us-east-1", endpoint=endpoint)
    with (
        pytest.raises(BucketError, match=words) as raised,
        reached(location, CREDENTIALS) as bucket,
    ):
        getattr(bucket, call)(Bucket="nizwa-harbor")
    assert CREDENTIALS.secret_key not in str(raised.value)
    assert server.requests <= client.ATTEMPTS


@pytest.mark.parametrize("call", ["list_objects_v2", "get_bucket_versioning"])
def test_a_page_is_not_an_empty_bucket(call: str, server: Server) -> None:
    server.answer_headers, server.body = {"Content-Type": "text/html"}, b"\n" + PAGE
    endpoint = f"http://127.0.0.1:{server.server_port}"
    location = BucketLocation(bucket="nizwa-harbor", region="us-east-1", endpoint=endpoint)
    with (
        pytest.raises(BucketError, match="a page of HTML"),
        reached(location, CREDENTIALS) as bucket,
    ):
        getattr(bucket, call)(Bucket="nizwa-harbor")
