"""What the doctor reads, by name: of the engine, the cluster and Harbor. Nothing is written.

Each source is one function that returns what it read; the checks judge it. What a source returns
holds no plaintext secret.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, cast

from components import parsed
from components.backup.objects import SCHEDULE
from components.credentials import ADMIN, REGISTRY_ACCOUNT, secret_name
from components.data_services.postgres import CLUSTER
from components.delivery.delivered import Delivered, push_path
from components.harbor.recovery import records
from components.image_policy import require_harbor, signatures
from components.kubernetes.client import ClusterClient, dig, fetch_certificate, secret_value
from components.kubernetes.naming import PART_OF
from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring.own_metrics import CONFIG_MAP as RECORDED
from components.ownership.state_mark import CONFIG_MAP, KEY
from components.preflight import evidence, secret_store, upgrade
from components.registry import gates
from components.registry.api import Harbor, Logins, Who, segment, where
from components.registry.connection import Connection, ToCluster
from components.registry.errors import HarborError, LoginRefused
from components.sealing.opened import Opened, external_path, sealed_path, secret_path
from components.settings.database import DedicatedDatabase
from components.settings.exposure import IngressExposure
from components.settings.model import Settings
from components.settings.registry.names import OWN_ROBOT
from components.settings.schema.environment import expand
from components.settings.secrets import ExternalDelivery
from engine import pulumi, workplace
from engine.pulumi import EngineError
from operations.doctor.aside import side_by_side
from operations.doctor.findings import NotRead

MOST_IMAGES: Final = 100
"""Images that pods run for which Harbor is asked: a call for each."""
_IMAGE_SECONDS: Final = 5.0
_METRICS_PORT: Final = 9187
"""Of each instance of CloudNativePG (pkg/management/url/url.go, PostgresMetricsPort)."""
_RUNS: Final = 10
"""Of each job's history, how many are looked at."""

Source = Callable[[], Any]


@dataclass(kw_only=True)
class Sovereign:
    """How a stack's engine, cluster and Harbor are reached. Used by several threads at once.

    `certificate`: the pinned sealing certificate as the stack's file has it, "" without one.
    `client`, `connection`: for tests.
    """

    stack: str
    settings: Settings
    environment: Mapping[str, str]
    certificate: str = ""
    client: ClusterClient | None = None
    connection: Connection | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def namespace(self) -> str:
        return self.settings.harbor.namespace

    def cluster(self) -> ClusterClient:
        """The client of the stack's cluster. Raises ClusterUnreachable and NotRead."""
        with self._lock:
            if self.client is None:
                self.client = ClusterClient(self.settings.cluster.context)
            expected = self.settings.cluster.name
            if expected and self.client.cluster_name != expected:
                raise NotRead(
                    f"the kubeconfig leads to cluster {self.client.cluster_name!r}, and this stack "
                    f"is for {expected!r} (cluster.name)"
                )
            return self.client

    @cached_property
    def harbor(self) -> Harbor:
        """Harbor's API, which does not wait for what does not work."""
        registry = self.settings.registry
        return Harbor(
            connection=self.connection
            or ToCluster(
                namespace=self.namespace,
                context=self.settings.cluster.context or "",
                cluster_name=self.settings.cluster.name or "",
                api_url=registry.api.url or "",
                api_ca=registry.api.ca_bundle or "",
            ),
            logins=Logins(
                admin_secret=secret_name(ADMIN),
                account=OWN_ROBOT,
                account_secret=secret_name(REGISTRY_ACCOUNT),
                prefix=registry.system.prefix,
            ),
        ).hurried()

    @property
    def who(self) -> Who:
        """Who asks Harbor: this program's robot where there is one."""
        return "account" if self.settings.registry.enabled else "admin"

    def close(self) -> None:
        """Ends what was started."""
        self.harbor.cancel()
        self.harbor.connection.close()
        pulumi.interrupt()


