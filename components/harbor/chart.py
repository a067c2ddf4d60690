"""Which chart is installed: the reference given to the Helm provider, verified if settings ask."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from components import parsed
from components.commands import set_value

_LARGEST_CHART: Final = 64 * 1024**2
_LARGEST_METADATA: Final = 1024**2

UNREADABLE: Final = (
    OSError,
    RecursionError,
    ValueError,
    EOFError,
    StopIteration,
    tarfile.TarError,
    zlib.error,
)
"""What reading a damaged package or folder raises."""


class ChartError(Exception):
    """The chart is not what the settings say; the text names the key and the way out.

    Its commands are for no stack yet (components/commands.py).
    """


@dataclass(frozen=True, kw_only=True)
class ChartReference:
    """`chart` is a name in `repository`, an oci:// reference or a path; `version` is exact."""

    chart: str
    version: str
    repository: str | None = None


def chart_reference(source: str, version: str, sha256: str | None = None) -> ChartReference:
    """The reference for `source`: repository URL, oci://host/path/harbor, folder or .tgz.

    A path must hold exactly `version`, and with `sha256` be a package of that digest. A folder is a
    chart, or has packages in it, as `make bundle` writes them. For a URL `sha256` is refused: Helm
    fetches the package itself, so its digest cannot be compared here. Raises ChartError.
    """
    if source.startswith(("oci://", "https://", "http://")):
        is_oci = source.startswith("oci://")
        if sha256 is not None:
            pull = source if is_oci else f"harbor --repo {source}"
            raise ChartError(
                "sovereign-harbor:harbor.chart.sha256 is checked for a .tgz file only\n"
                f"  fix: helm pull {pull} --version {version}, then\n"
                f"       {set_value('harbor.chart.source', f'harbor-{version}.tgz')}"
            )
        if is_oci:
            return ChartReference(chart=source, version=version)
        return ChartReference(chart="harbor", version=version, repository=source)
    path = local_chart(source, version)
    if sha256 is not None:
        _verify(path, sha256)
    held = str(_metadata(path).get("version"))[:80]
    if held != version:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.version = {version}, but {source} holds {held}\n"
            f"  fix: {set_value('harbor.chart.version', held)}"
        )
    return ChartReference(chart=source if path == Path(source) else str(path), version=version)


def local_chart(source: str, version: str) -> Path:
    """The chart's folder or package: `source` itself, or the package of that version in it.

    Raises ChartError for a folder that has neither.
    """
    path = Path(source)
    if not path.is_dir() or (path / "Chart.yaml").exists():
        return path
    package = path / f"harbor-{version}.tgz"
    if package.is_file():
        return package
    others = sorted(path.glob("harbor-*.tgz"))
    if not others:
        raise _no_chart(path, f"it has neither Chart.yaml nor {package.name}")
    held = others[-1].stem.removeprefix("harbor-")
    raise ChartError(
        f"sovereign-harbor:harbor.chart.version = {version}, but {source} holds "
        f"{', '.join(other.name for other in others)}\n"
        f"  fix: {set_value('harbor.chart.version', held)}"
    )


def default_values(path: Path) -> dict[str, Any]:
    """The chart's own values. `path`: its folder or package. Raises ChartError."""
    try:
        values = parsed.yaml_of(_file(path, "values.yaml"))
    except UNREADABLE as error:
        raise _no_chart(path, str(error) or "it has no values.yaml") from None
    if not isinstance(values, dict):
        raise _no_chart(path, "its values.yaml is no object")
    return cast("dict[str, Any]", values)


def packaged(path: Path) -> bytes:
    """The chart's package; one that is a folder is packed, always into the same bytes.

    Raises ChartError.
    """
    try:
        return _packed(path) if path.is_dir() else _read(path, _LARGEST_CHART)
    except UNREADABLE as error:
        raise _no_chart(path, error) from None


def _packed(folder: Path) -> bytes:
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for file in sorted(folder.rglob("*")):
            path = file.relative_to(folder)
            if not file.is_file() or any(part.startswith(".") for part in path.parts):
                continue
            member = tarfile.TarInfo(f"harbor/{path.as_posix()}")
            member.size, member.mode = file.stat().st_size, 0o644
            archive.addfile(member, io.BytesIO(_read(file, _LARGEST_CHART)))
    return content.getvalue()


def _verify(path: Path, sha256: str) -> None:
    if path.is_dir():
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 needs a packaged chart, and {path} is a folder"
        )
    try:
        digest = hashlib.sha256(_read(path, _LARGEST_CHART)).hexdigest()
    except OSError as error:
        raise _no_chart(path, error) from None
    if digest != sha256:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 = {sha256}, but {path} has {digest}: this is "
            "not the chart that was reviewed; nothing was touched"
        )


def _metadata(path: Path) -> dict[str, str]:
    try:
        metadata = parsed.yaml_of(_file(path, "Chart.yaml"))
    except UNREADABLE as error:
        raise _no_chart(path, str(error) or "it has no Chart.yaml") from None
    if not isinstance(metadata, dict):
        raise _no_chart(path, "its Chart.yaml is no object")
    return cast("dict[str, str]", metadata)


def _file(path: Path, name: str) -> bytes:
    """A file at the top of the chart; StopIteration where its package has none."""
    if path.is_dir():
        return _read(path / name, _LARGEST_METADATA)
    packed = io.BytesIO(_read(path, _LARGEST_CHART))
    # Harbor's chart unpacks to less than 1 MiB; a small package can unpack to terabytes.
    with gzip.open(packed) as stream:
        unpacked = stream.read(_LARGEST_CHART + 1)
    if len(unpacked) > _LARGEST_CHART:
        raise tarfile.TarError("it unpacks to more than any chart")
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        member = next(m for m in archive if m.name.count("/") == 1 and m.name.endswith(f"/{name}"))
        if not member.isreg() or member.size > _LARGEST_METADATA:
            raise tarfile.TarError(f"its {name} is a link, or larger than any")
        content = archive.extractfile(member)
        assert content is not None
        return content.read()


def _read(file: Path, limit: int) -> bytes:
    """The content of a regular file: a pipe would never end. Raises OSError."""
    if file.exists() and not file.is_file():
        raise OSError(f"{file} is no file")
    if file.stat().st_size > limit:
        raise OSError(f"{file} is larger than any chart's")
    return file.read_bytes()


def _no_chart(path: Path, reason: object) -> ChartError:
    return ChartError(f"sovereign-harbor:harbor.chart.source = {path} is no Helm chart ({reason})")
