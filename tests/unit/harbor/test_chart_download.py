"""A chart from a repository or a registry, pinned by digest."""

import email.message
import hashlib
import io
import json
import socket
import threading
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pytest

from components.harbor import chart_download, release
from components.harbor.chart import ChartError, ChartReference
from components.harbor.chart_download import ChartUnreachable, download, package_path
from components.settings.harbor import Chart
from tests.unit.harbor.test_chart_reference import OCI, REPOSITORY, VERSION, package

TOKEN = "https://auth.example.com/token"


class Web:
    """What is at which URL; a URL of a registry's blobs asks for a token first."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        self.asked.append(url)
        answer = email.message.Message()
        if "/v2/" in url and "Authorization" not in headers:
            answer["WWW-Authenticate"] = f'Bearer realm="{TOKEN}",service="r",scope="pull"'
            raise urllib.error.HTTPError(url, 401, "", answer, io.BytesIO())
        if url not in self.pages:
            raise urllib.error.HTTPError(url, 404, "", answer, io.BytesIO())
        return self.pages[url]


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A package. The test runs in a folder of its own, as the program runs in the project's."""
    monkeypatch.chdir(tmp_path)
    return package(tmp_path / "made.tgz").read_bytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def index(*urls: str) -> bytes:
    entry = {"version": VERSION, "urls": list(urls)}
    return json.dumps({"entries": {"harbor": [{"version": "1.0.0", "urls": []}, entry]}}).encode()


def repository(content: bytes, url: str = "charts/harbor.tgz") -> Web:
    at = url if "://" in url else f"{REPOSITORY}/{url}"
    return Web({f"{REPOSITORY}/index.yaml": index(url), at: content})


def registry(content: bytes, sha256: str) -> Web:
    blob = f"https://registry.example.com/v2/charts/harbor/blobs/sha256:{sha256}"
    return Web({blob: content, f"{TOKEN}?service=r&scope=pull": b'{"token": "t"}'})


@pytest.mark.parametrize("url", ["charts/harbor.tgz", "https://cdn.example.com/harbor.tgz"])
def test_the_package_of_a_repository_is_kept_under_its_digest(content: bytes, url: str) -> None:
    path = download(REPOSITORY, VERSION, digest(content), repository(content, url).get)
    assert path == package_path(VERSION, digest(content))
    assert not path.is_absolute(), "the state names it, on every machine alike"
    assert path.read_bytes() == content
    assert download(REPOSITORY, VERSION, digest(content), Web({}).get) == path


def test_a_registry_is_asked_for_the_digest_itself(content: bytes) -> None:
    web = registry(content, digest(content))
    assert download(OCI, VERSION, digest(content), web.get).read_bytes() == content


def test_a_kept_package_that_was_damaged_is_fetched_again(content: bytes) -> None:
    path = package_path(VERSION, digest(content))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    download(REPOSITORY, VERSION, digest(content), repository(content).get)
    assert path.read_bytes() == content


@pytest.mark.parametrize("source", [REPOSITORY, OCI])
def test_another_package_than_the_reviewed_one_is_refused_and_not_kept(
    content: bytes, source: str
) -> None:
    reviewed = "1" * 64
    web = repository(content) if source == REPOSITORY else registry(content, reviewed)
    with pytest.raises(ChartError, match="nothing was touched") as refused:
        download(source, VERSION, reviewed, web.get)
    assert digest(content) in str(refused.value)
    assert "harbor.chart.sha256" in str(refused.value)
    assert not package_path(VERSION, reviewed).exists()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<html>", "lists no chart harbor 1.18.3"),
        (b"entries: {}", "lists no chart harbor 1.18.3"),
        (b"a: [", "lists no chart harbor 1.18.3"),
        (index(), "lists no chart harbor 1.18.3"),
        (index("http://cdn.example.com/harbor.tgz"), "which is not fetched"),
    ],
)
def test_an_index_without_the_package_is_refused(content: bytes, page: bytes, words: str) -> None:
    web = Web({f"{REPOSITORY}/index.yaml": page})
    with pytest.raises(ChartError, match=words):
        download(REPOSITORY, VERSION, digest(content), web.get)