def sources(of: Sovereign) -> Mapping[str, Source]:
    """Every source of a Sovereign, by name; those that its settings leave nothing to ask."""
    asked: dict[str, Source] = {
        "version": lambda: of.cluster().get("/version"),
        "listing": partial(_listing, of),
        "deployment": partial(_deployment, of),
        "history": partial(_history, of),
        "mark": partial(_mark, of),
        "releases": lambda: records(of.cluster(), of.namespace),
        "sealed": partial(_sealed, of),
        "sealing certificate": partial(_sealing_certificate, of),
        "token certificate": partial(
            _certificate, of, of.namespace, secret_name("token-certificate")
        ),
        "tls certificate": partial(_tls_certificate, of),
        "pods": lambda: [*_items(of, f"/api/v1/namespaces/{of.namespace}/pods")],
        "all pods": lambda: [*evidence.pods(of.cluster())],
        "recorded": partial(_recorded, of),
        "health": partial(_health, of),
        "login": partial(_login, of),
        "robots": partial(_robots, of),
        "gc": partial(_job, of, "/system/gc"),
        "purge": partial(_job, of, "/system/purgeaudit"),
        "scan": partial(_scan, of),
        "replication": partial(_replication, of),
        "quotas": lambda: of.harbor.listed("/quotas", {"reference": "project"}, who=of.who),
        "images": partial(_images, of),
    }
    if isinstance(of.settings.secrets, ExternalDelivery):
        del asked["sealed"], asked["sealing certificate"]
        asked["delivered"] = partial(_delivered, of)
    if isinstance(of.settings.database, DedicatedDatabase):
        asked["database"] = partial(_database, of)
        asked["connections"] = partial(_connections, of)
    backup = of.settings.backup
    if backup is not None:
        asked["backup"] = lambda: upgrade.last_backup(of.cluster(), of.namespace)
        if backup.velero.enabled:
            path = f"/apis/velero.io/v1/namespaces/{backup.velero.namespace}/schedules/{SCHEDULE}"
            asked["velero"] = lambda: dig(of.cluster().get(path), "status") or {}
    if of.settings.image_policy.enabled:
        asked["reports"] = lambda: _verdicts(of)
    return asked


# --- The engine -----------------------------------------------------------------------------------


def _listing(of: Sovereign) -> Mapping[str, Any] | None:
    """The stack as the backend lists it; None where it does not."""
    entries = workplace.listed(of.environment)
    return next((entry for entry in entries if entry["name"] == of.stack), None)


def _asked(of: Sovereign, *arguments: str) -> Any:
    ran = workplace.backend_workplace(of.environment).run([*arguments, "-s", of.stack])
    if ran.code != 0:
        raise EngineError(ran.errors.strip().splitlines()[-1] if ran.errors.strip() else "refused")
    return parsed.json_of(ran.output)


def _deployment(of: Sovereign) -> Mapping[str, Any]:
    """Of the state only what is no secret: its mark, and what an interrupted run left pending."""
    deployment = _asked(of, "stack", "export").get("deployment") or {}
    marks = [
        dig(resource, "outputs", "mark")
        for resource in deployment.get("resources") or []
        if str(resource["urn"]).endswith("::state-mark")
    ]
    return {
        "mark": marks[0] if marks else None,
        "resources": len(deployment.get("resources") or []),
        "pending": [
            f"{operation['type']} {str(operation['resource']['urn']).rpartition('::')[2]}"
            for operation in deployment.get("pending_operations") or []
        ],
    }


def _history(of: Sovereign) -> Mapping[str, Any] | None:
    """The last update; None before the first."""
    updates = _asked(of, "stack", "history", "--json", "--page-size", "1")
    keys = ("kind", "result", "endTime", "startTime")
    return {key: updates[0].get(key) for key in keys} if updates else None


# --- The cluster ----------------------------------------------------------------------------------


def _items(of: Sovereign, path: str) -> Iterator[dict[str, Any]]:
    yield from dig(of.cluster().get(path), "items") or []


def _mark(of: Sovereign) -> str | None:
    path = f"/api/v1/namespaces/{of.namespace}/configmaps/{CONFIG_MAP}"
    return dig(of.cluster().get(path), "data", KEY)


_OWN: Final = "%3D".join(part.replace("/", "%2F") for part in PART_OF)
"""The label of this program's objects, as a query has it."""


