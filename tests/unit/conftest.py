"""Fixtures of the unit tests: an engine per test, one sealing key for all of them."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unit.certificates import certificate_of
from tests.unit.mocks import Engine, fresh_engine


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
