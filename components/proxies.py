"""Whether a request goes through a proxy, by the environment's rules. Pure.

Clients in Go (kubectl, Pulumi's providers, Helm) take ranges of addresses in NO_PROXY; the clients
in Python do not. So Python's ask here, and all of the program reads the variables alike.
https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def proxies_for(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy by the URL's scheme; empty where the request goes to its host directly."""
    scheme = urlsplit(url).scheme
    proxy = _either(environ, f"{scheme.upper()}_PROXY")
    return {} if not proxy or is_bypassed(url, environ) else {scheme: proxy}


def is_bypassed(url: str, environ: Mapping[str, str]) -> bool:
    """Whether NO_PROXY lists the URL's host: by name, suffix, address, range, with a port or
    without. Loopback never goes through a proxy."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = _either(environ, "NO_PROXY").lower().split(",")
    return any(_covers(entry.strip(), host, address, port) for entry in entries)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _covers(entry: str, host: str, address: Address | None, port: int | None) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    name, entry_port = _split(entry)
    if entry_port is not None and entry_port != port:
        return False
    listed = _address(name)
    if listed is not None:
        return listed == address
    if address is not None:
        return False
    name = name.removeprefix("*")
    suffix = name if name.startswith(".") else f".{name}"
    return host.endswith(suffix) or (host == name and not name.startswith("."))


def _split(entry: str) -> tuple[str, int | None]:
    """Name and port of an entry; an IPv6 address has brackets where it has a port."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, port = entry.partition(":")
    else:
        name, port = entry, ""
    return name, int(port) if port.isdecimal() else None


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower(), "")
