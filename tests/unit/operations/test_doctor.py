"""The doctor finds each illness, and nothing on a healthy Sovereign."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring import own_metrics
from components.monitoring.own_metrics import exposition, figure
from components.registry.api import ACCOUNT_PASSWORD_KEY, ADMIN_PASSWORD_KEY
from components.settings.registry.names import OWN_ROBOT
from engine import workplace
from engine.project import ROOT
from engine.pulumi import Ran
from operations import __main__ as command
from operations.doctor import command as doctor
from operations.doctor import record
from operations.doctor.aside import side_by_side
from operations.doctor.checks.data import INVENTORY
from operations.doctor.checks.harbor import last_due, overdue
from operations.doctor.checks.table import CHECKS
from operations.doctor.findings import Finding
from operations.doctor.series import figures
from operations.doctor.sources import Sovereign
from sandbox.fake_harbor.server import FakeHarbor
from tests.support import builders
from tests.support.builders import BACKUP, Cluster, pod
from tests.support.certificates import certificate_of
from tests.support.registry import ACCOUNT_PASSWORD, ADMIN_PASSWORD, Direct, Registry

NOW = dt.datetime.now(dt.UTC)
NS = "harbor"
API = f"/api/v1/namespaces/{NS}"
DIGEST = "sha256:" + "1" * 64
OURS = "registry.omantel.omani.works/"
ACCOUNT = "harbor-minted-registry-account"
ADMIN = "harbor-minted-admin-password"
PART_OF = "labelSelector=app.kubernetes.io%2Fpart-of%3Dsovereign-harbor"
SEALED = f"/apis/bitnami.com/v1alpha1/namespaces/{NS}/sealedsecrets?{PART_OF}"
CNPG = f"/apis/postgresql.cnpg.io/v1/namespaces/{NS}"
METRICS = f"{API}/pods/harbor-pg-1:9187/proxy/metrics"
CONTROLLER = (
    "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:8080/proxy/v1/cert.pem"
)
REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
RECORDED = f"{API}/configmaps/harbor-recorded-metrics"
SECTIONS: dict[str, Any] = {
    "storage": {
        "kind": "hetzner",
        "region": "fsn1",
        "bucket": "omantel-harbor",
        "versioning": {"noncurrentDays": 30},
    },
    "database": {"instances": 2},
    "backup": BACKUP,
    "exposure": {"kind": "ingress", "className": "traefik", "tlsSecret": "harbor-tls"},
    "networkPolicies": {
        "gateway": {"kind": "namespace", "namespace": "traefik"},
        "apiServer": {"cidr": "10.0.0.1/32"},
    },
    "imagePolicy": {"enabled": True},
    "registry": {"projects": {"apps": {}}},
}
INVENTORY_OF = {
    "at": NOW.isoformat(),
    "bytes": 2_000_000_000_000,
    "objects": 120_000,
    "orphans": 12,
    "orphanBytes": 3_000_000_000,
    "cost": "0.02 EUR",
}


def now() -> dt.datetime:
    """NOW is when the tests were collected: up to an hour before the last of them runs."""
    return dt.datetime.now(dt.UTC)


def ago(**time: float) -> str:
    return (now() - dt.timedelta(**time)).isoformat()


def ends(**time: float) -> str:
    """PEM of a certificate that ends after that time."""
    key = ec.generate_private_key(ec.SECP256R1())
    begins = now() - dt.timedelta(days=400)
    return certificate_of(key, begins=begins, ends=now() + dt.timedelta(**time))


def secret_of(**data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "a", "ownerReferences": []}, "data": encoded}


def release_of(status: str, chart: str) -> dict[str, Any]:
    told = json.dumps({"chart": {"metadata": {"version": chart}}}).encode()
    packed = base64.b64encode(base64.b64encode(gzip.compress(told))).decode()
    labels = {"version": "3", "status": status}
    return {"metadata": {"name": "sh.helm", "labels": labels}, "data": {"release": packed}}


def sealed_of(name: str, *, synced: str = "True", message: str = "") -> dict[str, Any]:
    conditions = [{"type": "Synced", "status": synced, "message": message}]
    return {
        "metadata": {"name": name, "namespace": NS, "uid": "1", "generation": 2},
        "status": {"observedGeneration": 2, "conditions": conditions},
    }


@dataclass
class Ward:
    """A healthy Sovereign, whose parts a test makes ill."""

    cluster: Cluster
    harbor: FakeHarbor
    engine: dict[str, Any]
    connection: Direct
    settings: Any = field(default_factory=lambda: builders.settings(**SECTIONS))

    @property
    def objects(self) -> dict[str, Any]:
        return self.cluster.objects

    def sovereign(self) -> Sovereign:
        client: Any = self.cluster
        return Sovereign(
            stack="omantel",
            settings=self.settings,
            environment={"PULUMI_BACKEND_URL": "file:///state"},
            client=client,
            connection=self.connection,
        )

    def findings(self) -> list[Finding]:
        """All that is not well."""
        report, _ = doctor.examined(self.sovereign(), seconds=60)
        assert {each.check for each in report.findings} == CHECKS.keys()
        return [each for each in report.findings if each.state != "ok"]

    def record(self, **keys: str) -> None:
        self.objects[RECORDED]["data"].update(keys)


def drilled(*, passed: int = 1, days: float = 3) -> str:
    when = NOW.timestamp() - days * 86_400
    return exposition(
        [
            figure(own_metrics.DRILL_RUN, when),
            figure(own_metrics.DRILL_PASSED, passed),
            figure(own_metrics.DRILL_LAST_PASSED, when),
        ]
    )


def metrics_of(used: int) -> str:
    return (
        "# TYPE cnpg_backends_total gauge\n"
        f'cnpg_backends_total{{datname="registry",usename="harbor",state="idle"}} {used}\n'
        'cnpg_pg_settings_setting{name="max_connections"} 200\n'
    )


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch, sealing_certificate: str) -> Iterator[Ward]:
    engine: dict[str, Any] = {
        "listed": [{"name": "omantel", "lastUpdate": ago(hours=2), "updateInProgress": False}],
        "deployment": {
            "resources": [{"urn": "urn::state-mark", "outputs": {"mark": "abc"}}],
            "pending_operations": [],
        },
        "history": [{"kind": "update", "result": "succeeded", "endTime": ago(hours=2)}],
    }
    monkeypatch.setattr(workplace, "listed", lambda _environment: engine["listed"])

    def run(_place: Any, arguments: Any, **_named: Any) -> Ran:
        told = engine["history"] if "history" in arguments else {"deployment": engine["deployment"]}
        return Ran(code=0, output=json.dumps(told), errors="")

    monkeypatch.setattr(workplace.Workplace, "run", run)
    settings = builders.settings(**SECTIONS)
    web = pod("shop", "web-1", web=f"{OURS}apps/web:v1@{DIGEST}")
    cluster = Cluster(
        {
            "/version": {"gitVersion": "v1.35.4"},
            f"{API}/configmaps/sovereign-harbor-state": {"data": {"mark": "abc"}},
            f"{API}/secrets?labelSelector=owner%3Dhelm%2Cname%3Dharbor": {
                "items": [release_of("deployed", settings.harbor.chart.version)]
            },
            SEALED: {"items": [sealed_of(ADMIN), sealed_of("harbor-pg-credentials")]},
            f"{API}/secrets/{ADMIN}": secret_of(HARBOR_ADMIN_PASSWORD=ADMIN_PASSWORD),
            f"{API}/secrets/harbor-pg-credentials": secret_of(password="p"),
            f"{API}/secrets/harbor-tls": secret_of(**{"tls.crt": ends(days=60)}),
            f"{API}/secrets/harbor-minted-token-certificate": secret_of(
                **{"tls.crt": ends(days=3000)}
            ),
            CONTROLLER: sealing_certificate,
            f"{API}/pods": {"items": [pod(NS, "harbor-core-1", core="goharbor/core:v2.14.3")]},
            "/api/v1/pods?limit=500": {"items": [web]},
            RECORDED: {"data": {"restore-drill": drilled(), INVENTORY: json.dumps(INVENTORY_OF)}},
            f"{CNPG}/clusters/harbor-pg": {
                "status": {
                    "currentPrimary": "harbor-pg-1",
                    "readyInstances": 2,
                    "lastSuccessfulBackup": ago(hours=5),
                    "conditions": [{"type": "ContinuousArchiving", "status": "True"}],
                }
            },
            METRICS: metrics_of(40),
            REPORTS: {"items": [_report("pass")]},
        }
    )
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        registry = Registry(harbor, account=OWN_ROBOT)
        registry.create("Account", name=OWN_ROBOT)
        registry.ask("POST", "/projects", {"project_name": "apps"})
        harbor.put_image("apps", "web", DIGEST, ["v1"])
        for kind in ("gc", "purge"):
            harbor.world["schedules"][kind] = {
                "id": 1,
                "type": "Custom",
                "cron": "0 0 0 * * 0",
                "parameters": {},
                "creation_time": ago(days=100),
                "update_time": ago(days=100),
            }
            harbor.world.insert("cleanings", {"kind": kind, "parameters": {}})
        harbor.world["schedules"]["scan_metrics"] = {"total": 10, "metrics": {"Success": 10}}
        connection = Direct(namespace=NS, api_url=harbor.url)
        connection.secrets = {
            (ADMIN, ADMIN_PASSWORD_KEY): ADMIN_PASSWORD,
            (ACCOUNT, ACCOUNT_PASSWORD_KEY): ACCOUNT_PASSWORD,
        }
        yield Ward(cluster, harbor, engine, connection)


def _report(result: str) -> dict[str, Any]:
    results = [{"policy": "require-harbor-images", "result": result, "message": "no image of ours"}]
    return {"scope": {"namespace": "shop", "name": "web-1"}, "results": results}


def test_nothing_is_found_on_a_healthy_sovereign(ward: Ward) -> None:
    assert ward.findings() == []


def test_it_only_reads(ward: Ward) -> None:
    ward.harbor.calls(forget=True)
    ward.findings()
    assert {call.method for call in ward.harbor.calls()} == {"GET"}
    assert ward.cluster.merged == []


# --- Twenty illnesses and more, one by one ------------------------------------------------------

Illness = Callable[[Ward], None]
ILLNESSES: list[tuple[str, str, str, str, Illness]] = []
"""Check, state, words of what is said, of the command, and what makes the Sovereign ill."""


def illness(check: str, state: str, said: str, way: str) -> Callable[[Illness], Illness]:
    def keep(makes_ill: Illness) -> Illness:
        ILLNESSES.append((check, state, said, way, makes_ill))
        return makes_ill

    return keep


@illness("engine", "ill", "the backend has no stack of this name", "state-lost")
def _no_stack(ward: Ward) -> None:
    ward.engine["listed"] = []


@illness("engine", "ill", "pending: creating release", "pulumi up -s omantel")
def _pending(ward: Ward) -> None:
    operation = {"type": "creating", "resource": {"urn": "urn::release"}}
    ward.engine["deployment"]["pending_operations"] = [operation]


@illness("engine", "ill", "the last update ended 2 h ago with failed", "pulumi up -s omantel")
def _failed(ward: Ward) -> None:
    ward.engine["history"][0]["result"] = "failed"


@illness("engine", "warning", "an update is under way", "pulumi cancel -s omantel")
def _locked(ward: Ward) -> None:
    ward.engine["listed"][0]["updateInProgress"] = True


@illness("state", "ill", "another state made what is in the cluster", "state-lost")
def _other_state(ward: Ward) -> None:
    ward.objects[f"{API}/configmaps/sovereign-harbor-state"] = {"data": {"mark": "other"}}


@illness("state", "ill", "sovereign-harbor-state is gone", "pulumi refresh -s omantel")
def _no_mark(ward: Ward) -> None:
    del ward.objects[f"{API}/configmaps/sovereign-harbor-state"]


@illness("release", "ill", "revision 3 of Helm's release is pending-upgrade", "interrupted-run")
def _stuck(ward: Ward) -> None:
    path = f"{API}/secrets?labelSelector=owner%3Dhelm%2Cname%3Dharbor"
    ward.objects[path] = {"items": [release_of("pending-upgrade", "1.18.3")]}


@illness("release", "warning", "chart 1.17.0 runs", "make preview STACK=omantel")
def _older_chart(ward: Ward) -> None:
    path = f"{API}/secrets?labelSelector=owner%3Dhelm%2Cname%3Dharbor"
    ward.objects[path] = {"items": [release_of("deployed", "1.17.0")]}


@illness("pods", "ill", "harbor-core-1 (CrashLoopBackOff)", "kubectl describe pod harbor-core-1")
def _crashes(ward: Ward) -> None:
    (core,) = ward.objects[f"{API}/pods"]["items"]
    core["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}


@illness("health", "ill", "jobservice (connection refused)", "kubectl get pods -n harbor")
def _jobservice_down(ward: Ward) -> None:
    ward.harbor.settings.down.add("jobservice")


@illness("login", "ill", "refuses the login of admin", "config set --secret harborAdminPassword")
def _wrong_password(ward: Ward) -> None:
    ward.connection.secrets[ADMIN, ADMIN_PASSWORD_KEY] = "another"


@illness("secrets", "ill", "harbor-pg-credentials (no Secret)", "kubectl describe sealedsecret")
def _no_secret(ward: Ward) -> None:
    del ward.objects[f"{API}/secrets/harbor-pg-credentials"]


@illness("secrets", "ill", "no key could decrypt secret", "sealing-key")
def _other_key(ward: Ward) -> None:
    refused = sealed_of(ADMIN, synced="False", message="no key could decrypt secret")
    ward.objects[SEALED]["items"][0] = refused


@illness("sealing-certificate", "warning", "the sealing certificate ends in 5 d", "sealing-key")
def _sealing_ends(ward: Ward) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ward.objects[CONTROLLER] = certificate_of(key, ends=now() + dt.timedelta(days=5, hours=1))


@illness("tls-certificate", "ill", "ends in 28 h", "certificate-expiry")
def _tls_ends(ward: Ward) -> None:
    ward.objects[f"{API}/secrets/harbor-tls"] = secret_of(**{"tls.crt": ends(hours=28, minutes=30)})


@illness("tls-certificate", "ill", "harbor/harbor-tls is not there", "kubectl describe certificate")
def _no_tls(ward: Ward) -> None:
    del ward.objects[f"{API}/secrets/harbor-tls"]


@illness("token-certificate", "ill", "ended 3 d ago", "'rotation.tokenCertificate' 2")
def _token_ended(ward: Ward) -> None:
    path = f"{API}/secrets/harbor-minted-token-certificate"
    ward.objects[path] = secret_of(**{"tls.crt": ends(days=-3, hours=-1)})


@illness("robots", "ill", "logins of robots have ended: robot$ci", "robot-expired")
def _robot_ended(ward: Ward) -> None:
    _robot(ward, now() - dt.timedelta(days=1))


@illness("robots", "warning", "robot$ci in 5 d", "robot-expired")
def _robot_ends(ward: Ward) -> None:
    _robot(ward, now() + dt.timedelta(days=5, hours=1))


def _robot(ward: Ward, end: dt.datetime) -> None:
    rows = ward.harbor.world.table("robots")
    first = next(iter(rows.values()))
    own = {"name": "ci", "expires_at": int(end.timestamp())}
    row = ward.harbor.world.insert("robots", {**first, **own})
    row["id"] = max(rows)


@illness("database", "warning", "1 of 2 instances", "kubectl describe clusters.postgresql")
def _one_instance(ward: Ward) -> None:
    ward.objects[f"{CNPG}/clusters/harbor-pg"]["status"]["readyInstances"] = 1


@illness("connections", "warning", "170 of 200 connections", "database-connections")
def _connections_used(ward: Ward) -> None:
    ward.objects[METRICS] = metrics_of(170)


@illness("backup", "ill", "is 3 d old, more than 26 h", "kubectl create -n harbor")
def _backup_old(ward: Ward) -> None:
    cluster = ward.objects[f"{CNPG}/clusters/harbor-pg"]
    cluster["status"]["lastSuccessfulBackup"] = ago(days=3)


@illness("backup", "ill", "the database's log is not archived: no such bucket", "backup-too-old")
def _not_archived(ward: Ward) -> None:
    (condition,) = ward.objects[f"{CNPG}/clusters/harbor-pg"]["status"]["conditions"]
    condition.update(status="False", message="no such bucket")


@illness("drill", "ill", "the last restore drill failed", "make restore-drill STACK=omantel")
def _drill_failed(ward: Ward) -> None:
    ward.record(**{"restore-drill": drilled(passed=0)})


@illness("drill", "warning", "a restore drill passed 50 d ago", "make restore-drill")
def _drill_old(ward: Ward) -> None:
    ward.record(**{"restore-drill": drilled(days=50)})


@illness("gc", "ill", "the last garbage collection failed", "gc-not-shrinking")
def _gc_failed(ward: Ward) -> None:
    ward.harbor.world.insert("cleanings", {"kind": "gc", "parameters": {}, "status": "Error"})


@illness("gc", "ill", "did not begin: jobservice lost its schedule", "queue-stuck")
def _gc_late(ward: Ward) -> None:
    for row in ward.harbor.world.table("cleanings").values():
        if row["kind"] == "gc":
            row["creation_time"] = row["update_time"] = ago(days=40)


@illness("purge", "ill", "Harbor has no schedule of the purge", "pulumi up --refresh -s omantel")
def _no_purge(ward: Ward) -> None:
    del ward.harbor.world["schedules"]["purge"]


@illness("scan", "ill", "8 of 10 failed", "scans-fail")
def _scans_fail(ward: Ward) -> None:
    told = {"total": 10, "metrics": {"Success": 2, "Error": 8}}
    ward.harbor.world["schedules"]["scan_metrics"] = told


@illness("replication", "ill", "mirror failed", "replication-fails")
def _replication_fails(ward: Ward) -> None:
    ward.harbor.world.insert(
        "executions",
        {
            "policy": _policy(ward),
            "final_at": 0,
            "status": "Failed",
            "status_text": "",
            "start_time": ago(hours=1),
            "end_time": ago(hours=1),
        },
    )


def _policy(ward: Ward) -> int:
    registry = Registry(ward.harbor)
    upstream = {"name": "up", "type": "docker-hub", "url": "https://hub.docker.com"}
    registry.ask("POST", "/registries", upstream)
    (row,) = registry.ask("GET", "/registries")
    body = {"name": "mirror", "src_registry": {"id": row["id"]}, "enabled": True}
    registry.ask("POST", "/replication/policies", {**body, "trigger": {"type": "manual"}})
    (policy,) = registry.ask("GET", "/replication/policies")
    return policy["id"]


@illness("quotas", "ill", "quotas are used up, and pushes refused: apps", "quota-full")
def _quota_full(ward: Ward) -> None:
    _quota(ward, used=1000)


@illness("quotas", "warning", "apps 95 %", "quota-full")
def _quota_near(ward: Ward) -> None:
    _quota(ward, used=950)


def _quota(ward: Ward, *, used: int) -> None:
    number = next(
        n for n, row in ward.harbor.world.table("projects").items() if row["name"] == "apps"
    )
    for row in ward.harbor.world.table("quotas").values():
        if row["project"] == number:
            row.update(hard=1000, used=used)


@illness("bucket", "ill", "near the vendor's limit: 85000000000000 of", "bucket-full")
def _bucket_full(ward: Ward) -> None:
    ward.record(**{INVENTORY: json.dumps({**INVENTORY_OF, "bytes": 85 * 10**12})})


@illness("bucket", "warning", "900.0 GB, 0.02 EUR a month, that no image refers to", "gc-not-shr")
def _orphans(ward: Ward) -> None:
    ward.record(**{INVENTORY: json.dumps({**INVENTORY_OF, "orphanBytes": 900 * 10**9})})


@illness("bucket", "unknown", "no inventory of the bucket", "make bucket-truth STACK=omantel")
def _no_inventory(ward: Ward) -> None:
    del ward.objects[RECORDED]["data"][INVENTORY]


@illness("images", "ill", "does not have any more: apps/web:v1 (shop/web-1)", "push them again")
def _image_gone(ward: Ward) -> None:
    Registry(ward.harbor).ask("DELETE", "/projects/apps/repositories/web/artifacts/v1")


@illness("images", "ill", "pods cannot pull their image", "kubectl describe pod web-1 -n shop")
def _pull_fails(ward: Ward) -> None:
    (web,) = ward.objects["/api/v1/pods?limit=500"]["items"]
    web["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}


@illness("images", "warning", "apps/web:v1 (it was not scanned)", "registry-block-severity")
def _pull_refused(ward: Ward) -> None:
    metadata = {"prevent_vul": "true", "severity": "high"}
    Registry(ward.harbor).ask("PUT", "/projects/apps", {"metadata": metadata})


@illness("image-policy", "warning", "shop/web-1 (require-harbor-images)", "policyreports")
def _policy_refuses(ward: Ward) -> None:
    ward.objects[REPORTS] = {"items": [_report("fail")]}


def test_there_are_twenty_illnesses() -> None:
    assert len(ILLNESSES) >= 20
    assert {check for check, *_ in ILLNESSES} == CHECKS.keys() - {"cluster"}


@pytest.mark.parametrize(
    ("check", "state", "said", "way", "makes_ill"),
    ILLNESSES,
    ids=[makes_ill.__name__.strip("_") for *_, makes_ill in ILLNESSES],
)
def test_each_illness_is_found_and_nothing_else(
    ward: Ward, check: str, state: str, said: str, way: str, makes_ill: Illness
) -> None:
    makes_ill(ward)
    (found,) = ward.findings()
    assert (found.check, found.state) == (check, state)
    assert said in found.what
    assert way in found.command


# --- What does not answer -----------------------------------------------------------------------


def test_of_a_cluster_that_does_not_answer_one_illness_is_told(ward: Ward) -> None:
    def get(path: str) -> Any:
        raise ClusterUnreachable("connection refused")

    ward.cluster.get = ward.cluster.text = get
    report, _ = doctor.examined(ward.sovereign())
    (ill,) = [each for each in report.findings if each.state == "ill"]
    assert (ill.check, ill.what) == ("cluster", "the cluster does not answer: connection refused")
    assert report.page().count("the cluster does not answer") == 2
    assert "Traceback" not in report.page()


def test_a_harbor_that_does_not_answer_is_one_illness(ward: Ward) -> None:
    ward.connection = Direct(namespace=NS, api_url="http://127.0.0.1:9")
    ward.connection.secrets = {(ADMIN, ADMIN_PASSWORD_KEY): ADMIN_PASSWORD}
    ill, *others = sorted(ward.findings(), key=lambda each: each.state)
    assert (ill.check, ill.state) == ("health", "ill")
    assert "Harbor does not answer: " in ill.what
    assert {each.what for each in others} == {"not checked: Harbor does not answer"}


def test_another_cluster_than_the_stacks_is_not_looked_at(ward: Ward) -> None:
    ward.cluster.cluster_name = "otech"
    report, _ = doctor.examined(ward.sovereign())
    found = next(each for each in report.findings if each.check == "cluster")
    assert found.state == "ill"
    assert "leads to cluster 'otech', and this stack is for 'omantel'" in found.what
    assert ward.cluster.asked == []


def test_a_part_that_is_withheld_is_a_check_that_was_not_made(ward: Ward) -> None:
    ward.cluster.refused[SEALED] = 403
    (found,) = ward.findings()
    assert (found.check, found.state) == ("secrets", "unknown")
    assert found.what.startswith("not checked: ")


def test_an_object_of_another_shape_is_no_traceback(ward: Ward) -> None:
    ward.objects[f"{API}/pods"] = {"items": ["a text"]}
    (found,) = ward.findings()
    assert (found.check, found.state) == ("pods", "unknown")


def test_a_source_that_hangs_is_given_up_at_the_deadline() -> None:
    begun, hold = time.monotonic(), threading.Event()
    answers = side_by_side({"slow": hold.wait, "quick": lambda: 1}, 1)
    hold.set()
    assert time.monotonic() - begun < 5
    assert answers["slow"].reason == "no answer within 1 s"
    assert answers["quick"].value == 1


def test_an_error_that_could_quote_a_secret_is_told_by_its_kind_only() -> None:
    def fails() -> None:
        raise RuntimeError("password=hunter2")

    answer = side_by_side({"a": fails}, 5)["a"]
    assert answer.reason == "the answer is not as expected (RuntimeError)"


# --- The command --------------------------------------------------------------------------------


@pytest.fixture
def of_the_ward(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr(doctor, "of_stack", lambda _stack: ward.sovereign())
    return ward


def test_the_command_ends_with_0_on_a_healthy_sovereign(
    of_the_ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["doctor", "omantel", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stack"] == "omantel"
    assert told["state"] == "ok"
    assert {each["check"] for each in told["checks"]} == CHECKS.keys()
    assert set(told["checks"][0]) == {"check", "state", "what", "command"}


def test_the_command_ends_with_1_where_something_is_ill(
    of_the_ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    of_the_ward.harbor.settings.down.add("jobservice")
    assert command.main(["doctor", "omantel"]) == 1
    page = capsys.readouterr().out
    assert page.splitlines()[2].startswith("ILL       health")
    assert page.splitlines()[-1] == "1 ILL, 23 ok"
    assert ADMIN_PASSWORD not in page


def test_the_command_ends_with_2_where_nothing_was_looked_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["doctor", "nowhere"]) == 2
    assert "there is no Pulumi.nowhere.yaml" in capsys.readouterr().err


def test_nothing_is_recorded_unless_asked_for(of_the_ward: Ward) -> None:
    command.main(["doctor", "omantel"])
    assert of_the_ward.cluster.merged == []


def test_figures_are_recorded_beside_what_other_commands_wrote(of_the_ward: Ward) -> None:
    assert command.main(["doctor", "omantel", "--record"]) == 0
    ((path, merged),) = of_the_ward.cluster.merged
    assert path == f"{RECORDED}?fieldManager=sovereign-harbor-doctor"
    assert merged["data"].keys() == {"doctor"}
    text = merged["data"]["doctor"]
    ((_, size),) = figures(text, own_metrics.BUCKET_SIZE.name)
    assert size == INVENTORY_OF["bytes"]
    assert {
        labels["severity"] for labels, _ in figures(text, own_metrics.DOCTOR_FINDINGS.name)
    } == {
        "ill",
        "warning",
        "unknown",
    }
    assert [labels for labels, _ in figures(text, own_metrics.CERTIFICATE_EXPIRY.name)] == [
        {"certificate": "tls"},
        {"certificate": "token"},
    ]


def test_the_first_figures_make_the_config_map() -> None:
    made: list[tuple[str, Any]] = []

    class Empty:
        def patch(self, path: str, merge: Any) -> None:
            raise ClusterUnreachable("not there", 404)

        def post(self, path: str, body: Any) -> None:
            made.append((path, body))

    client: Any = Empty()
    record.write(client, NS, "doctor", {"doctor": "a 1\n"})
    ((path, body),) = made
    assert path == f"{API}/configmaps?fieldManager=sovereign-harbor-doctor"
    assert body["metadata"] == {"name": "harbor-recorded-metrics", "namespace": NS}


# --- Schedules ----------------------------------------------------------------------------------

SUNDAY = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("cron", "now", "due"),
    [
        ("0 0 0 * * 0", SUNDAY + dt.timedelta(days=3), SUNDAY),
        ("0 0 0 * * 0", SUNDAY, SUNDAY),
        ("0 0 0 * * 0", SUNDAY - dt.timedelta(minutes=1), SUNDAY - dt.timedelta(days=7)),
        ("0 */15 * * * *", SUNDAY + dt.timedelta(minutes=50), SUNDAY + dt.timedelta(minutes=45)),
        ("0 0 3 1 * *", SUNDAY, dt.datetime(2026, 11, 1, 3, tzinfo=dt.UTC)),
        ("no cron", SUNDAY, None),
    ],
)
def test_when_a_schedule_was_due_last(cron: str, now: dt.datetime, due: dt.datetime | None) -> None:
    assert last_due(cron, now) == due


def test_a_schedule_that_is_new_or_ran_is_not_late() -> None:
    now = SUNDAY + dt.timedelta(days=1)
    weekly, long_ago = "0 0 0 * * 0", SUNDAY - dt.timedelta(days=90)
    assert overdue(weekly, long_ago, None, now) == SUNDAY
    assert overdue(weekly, SUNDAY + dt.timedelta(hours=1), None, now) is None
    assert overdue(weekly, long_ago, SUNDAY + dt.timedelta(seconds=2), now) is None
    assert overdue(weekly, long_ago, SUNDAY - dt.timedelta(days=7), now) == SUNDAY
    # A queue that is full begins later.
    assert overdue(weekly, long_ago, None, SUNDAY + dt.timedelta(hours=1)) != SUNDAY


def test_every_page_that_a_finding_names_is_there() -> None:
    sources = [*(ROOT / "operations" / "doctor").rglob("*.py")]
    named = {
        page
        for source in sources
        for page in re.findall(r"docs/(?:runbooks|howto)/[\w-]+\.md", source.read_text())
    }
    assert len(named) > 10
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []
