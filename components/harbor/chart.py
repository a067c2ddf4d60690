"""Which chart is installed: the reference given to the Helm provider, verified if settings ask."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml

UNREADABLE: Final = (
    OSError,
    EOFError,
    StopIteration,
    tarfile.TarError,
    zlib.error,
    yaml.YAMLError,
)
"""What reading a damaged package or folder raises."""


class ChartError(Exception):
    """The chart is not what the settings say; the text names the key and the way out."""


@dataclass(frozen=True, kw_only=True)
class ChartReference:
    """`chart` is a name in `repository`, an oci:// reference or a path; `version` is exact."""

    chart: str
    version: str
    repository: str | None = None


def chart_reference(source: str, version: str, sha256: str | None = None) -> ChartReference:
    """The reference for `source`: repository URL, oci://host/path/harbor, folder or .tgz.

    A path must hold exactly `version`, and with `sha256` be a package of that digest. For a URL
    `sha256` is refused: Helm fetches the package itself, so its digest cannot be compared here.
    Raises ChartError.
    """
    if source.startswith(("oci://", "https://", "http://")):
        is_oci = source.startswith("oci://")
        if sha256 is not None:
            pull = source if is_oci else f"harbor --repo {source}"
            raise ChartError(
                "sovereign-harbor:harbor.chart.sha256 is checked for a .tgz file only\n"
                f"  fix: helm pull {pull} --version {version}, then\n"
                f"       pulumi config set --path 'harbor.chart.source' harbor-{version}.tgz"
            )
        if is_oci:
            return ChartReference(chart=source, version=version)
        return ChartReference(chart="harbor", version=version, repository=source)
    path = Path(source)
    if sha256 is not None:
        _verify(path, sha256)
    held = _metadata(path).get("version")
    if held != version:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.version = {version}, but {source} holds {held}\n"
            f"  fix: pulumi config set --path 'harbor.chart.version' {held}"
        )
    return ChartReference(chart=source, version=version)


def _verify(path: Path, sha256: str) -> None:
    if path.is_dir():
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 needs a packaged chart, and {path} is a folder"
        )
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _no_chart(path, error) from None
    if digest != sha256:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 = {sha256}, but {path} has {digest}: this is "
            "not the chart that was reviewed; nothing was touched"
        )


def _metadata(path: Path) -> dict[str, str]:
    try:
        metadata = yaml.safe_load(_chart_yaml(path))
    except UNREADABLE as error:
        raise _no_chart(path, str(error) or "it has no Chart.yaml") from None
    if not isinstance(metadata, dict):
        raise _no_chart(path, "its Chart.yaml is no object")
    return cast("dict[str, str]", metadata)


def _chart_yaml(path: Path) -> bytes:
    if path.is_dir():
        return (path / "Chart.yaml").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        name = next(
            n for n in archive.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml")
        )
        member = archive.extractfile(name)
        assert member is not None
        return member.read()


def _no_chart(path: Path, reason: object) -> ChartError:
    return ChartError(f"sovereign-harbor:harbor.chart.source = {path} is no Helm chart ({reason})")
