"""What one stack needs in the cluster: the objects that it writes, and the paths that are read.

The objects follow from the settings, by the same lists with which preflight looks for objects of
others. The paths are asked of the code that reads them: preflight and doctor run here against a
cluster that records them.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from components.backup.objects import SCHEDULE
from components.data_services.postgres import CLUSTER
from components.image_policy import require_harbor, rewrite, signatures
from components.image_policy.component import signed_images
from components.kubernetes.naming import DASHBOARD, RECORDED_METRICS, REGISTRY_CERTIFICATE
from components.kubernetes.unreachable import ClusterUnreachable
from components.preflight import beside, fixed, plain_secrets, upgrade
from components.preflight import run as preflight
from components.registry.errors import HarborDown
from components.settings.database import DedicatedDatabase, SecretRef, SharedDatabase
from components.settings.exposure import GatewayExposure
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.valkey import DedicatedValkey, SharedValkey
from components.stack_config import StackConfig
from engine.project import ROOT
from operations.deployer.rights import Object, Rights, plural
from operations.doctor.sources import Sovereign, sources
from operations.drill_objects import namespace_of, policies

_DRILL: Final = ROOT / "docs/howto/restore-drill.yaml"
_OF_ENGINE: Final = ("listing", "deployment", "history")
"""Sources of the doctor that ask the backend, not the cluster."""
_OPERATORS: Final = re.compile(rf"(Service|Secret) {CLUSTER}-\w+|PersistentVolumeClaim data-.*")
"""Kind and name of what an operator, or the controller of StatefulSets, makes in Harbor's
namespace for an object of this program."""


def rights(settings: Settings, stack: str) -> Rights:
    """The rights of whoever previews, deploys, examines and drills that stack, and no others."""
    collected = Rights(harbor=settings.harbor.namespace, is_shared=settings.harbor.shared_namespace)
    for each in objects(settings):
        collected.write(each)
    collected.reach_harbor(by_forward=settings.registry.api.url is None)
    for path in (*asked(settings, stack), *later(settings)):
        collected.read(path)
    for each in drill(settings):
        if each["kind"] in ("Role", "ClusterRole"):
            collected.grant(each)
    return collected


def documents(settings: Settings, stack: str) -> list[dict[str, Any]]:
    """The manifests that grant these rights to an account of their own."""
    prepared = (each for each in drill(settings) if each["kind"] == "Namespace")
    return rights(settings, stack).documents(prepared)


# --- What is written ------------------------------------------------------------------------------


def objects(settings: Settings) -> Iterator[Object]:
    """What the program, and Helm for it, write in the cluster. Pure."""
    harbor = settings.harbor.namespace
    if not settings.harbor.shared_namespace:
        yield _object("v1", "Namespace", "", harbor, retain=settings.retain_data)
    for kind, name in beside.objects(settings):
        if not _OPERATORS.fullmatch(f"{kind} {name}"):
            yield _beside(kind, harbor, name)
    if isinstance(settings.database, DedicatedDatabase):
        yield _beside("Cluster", harbor, CLUSTER)  # one that is adopted, too
    for namespace, name in plain_secrets.names(settings, given=frozenset()):
        if namespace != harbor:
            for kind, of_kind in beside.of_secret(settings, name):
                yield _beside(kind, namespace, of_kind)
    yield _beside("ConfigMap", harbor, RECORDED_METRICS)  # of the doctor with RECORD=1
    yield from _in_other_namespaces(settings)
    yield from _policies(settings)


def _in_other_namespaces(settings: Settings) -> Iterator[Object]:
    exposure, database, monitoring = settings.exposure, settings.database, settings.monitoring
    if isinstance(exposure, GatewayExposure):
        certificate = exposure.certificate
        if certificate is not None and certificate.signed_by is not None:
            home = certificate.namespace or exposure.parent_refs[0].namespace
            yield _beside("Certificate", home, REGISTRY_CERTIFICATE)
    if isinstance(database, SharedDatabase) and database.create is not None:
        create = database.create
        for kind in ("Database", *(["DatabaseRole"] if create.role else [])):
            name = create.object_name(database.name)
            yield _object("postgresql.cnpg.io/v1", kind, create.namespace, name)
    if settings.backup is not None and settings.backup.velero.enabled:
        yield _object("velero.io/v1", "Schedule", settings.backup.velero.namespace, SCHEDULE)
    home = monitoring.dashboard_namespace
    if monitoring.enabled and monitoring.dashboard and home is not None:
        yield _beside("ConfigMap", home, DASHBOARD)
    for robot in settings.registry.all_robots if settings.registry.enabled else ():
        if robot.settings.pull_secret is not None:
            for home, accounts in robot.settings.pull_secret.service_accounts.items():
                for account in accounts:
                    yield _object("v1", "ServiceAccountPatch", home, account)


def _policies(settings: Settings) -> Iterator[Object]:
    section = settings.image_policy
    if not section.enabled:
        return
    served = require_harbor.API_VERSIONS[section.kind]
    yield _object(served, section.kind, "", require_harbor.NAME)
    if section.rewrite.enabled:
        yield _object(rewrite.API_VERSION, rewrite.KIND, "", rewrite.NAME)
    if section.signatures is not None:
        kind = signatures.KINDS[section.kind]
        yield _object(served, kind, "", signatures.NAME)
        signed = signed_images(settings)
        if section.kind == "ValidatingPolicy" and signed and signatures.pin_policy(signed):
            yield _object(served, kind, "", signatures.PIN_NAME)


def _beside(kind: str, namespace: str, name: str) -> Object:
    api = beside.path(kind, namespace, name).partition("/namespaces/")[0]
    return _object(api.removeprefix("/apis/").removeprefix("/api/"), kind, namespace, name)


def _object(version: str, kind: str, namespace: str, name: str, *, retain: bool = True) -> Object:
    group = version.partition("/")[0] if "/" in version else ""
    return Object(group=group, kind=kind, namespace=namespace, name=name, retain=retain)


# --- What is read ---------------------------------------------------------------------------------


_SERVED: Final = {"resources": [{"kind": kind} for kind in ("Database", "DatabaseRole")]}
"""What a version of an API answers: without these kinds preflight asks no further."""


@dataclass
class Recorded:
    """A cluster that records what it is asked. Takes the place of ClusterClient.

    `answer`: that of every path; None where nothing is there.
    """

    cluster_name: str | None
    answer: Any
    paths: list[str] = field(default_factory=list[str])

    def get(self, path: str) -> Any:
        self.paths.append(path)
        is_version = path.startswith("/apis/") and path.count("/") == 3
        return _SERVED if is_version else self.answer

    def text(self, path: str) -> str:
        self.paths.append(path)
        raise ClusterUnreachable(path, 404)

    def post(self, path: str, _: Mapping[str, Any]) -> Any:
        """Of reviews of one's own rights alone, which every authenticated user may make."""
        assert path.endswith("/selfsubjectaccessreviews"), path
        return {"status": {"allowed": True}}


