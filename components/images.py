"""Every image that a Sovereign needs, and the name under which it is pulled. Pure.

Harbor's values, the data services and `make bundle` take names from here, so that the list of
images and the pods cannot differ. `imageRegistry` replaces the host of each name, and nothing else:
docker.io/goharbor/harbor-core is pulled as <imageRegistry>/goharbor/harbor-core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from components import harbor_lines, versions
from components.settings.database import DedicatedDatabase
from components.settings.image_registry import host_of
from components.settings.model import Settings
from components.settings.proxy_projects import DOCKER_HUB
from components.settings.valkey import DedicatedValkey

Role = Literal["program", "operator", "scanner"]
"""Who names the image: this program, in a pod or in what a pod is made from; an operator of the
estate, which adds it to a pod; Harbor's scanner, which fetches a database of vulnerabilities."""

ChartImages = Mapping[str, str]
"""Key in the values of Harbor's chart, such as `core.image` → its default, repository:tag."""

PLATFORM: Final = "linux/amd64"
"""Harbor 2.14 and 2.15 are built for no other (harbor #12246)."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image, or an artifact of Trivy's, which registries keep in the same way.

    `source`: its name where it is published, host included. `reference`: the name under which this
    Sovereign pulls it. `alternatives`: other names of the same. `chart_key`: where Harbor's chart
    names it; "" for what the chart does not bring. `platform`: the only one on which its pods run;
    None where they run on any.
    """

    component: str
    role: Role
    source: str
    reference: str
    alternatives: tuple[str, ...] = ()
    chart_key: str = ""
    platform: str | None = None

    @property
    def digest(self) -> str | None:
        """`sha256:…` where the name pins it."""
        return self.source.partition("@")[2] or None


@dataclass(frozen=True, kw_only=True)
class ChartImage:
    """An image of Harbor's chart. `is_used`: whether a pod of this Sovereign names it."""

    component: str
    key: str
    repository: str
    is_used: Callable[[Settings], bool]


def _always(_: Settings) -> bool:
    return True


def _never(_: Settings) -> bool:
    return False


HARBOR: Final = (
    ChartImage(
        component="core", key="core.image", repository="goharbor/harbor-core", is_used=_always
    ),
    ChartImage(
        component="portal", key="portal.image", repository="goharbor/harbor-portal", is_used=_always
    ),
    ChartImage(
        component="jobservice",
        key="jobservice.image",
        repository="goharbor/harbor-jobservice",
        is_used=_always,
    ),
    ChartImage(
        component="registry",
        key="registry.registry.image",
        repository="goharbor/registry-photon",
        is_used=_always,
    ),
    ChartImage(
        component="registryctl",
        key="registry.controller.image",
        repository="goharbor/harbor-registryctl",
        is_used=_always,
    ),
    ChartImage(
        component="trivy",
        key="trivy.image",
        repository="goharbor/trivy-adapter-photon",
        is_used=lambda settings: settings.trivy.enabled,
    ),
    ChartImage(
        component="exporter",
        key="exporter.image",
        repository="goharbor/harbor-exporter",
        is_used=lambda settings: settings.metrics.enabled,
    ),
    # A gateway or an ingress controller is in front, and database and cache are not the chart's.
    ChartImage(
        component="nginx", key="nginx.image", repository="goharbor/nginx-photon", is_used=_never
    ),
    ChartImage(
        component="internal database",
        key="database.internal.image",
        repository="goharbor/harbor-db",
        is_used=_never,
    ),
    ChartImage(
        component="internal cache",
        key="redis.internal.image",
        repository="goharbor/redis-photon",
        is_used=_never,
    ),
)
"""The images of the charts 1.18 and 1.19, by the same keys."""

# Trivy asks for these tags where a repository has none: the versions of the databases' formats.
_DATABASE_TAG: Final = "2"
_JAVA_DATABASE_TAG: Final = "1"


def images(settings: Settings, chart: ChartImages | None = None) -> tuple[Image, ...]:
    """Every image that this Sovereign's pods name, what operators add to them, and the databases
    of Harbor's scanner.

    `chart`: the images of Harbor's chart as its own values have them; None: as those of the chart's
    version are known to be.
    """
    return (
        *_of_harbor(settings, chart or known_chart_images(settings.harbor.chart.version)),
        *_of_data_services(settings),
        *_of_recorded_metrics(settings),
        *_of_the_scanner(settings),
    )


def placed(reference: str, registry: str | None) -> str:
    """The name under which an image is pulled. `registry`: imageRegistry; without one, and for an
    image that is in it already, `reference` itself."""
    if registry is None or reference.startswith(f"{registry}/"):
        return reference
    return f"{registry}/{_split(reference)[1]}"


def published(reference: str) -> str:
    """The whole name, host included; Docker Hub's images are mostly named without it."""
    host, path = _split(reference)
    return f"{host}/{path}"


def chart_image(settings: Settings, key: str) -> dict[str, Any]:
    """The values of Harbor's chart that name the image of that key; none without imageRegistry.

    The tag stays the chart's.
    """
    if settings.image_registry is None:
        return {}
    (image,) = (each for each in HARBOR if each.key == key)
    return {"image": {"repository": placed(image.repository, settings.image_registry)}}


def chart_images(values: Mapping[str, Any]) -> ChartImages:
    """The images that the default values of a chart name, whatever their keys."""
    return dict(_walk(values, ""))


