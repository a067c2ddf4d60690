"""The package of a chart from a repository or an OCI registry, by its digest.

Helm fetches a package by version and compares no digest of ours. So the program fetches the package
itself where `harbor.chart.sha256` is set, and hands Helm the file.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import yaml
from yaml import CSafeLoader

from components.commands import set_value
from components.harbor.chart import ChartError
from components.proxies import proxies_for

FOLDER: Final = Path(".charts")
"""Relative to the project's folder: the Release in the state names the file, and the same name must
do on every machine."""

LARGEST: Final = 64 * 1024**2
"""Bytes of an index or a package. Harbor's are below 1 MiB; a repository's index may have 20."""

Get = Callable[[str, Mapping[str, str]], bytes]
"""URL and headers → body. Raises OSError; HTTPError, which is one, has the answer's headers."""


class ChartUnreachable(ChartError):
    """Nobody answered, so whether the chart is the reviewed one is not known."""


def is_remote(source: str) -> bool:
    """Whether the chart comes from a repository or a registry, not from a path."""
    return source.startswith(("oci://", "https://"))


def package_path(version: str, sha256: str) -> Path:
    """Where the package is kept."""
    return FOLDER / sha256 / f"harbor-{version}.tgz"


def download(source: str, version: str, sha256: str, get: Get | None = None) -> Path:
    """The package with this digest, downloaded unless it is kept already.

    Raises ChartUnreachable, and ChartError where the source has another package.
    """
    path = package_path(version, sha256)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    fetch = get or _get
    try:
        if source.startswith("oci://"):
            content = _from_registry(source, sha256, fetch)
        else:
            content = _from_repository(source, version, fetch)
    except urllib.error.HTTPError as error:
        raise _refused(source, sha256, f"{error.url} was answered {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ChartUnreachable(
            f"sovereign-harbor:harbor.chart.source = {source} was not reached: {error}\n"
            f"  fix: run it where {source} can be reached, or download the package, and\n"
            f"       {set_value('harbor.chart.source', f'harbor-{version}.tgz')}"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise _refused(source, sha256, f"the package of version {version} has {digest}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return path


def _from_repository(source: str, version: str, get: Get) -> bytes:
    base = source.rstrip("/") + "/"
    try:
        index: Any = yaml.load(get(f"{base}index.yaml", {}), Loader=CSafeLoader)
        urls = next(
            entry["urls"] for entry in index["entries"]["harbor"] if entry["version"] == version
        )
        url = urljoin(base, str(urls[0]))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, StopIteration):
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {source} lists no chart harbor {version}\n"
            f"  fix: {set_value('harbor.chart.version', '<a version that it lists>')}"
        ) from None
    if not url.startswith("https://"):
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {source} has the package at {url}, which is "
            "not fetched\n"
            f"  fix: download it, and\n"
            f"       {set_value('harbor.chart.source', f'harbor-{version}.tgz')}"
        )
    return get(url, {})


def _from_registry(source: str, sha256: str, get: Get) -> bytes:
    """The layer with the package: its name in the registry is its digest."""
    parts = urlsplit(source)
    url = f"https://{parts.netloc}/v2{parts.path}/blobs/sha256:{sha256}"
    try:
        return get(url, {})
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "") if error.code == 401 else ""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm", "")
        if not challenge.lower().startswith("bearer ") or not realm.startswith("https://"):
            raise
    try:
        answer: Any = json.loads(get(f"{realm}?{urlencode(fields)}", {}))
        token = answer.get("token") or answer["access_token"]
    except (ValueError, KeyError, AttributeError):
        raise ChartUnreachable(f"{realm} gave no token for {source}") from None
    return get(url, {"Authorization": f"Bearer {token}"})


def _refused(source: str, sha256: str, reason: str) -> ChartError:
    return ChartError(
        f"sovereign-harbor:harbor.chart.sha256 = {sha256} is not what {source} has: {reason}; "
        "nothing was touched\n"
        "  fix: review the package that is there, and set harbor.chart.sha256 to its digest; for a "
        "source that needs a login, download the package and set harbor.chart.source to its path"
    )


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """A redirect away from https ends the download."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.HTTPError(newurl, code, "not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(url: str, headers: Mapping[str, str]) -> bytes:
    # Every caller asks for https, and no redirect leads away from it.
    request = urllib.request.Request(url)  # noqa: S310
    for name, value in headers.items():
        # Not sent on to the host that a registry redirects to.
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies_for(url, os.environ)), _OnlyHttps()
    )
    with opener.open(request, timeout=60) as answer:
        content = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"{url} is larger than {LARGEST} bytes")
    return content
