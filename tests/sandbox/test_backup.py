"""A Sovereign is backed up, and its database is replaced by a restored one.

The operators are stand-ins: what is shown is what they are told, and when. The commands are those
of docs/runbooks/restore.md. Order matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.data_services.origin import SERVER_ANNOTATION
from components.kubernetes.naming import RECORDED_METRICS
from engine import stacks
from engine.stack import Stack
from operations import restore_drill
from sandbox import cluster, harbor_api
from tests.sandbox.conftest import Sandbox
from tests.support import runbook
from tests.support.sandbox import NAMESPACE, bucket_client, generations, objects, unsealed

CLUSTERS = "clusters.postgresql.cnpg.io"
SCHEDULED = "scheduledbackups.postgresql.cnpg.io"
DESTINATION = {
    "bucket": "local-backup",
    "endpoint": "${SANDBOX_S3_ENDPOINT}",
    "region": "fsn1",
}


@pytest.fixture(scope="module")
def backed_up(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """The Sovereign with backups, protected as one is in production."""
    lasting = {**sandbox.section("storage"), "versioning": {"noncurrentDays": 30}}
    keys = {
        "backupAccessKey": "${SANDBOX_S3_ACCESS_KEY}",
        "backupSecretKey": "${SANDBOX_S3_SECRET_KEY}",
    }
    # As the drill asks where images are enforced (docs/howto/restore-drill.md).
    policy = {**sandbox.section("imagePolicy"), "extraExcludedNamespaces": ["harbor-drill"]}
    backup = {"destination": DESTINATION}
    sandbox.configure(protect="true", storage=lasting, backup=backup, imagePolicy=policy, **keys)
    sovereign.up()
    yield sovereign
    sandbox.configure(protect="false", database=None)
    sovereign.up()


def only(sandbox: Sandbox, kind: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    (one,) = objects(sandbox, kind, namespace)
    return one


def test_operators_are_told_to_back_up(sandbox: Sandbox, backed_up: Stack) -> None:
    store = only(sandbox, "objectstores.barmancloud.cnpg.io")
    assert store["spec"]["configuration"]["destinationPath"] == "s3://local-backup/"
    secret = unsealed(sandbox)["harbor-backup-credentials"]
    assert secret["access-key"] == sandbox.state.credentials()["s3AccessKey"]
    (plugin,) = only(sandbox, CLUSTERS)["spec"]["plugins"]
    assert plugin["parameters"] == {"barmanObjectName": "harbor-pg", "serverName": "harbor-pg"}
    assert only(sandbox, SCHEDULED)["spec"]["schedule"] == "0 0 2 * * *"
    schedule = only(sandbox, "schedules.velero.io", "velero")
    assert schedule["spec"]["template"]["includedNamespaces"] == [NAMESPACE]
    secrets = objects(sandbox, "secrets")
    sealed = {each["metadata"]["name"] for each in objects(sandbox, "sealedsecrets.bitnami.com")}
    left_out = {
        each["metadata"]["name"]
        for each in secrets
        if "velero.io/exclude-from-backup" in (each["metadata"].get("labels") or {})
    }
    assert left_out == sealed
    client = bucket_client(sandbox, backed_up.outputs())
    (mark,) = client.list_objects_v2(Bucket="local-backup")["Contents"]
    assert mark["Key"] == ".sovereign-harbor/owner.json"


def test_a_second_run_changes_nothing(backed_up: Stack) -> None:
    backed_up.up(expect_no_changes=True)
    assert backed_up.outputs()["databaseServerName"] == "harbor-pg"


def test_a_drill_touches_nothing_that_lives_and_leaves_nothing(
    sandbox: Sandbox,
    backed_up: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The stand-in makes the drill's Cluster Ready without a pod, so that psql is as far as a
    drill gets here; tests/sandbox/test_restore_real.py has a real database."""

    def kubectl(*arguments: str) -> str:
        return cluster.kubectl(sandbox.state, sandbox.tools, *arguments)

    ended = {"harbor-pg": {"lastSuccessfulBackupTime": "2026-11-01T02:00:31Z"}}
    status = json.dumps({"status": {"serverRecoveryWindow": ended}})
    told = ("patch", "objectstore", "harbor-pg", "-n", NAMESPACE, "--subresource=status")
    kubectl(*told, "--type=merge", "-p", status)
    before = only(sandbox, CLUSTERS)
    for name, value in sandbox.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stacks, "file_of", lambda name: sandbox.project / f"Pulumi.{name}.yaml")
    assert restore_drill.run(restore_drill.Request(stack=backed_up.name, minutes=10)) == 1
    said = capsys.readouterr()
    assert "psql in pod harbor-drill/harbor-pg-drill-1 failed" in said.out
    assert said.err == ""
    assert "harbor-drill" not in kubectl("get", "namespaces", "-o", "name")
    after = only(sandbox, CLUSTERS)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    recorded = kubectl("get", "configmap", RECORDED_METRICS, "-n", NAMESPACE, "-o", "yaml")
    assert "sovereign_harbor_restore_drill_passed 0" in recorded
    backed_up.up(expect_no_changes=True)
    kubectl("delete", "configmap", RECORDED_METRICS, "-n", NAMESPACE)