class _NoHarbor:
    """A Harbor that does not answer. Takes the place of Connection."""

    def send(self, method: str, path: str, *_: Any) -> Any:
        raise HarborDown(f"{method} {path}", "not asked")

    def secret(self, *_: Any) -> None:
        return None

    def close(self) -> None:
        pass


def asked(settings: Settings, stack: str) -> list[str]:
    """The paths that preflight, the program and the doctor read, whatever the cluster has."""
    paths: list[str] = []
    # Nothing is said of what these checks miss here.
    with contextlib.redirect_stderr(io.StringIO()):
        for answer in (None, {}):
            cluster = Recorded(settings.cluster.name, answer)
            _check(cluster, settings, stack)
            _examine(cluster, settings, stack)
            paths += cluster.paths
    for section in (settings.database, settings.valkey):
        if isinstance(section, SharedDatabase | SharedValkey):
            secret = section.secret
            if isinstance(secret, SecretRef) and not _is_made(settings, secret):
                paths.append(f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}")
    return paths


def _check(cluster: Any, settings: Settings, stack: str) -> None:
    config = StackConfig(settings=settings, secrets={}, is_secret={})
    checks = [
        *preflight.checks(config, preflight.Learned()).values(),
        # These are made where nothing else stands in the way, as it does here.
        lambda client: upgrade.problems(client, settings, stack),
        lambda client: fixed.problems(client, settings, stack),
    ]
    for problems in checks:
        # One that needs more of the cluster than there is has asked for it by then.
        with contextlib.suppress(
            ClusterUnreachable, LookupError, TypeError, ValueError, AttributeError
        ):
            problems(cluster)


