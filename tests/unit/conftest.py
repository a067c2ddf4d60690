"""Fixtures of the unit tests: an engine per test; one sealing key, one S3 store for all."""

import gc
import itertools
import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.builders import Build, context_of
from tests.support.certificates import certificate_of
from tests.support.faulty_store import CREDENTIALS, Store, fresh, store_behind_proxy
from tests.support.mocks import Engine, fresh_engine

T = TypeVar("T")

# The tests' servers are on this machine, to which no proxy leads. Here and not in a fixture: that
# of a session may start a client.
for _name in ("NO_PROXY", "no_proxy"):
    if (_given := os.environ.get(_name, "")) != "*":
        os.environ[_name] = ",".join(filter(None, (_given, "127.0.0.1", "localhost")))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine of the test's own."""
    with fresh_engine() as found:
        yield found


@pytest.fixture(scope="session")
def sealing_key() -> rsa.RSAPrivateKey:
    """The controller's private key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def sealing_certificate(sealing_key: rsa.RSAPrivateKey) -> str:
    """PEM of the controller's certificate."""
    return certificate_of(sealing_key)


@pytest.fixture
def build(engine: Engine, sealing_certificate: str) -> Build:
    """Builds a component in the test's engine, on the context that every component is given."""

    def run(builder: Callable[..., T], *arguments: Any, preview: bool = False, **named: Any) -> T:
        return engine.run(
            lambda: builder(context_of(sealing_certificate), *arguments, **named), preview=preview
        )

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children can be interrupted, as in a terminal: those of a background job ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


_buckets = (f"bucket-{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Address of an S3 store in this process."""
    from moto.server import ThreadedMotoServer  # a second, which most tests need not wait

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def store_of_all(moto: str) -> Iterator[Store]:
    with store_behind_proxy(moto, CREDENTIALS, "fsn1") as store:
        yield store


@pytest.fixture
def store(store_of_all: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store behind a proxy that is calm so far, and no pause is slept."""
    return fresh(store_of_all, monkeypatch)


@pytest.fixture
def bucket() -> str:
    """A name that no other test uses."""
    return next(_buckets)


def pytest_collection_finish() -> None:
    """What was imported stays to the end: the collector need not walk the SDKs' classes again and
    again, which is a quarter of all the time."""
    gc.freeze()
