"""A Sovereign is taken down, its database stays, and another state goes on with it.

The commands are those of docs/runbooks/take-down.md. Order matters.
"""

from __future__ import annotations

from engine.stack import Stack
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support import runbook
from tests.support.sandbox import (
    NAMESPACE,
    bucket_client,
    destroyed_wholly,
    edit_state,
    objects,
    unsealed,
)

KEPT = ("harbor-minted-secret-key", "harbor-minted-admin-password", "harbor-pg-credentials")


def test_what_the_protected_resources_need_comes_back_the_same(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = unsealed(sandbox)
    with sandbox.configured(protect="true"):
        sovereign.up()
        sovereign.run(
            "destroy", "-s", sovereign.name, "--exclude-protected", "--yes", "--skip-preview"
        )
        assert objects(sandbox, "deployments") == []
        sovereign.up()
    after = unsealed(sandbox)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    edit_state(sovereign, lambda resource: resource.pop("protect", None))


def test_a_database_that_was_kept_gets_no_new_credentials(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before, outputs = unsealed(sandbox), sovereign.outputs()
    sovereign.run("destroy", "-s", sovereign.name, "--yes", "--skip-preview")
    kept = {name: before[name] for name in KEPT}
    assert wait_until(lambda: unsealed(sandbox) == kept, seconds=180), [*unsealed(sandbox)]
    assert objects(sandbox, "clusters.postgresql.cnpg.io")
    assert bucket_client(sandbox, outputs).list_objects_v2(Bucket=outputs["bucket"])

    command = ("-o", "jsonpath='{.data.secretKey}'", "|", "base64", "-d", "|")
    # A preview is refused in test_lifecycle.py.
    refused = sovereign.run("up", "-s", sovereign.name, "--yes", "--skip-preview", check=False)
    said = " ".join(refused.text.split())
    assert refused.code != 0
    assert f"namespace {NAMESPACE} keeps {', '.join(KEPT)}" in said
    assert "pulumi stack import -s local --file <backup>" in said
    for config in ("harborSecretKey", "harborAdminPassword", "databasePassword"):
        assert f"pulumi config set --secret {config} -s local" in said
    assert f"kubectl get secret {KEPT[0]} -n {NAMESPACE} {' '.join(command)}" in said
    assert unsealed(sandbox) == kept
    for data in kept.values():
        assert not any(len(value) > 15 and value in refused.text for value in data.values())

    commands = runbook.commands("take-down")["Go on with a database that was kept"]
    runbook.run(sovereign, commands, {"STACK": sovereign.name, "NAMESPACE": NAMESPACE})
    after = unsealed(sandbox)
    assert after["harbor-given-secret-key"] == kept["harbor-minted-secret-key"]
    assert {name: after[name] for name in KEPT} == kept
    assert after["harbor-valkey-credentials"] != before["harbor-valkey-credentials"]
    sovereign.up(expect_no_changes=True)


def test_without_retain_data_nothing_stays(sandbox: Sandbox, sovereign: Stack) -> None:
    destroyed_wholly(sandbox, sovereign)
    assert objects(sandbox, "sealedsecrets.bitnami.com") == []