def _delivered(of: Sovereign) -> list[tuple[str, Delivered, str]]:
    """Namespace/name, objects and kind of each ExternalSecret and PushSecret; the Secrets without
    their data."""
    found: list[tuple[str, Delivered, str]] = []
    for namespace in secret_store.namespaces(of.settings):
        pushes = push_path(namespace, "").rstrip("/")
        for push in _items(of, f"{pushes}?labelSelector={_OWN}"):
            name = f"{namespace}/{push['metadata']['name']}"
            found.append((name, Delivered(external=None, secret=None, push=push), "pushsecret"))
        listed = external_path(namespace, "").rstrip("/")
        for external in _items(of, f"{listed}?labelSelector={_OWN}"):
            name = external["metadata"]["name"]
            secret = of.cluster().get(secret_path(namespace, name))
            bare = None if secret is None else {"metadata": secret["metadata"]}
            both = Delivered(external=external, secret=bare)
            found.append((f"{namespace}/{name}", both, "externalsecret"))
    return found


def _sealed(of: Sovereign) -> list[tuple[str, Opened]]:
    """Namespace/name and both objects of each SealedSecret; the Secrets without their data."""
    found: list[tuple[str, Opened]] = []
    for namespace in secret_store.namespaces(of.settings):
        listed = sealed_path(namespace, "").rstrip("/")
        for sealed in _items(of, f"{listed}?labelSelector={_OWN}"):
            name = sealed["metadata"]["name"]
            secret = of.cluster().get(secret_path(namespace, name))
            bare = None if secret is None else {"metadata": secret["metadata"]}
            found.append((f"{namespace}/{name}", Opened(sealed=sealed, secret=bare)))
    return found


def _sealing_certificate(of: Sovereign) -> str:
    """PEM of the certificate with which the program seals."""
    section = of.settings.sealing
    pinned = expand(of.certificate, of.environment)
    if not pinned:
        return fetch_certificate(
            of.cluster(), namespace=section.controller_namespace, name=section.controller_name
        )
    return pinned if "BEGIN CERTIFICATE" in pinned else Path(pinned).read_text()


def _certificate(of: Sovereign, namespace: str, name: str) -> str | None:
    return secret_value(of.cluster(), namespace=namespace, name=name, key="tls.crt")


def _tls_certificate(of: Sovereign) -> tuple[str, str | None] | None:
    """Namespace/name and PEM of the Secret with the certificate of the registry's host; None where
    the listener has a certificate that this stack does not know."""
    exposure = of.settings.exposure
    if isinstance(exposure, IngressExposure):
        namespace, name = of.namespace, exposure.tls_secret_name
    elif exposure.certificate is not None:
        namespace = exposure.certificate.namespace or exposure.parent_refs[0].namespace or ""
        name = exposure.certificate.secret_name
    else:
        return None
    return f"{namespace}/{name}", _certificate(of, namespace, name)


def _recorded(of: Sovereign) -> Mapping[str, str]:
    """What commands recorded, by their key."""
    path = f"/api/v1/namespaces/{of.namespace}/configmaps/{RECORDED}"
    return dig(of.cluster().get(path), "data") or {}


def _database(of: Sovereign) -> Mapping[str, Any] | None:
    path = f"/apis/postgresql.cnpg.io/v1/namespaces/{of.namespace}/clusters/{CLUSTER}"
    return of.cluster().get(path)


def _connections(of: Sovereign) -> str:
    """The metrics of the primary, by the API server's proxy to its pod.

    A port-forward would be one more process for one answer. The proxy needs the right to `get`
    `pods/proxy` in Harbor's namespace.
    """
    primary = dig(_database(of), "status", "currentPrimary")
    if not primary:
        raise NotRead(f"Cluster {CLUSTER} names no primary")
    pod = f"/api/v1/namespaces/{of.namespace}/pods/{primary}:{_METRICS_PORT}"
    try:
        return of.cluster().text(f"{pod}/proxy/metrics")
    except ClusterUnreachable as error:
        if error.status in (403, 404, 503):
            raise NotRead(
                f"the metrics of pod {primary} are not reached through the API server "
                f"({error.status}): it needs the right to get pods/proxy, and the way to port "
                f"{_METRICS_PORT}"
            ) from None
        raise


def _verdicts(of: Sovereign) -> Mapping[str, Mapping[str, str]]:
    """Policy → pod → why it would be refused, "" if it would not."""
    reports = evidence.reports(of.cluster())
    names = (require_harbor.NAME, signatures.NAME)
    return {name: evidence.verdicts(reports, name) for name in names}


# --- Harbor ---------------------------------------------------------------------------------------


