"""The proxy lets through what no plan hits, and hits what a plan says."""

from __future__ import annotations

import contextlib
import gc
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaos import plans
from chaos.proxy import Proxy, Request


class Upstream:
    """A server that remembers what it did, and answers in pieces where the path is /watch."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, bytes]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                upstream.done.append((self.command, self.path, body))
                if self.headers.get("Upgrade"):
                    self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    self.wfile.write(self.rfile.readline().upper())
                    self.close_connection = True
                    return
                self.send_response(200)
                if self.path == "/broken":
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b"not all")
                    self.close_connection = True
                    return
                if self.path.startswith("/watch"):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for piece in (b"one", b"two"):
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                    return
                answer = self.command.encode() + b" " + body
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_PUT = do_GET  # noqa: N815 (http.server's name)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with contextlib.closing(Upstream()) as made:
        yield made


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(f"http://127.0.0.1:{upstream.server.server_port}")) as made:
        yield made


def ask(
    proxy: Proxy, method: str = "GET", path: str = "/x", body: bytes = b""
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    with contextlib.closing(connection):
        connection.request(method, path, body or None)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_what_no_plan_hits_is_let_through(proxy: Proxy, upstream: Upstream) -> None:
    assert ask(proxy, "PUT", "/x?y=1", b"body") == (200, b"PUT body")
    assert ask(proxy, path="/watch") == (200, b"onetwo")
    assert upstream.done[0] == ("PUT", "/x?y=1", b"body")
    assert (proxy.count, proxy.injected) == (2, 0)


def test_one_connection_carries_many_requests(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    with contextlib.closing(connection):
        for number in range(3):
            connection.request("PUT", "/x", b"%d" % number)
            assert connection.getresponse().read() == b"PUT %d" % number


def test_an_upgraded_connection_carries_bytes(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        head = "GET /x HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1", "", ""
        client.sendall("\r\n".join(head).encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        client.sendall(b"hello\n")
        assert client.recv(1000) == b"HELLO\n"


def test_one_request_is_refused_before_or_after_it_was_done(
    proxy: Proxy, upstream: Upstream
) -> None:
    for fault, count in ((plans.RESET, 0), (plans.LOST, 1)):
        upstream.done.clear()
        proxy.plan(plans.at(1, fault))
        with pytest.raises(ConnectionError):
            ask(proxy)
        assert len(upstream.done) == count
        assert ask(proxy)[0] == 200
        assert proxy.injected == 1


def test_a_proxy_that_is_calm_again_counts_on(proxy: Proxy) -> None:
    """How many calls a run makes is known only at its end."""
    proxy.plan(plans.since(1, plans.RESET))
    with pytest.raises(ConnectionError):
        ask(proxy)
    proxy.calm()
    assert ask(proxy)[0] == 200
    assert (proxy.count, proxy.injected) == (2, 1)


@pytest.mark.parametrize("fault", [*plans.API_SERVER, *plans.S3, *plans.HARBOR])
def test_a_fault_says_whether_the_server_did_it(
    fault: plans.Fault, proxy: Proxy, upstream: Upstream
) -> None:
    proxy.plan(plans.at(1, fault))
    try:
        status, content = ask(proxy, "PUT")
    except http.client.IncompleteRead:
        assert fault.truncated
    except ConnectionError:
        assert fault.answer is None
    else:
        assert fault.answer is not None
        assert (status, content) == (fault.answer.status, fault.answer.content)
    assert bool(upstream.done) == fault.executed


@pytest.mark.parametrize("path", ["/x", "/watch?watch=true"])
def test_of_a_truncated_answer_comes_the_beginning(
    path: str, proxy: Proxy, upstream: Upstream
) -> None:
    proxy.plan(plans.at(1, plans.TRUNCATED))
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(proxy, path=path)
    assert len(upstream.done) == 1
    assert ask(proxy, "PUT", body=b"body") == (200, b"PUT body")


def test_an_upstream_that_breaks_off_in_its_answer_leaves_nothing_open(proxy: Proxy) -> None:
    """What is left open is told by a warning, and those are errors here."""
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(proxy, path="/broken")
    assert ask(proxy)[0] == 200
    gc.collect()


def test_a_request_waits_and_is_let_through(proxy: Proxy) -> None:
    proxy.plan(plans.slow(0.2))
    begun = time.monotonic()
    assert ask(proxy)[0] == 200
    assert time.monotonic() - begun >= 0.2


def test_an_upstream_that_is_gone_breaks_the_connection(proxy: Proxy, upstream: Upstream) -> None:
    upstream.close()
    upstream.server.socket.close()
    with pytest.raises(ConnectionError):
        ask(proxy)


# --- Plans, which are pure ------------------------------------------------------------------------


def requests(count: int) -> list[Request]:
    return [Request(number=n, method="GET", path=f"/{n % 2}?n={n}") for n in range(1, count + 1)]


def hit(plan: plans.Plan, count: int = 4) -> list[int]:
    return [request.number for request in requests(count) if plan(request) is not None]


def test_a_plan_hits_the_requests_that_its_name_says() -> None:
    called: list[int] = []
    assert hit(plans.at(2, plans.RESET)) == [2]
    assert hit(plans.since(3, plans.RESET)) == [3, 4]
    assert hit(plans.each_once(lambda: plans.RESET)) == [1, 2]
    assert hit(plans.slow(1)) == [1, 2, 3, 4]
    chances = iter([0.1, 0.5, 0.2])
    assert hit(plans.storm(2, 0.3, lambda: plans.RESET, lambda: next(chances))) == [2, 4]
    assert hit(plans.calling(2, lambda: called.append(2))) == []
    assert called == [2]
