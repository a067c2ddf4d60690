"""The certificate of a wrong date is refused for its date alone."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ssl
from pathlib import Path

import pytest

from chaos.clock import write_certificate
from chaos.proxy import Proxy


def asked(folder: Path, begins_in: dt.timedelta) -> int:
    """How many requests reach a server with such a certificate."""
    authority, both = write_certificate(folder, begins_in=begins_in)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(both)
    with contextlib.closing(Proxy("http://127.0.0.1:1", serving=serving)) as proxy:
        trust = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=trust, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request("GET", "/")
            connection.getresponse()
        return proxy.count


def test_a_certificate_that_begins_tomorrow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        asked(tmp_path, dt.timedelta(days=1))


def test_the_same_certificate_of_yesterday_is_taken(tmp_path: Path) -> None:
    assert asked(tmp_path, dt.timedelta(days=-1)) == 1
