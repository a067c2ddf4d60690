"""What a bundle has, copied into a folder or a registry, and proved by its digests."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.images import placed
from engine.crane import Crane, CraneError
from operations.bundle_list import CHARTS, IMAGES, Bundle, Chart, Item
from operations.oci_folder import FolderError, OciFolder

_CHART_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
_CHART_LAYER: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A copy of one artifact. `is_there`: with the same digest; `copy` raises CraneError or
    FolderError, as does `proof`, which reads what was copied."""

    name: str
    is_there: Callable[[], bool]
    copy: Callable[[], object]
    proof: Callable[[], None]


def into_folder(bundle: Bundle, to: Path, client: Crane) -> Iterator[Work]:
    """What the folder needs: images as an OCI layout, charts as packages, the list."""
    folder = OciFolder(to / IMAGES)
    for each in bundle.charts:
        if each.content is not None:
            yield _chart_file(each, to / CHARTS / each.file)
    for item in bundle.items:
        if item.digest is not None:
            yield _into_layout(item, item.digest, folder, client)


def _chart_file(of: Chart, file: Path) -> Work:
    content = of.content
    assert content is not None

    def write() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def is_there() -> bool:
        return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == of.sha256

    def proof() -> None:
        if not is_there():
            raise FolderError(f"{file} has another digest than {of.sha256}")

    return Work(name=str(file.name), is_there=is_there, copy=write, proof=proof)


def _into_layout(item: Item, digest: str, folder: OciFolder, client: Crane) -> Work:
    source = item.image.source

    def copy() -> None:
        folder.remove_damaged(source, digest)
        client.run("pull", "--format=oci", item.exact, str(folder.path))
        folder.call(digest, source)

    def proof() -> None:
        if (damage := folder.damage(source, digest)) is not None:
            raise FolderError(damage)

    return Work(
        name=source,
        is_there=lambda: folder.damage(source, digest) is None,
        copy=copy,
        proof=proof,
    )


def into_registry(bundle: Bundle, to: str, client: Crane, from_: Path | None) -> Iterator[Work]:
    """What the registry needs. `from_`: a folder that was written before; None: from upstream."""
    folder = None if from_ is None else OciFolder(from_ / IMAGES)
    for each in bundle.charts:
        if each.content is not None:
            yield _chart_artifact(each, f"{to}/{CHARTS}/harbor:{each.tag}", client)
    for item in bundle.items:
        if item.digest is not None:
            yield _pushed(item, item.digest, placed(item.image.source, to), client, folder)


def _pushed(item: Item, digest: str, target: str, client: Crane, folder: OciFolder | None) -> Work:
    # A name with tag and digest is pushed by its tag.
    name = target.partition("@")[0] if _has_tag(target) else target

    def copy() -> None:
        if folder is None:
            client.run("copy", item.exact, name)
            return
        if (damage := folder.damage(item.image.source, digest)) is not None:
            raise FolderError(damage)
        with folder.alone(item.image.source, digest) as alone:
            client.run("push", str(alone), name)

    return _checked(name, digest, client, copy)


def _chart_artifact(of: Chart, target: str, client: Crane) -> Work:
    content = of.content
    assert content is not None
    config = json.dumps({"name": "harbor", "version": of.version, "apiVersion": "v1"}).encode()

    def built(folder: str) -> str:
        """Makes a folder of images with the chart as its only one; its digest."""
        layout = OciFolder(Path(folder))
        layout.prepare()
        return layout.put(
            target, config=config, config_type=_CHART_CONFIG, layer=content, of=_CHART_LAYER
        )

    def copy() -> None:
        with tempfile.TemporaryDirectory(prefix="chart-") as folder:
            built(folder)
            client.run("push", folder, target)

    with tempfile.TemporaryDirectory(prefix="chart-") as folder:
        digest = built(folder)
    return _checked(target, digest, client, copy)


def _checked(name: str, digest: str, client: Crane, copy: Callable[[], object]) -> Work:
    def held() -> str | None:
        try:
            return client.digest(name)
        except CraneError:
            return None

    def proof() -> None:
        there = client.digest(name)
        if there != digest:
            raise FolderError(f"{name} has {there} instead of {digest}")

    return Work(name=name, is_there=lambda: held() == digest, copy=copy, proof=proof)


def _has_tag(name: str) -> bool:
    return ":" in name.partition("@")[0].rpartition("/")[2]


def copied(works: Sequence[Work], tell: Callable[[str], None]) -> list[str]:
    """Does what is not done yet; the failures, each with its reason. One does not stop others."""
    failures: list[str] = []
    for number, work in enumerate(works, 1):
        step = f"[{number}/{len(works)}] {work.name}"
        try:
            if work.is_there():
                tell(f"{step}: there already")
                continue
            work.copy()
            work.proof()
            tell(f"{step}: copied, digest right")
        except (CraneError, FolderError, OSError) as error:
            failures.append(f"{work.name}: {error}")
            tell(f"{step}: failed")
    return failures
