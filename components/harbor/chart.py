"""Which chart is installed: a reference that the Helm provider understands, verified if asked."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import yaml


class ChartError(Exception):
    """The chart is not what the settings say; the text names the key and the way out."""


@dataclass(frozen=True, kw_only=True)
class ChartReference:
    """`chart` is a name in `repository`, an oci:// reference or a path; `version` is exact."""

    chart: str
    version: str | None
    repository: str | None = None


def chart_reference(source: str, version: str, sha256: str | None = None) -> ChartReference:
    """The reference for `source`: repository URL, oci://host/path/harbor, folder or .tgz.

    A path must hold exactly `version`. With `sha256` the packaged chart must have that digest; it
    is fetched (repository) or read (path) and used from the verified bytes only. Raises ChartError.
    """
    if source.startswith("oci://"):
        if sha256 is not None:
            raise ChartError(
                "sovereign-harbor:harbor.chart.sha256 is checked for charts from a repository or "
                "a .tgz file; for OCI download it first: `helm pull "
                f"{source} --version {version}`, then set harbor.chart.source to the file"
            )
        return ChartReference(chart=source, version=version)
    if source.startswith(("https://", "http://")):
        return ChartReference(chart="harbor", version=version, repository=source)
    path = Path(source)
    if sha256 is not None:
        _verify(path, sha256)
    found = _metadata(path).get("version")
    if found != version:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.version = {version}, but {source} holds {found}\n"
            f"  fix: pulumi config set --path 'harbor.chart.version' {found}"
        )
    return ChartReference(chart=source, version=None)


def _verify(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 needs a packaged chart, and {path} is a folder"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 = {sha256}, but {path} has {found}: this is "
            "not the chart that was reviewed; nothing was touched"
        )


def _metadata(path: Path) -> dict[str, str]:
    try:
        if path.is_dir():
            return yaml.safe_load((path / "Chart.yaml").read_text())
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
            name = next(
                n for n in archive.getnames() if n.count("/") == 1 and n.endswith("/Chart.yaml")
            )
            member = archive.extractfile(name)
            assert member is not None
            return yaml.safe_load(member.read())
    except (OSError, StopIteration, tarfile.TarError) as error:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.source = {path} is no Helm chart ({error})"
        ) from None