def known_chart_images(version: str) -> ChartImages:
    """The images of that version of Harbor's chart: their tags are Harbor's version."""
    tag = f"v{harbor_lines.harbor_of(version)}"
    return {image.key: f"{DOCKER_HUB}/{image.repository}:{tag}" for image in HARBOR}


def postgres_image(database: DedicatedDatabase, registry: str | None) -> str:
    """The image of a dedicated PostgreSQL. `registry`: imageRegistry."""
    return placed(database.image or versions.POSTGRES_IMAGE, registry)


def valkey_image(registry: str | None) -> str:
    """The image of a dedicated Valkey. `registry`: imageRegistry."""
    return placed(versions.VALKEY_IMAGE, registry)


def recorded_metrics_image(registry: str | None) -> str:
    """The image that serves recorded metrics. `registry`: imageRegistry."""
    return placed(versions.RECORDED_METRICS_IMAGE, registry)


def scanner_repositories(settings: Settings) -> tuple[str, ...]:
    """Where Trivy fetches the database of vulnerabilities, in this order.

    With imageRegistry the first default is there, unless the settings name repositories themselves.
    """
    return _repositories(settings, "db_repositories")


def java_scanner_repositories(settings: Settings) -> tuple[str, ...]:
    """Where Trivy fetches the database of Java archives, in this order."""
    return _repositories(settings, "java_db_repositories")


def _repositories(settings: Settings, field: str) -> tuple[str, ...]:
    repositories = cast("tuple[str, ...]", getattr(settings.trivy, field))
    if settings.image_registry is None or field in settings.trivy.model_fields_set:
        return repositories
    return (placed(repositories[0], settings.image_registry),)


def _of_harbor(settings: Settings, chart: ChartImages) -> Iterator[Image]:
    tables = {image.key: image for image in HARBOR}
    for key, default in chart.items():
        known = tables.get(key)
        if known is not None and not known.is_used(settings):
            continue
        # A key that is not known is of a newer chart, or of somebody's own: it is better listed.
        placed_at = (
            placed(default, settings.image_registry)
            if known is None or settings.image_registry is None
            else f"{placed(known.repository, settings.image_registry)}:{_tag(default)}"
        )
        yield Image(
            component=key.removesuffix(".image") if known is None else known.component,
            role="program",
            source=published(default),
            reference=placed_at,
            chart_key=key,
            platform=PLATFORM,
        )


def _of_data_services(settings: Settings) -> Iterator[Image]:
    if isinstance(settings.database, DedicatedDatabase):
        yield Image(
            component="database",
            role="program",
            source=published(settings.database.image or versions.POSTGRES_IMAGE),
            reference=postgres_image(settings.database, settings.image_registry),
        )
        yield operator_image("database-operator", versions.POSTGRES_OPERATOR_IMAGE, settings)
        if backs_up(settings):
            yield operator_image("backup-sidecar", versions.BACKUP_SIDECAR_IMAGE, settings)
    if isinstance(settings.valkey, DedicatedValkey):
        yield Image(
            component="cache",
            role="program",
            source=published(versions.VALKEY_IMAGE),
            reference=valkey_image(settings.image_registry),
        )


def _of_recorded_metrics(settings: Settings) -> Iterator[Image]:
    if settings.monitoring.enabled and settings.monitoring.recorded_metrics:
        yield Image(
            component="recorded-metrics",
            role="program",
            source=published(versions.RECORDED_METRICS_IMAGE),
            reference=recorded_metrics_image(settings.image_registry),
            platform=PLATFORM,
        )


def operator_image(component: str, source: str, settings: Settings) -> Image:
    """An image that an operator adds to pods. The operator's own settings decide its name."""
    return Image(
        component=component,
        role="operator",
        source=published(source),
        reference=placed(source, settings.image_registry),
    )


def backs_up(settings: Settings) -> bool:
    """Whether the database's pods have the container of the operator's backup plugin."""
    return settings.backup is not None


def _of_the_scanner(settings: Settings) -> Iterator[Image]:
    if not settings.trivy.enabled:
        return
    for component, tag, given, pulled in (
        (
            "trivy-db",
            _DATABASE_TAG,
            settings.trivy.db_repositories,
            scanner_repositories(settings),
        ),
        (
            "trivy-java-db",
            _JAVA_DATABASE_TAG,
            settings.trivy.java_db_repositories,
            java_scanner_repositories(settings),
        ),
    ):
        first, *others = (_tagged(repository, tag) for repository in given)
        yield Image(
            component=component,
            role="scanner",
            source=published(first),
            reference=_tagged(pulled[0], tag),
            alternatives=tuple(map(published, others)),
        )


def _tagged(repository: str, tag: str) -> str:
    return repository if ":" in repository.rpartition("/")[2] else f"{repository}:{tag}"


def _tag(reference: str) -> str:
    return reference.rpartition("/")[2].partition(":")[2]


def _split(reference: str) -> tuple[str, str]:
    """Host and the rest. As distribution/reference reads a name: without a host it is Docker Hub's,
    and without a slash an official image of it."""
    if host_of(reference):
        host, _, path = reference.partition("/")
        return host, path
    return DOCKER_HUB, reference if "/" in reference else f"library/{reference}"


def _walk(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if not isinstance(value, dict):
            continue
        below = f"{path}.{key}".lstrip(".")
        section = cast("dict[str, Any]", value)
        repository, tag = section.get("repository"), section.get("tag")
        if key == "image" and isinstance(repository, str) and isinstance(tag, str):
            yield below, f"{repository}:{tag}"
        else:
            yield from _walk(section, below)
