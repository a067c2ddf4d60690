"""Who goes through a proxy: the rules of Go's clients."""

import pytest

from components.proxies import is_bypassed, proxies_for

STORE = "https://10.20.1.7:9000"


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("10.0.0.0/8", STORE),
        ("192.168.0.0/16, 10.20.0.0/16", STORE),
        ("fd00::/8", "https://[fd00::7]:9000"),
        ("10.20.1.7", STORE),
        ("10.20.1.7:9000", STORE),
        ("[fd00::7]:9000", "https://[fd00::7]:9000"),
        ("example.com", "https://s3.example.com"),
        ("example.com", "https://example.com"),
        (".example.com", "https://s3.example.com"),
        ("*.example.com", "https://s3.example.com"),
        ("s3.example.com:443", "https://s3.example.com"),
        ("S3.Example.com", "https://s3.example.com"),
        ("*", "https://s3.example.com"),
        ("", "http://127.0.0.1:7070"),
        ("", "http://localhost:7070"),
    ],
)
def test_a_listed_host_is_reached_directly(no_proxy: str, url: str) -> None:
    assert is_bypassed(url, {"NO_PROXY": no_proxy})
    assert is_bypassed(url, {"no_proxy": no_proxy})


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("10.0.0.0/16", STORE),
        ("10.20.1.7:443", STORE),
        ("10.0.0.0/99", STORE),
        ("10.0.0.0/8", "https://s3.example.com"),
        (".example.com", "https://example.com"),
        ("example.com", "https://notexample.com"),
        ("example.com:8443", "https://example.com"),
        ("", "https://s3.example.com"),
    ],
)
def test_any_other_host_is_reached_by_the_proxy(no_proxy: str, url: str) -> None:
    environ = {"NO_PROXY": no_proxy, "HTTPS_PROXY": "http://proxy:3128"}
    assert proxies_for(url, environ) == {"https": "http://proxy:3128"}


def test_each_scheme_has_its_own_proxy() -> None:
    assert proxies_for("http://s3.example.com", {"HTTPS_PROXY": "http://proxy:3128"}) == {}