def test_a_registry_without_the_digest_is_refused_with_its_answer(content: bytes) -> None:
    with pytest.raises(ChartError, match="was answered 404"):
        download(OCI, VERSION, digest(content), registry(content, "1" * 64).get)


def nobody(url: str, headers: Mapping[str, str]) -> bytes:
    del url, headers
    raise OSError("no route to host")


def test_a_source_that_does_not_answer_is_named_with_the_way_out(content: bytes) -> None:
    with pytest.raises(ChartUnreachable, match="no route to host") as refused:
        download(REPOSITORY, VERSION, digest(content), nobody)
    assert "'harbor.chart.source' harbor-1.18.3.tgz" in str(refused.value)


@pytest.mark.parametrize("preview", [True, False])
def test_a_preview_goes_on_without_the_source_and_an_update_does_not(
    content: bytes, monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)
    monkeypatch.setattr("components.harbor.chart_download._get", nobody)
    chart = Chart(source=REPOSITORY, version=VERSION, sha256=digest(content))
    if preview:
        path = str(package_path(VERSION, digest(content)))
        assert release.chart_of(chart) == ChartReference(chart=path, version=VERSION)
        assert "was not compared" in said[0]
    else:
        with pytest.raises(pulumi.RunError, match="no route to host"):
            release.chart_of(chart)


def test_a_package_is_had_without_a_digest_too_and_says_where_it_was(content: bytes) -> None:
    url = f"{REPOSITORY}/charts/harbor.tgz"
    fetched = chart_download.package(REPOSITORY, VERSION, repository(content).get)
    assert (fetched.content, fetched.url, fetched.sha256) == (content, url, digest(content))
    web = registry(content, digest(content))
    layer = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}
    manifest = {"layers": [{**layer, "digest": f"sha256:{digest(content)}"}]}
    tag = f"https://registry.example.com/v2/charts/harbor/manifests/{VERSION}"
    web.pages[tag] = json.dumps(manifest).encode()
    fetched = chart_download.package(OCI, VERSION, web.get)
    assert (fetched.content, fetched.url) == (content, f"{OCI}:{VERSION}")

    blob = next(url for url in web.pages if "/blobs/" in url)
    web.pages[blob] = b"another"
    with pytest.raises(ChartError, match=rf"{VERSION} is no chart"):
        chart_download.package(OCI, VERSION, web.get)
    web.pages[tag] = b'{"layers": []}'
    with pytest.raises(ChartError, match=rf"{VERSION} is no chart"):
        chart_download.package(OCI, VERSION, web.get)
    del web.pages[tag]
    with pytest.raises(ChartError, match=r"did not give harbor .* was answered 404"):
        chart_download.package(OCI, VERSION, web.get)


def test_a_package_that_is_not_the_one_in_the_index_is_refused(content: bytes) -> None:
    entry = {"version": VERSION, "urls": ["harbor.tgz"], "digest": digest(content)}
    pages = {
        f"{REPOSITORY}/index.yaml": json.dumps({"entries": {"harbor": [entry]}}).encode(),
        f"{REPOSITORY}/harbor.tgz": content,
    }
    assert chart_download.package(REPOSITORY, VERSION, Web(pages).get).content == content
    pages[f"{REPOSITORY}/harbor.tgz"] = b"another"
    with pytest.raises(ChartError, match="is not the one in its index"):
        chart_download.package(REPOSITORY, VERSION, Web(pages).get)


def test_a_source_that_nobody_answers_for_is_unreachable() -> None:
    def silent(url: str, headers: Mapping[str, str]) -> bytes:
        raise OSError("no route")

    for source in (REPOSITORY, OCI):
        with pytest.raises(ChartUnreachable, match="was not reached: no route"):
            chart_download.package(source, VERSION, silent)


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_a_source_that_sends_a_byte_now_and_then_is_not_waited_for(
    begins: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_download, "WHOLE_SECONDS", 0.5)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(begins)
                while not ended.wait(0.05):
                    connection.sendall(b"H")

        thread = threading.Thread(target=trickle)
        thread.start()
        port = server.getsockname()[1]
        try:
            with pytest.raises(OSError, match="has no end after 0 s"):
                chart_download._get(f"http://127.0.0.1:{port}/index.yaml", {})
        finally:
            ended.set()
            thread.join()
