"""`make restore-drill` against a faked cluster: what it refuses, what it asks, what it leaves."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.commands import set_value
from components.kubernetes import kubectl
from components.kubernetes.naming import SOVEREIGN_LABEL
from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring.own_metrics import CONFIG_MAP
from components.settings.model import Settings
from operations import restore_drill
from operations.__main__ import main
from operations.restore_drill import Drill
from tests.support.builders import BACKUP, FQDN, settings
from toolchain.closed_pipe import ReaderGone

DRILL = "/api/v1/namespaces/harbor-drill"
HARBOR = "/api/v1/namespaces/harbor"
STORE = "/apis/barmancloud.cnpg.io/v1/namespaces/harbor/objectstores/harbor-pg"
LIVING = "/apis/postgresql.cnpg.io/v1/namespaces/harbor/clusters/harbor-pg"
CLUSTER = "/apis/postgresql.cnpg.io/v1/namespaces/harbor-drill/clusters/harbor-pg-drill"
RECORD = f"{HARBOR}/configmaps/{CONFIG_MAP}"
PODS = f"{HARBOR}/pods?labelSelector=app%3Dharbor%2Ccomponent%3Dregistry"
EVENTS = f"{DRILL}/events?fieldSelector=type%3DWarning"
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
READY = {"conditions": [{"type": "Ready", "status": "True"}], "currentPrimary": "harbor-pg-drill-1"}
ROW: dict[str, Any] = {
    "schema": 180,
    "isDirty": False,
    "projects": 3,
    "repositories": 2,
    "artifacts": 9,
    "newestPush": None,
    "samples": [
        {"project": "apps", "repository": "apps/team/web", "digest": DIGEST},
        {"project": "infra", "repository": "infra/proxy", "digest": OTHER},
        {"project": "library", "repository": None, "digest": None},
    ],
}


def encoded(**data: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}


@dataclass
class Cluster:
    """An API server that keeps what is posted, and forgets a namespace with all in it.

    Takes the place of ClusterClient, class and instance in one.
    """

    objects: dict[str, Any]
    cluster_name: str | None = "omantel"
    posted: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """Method and path → the status that it is refused with."""
    calls: list[str] = field(default_factory=list)
    """Method and path of each call."""
    becomes: dict[str, Any] = field(default_factory=lambda: dict(READY))
    """Status of the drill's Cluster."""
    goes: bool = True
    """Whether a deleted namespace goes."""

    def __call__(self, context: str | None) -> Cluster:
        return self

    def _check(self, call: str) -> None:
        self.calls.append(call)
        if call in self.refused:
            raise ClusterUnreachable(f"{call}: forbidden", self.refused[call])

    def get(self, path: str) -> Any:
        self._check(f"GET {path}")
        return self.objects.get(path)

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        self._check(f"POST {path}")
        self.posted.append((path, body))
        kept = {**body, "status": self.becomes} if body["kind"] == "Cluster" else body
        self.objects[f"{path}/{body['metadata']['name']}"] = kept

    def delete(self, path: str) -> None:
        path, _, how = path.partition("?")
        assert how == "propagationPolicy=Foreground"
        self._check(f"DELETE {path}")
        self.deleted.append(path)
        if self.goes:
            name = path.rpartition("/")[2]
            self.objects = {
                key: value
                for key, value in self.objects.items()
                if key != path and f"/namespaces/{name}/" not in key
            }

    def apply(self, path: str, manifest: Mapping[str, Any], *, manager: str) -> None:
        self._check(f"APPLY {path}")
        self.applied.append((path, manager))
        self.objects[path] = manifest


@dataclass
class Registry:
    """Harbor's registry: the status of each path that HEAD is sent to; 404 for others."""

    port: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def registry() -> Iterator[Registry]:
    kept = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            kept.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(kept.statuses.get(self.path, 404))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        kept.statuses = {
            f"/v2/apps/team/web/manifests/{DIGEST}": 200,
            f"/v2/infra/proxy/manifests/{OTHER}": 200,
        }
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield kept
        server.shutdown()


