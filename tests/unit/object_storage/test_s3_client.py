"""Answers that are not a store's become a BucketError with words, whatever they are."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

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


@pytest.mark.parametrize(
    "body",
    [
        b"<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>",
        b"<ListAllMyBucketsResult><Buckets><Bucket><CreationDate>hunter2</CreationDate></Bucket>"
        b"</Buckets></ListAllMyBucketsResult>",
        b"<ListAllMyB\xfacketsResult>hunter2",
        b"hunter2",
    ],
)
def test_an_answer_that_is_not_s3_s_is_refused_in_words_without_it(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(request: Any, **_: Any) -> AWSResponse:
        raw: Any = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    location = BucketLocation(
        bucket="b", region="fsn1", endpoint="https://s3.nizwa.test", path_style=True
    )
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    pair = S3Credentials(access_key="a" * 20, secret_key="b" * 40)

    def ask() -> None:
        with reached(location, pair) as store:
            store.meta.events.register("before-send.s3", answered)
            _ = store.list_buckets()["Buckets"][0]["CreationDate"]

    with pytest.raises(BucketError) as refused:
        ask()
    assert "hunter2" not in str(refused.value)
    assert any(words in str(refused.value) for words in ("not as S3 answers", "answered 500"))
