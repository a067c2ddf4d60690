"""The package of a chart from a repository or an OCI registry, by its digest.

Helm fetches a package by version and compares no digest of ours. So the program fetches the package
itself where `harbor.chart.sha256` is set, and hands Helm the file.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from components import parsed
from components.commands import set_value
from components.harbor.chart import ChartError
from components.proxies import proxies_for

FOLDER: Final = Path(".charts")
"""Relative to the project's folder: the Release in the state names the file, and the same name must
do on every machine."""

LARGEST: Final = 64 * 1024**2
"""Bytes of an index or a package. Harbor's are below 1 MiB; a repository's index may have 20."""

WHOLE_SECONDS: Final = 300.0
"""For one answer: 64 MiB in it are 1.8 Mbit/s, and Harbor's chart at 20 kbit/s."""

_CHART_LAYER: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST: Final = {"Accept": "application/vnd.oci.image.manifest.v1+json"}

Get = Callable[[str, Mapping[str, str]], bytes]
"""URL and headers → body. Raises OSError; HTTPError, which is one, has the answer's headers."""


class ChartUnreachable(ChartError):
    """Nobody answered, so whether the chart is the reviewed one is not known."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package, and the URL that it was fetched from."""

    content: bytes
    url: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


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
            content = _from_repository(source, version, fetch).content
    except urllib.error.HTTPError as error:
        raise _refused(source, sha256, _answered(error)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(source, version, error) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise _refused(source, sha256, f"the package of version {version} has {digest}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return path


def package(source: str, version: str, get: Get | None = None) -> Package:
    """The package of that version, from a repository or from a registry without a login.

    Raises ChartUnreachable, and ChartError where the source has no such package.
    """
    fetch = get or _get
    try:
        if not source.startswith("oci://"):
            return _from_repository(source, version, fetch)
        tag = version.replace("+", "_")  # as Helm writes it: a tag has no plus
        manifest: Any = parsed.json_of(_asked(f"{_api(source)}/manifests/{tag}", fetch, _MANIFEST))
        (digest,) = (
            layer["digest"] for layer in manifest["layers"] if layer["mediaType"] == _CHART_LAYER
        )
        sha256 = str(digest).removeprefix("sha256:")
        fetched = Package(content=_from_registry(source, sha256, fetch), url=f"{source}:{tag}")
        if fetched.sha256 != sha256:
            raise ValueError
        return fetched
    except urllib.error.HTTPError as error:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {source} did not give harbor {version}: "
            f"{_answered(error)}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(source, version, error) from None
    except (ValueError, LookupError, TypeError):
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {source}: {version} is no chart"
        ) from None


def _answered(error: urllib.error.HTTPError) -> str:
    # Storage signs its links in their queries.
    return f"{error.url.partition('?')[0]} was answered {error.code}"


def _unreachable(source: str, version: str, error: Exception) -> ChartUnreachable:
    return ChartUnreachable(
        f"sovereign-harbor:harbor.chart.source = {source} was not reached: {error}\n"
        f"  fix: run it where {source} can be reached, or download the package, and\n"
        f"       {set_value('harbor.chart.source', f'harbor-{version}.tgz')}"
    )


def _from_repository(source: str, version: str, get: Get) -> Package:
    base = source.rstrip("/") + "/"
    try:
        index: Any = parsed.yaml_of(get(f"{base}index.yaml", {}))
        entry = next(each for each in index["entries"]["harbor"] if each["version"] == version)
        address, digest = entry["urls"][0], entry.get("digest")
        if not isinstance(address, str):
            raise TypeError
        url = urljoin(base, address)
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
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
    fetched = Package(content=get(url, {}), url=url)
    if digest is not None and fetched.sha256 != str(digest).removeprefix("sha256:"):
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {source} has a package at {url} that is not "
            f"the one in its index: {fetched.sha256} instead of {digest}"
        )
    return fetched


def _from_registry(source: str, sha256: str, get: Get) -> bytes:
    """The layer with the package: its name in the registry is its digest."""
    return _asked(f"{_api(source)}/blobs/sha256:{sha256}", get, {})


def _api(source: str) -> str:
    parts = urlsplit(source)
    return f"https://{parts.netloc}/v2{parts.path}"


def _asked(url: str, get: Get, headers: Mapping[str, str]) -> bytes:
    """The answer of a registry; with the token that anybody is given, where it asks for one."""
    try:
        return get(url, headers)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "") if error.code == 401 else ""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm", "")
        if not challenge.lower().startswith("bearer ") or not realm.startswith("https://"):
            raise
    try:
        answer: Any = parsed.json_of(get(f"{realm}?{urlencode(fields)}", {}))
        token = answer.get("token") or answer["access_token"]
        # A header has one line of printable characters.
        if re.fullmatch(r"[!-~]+", token) is None:
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ChartUnreachable(f"{realm} gave no token for {url}") from None
    return get(url, {**headers, "Authorization": f"Bearer {token}"})


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
    """The body, within WHOLE_SECONDS from the look-up of the name to the last byte.

    The timeout of a socket is for each piece: a server that sends a byte now and then, in its
    headers too, is never late. A thread that waits for it ends with the process.
    """
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_whole(url, headers))
        except Exception as error:  # It is raised where the answer is waited for.
            answers.put(error)

    threading.Thread(target=ask, daemon=True, name="chart").start()
    try:
        answer = answers.get(timeout=WHOLE_SECONDS)
    except queue.Empty:
        raise OSError(f"{url} has no end after {WHOLE_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _whole(url: str, headers: Mapping[str, str]) -> bytes:
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
