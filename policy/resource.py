"""What rules are given: a resource, and the stack that it belongs to. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from components.kubernetes.naming import SEAM_NAMESPACE
from components.public_passphrase import is_public_salt
from components.settings.database import with_what_follows


class Unknown:
    """A value that is known only after the run. No rule reports it."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()

_HARBOR: Final = "harbor"
"""Harbor's namespace where the stack's file names none."""

_VELERO: Final = "velero"
"""Velero's namespace where the stack's file names none."""

RELEASE: Final = "kubernetes:helm.sh/v3:Release"
NAMESPACE: Final = "kubernetes:core/v1:Namespace"
DATABASE: Final = "kubernetes:postgresql.cnpg.io/v1:Cluster"

POD_PATHS: Final[Mapping[str, str]] = {
    "Pod": "spec",
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "ReplicaSet": "spec.template.spec",
    "Job": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
"""Kind → where its pods are described."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """`props` are the inputs as plain data, in which UNKNOWN may stand anywhere."""

    type: str
    name: str
    props: Mapping[str, Any] = field(default_factory=dict)
    protected: bool = False

    @property
    def is_kubernetes(self) -> bool:
        """Whether it is an object of the cluster (and not a Release or a provider)."""
        return self.type.startswith("kubernetes:") and self.type != RELEASE

    @property
    def kind(self) -> str:
        """The last part of the type: StatefulSet, Release, S3Bucket."""
        return self.type.rpartition(":")[2]

    def at(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path; UNKNOWN when it, or what it lies in, is not known yet."""
        value: Any = self.props
        for key in path.split("."):
            if value is UNKNOWN:
                return UNKNOWN
            if not isinstance(value, Mapping) or key not in value:
                return default
            value = value[key]
        return default if value is None else value

    def leaves(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Those of the inputs."""
        yield from leaves(self.props)


@dataclass(frozen=True, kw_only=True)
class Sovereign:
    """What rules depend on besides the resources. The default is the strictest."""

    namespaces: frozenset[str] = frozenset({_HARBOR, SEAM_NAMESPACE})
    """The namespaces that this stack may write into."""
    login_namespaces: frozenset[str] = frozenset()
    """Those that it may write the logins of robots into, as its file says, and nothing else."""
    schedule_namespaces: frozenset[str] = frozenset()
    """Velero's, where its file has the section backup: for a Schedule, and nothing else."""
    dashboard_namespaces: frozenset[str] = frozenset()
    """Grafana's, where its file names one: for the dashboard's ConfigMap, and nothing else."""
    tenant_namespaces: frozenset[str] = frozenset()
    """That of the Cluster in which its file makes a database: for the database, the role and the
    role's Secret."""
    sandbox: bool = False
    salt: str = ""
    """`encryptionsalt` of its file: from it and a passphrase the key of its secrets is made."""

    @classmethod
    def of(
        cls, config: Mapping[str, Any], namespaces: Iterable[str] = (), *, salt: object = ""
    ) -> Sovereign:
        """From the `config` of a stack's file; `namespaces`: others that it may write into."""
        harbor = config.get("sovereign-harbor:harbor")
        home = harbor.get("namespace") if isinstance(harbor, Mapping) else None
        storage = config.get("sovereign-harbor:storage")
        seam = storage.get("seamNamespace") if isinstance(storage, Mapping) else None
        return cls(
            namespaces=frozenset({home or _HARBOR, seam or SEAM_NAMESPACE, *namespaces}),
            login_namespaces=frozenset(_of_logins(config.get("sovereign-harbor:registry"))),
            schedule_namespaces=frozenset(_of_schedules(config.get("sovereign-harbor:backup"))),
            dashboard_namespaces=frozenset(
                _of_dashboards(config.get("sovereign-harbor:monitoring"))
            ),
            tenant_namespaces=frozenset(_of_tenants(config.get("sovereign-harbor:database"))),
            sandbox=config.get("sovereign-harbor:sandbox") in (True, "true"),
            salt=str(salt),
        )

    @property
    def has_public_secrets(self) -> bool:
        """Whether everybody can decrypt the secrets of its file, and it is no sandbox."""
        return not self.sandbox and is_public_salt(self.salt)


def _of_schedules(backup: Any) -> Iterator[str]:
    """Velero's namespace, as a section `backup` says it."""
    if isinstance(backup, Mapping):
        velero = cast("Mapping[str, Any]", backup).get("velero")
        given = cast("Mapping[str, Any]", velero) if isinstance(velero, Mapping) else {}
        if given.get("enabled") not in (False, "false"):
            yield str(given.get("namespace") or _VELERO)


def _of_dashboards(monitoring: Any) -> Iterator[str]:
    """The dashboard's namespace, where a section `monitoring` names one."""
    if isinstance(monitoring, Mapping):
        namespace = cast("Mapping[str, Any]", monitoring).get("dashboardNamespace")
        if namespace:
            yield str(namespace)


def _of_tenants(database: Any) -> Iterator[str]:
    """The Cluster's namespace, as a section `database` says it."""
    filled = with_what_follows(database)
    create = filled.get("create") if isinstance(filled, dict) else None
    namespace = create.get("namespace") if isinstance(create, dict) else None
    if namespace:
        yield str(namespace)


def _of_logins(registry: Any) -> Iterator[str]:
    """The namespaces of each `pullSecret` in a section `registry`, wherever it stands."""
    if isinstance(registry, Mapping):
        for key, value in cast("Mapping[str, Any]", registry).items():
            if key == "pullSecret" and isinstance(value, Mapping):
                namespaces = cast("Mapping[str, Any]", value).get("namespaces")
                yield from map(str, namespaces if isinstance(namespaces, list) else ())
            else:
                yield from _of_logins(value)


Problems = Iterator[str]
"""What is wrong with a resource, a sentence each, without any value that could be a secret."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule over single resources."""

    name: str
    description: str
    check: Callable[[Resource, Sovereign], Problems]


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """A rule over all resources of a stack; each problem comes with its resource."""

    name: str
    description: str
    check: Callable[[list[Resource], Sovereign], Iterator[tuple[Resource, str]]]


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of everything in a tree that is neither an object nor a list."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not (path == () and key.startswith("__")):  # the engine's own, such as __provider
                yield from leaves(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, str(index)))
    else:
        yield path, value


def words(key: str) -> list[str]:
    """A property's name in lower-case words: s3AccessKey, s3_access_key and S3-ACCESS-KEY alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key)
    return [word for word in re.split(r"[^a-zA-Z0-9]+", spaced.lower()) if word]