def test_a_restore_is_refused_while_a_database_lives(sandbox: Sandbox, backed_up: Stack) -> None:
    before = only(sandbox, CLUSTERS)
    with sandbox.configured(database={"restore": {"server": "harbor-pg"}}):
        for tried in (("preview",), ("up", "--yes", "--skip-preview")):
            refused = backed_up.run(*tried, "-s", backed_up.name, check=False)
            said = " ".join(refused.text.split())
            assert refused.code != 0
            assert "lives (it archives as harbor-pg)" in said
            assert "'database.restore.replace' true -s local" in said
    assert (
        only(sandbox, CLUSTERS)["metadata"]["resourceVersion"]
        == (before["metadata"]["resourceVersion"])
    )


def test_nothing_is_deleted_for_a_backup_that_is_not_there(
    sandbox: Sandbox, backed_up: Stack
) -> None:
    before = only(sandbox, CLUSTERS)
    restore = {"server": "harbor-pg", "replace": True}
    with sandbox.configured(database={"restore": restore}):
        refused = backed_up.run("up", "--yes", "--skip-preview", "-s", backed_up.name, check=False)
    assert refused.code != 0
    said = " ".join(refused.text.split())
    assert "bucket local-backup holds no base backup of server harbor-pg" in said
    assert only(sandbox, CLUSTERS)["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_database_is_replaced_by_a_restored_one(sandbox: Sandbox, backed_up: Stack) -> None:
    # The plugin's part: a base backup, as barman names it.
    bucket_client(sandbox, backed_up.outputs()).put_object(
        Bucket="local-backup", Key="harbor-pg/base/20261101T020000/backup.info", Body=b"status=DONE"
    )
    before, scheduled, pods = (
        only(sandbox, CLUSTERS),
        only(sandbox, SCHEDULED),
        generations(sandbox),
    )
    credentials = unsealed(sandbox)
    commands = runbook.commands("restore")
    variables = {"STACK": backed_up.name, "NAMESPACE": NAMESPACE}
    for section in ("2. Say what is restored", "3. Restore"):
        runbook.run(backed_up, commands[section], variables)
    after = only(sandbox, CLUSTERS)
    server = backed_up.outputs()["databaseServerName"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["annotations"][SERVER_ANNOTATION] == server != "harbor-pg"
    assert list(after["spec"]["bootstrap"]) == ["recovery"]
    (source,) = after["spec"]["externalClusters"]
    assert source["plugin"]["parameters"]["serverName"] == "harbor-pg"
    assert after["spec"]["plugins"][0]["parameters"]["serverName"] == server
    # Its first base backup is made at once, as a new ScheduledBackup does.
    assert only(sandbox, SCHEDULED)["metadata"]["uid"] != scheduled["metadata"]["uid"]
    # The same credentials, and Harbor starts anew on the database that it now has.
    assert unsealed(sandbox) == credentials
    started = {name for name, number in generations(sandbox).items() if pods[name] != number}
    assert {"Deployment/harbor-core", "Deployment/harbor-jobservice"} <= started
    harbor_api.control(sandbox.state, "restart")  # nothing of Harbor runs in its pods here
    state = json.loads(backed_up.run("stack", "export", "-s", backed_up.name).text)
    resources = state["deployment"]["resources"]
    (cluster,) = (r for r in resources if r["urn"].endswith("::database-cluster"))
    assert cluster["protect"]


def test_a_database_archives_on_without_the_section(sandbox: Sandbox, backed_up: Stack) -> None:
    before = only(sandbox, CLUSTERS)
    server = backed_up.outputs()["databaseServerName"]
    with sandbox.configured(database=None):
        backed_up.up()
        after = only(sandbox, CLUSTERS)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["spec"]["plugins"] == before["spec"]["plugins"]
        assert list(after["spec"]["bootstrap"]) == ["recovery"]
        assert backed_up.outputs()["databaseServerName"] == server
        backed_up.up(expect_no_changes=True)
