"""Runbooks are followed, as they are written, by somebody whose Sovereign has the failure.

Each test makes the failure, follows the page, and reads what the page calls the proof. Those of
docs/runbooks/sealing-key.md, state-lost.md and restore.md are followed in files of their own.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from engine.stack import Stack
from sandbox import cluster, kyverno, processes, storage
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_harbor_api import forwarded
from tests.sandbox.test_registry import accepted
from tests.support import runbook
from tests.support.harbor_client import Client
from tests.support.sandbox import NAMESPACE, generations, objects, unsealed

ADMIN = "harbor-minted-admin-password"
POD = "runbook-probe"
WEBHOOK = "vpol.validate.kyverno.svc-fail-finegrained-require-harbor-images"
"""What Kyverno calls it, as the page quotes it."""


def kubectl(sandbox: Sandbox, *arguments: str, stdin: str | None = None) -> str:
    return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, stdin=stdin)


def lines(page: str, section: str) -> list[str]:
    """The commands of a section, for the Sovereign of the sandbox."""
    block = runbook.commands(page)[section].replace("-s omantel", "-s local")
    return [line for line in block.replace("\\\n", " ").splitlines() if line]


def follow(stack: Stack, page: str, section: str, *, typed: tuple[str, ...] = ()) -> str:
    """Runs the commands of a section; what they said. `typed`: for those that ask, in order."""
    answers, said = list(typed), ""
    for line in lines(page, section):
        asks = re.search(r"config set --secret \w+ -s \S+$", line)
        said += runbook.run(stack, line, {}, typed=answers.pop(0) if asks else "")
    assert answers == []
    return said


@pytest.fixture
def file_as_before(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """What a page sets in the stack's file is taken back."""
    with sandbox.configured():
        yield sovereign


# The Helm release is stuck ------------------------------------------------------------------------


def newest_record(sandbox: Sandbox) -> dict[str, Any]:
    records = [each for each in objects(sandbox, "secrets") if each["type"] == "helm.sh/release.v1"]
    return max(records, key=lambda record: int(record["metadata"]["labels"]["version"]))


def leave_pending(sandbox: Sandbox) -> str:
    """Leaves what an upgrade leaves that is killed while Helm works; the record's name."""
    record = newest_record(sandbox)
    release = json.loads(
        gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"])))
    )
    revision = release["version"] + 1
    release |= {"version": revision}
    release["info"] |= {"status": "pending-upgrade"}
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    name = f"sh.helm.release.v1.harbor.v{revision}"
    labels = record["metadata"]["labels"] | {"status": "pending-upgrade", "version": str(revision)}
    pending = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": record["type"],
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "data": {"release": base64.b64encode(packed).decode()},
    }
    kubectl(sandbox, "create", "-f", "-", stdin=json.dumps(pending))
    return name