@dataclass
class World:
    """What the drill meets. `answer`: of psql, or raised by it."""

    cluster: Cluster
    registry: Registry
    settings: Settings
    answer: str | Callable[[], str] = field(default_factory=lambda: json.dumps(ROW))
    asked: list[dict[str, Any]] = field(default_factory=list)

    def drill(self, **options: Any) -> int:
        return restore_drill.run(restore_drill.Request(stack="omantel", **options))

    @property
    def recorded(self) -> str:
        return self.cluster.objects[RECORD]["data"]["restore-drill"]


@pytest.fixture
def world(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> World:
    backup_ended = {"lastSuccessfulBackupTime": "2026-11-01T02:00:00Z"}
    cluster = Cluster(
        {
            HARBOR: {"metadata": {"labels": {SOVEREIGN_LABEL: FQDN}}},
            LIVING: {"metadata": {}, "spec": {"imageName": "example.com/postgresql:17.6"}},
            STORE: {"status": {"serverRecoveryWindow": {"harbor-pg": backup_ended}}},
            f"{HARBOR}/secrets/harbor-backup-credentials": encoded(**{"access-key": "A"}),
            f"{HARBOR}/secrets/harbor-minted-registry-user": encoded(REGISTRY_PASSWD="pass"),
            PODS: {
                "items": [
                    {
                        "metadata": {"name": "harbor-registry-1", "creationTimestamp": "2026"},
                        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                    }
                ]
            },
        }
    )
    world = World(cluster=cluster, registry=registry, settings=settings(backup=BACKUP))

    class Forward:
        def __init__(self, context: str | None, **to: Any) -> None:
            assert to == {"namespace": "harbor", "pod": "harbor-registry-1", "port": 5000}

        def local_port(self) -> int:
            return registry.port

        def close(self) -> None:
            pass

    def in_pod(context: str | None, command: list[str], **to: Any) -> str:
        world.asked.append({"command": command, **to})
        return world.answer if isinstance(world.answer, str) else world.answer()

    def stack_settings(stack: str) -> Settings:
        return world.settings

    monkeypatch.setattr(restore_drill, "settings_of", stack_settings)
    monkeypatch.setattr(restore_drill, "ClusterClient", cluster)
    monkeypatch.setattr(kubectl, "PortForward", Forward)
    monkeypatch.setattr(kubectl, "run_in_pod", in_pod)
    monkeypatch.setattr(Drill, "pause", 0.01)
    return world


# --- It passes ----------------------------------------------------------------------------------


def test_a_backup_is_restored_asked_and_thrown_away(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(world.cluster.objects)
    assert world.drill() == 0
    said = capsys.readouterr().out
    assert "PASSED: omantel can be restored" in said
    assert f"apps     found  apps/team/web@{DIGEST}" in said
    assert "library  no image" in said
    assert world.cluster.deleted == [DRILL]
    after = {path: each for path, each in world.cluster.objects.items() if path != RECORD}
    assert after == before


def test_the_database_that_lives_is_only_read(world: World) -> None:
    world.drill()
    written = [path for path, _ in world.cluster.posted]
    written += world.cluster.deleted
    assert written[0] == "/api/v1/namespaces"
    assert all("/namespaces/harbor-drill" in path for path in written[1:])
    assert world.cluster.applied == [(RECORD, "sovereign-harbor-restore-drill")]


def test_the_restored_database_is_asked_in_its_pod_without_a_password(world: World) -> None:
    world.drill()
    (asked,) = world.asked
    assert asked["namespace"] == "harbor-drill"
    assert (asked["pod"], asked["container"]) == ("harbor-pg-drill-1", "postgres")
    assert "SELECT" in asked["stdin"]
    assert not [part for part in asked["command"] if "SELECT" in part or "password" in part]


def test_the_registry_is_asked_for_one_image_of_each_project(world: World) -> None:
    world.drill()
    login = base64.b64encode(b"harbor_registry_user:pass").decode()
    assert world.registry.asked == [
        (f"/v2/apps/team/web/manifests/{DIGEST}", f"Basic {login}"),
        (f"/v2/infra/proxy/manifests/{OTHER}", f"Basic {login}"),
    ]


def test_the_result_is_recorded(world: World) -> None:
    world.drill()
    assert "sovereign_harbor_restore_drill_passed 1\n" in world.recorded
    assert 'sovereign_harbor_restore_drill_images{state="found"} 2\n' in world.recorded


def test_a_restored_database_is_drilled_by_its_own_server_name(world: World) -> None:
    server = "harbor-pg-1a2b3c4d"
    world.cluster.objects[LIVING]["metadata"] = {
        "annotations": {"sovereign-harbor/database-server": server}
    }
    windows = world.cluster.objects[STORE]["status"]["serverRecoveryWindow"]
    windows[server] = windows.pop("harbor-pg")
    assert world.drill() == 0
    (spec,) = [body["spec"] for _, body in world.cluster.posted if body["kind"] == "Cluster"]
    assert spec["externalClusters"][0]["plugin"]["parameters"]["serverName"] == server
    assert spec["imageName"] == "example.com/postgresql:17.6"


def test_a_backup_is_drilled_although_the_database_is_lost(world: World) -> None:
    del world.cluster.objects[LIVING]
    assert world.drill() == 0


# --- It fails, and says so ----------------------------------------------------------------------


def no_backup(world: World) -> None:
    world.cluster.objects[STORE] = {"status": {}}


def no_store(world: World) -> None:
    del world.cluster.objects[STORE]


def no_keys(world: World) -> None:
    del world.cluster.objects[f"{HARBOR}/secrets/harbor-backup-credentials"]


def never_ready(world: World) -> None:
    world.cluster.becomes = {"phase": "Setting up primary"}
    event = {
        "message": "no base\n backup",
        "involvedObject": {"kind": "Job", "name": "harbor-pg-drill-1-full-recovery"},
    }
    world.cluster.objects[EVENTS] = {"items": [event]}


def no_answer(world: World) -> None:
    def fails() -> str:
        raise ClusterUnreachable("psql in pod harbor-drill/harbor-pg-drill-1 failed: no such table")

    world.answer = fails


def migration_broken_off(world: World) -> None:
    world.answer = json.dumps({**ROW, "isDirty": True})


def image_missing(world: World) -> None:
    world.registry.statuses.pop(f"/v2/infra/proxy/manifests/{OTHER}")


def storage_locked(world: World) -> None:
    world.registry.statuses[f"/v2/apps/team/web/manifests/{DIGEST}"] = 403


def no_registry(world: World) -> None:
    world.cluster.objects[PODS] = {"items": []}


def may_not_make_clusters(world: World) -> None:
    path = "/apis/postgresql.cnpg.io/v1/namespaces/harbor-drill/clusters"
    world.cluster.refused[f"POST {path}"] = 403


@pytest.mark.parametrize(
    ("illness", "words"),
    [
        (no_backup, "there is no base backup of server harbor-pg in bucket omantel-backup"),
        (no_store, "ObjectStore harbor/harbor-pg is not there: `pulumi up -s omantel`"),
        (no_keys, "Secret harbor/harbor-backup-credentials is not there"),
        (
            never_ready,
            "not Ready after 0 minutes: Setting up primary; Job harbor-pg-drill-1-full-recovery: "
            "no base backup. A larger database needs a larger limit: make restore-drill "
            "STACK=omantel MINUTES=<minutes>",
        ),
        (no_answer, "psql in pod harbor-drill/harbor-pg-drill-1 failed: no such table"),
        (migration_broken_off, "the migration to schema 180 has not ended"),
        (image_missing, "1 of 2 images are in the restored database and not in the registry's"),
        (storage_locked, "the registry answered 403 to HEAD apps/team/web@sha256:aaa"),
        (no_registry, "no pod of Harbor's registry in namespace harbor is Ready"),
        (may_not_make_clusters, "the cluster did not do what the drill needs"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_drill_that_fails_says_why_records_it_and_leaves_nothing(
    illness: Callable[[World], None],
    words: str,
    world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    illness(world)
    before = {*world.cluster.objects} - {EVENTS}
    assert world.drill(minutes=0) == 1
    said = capsys.readouterr()
    assert words in said.out
    assert "FAILED: " in said.out
    assert "Traceback" not in said.err
    assert "sovereign_harbor_restore_drill_passed 0\n" in world.recorded
    assert {*world.cluster.objects} - {RECORD, EVENTS} == before


def test_a_drill_that_cannot_be_recorded_is_no_success(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.cluster.refused[f"APPLY {RECORD}"] = 403
    assert world.drill() == 1
    said = capsys.readouterr()
    assert "PASSED" in said.out
    assert "the drill's metrics are not recorded" in said.err


# --- What is left -------------------------------------------------------------------------------


def test_a_namespace_that_cannot_be_deleted_is_named_with_its_command(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settings = settings(backup=BACKUP, cluster={"name": "omantel", "context": "admin"})
    world.cluster.refused[f"DELETE {DRILL}"] = 403
    assert world.drill() == 1
    said = capsys.readouterr().err
    assert "namespace harbor-drill is left, with a copy of the keys of the backups" in said
    assert "kubectl --context admin delete namespace harbor-drill" in said


def test_a_namespace_that_does_not_go_is_named(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_drill, "_LEAVING_SECONDS", 0)
    world.cluster.goes = False
    assert world.drill() == 1
    assert "namespace harbor-drill is not empty 0 s after" in capsys.readouterr().err


@pytest.mark.parametrize(("policy", "is_told"), [("Retain", True), ("Delete", False)])
def test_a_volume_that_its_class_retains_is_named(
    policy: str, is_told: bool, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = {"items": [{"spec": {"volumeName": "pv-1"}}]}
    world.cluster.objects[f"{DRILL}/persistentvolumeclaims"] = claims
    volume = {"spec": {"persistentVolumeReclaimPolicy": policy}}
    world.cluster.objects["/api/v1/persistentvolumes/pv-1"] = volume
    assert world.drill() == (1 if is_told else 0)
    assert ("kubectl delete persistentvolume pv-1" in capsys.readouterr().err) is is_told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_an_interrupted_drill_leaves_nothing_and_records_nothing(
    how: signal.Signals, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> str:
        os.kill(os.getpid(), how)
        raise AssertionError("not interrupted")

    world.answer = interrupted
    assert world.drill() == 1
    assert world.cluster.deleted == [DRILL]
    assert RECORD not in world.cluster.objects
    assert "error: interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["restoring it", "asking the registry", "deleting what was made"])
def test_a_drill_that_nobody_reads_any_more_leaves_nothing(
    words: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        has_raised = False

        def write(self, text: str, /) -> int:
            if words in text and not self.has_raised:
                self.has_raised = True
                raise ReaderGone
            return len(text)

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(ReaderGone):
        world.drill()
    assert world.cluster.objects.get(DRILL) is None
    assert RECORD not in world.cluster.objects


def test_the_namespace_of_another_drill_is_not_deleted(world: World) -> None:
    # It is made between the look for an earlier one and the first object of this one.
    def taken(path: str, body: Mapping[str, Any]) -> None:
        world.cluster.objects[DRILL] = {"metadata": {"annotations": {}}}
        raise ClusterUnreachable(f"{path}: 409 already exists", 409)

    world.cluster.post = taken  # type: ignore[method-assign]
    assert world.drill() == 1
    assert world.cluster.deleted == []


# --- It is refused, and makes nothing -----------------------------------------------------------


def enforced(**more: Any) -> Settings:
    policy = {"enforcement": "Enforce", **more}
    return settings(backup=BACKUP, imagePolicy=policy)


def other_cluster(world: World) -> None:
    world.cluster.cluster_name = "otech"


def other_sovereign(world: World) -> None:
    world.cluster.objects[HARBOR]["metadata"]["labels"] = {SOVEREIGN_LABEL: "otech.example"}


def no_sovereign(world: World) -> None:
    del world.cluster.objects[HARBOR]


def left_over(world: World) -> None:
    world.cluster.objects[DRILL] = {"metadata": {"annotations": {"sovereign-harbor/x": "y"}}}


def on_its_way_out(world: World) -> None:
    world.cluster.objects[DRILL] = {"metadata": {"deletionTimestamp": "2026-11-26T07:00:00Z"}}


def no_section(world: World) -> None:
    world.settings = settings()


def shared(world: World) -> None:
    secret = {"namespace": "pg", "name": "pg", "key": "password"}
    database = {"mode": "shared", "host": "pg.pg.svc", "username": "harbor", "secret": secret}
    world.settings = settings(database=database)


def under_a_policy(world: World) -> None:
    world.settings = enforced(extraExcludedNamespaces=["legacy"])


@pytest.mark.parametrize(
    ("obstacle", "words"),
    [
        (other_cluster, "the kubeconfig's context reaches cluster otech"),
        (
            other_sovereign,
            f"is that of otech.example in this cluster, and stack omantel is for {FQDN}",
        ),
        (no_sovereign, "namespace harbor does not exist in this cluster"),
        (left_over, "an earlier drill left it, or another one runs now"),
        (left_over, "kubectl delete namespace harbor-drill"),
        (on_its_way_out, "is still being deleted: try again in a minute"),
        (no_section, "no section backup"),
        (shared, "shared (database.mode)"),
        (
            under_a_policy,
            set_value("imagePolicy.extraExcludedNamespaces[1]", "harbor-drill", "omantel"),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_drill_that_cannot_be_is_refused_before_anything_is_made(
    obstacle: Callable[[World], None],
    words: str,
    world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    obstacle(world)
    assert world.drill() == 1
    assert words in capsys.readouterr().err
    assert world.cluster.posted == []
    assert world.cluster.deleted == []
    assert world.cluster.applied == []


@pytest.mark.parametrize("key", ["excludedNamespaces", "extraExcludedNamespaces"])
def test_a_namespace_that_the_image_policy_leaves_out_is_drilled_in(key: str, world: World) -> None:
    namespaces = ["kube-system", "kyverno", "cnpg-system", "harbor", "harbor-drill"]
    world.settings = enforced(**{key: namespaces})
    assert world.drill() == 0


def test_without_a_cluster_nothing_is_made(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: str | None) -> Any:
        raise ClusterUnreachable("connection refused")

    monkeypatch.setattr(restore_drill, "ClusterClient", down)
    assert world.drill() == 1
    assert "connection refused\n  nothing was made" in capsys.readouterr().err


def test_a_stack_without_a_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore-drill", "nowhere"]) == 1
    assert "there is no Pulumi.nowhere.yaml" in capsys.readouterr().err


# --- In a namespace that somebody prepared ------------------------------------------------------


@pytest.fixture
def prepared(world: World) -> World:
    annotations = {"sovereign-harbor/restore-drill": "prepared"}
    world.cluster.objects[DRILL] = {"metadata": {"annotations": annotations}}
    return world


def test_a_prepared_namespace_stays_and_is_empty_again(prepared: World) -> None:
    before = dict(prepared.cluster.objects)
    assert prepared.drill() == 0
    assert not [body for _, body in prepared.cluster.posted if body["kind"] == "Namespace"]
    assert prepared.cluster.deleted[0] == CLUSTER
    after = {path: each for path, each in prepared.cluster.objects.items() if path != RECORD}
    assert after == before


def test_what_an_earlier_drill_left_in_a_prepared_namespace_is_named(
    prepared: World, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared.cluster.objects[CLUSTER] = {}
    assert prepared.drill() == 1
    assert (
        "kubectl delete ciliumnetworkpolicies.cilium.io,clusters.postgresql.cnpg.io,"
        "networkpolicies.networking.k8s.io,objectstores.barmancloud.cnpg.io,secrets "
        "-n harbor-drill -l app.kubernetes.io/managed-by=restore-drill"
    ) in capsys.readouterr().err
    assert prepared.cluster.posted == []


def test_an_object_of_somebody_else_s_in_a_prepared_namespace_is_not_deleted(
    prepared: World,
) -> None:
    path = "/apis/postgresql.cnpg.io/v1/namespaces/harbor-drill/clusters"
    prepared.cluster.refused[f"POST {path}"] = 409
    assert prepared.drill() == 1
    assert CLUSTER not in prepared.cluster.deleted
    assert len(prepared.cluster.deleted) == len(prepared.cluster.posted)