def _health(of: Sovereign) -> Mapping[str, Any]:
    """What Harbor says of itself, to whom it does not know."""
    answer = of.harbor.connection.send("GET", "/api/v2.0/health", {}, None)
    try:
        return parsed.json_of(answer.body)
    except ValueError:
        raise NotRead(f"Harbor answered {answer.status}, and no JSON, to GET /health") from None


def _login(of: Sovereign) -> Mapping[str, str]:
    """Who → why Harbor refuses the login, "" where it takes it."""
    refused: dict[str, str] = {}
    for who in cast("tuple[Who, ...]", ("admin", of.who)):
        try:
            # Each call proves its login first.
            of.harbor.get("/systeminfo", who=who)
            refused[who] = ""
        except LoginRefused as error:
            refused[who] = str(error)
    return refused


def _robots(of: Sovereign) -> list[Mapping[str, Any]]:
    """Robots of the system and of the declared projects: name, expires_at, disable."""
    declared = of.settings.registry.declared_projects
    rows = of.harbor.listed("/robots", who=of.who)
    for project in of.harbor.listed("/projects", who=of.who):
        if project["name"] in declared:
            conditions = {"Level": "project", "ProjectID": project["project_id"]}
            rows += of.harbor.listed("/robots", where(conditions), who=of.who)
    return [{key: row.get(key) for key in ("name", "expires_at", "disable")} for row in rows]


def _job(of: Sovereign, path: str) -> Mapping[str, Any]:
    """`schedule`: as Harbor has it, {} for none; `runs`: the newest first."""
    runs = of.harbor.get(path, {"page_size": _RUNS, "sort": "-creation_time"}, who=of.who) or []
    return {"schedule": of.harbor.get(f"{path}/schedule", who=of.who) or {}, "runs": runs}


def _scan(of: Sovereign) -> Mapping[str, Any]:
    """`schedule`: {} for none; `metrics`: of the last scan of everything, {} before the first."""
    try:
        schedule = of.harbor.get("/system/scanAll/schedule", who=of.who) or {}
        metrics = of.harbor.get("/scans/all/metrics", who=of.who) or {}
    except HarborError as error:
        if error.status != 412:
            raise
        return {"scanner": False}
    return {"scanner": True, "schedule": schedule, "metrics": metrics}


def _replication(of: Sovereign) -> list[Mapping[str, Any]]:
    """Each policy, with its newest execution as `last`, None before the first."""
    found: list[Mapping[str, Any]] = []
    for policy in of.harbor.listed("/replication/policies", who=of.who):
        query = {"policy_id": policy["id"], "page_size": 1, "sort": "-start_time"}
        last = of.harbor.get("/replication/executions", query, who=of.who) or [None]
        found.append({**policy, "last": last[0]})
    return found


def _images(of: Sovereign) -> Mapping[str, Any]:
    """The images of Harbor's that pods run, and what Harbor has of them.

    `running`; `artifacts`: image's name → Harbor's answer, None where Harbor has no such image;
    `projects`: by name; `allowlist`: of the whole Harbor; `unread`: image's name → why Harbor did
    not tell.
    """
    projects = {str(row["name"]): row for row in of.harbor.listed("/projects", who=of.who)}
    prefix = of.settings.registry_address.image_prefix
    running = gates.running_images(evidence.pods(of.cluster()), prefix, projects.keys())
    # What a cache does not have it fetches again.
    running = [image for image in running if not projects[image.project].get("registry_id")]
    first = dict(list({image.name: image for image in running}.items())[:MOST_IMAGES])
    answers = side_by_side(
        {name: partial(_artifact, of, image) for name, image in first.items()}, _IMAGE_SECONDS
    )
    return {
        "running": running,
        "projects": projects,
        "allowlist": (of.harbor.get("/system/CVEAllowlist", who=of.who) or {}).get("items") or [],
        "artifacts": {name: each.value for name, each in answers.items() if not each.reason},
        "unread": {name: each.reason for name, each in answers.items() if each.reason},
    }


def _artifact(of: Sovereign, image: gates.RunningImage) -> Mapping[str, Any] | None:
    repository = segment(segment(image.repository))
    path = f"/projects/{segment(image.project)}/repositories/{repository}/artifacts"
    query = {"with_scan_overview": "true"}
    return of.harbor.get(f"{path}/{segment(image.reference)}", query, who=of.who)
