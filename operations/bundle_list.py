"""What a Sovereign pulls, as one list: charts, images, databases of Harbor's scanner."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from components import images, parsed, versions
from components.commands import for_stack, set_value
from components.harbor import chart, chart_download
from components.harbor.chart import ChartError
from components.harbor.chart_download import ChartUnreachable
from components.images import Image
from components.kubernetes.client import ClusterClient, dig, secret_value
from components.kubernetes.unreachable import ClusterUnreachable
from components.preflight import identity
from components.settings.database import DedicatedDatabase
from components.settings.harbor import Chart as ChartSettings
from components.settings.model import Settings
from engine.crane import Crane, CraneError

LIST: Final = "bundle.json"
"""The list, in a folder that was written by TO."""
IMAGES: Final = "images"
CHARTS: Final = "charts"
_AT_ONCE: Final = 4
NO_CRANE: Final = (
    "crane is neither on PATH nor built here. Install it from "
    "https://github.com/google/go-containerregistry/releases, or, where Go is,\n"
    "  python3 -m toolchain build crane"
)
_ESTATE: Final = (
    "software of the estate is not in the list: the operators themselves, sealed-secrets, Kyverno, "
    "cert-manager, the gateway. Their own charts name their images"
)


class BundleRefused(Exception):
    """Nothing was copied; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Harbor's chart. `content`: its package; None where it could not be read."""

    version: str
    source: str
    url: str | None
    sha256: str | None
    content: bytes | None = None

    @property
    def file(self) -> str:
        """The name of its package in a folder."""
        return f"harbor-{self.version}.tgz"

    @property
    def tag(self) -> str:
        """Its tag in a registry, which has no plus."""
        return self.version.replace("+", "_")

    def as_data(self) -> dict[str, Any]:
        return {
            "name": "harbor",
            "version": self.version,
            "source": self.source,
            "url": self.url,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image and its digest. `reason`: why that is not known."""

    image: Image
    digest: str | None = None
    reason: str = ""

    @property
    def exact(self) -> str:
        """Its name upstream by digest, so that what is copied is what is listed."""
        return f"{_repository(self.image.source)}@{self.digest}"

    def as_data(self) -> dict[str, Any]:
        image = self.image
        return {
            "component": image.component,
            "role": image.role,
            "source": image.source,
            "alternatives": list(image.alternatives),
            "reference": image.reference,
            "digest": self.digest,
            "pinned": image.digest is not None,
            "platform": image.platform,
            "chartKey": image.chart_key or None,
        }


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a stack pulls. `notes`: what the list does not know, or leaves out."""

    stack: str
    image_registry: str | None
    charts: tuple[Chart, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """The list, in plain data."""
        of = [item.as_data() for item in self.items]
        return {
            "format": 1,
            "stack": self.stack,
            "imageRegistry": self.image_registry,
            "charts": [chart.as_data() for chart in self.charts],
            "images": [each for each in of if each["role"] != "scanner"],
            "databases": [each for each in of if each["role"] == "scanner"],
            "notes": list(self.notes),
        }


def listed(stack: str, settings: Settings, client: Crane | None) -> Bundle:
    """What the stack pulls. `client`: None where there is no crane; then only pinned digests are
    known. Raises ChartError for a chart that is not what the settings say."""
    notes = [_ESTATE]
    harbor, names = _chart(settings, stack, notes)
    needed, told = _as_operators_name_them(images.images(settings, names), settings)
    notes += told
    items = _resolved(needed, client)
    unknown = [item for item in items if item.digest is None]
    if unknown:
        reason = NO_CRANE if client is None else unknown[0].reason
        notes.append(f"{len(unknown)} of {len(items)} digests are not known: {reason}")
    return Bundle(
        stack=stack,
        image_registry=settings.image_registry,
        charts=(harbor,),
        items=tuple(items),
        notes=tuple(notes),
    )


def _chart(
    settings: Settings, stack: str, notes: list[str]
) -> tuple[Chart, Mapping[str, str] | None]:
    """Harbor's chart, and the images that its own values name; None where it was not read."""
    section = settings.harbor.chart
    source, version = section.source, section.version
    if source.startswith(f"oci://{settings.image_registry}/"):
        # In the mirror, which an earlier bundle filled: a new version is not there yet.
        source = ChartSettings().source
    unread = Chart(version=version, source=source, url=None, sha256=section.sha256)
    try:
        if chart_download.is_remote(source):
            package = chart_download.package(source, version)
            content, url = package.content, package.url
        else:
            # The version, and a digest that is given, are compared as `up` does it.
            reference = chart.chart_reference(source, version, section.sha256)
            content, url = chart.packaged(Path(reference.chart)), source
    except ChartUnreachable as error:
        notes.append(
            f"the chart was not read, so its images are those of its version: "
            f"{for_stack(str(error), stack).splitlines()[0]}"
        )
        return unread, None
    sha256 = hashlib.sha256(content).hexdigest()
    if section.sha256 is not None and section.sha256 != sha256:
        raise ChartError(
            f"sovereign-harbor:harbor.chart.sha256 = {section.sha256}, but {url} has {sha256}: "
            "this is not the chart that was reviewed\n"
            f"  fix: review it, then {set_value('harbor.chart.sha256', sha256)}"
        )
    return replace(unread, url=url, sha256=sha256, content=content), _images_of(content)


def _images_of(package: bytes) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="chart-") as folder:
        path = Path(folder) / "harbor.tgz"
        path.write_bytes(package)
        return images.chart_images(chart.default_values(path))


# The variables by which operators are told what they put into pods → component, our own pin.
_TOLD: Final[Mapping[str, tuple[str, str]]] = {
    "OPERATOR_IMAGE_NAME": ("database-operator", versions.POSTGRES_OPERATOR_IMAGE),
    "SIDECAR_IMAGE": ("backup-sidecar", versions.BACKUP_SIDECAR_IMAGE),
}


def _as_operators_name_them(
    needed: Sequence[Image], settings: Settings
) -> tuple[list[Image], list[str]]:
    """The images with those that the cluster's operators say they add; notes where none says so."""
    if not isinstance(settings.database, DedicatedDatabase):
        return [*needed], []
    names, reason = _operators(settings)
    unknown = [
        image.component
        for image in needed
        if image.role == "operator" and image.component not in names
    ]
    notes = (
        [
            f"{', '.join(unknown)}: the version that this program was tested with, as "
            f"{reason or 'no operator of the cluster names another'}"
        ]
        if unknown
        else []
    )
    return [names.get(image.component, image) for image in needed], notes


def _operators(settings: Settings) -> tuple[dict[str, Image], str]:
    """Component → the image that an operator in the cluster adds; why none is known."""
    namespace = settings.network_policies.operator_namespace
    names: dict[str, Image] = {}
    try:
        client = ClusterClient(settings.cluster.context)
        if identity.problems(client, settings.cluster):
            return {}, "the cluster that the kubeconfig reaches is not the stack's"
        answer = client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments") or {}
        for variable in _variables(answer.get("items", [])):
            if (told := _TOLD.get(variable["name"])) is not None:
                component, pinned = told
                value = variable.get("value") or _of_secret(client, namespace, variable)
                if value:
                    names[component] = _running(component, value.strip(), pinned, settings)
    except ClusterUnreachable as error:
        return {}, f"the cluster was not asked ({str(error).splitlines()[0]})"
    return names, ""


def _variables(deployments: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for deployment in deployments:
        for container in dig(deployment, "spec", "template", "spec", "containers") or []:
            yield from container.get("env") or []


def _of_secret(client: ClusterClient, namespace: str, variable: Mapping[str, Any]) -> str | None:
    """The plugin of CloudNativePG keeps the name of its image in a Secret; it is no secret."""
    reference = dig(variable, "valueFrom", "secretKeyRef")
    if not reference:
        return None
    return secret_value(client, namespace=namespace, name=reference["name"], key=reference["key"])


def _running(component: str, value: str, pinned: str, settings: Settings) -> Image:
    """The image by the name that the operator has. One that is pulled from a mirror already is
    published under the name that is pinned here, with the mirror's tag."""
    ours, theirs = _repository(pinned), _repository(value)
    same = ours.rpartition("/")[2] == theirs.rpartition("/")[2]
    source = f"{ours}{value.removeprefix(theirs)}" if same else value
    return replace(images.operator_image(component, source, settings), reference=value)


def _resolved(needed: Sequence[Image], client: Crane | None) -> list[Item]:
    if client is None:
        return [Item(image=image, digest=image.digest) for image in needed]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(lambda image: _item(image, client), needed))


def _item(image: Image, client: Crane) -> Item:
    """The digest of the first name under which the image is found."""
    if image.digest is not None:
        return Item(image=image, digest=image.digest)
    names = (image.source, *image.alternatives)
    reason = ""
    for name in names:
        try:
            digest = client.digest(name)
        except CraneError as error:
            reason = reason or str(error)
            continue
        others = tuple(other for other in names if other != name)
        return Item(image=replace(image, source=name, alternatives=others), digest=digest)
    return Item(image=image, reason=reason)


def _repository(name: str) -> str:
    """A name without tag and digest."""
    path, _, last = name.partition("@")[0].rpartition("/")
    last = last.partition(":")[0]
    return f"{path}/{last}" if path else last


def read(folder: Path, settings: Settings, stack: str) -> Bundle:
    """The bundle that TO wrote into a folder, if it has all that the stack needs now.

    Raises BundleRefused.
    """
    try:
        data = parsed.json_of((folder / LIST).read_bytes())
        items = tuple(_item_of(each) for each in (*data["images"], *data["databases"]))
        charts = tuple(_chart_of(each, folder) for each in data["charts"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BundleRefused(
            f"{folder} has no {LIST} that `make bundle` wrote ({error})\n"
            f"  fix: where the network is, make bundle STACK={stack} TO={folder}"
        ) from None
    section = settings.harbor.chart
    held = next((each for each in charts if each.version == section.version), None)
    missing = [] if held is not None else [f"chart harbor {section.version}"]
    known = {name for item in items for name in (item.image.source, *item.image.alternatives)}
    names = None if held is None or held.content is None else _images_of(held.content)
    missing += [
        image.source
        for image in images.images(settings, names)
        if image.role != "operator" and image.source not in known
    ]
    if missing:
        raise BundleRefused(
            f"{folder} misses what stack {stack} needs now: {', '.join(missing)}\n"
            f"  fix: where the network is, make bundle STACK={stack} TO={folder}"
        )
    return Bundle(
        stack=stack,
        image_registry=settings.image_registry,
        charts=charts,
        items=items,
        notes=(_ESTATE,),
    )


def _item_of(data: Mapping[str, Any]) -> Item:
    texts = [data["component"], data["role"], data["source"], data["reference"]]
    if not all(isinstance(text, str) for text in (*texts, *data["alternatives"])):
        raise ValueError("a name of an image is no text")
    if not isinstance(data["digest"], str | None):
        raise ValueError("a digest is no text")
    image = Image(
        component=data["component"],
        role=data["role"],
        source=data["source"],
        reference=data["reference"],
        alternatives=tuple(data["alternatives"]),
        chart_key=data["chartKey"] or "",
        platform=data["platform"],
    )
    return Item(image=image, digest=data["digest"])


def _chart_of(data: Mapping[str, Any], folder: Path) -> Chart:
    unread = Chart(
        version=data["version"], source=data["source"], url=data["url"], sha256=data["sha256"]
    )
    if "/" in unread.file:
        raise ValueError("a chart's version is no name of a file")
    content = (folder / CHARTS / unread.file).read_bytes()
    if hashlib.sha256(content).hexdigest() != unread.sha256:
        raise ValueError(f"{unread.file} has another digest than the list")
    return replace(unread, content=content)