def test_a_release_that_is_stuck_goes_on_with_the_next_change(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    name = leave_pending(sandbox)
    assert name in follow(sovereign, "helm-release-stuck", "Look")
    with sandbox.configured(harbor={"replicas": {"portal": 2}}):
        follow(sovereign, "helm-release-stuck", "Run it again")
        assert "deployed" in follow(sovereign, "helm-release-stuck", "Proof")
    assert newest_record(sandbox)["metadata"]["labels"]["status"] == "deployed"
    sovereign.up()


def test_a_record_that_hinders_nobody_is_removed_by_hand(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = generations(sandbox)
    name = leave_pending(sandbox)
    assert name in follow(sovereign, "helm-release-stuck", "Remove the record by hand")
    assert newest_record(sandbox)["metadata"]["labels"]["status"] == "deployed"
    assert generations(sandbox) == before


# The bucket's key leaked --------------------------------------------------------------------------


@contextlib.contextmanager
def other_pair(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Another pair, and only that one, is valid for a while: the gateway has one account."""
    kept = sandbox.state.credentials()
    new = {"s3AccessKey": "AFTERTHELEAKKEY001", "s3SecretKey": "replaced" * 5}

    def restart(credentials: dict[str, str]) -> None:
        running = processes.find(sandbox.state, storage.NAME)
        assert running is not None
        processes.stop(sandbox.state, running)
        sandbox.state.save("credentials.json", credentials)
        storage.start(sandbox.state, sandbox.tools)

    restart(new)
    try:
        yield new["s3AccessKey"], new["s3SecretKey"]
    finally:
        restart(kept)


def test_a_leaked_key_is_replaced_and_the_registry_alone_restarts(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before, running = unsealed(sandbox), generations(sandbox)
    leaked = sandbox.state.credentials()["s3AccessKey"]
    assert follow(sovereign, "s3-key-leaked", "Look").startswith(leaked)
    with sandbox.configured(), other_pair(sandbox) as pair:
        refused = sovereign.run("refresh", "-s", "local", "--preview-only", check=False)
        assert refused.code != 0
        assert "check s3AccessKey and s3SecretKey" in refused.text, "storage-errors.md says so"
        follow(sovereign, "s3-key-leaked", "Mend", typed=pair)
        assert follow(sovereign, "s3-key-leaked", "Proof").startswith(pair[0])
    restarted = {name for name, each in generations(sandbox).items() if each != running[name]}
    assert restarted == {"Deployment/harbor-registry"}
    sovereign.up()
    assert unsealed(sandbox) == before


# Kyverno blocks everything ------------------------------------------------------------------------


def probe(sandbox: Sandbox) -> str:
    """What the API server says to a pod with an image that is not Harbor's."""
    try:
        return kubectl(
            sandbox,
            *("run", POD, "-n", "default", "--image=docker.io/library/busybox"),
            *("--dry-run=server", "-o", "name"),
        )
    except Exception as refused:
        return str(refused)


def test_a_cluster_is_freed_of_a_kyverno_that_does_not_answer(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    assert "denied the request" in probe(sandbox)
    kyverno.stop(sandbox.state)
    try:
        said = probe(sandbox)
        assert f'failed calling webhook "{WEBHOOK}"' in said
        assert "kyverno" in follow(sovereign, "kyverno-blocks-everything", "Look")
        follow(sovereign, "kyverno-blocks-everything", "Kyverno does not answer")
        assert wait_until(lambda: POD in probe(sandbox), seconds=180)
        assert f"pod/{POD}" in follow(sovereign, "kyverno-blocks-everything", "Proof")
    finally:
        kyverno.start(sandbox.state, sandbox.tools)
    assert wait_until(lambda: "denied the request" in probe(sandbox), seconds=180)


# It is the wrong cluster --------------------------------------------------------------------------


def test_another_cluster_is_refused_until_its_identity_is_given(
    sandbox: Sandbox, file_as_before: Stack
) -> None:
    uid = json.loads(kubectl(sandbox, "get", "namespace", "kube-system", "-o", "json"))
    section = sandbox.section("cluster")
    sandbox.configure(cluster={**section, "uid": "00000000-0000-0000-0000-000000000000"})
    refused = file_as_before.run("preview", "-s", "local", check=False)
    assert refused.code != 0
    assert "it is another cluster of the same name" in " ".join(refused.text.split())
    assert uid["metadata"]["uid"] in follow(file_as_before, "wrong-cluster", "Look")
    follow(file_as_before, "wrong-cluster", "The cluster was made anew")
    assert sandbox.section("cluster")["uid"] == uid["metadata"]["uid"]
    follow(file_as_before, "wrong-cluster", "Proof")


# Schedules, admin and robots: Harbor's own --------------------------------------------------------


def admin_of(sandbox: Sandbox) -> str:
    return unsealed(sandbox)[ADMIN]["HARBOR_ADMIN_PASSWORD"]


# From here on the Sovereign keeps what the pages set; the next file finds another one.


def test_schedules_that_harbor_lost_are_set_again(sandbox: Sandbox, sovereign: Stack) -> None:
    path = "/system/gc/schedule"
    with forwarded(sandbox) as url:
        client = Client(url, ("admin", admin_of(sandbox)))
        kept = client.ask("GET", path).body["schedule"]["cron"]
        none = {
            "schedule": {"type": "None", "cron": ""},
            "parameters": {"delete_untagged": False, "workers": 1},
        }
        assert client.ask("PUT", path, none).status == 200
        assert not client.ask("GET", path).body
    follow(sovereign, "schedules-do-not-run", "Harbor lost them, too")
    follow(sovereign, "schedules-do-not-run", "Proof")
    with forwarded(sandbox) as url:
        client = Client(url, ("admin", admin_of(sandbox)))
        assert client.ask("GET", path).body["schedule"]["cron"] == kept, "weekly, as the default is"


def test_a_robot_s_login_is_made_anew_by_its_page(sandbox: Sandbox, sovereign: Stack) -> None:
    assert "ci" in follow(sovereign, "robot-expired", "Look")
    follow(sovereign, "robot-expired", "Mend")
    auths = json.loads(unsealed(sandbox)["registry-apps-ci"][".dockerconfigjson"])["auths"]
    login = auths["registry.local.harbor.test"]
    assert login["username"] == "robot$apps+ci-2"
    assert accepted(sandbox, (login["username"], login["password"])) == [True]


def test_a_policy_that_denies_is_set_to_audit(sandbox: Sandbox, sovereign: Stack) -> None:
    said = probe(sandbox)
    assert f'admission webhook "{WEBHOOK}" denied the request: Policy' in said
    assert "require-harbor-images failed: only images from" in said
    assert "refused: docker.io/library/busybox" in said
    follow(sovereign, "kyverno-blocks-everything", "Kyverno denies")
    assert wait_until(lambda: POD in probe(sandbox), seconds=180)
    assert f"pod/{POD}" in follow(sovereign, "kyverno-blocks-everything", "Proof")


def test_an_admin_who_is_locked_out_comes_in_again(sandbox: Sandbox, sovereign: Stack) -> None:
    """The last: where a secret was given, conftest.py makes the Sovereign anew."""
    forgotten, given = admin_of(sandbox), "Changed-By-Somebody-1"
    with forwarded(sandbox) as url:
        body = {"old_password": forgotten, "new_password": given}
        client = Client(url, ("admin", forgotten))
        assert client.ask("PUT", "/users/1/password", body).status == 200
    follow(
        sovereign,
        "admin-locked-out",
        "Somebody knows the password that Harbor has",
        typed=(given,),
    )
    follow(sovereign, "admin-locked-out", "Proof")
    made = yaml.safe_load(
        sovereign.run("stack", "output", "adminPassword", "--show-secrets", "-s", "local").text
    )
    assert made not in (forgotten, given)
    with forwarded(sandbox) as url:
        assert Client(url, ("admin", made)).ask("GET", "/users/current").status == 200
        assert Client(url, ("admin", given)).ask("GET", "/users/current").status == 401