def _examine(cluster: Any, settings: Settings, stack: str) -> None:
    connection: Any = _NoHarbor()
    of = Sovereign(
        stack=stack,
        settings=settings,
        environment={},
        certificate=settings.sealing.certificate or "",
        client=cluster,
        connection=connection,
    )
    for name, source in sources(of).items():
        if name not in _OF_ENGINE:
            with contextlib.suppress(Exception):  # most of it is not there
                source()


def _is_made(settings: Settings, secret: SecretRef) -> bool:
    """Whether the program makes that Secret, so that it does not read it."""
    return (secret.namespace, secret.name) in plain_secrets.names(settings, given=frozenset())


def later(settings: Settings) -> Iterator[str]:
    """The paths that are read only where a Harbor lives; `*` stands for any name. Pure."""
    harbor, database = f"/api/v1/namespaces/{settings.harbor.namespace}", settings.database
    is_dedicated = isinstance(database, DedicatedDatabase)
    if (
        is_dedicated
        or settings.trivy.enabled
        or isinstance(settings.valkey, DedicatedValkey)
        or isinstance(settings.storage, FilesystemStorage)
    ):
        # Whether a claim may grow.
        yield "/apis/storage.k8s.io/v1/storageclasses/*"
    if is_dedicated:
        for claim in (f"{CLUSTER}-1", f"{CLUSTER}-1-wal"):
            yield f"{harbor}/persistentvolumeclaims/{claim}"
        # How many connections the database has (operations/doctor/sources.py).
        yield f"{harbor}/pods/*/proxy"
    if isinstance(database, SharedDatabase) and database.create is not None:
        # Whose databases and roles the Cluster has.
        home = f"/apis/postgresql.cnpg.io/v1/namespaces/{database.create.namespace}"
        yield f"{home}/databases"
        yield f"{home}/databaseroles"
    if settings.restore_source is not None:
        # Whether the volumes of the database are gone that a restore replaces.
        yield f"{harbor}/persistentvolumeclaims"
    if not isinstance(settings.secrets, ExternalDelivery) and settings.sealing.certificate is None:
        section = settings.sealing
        service = f"services/http:{section.controller_name}:8080/proxy"
        yield f"/api/v1/namespaces/{section.controller_namespace}/{service}"


def drill(settings: Settings) -> Iterator[dict[str, Any]]:
    """The namespace and the roles of docs/howto/restore-drill.yaml, for this stack; nothing where
    no backup can be restored."""
    if settings.backup is None or not isinstance(settings.database, DedicatedDatabase):
        return
    harbor = settings.harbor.namespace
    places = {"harbor": harbor, "harbor-drill": namespace_of(harbor)}
    kinds = {plural(policy.kind) for policy in policies(settings)}
    unused = {"networkpolicies", "ciliumnetworkpolicies"} - kinds
    for each in yaml.safe_load_all(_DRILL.read_text()):
        metadata = each["metadata"]
        if "namespace" in metadata:
            metadata["namespace"] = places[metadata["namespace"]]
        if each["kind"] == "Namespace":
            metadata["name"] = places[metadata["name"]]
        elif each["kind"] in ("Role", "ClusterRole"):
            each["rules"] = [
                _placed(rule, places, settings)
                for rule in each["rules"]
                if not unused & set(rule["resources"])
            ]
        else:
            continue
        yield each


def _placed(rule: dict[str, Any], places: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    if rule["resources"] != ["namespaces"]:
        return rule
    names = [places.get(name, name) for name in rule["resourceNames"]]
    if settings.cluster.uid is None:
        # It is read for the cluster's identity.
        names.remove("kube-system")
    return {**rule, "resourceNames": names}
