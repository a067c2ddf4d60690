"""What the doctor says of Secrets that come by way of the estate's store."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from components.kubernetes.naming import PART_OF
from operations.doctor import sources
from operations.doctor.checks import secrets
from operations.doctor.findings import Answer, Finding, Reading
from tests.support import builders
from tests.support.builders import Cluster

State = dict[str, Any]

API = "/apis/external-secrets.io"
PART = f"?labelSelector={PART_OF[0].replace('/', '%2F')}%3D{PART_OF[1]}"
EXTERNAL = f"{API}/v1/namespaces/harbor/externalsecrets{PART}"
PUSHES = f"{API}/v1alpha1/namespaces/harbor/pushsecrets{PART}"
SECRET = "/api/v1/namespaces/harbor/secrets/harbor-one"
SETTINGS = builders.settings(secrets={"delivery": "external", "store": {"name": "platform"}})


def made(status: str = "True", *, generation: int = 1, message: str = "secret synced") -> State:
    condition = {"type": "Ready", "status": status, "message": message}
    return {
        "metadata": {"name": "harbor-one", "generation": generation, "uid": "uid"},
        "status": {"syncedResourceVersion": "1-0a", "conditions": [condition]},
    }


def secret(uid: str = "uid") -> State:
    owner = {"kind": "ExternalSecret", "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}, "data": {"password": "VE9QU0VDUkVU"}}


HEALTHY: State = {
    EXTERNAL: {"items": [made()]},
    PUSHES: {"items": [made(message="PushSecret synced successfully")]},
    SECRET: secret(),
}


def findings(objects: State) -> list[Finding]:
    cluster = Cluster(objects={**HEALTHY, **objects})
    of: Any = SimpleNamespace(settings=SETTINGS, namespace="harbor", cluster=lambda: cluster)
    read = sources.sources(of)["delivered"]()
    assert "VE9QU0VDUkVU" not in str(read)
    reading = Reading(
        stack="omantel",
        settings=SETTINGS,
        now=dt.datetime(2026, 11, 26, tzinfo=dt.UTC),
        answers={"delivered": Answer(value=read)},
    )
    return [*secrets.delivered(reading)]


def test_what_is_synced_is_well() -> None:
    (finding,) = findings({})
    assert (finding.state, finding.what) == ("ok", "1 Secrets are synced")


@pytest.mark.parametrize(
    ("objects", "said", "command"),
    [
        (
            {EXTERNAL: {"items": [made("False", message="could not get secret data")]}},
            "harbor/harbor-one (could not get secret data)",
            "kubectl describe externalsecret harbor-one -n harbor",
        ),
        (
            {PUSHES: {"items": [made("False", message="set secret failed: read-only")]}},
            "set secret failed: read-only",
            "kubectl describe pushsecret harbor-one -n harbor",
        ),
        ({EXTERNAL: {"items": [made(generation=2)]}}, "harbor-one", "describe externalsecret"),
        ({SECRET: None}, "no Secret", "describe externalsecret"),
        ({SECRET: secret("other")}, "an ExternalSecret that is gone", "describe externalsecret"),
        (
            {EXTERNAL: {"items": []}, PUSHES: {"items": []}},
            "no ExternalSecret of this program",
            "pulumi up --refresh -s omantel",
        ),
    ],
)
def test_what_is_not_synced_is_ill(objects: State, said: str, command: str) -> None:
    (finding,) = findings(objects)
    assert finding.state == "ill"
    assert said in finding.what
    assert command in finding.command


def test_nobody_asks_for_a_sealing_certificate() -> None:
    of: Any = SimpleNamespace(settings=SETTINGS, namespace="harbor")
    assert not {"sealed", "sealing certificate"} & sources.sources(of).keys()


def test_secrets_are_looked_for_where_this_stack_has_them() -> None:
    cluster = Cluster()
    storage = {**builders.BUCKET, "seamNamespace": "estate"}
    tenant = {"mode": "shared", "create": {"cluster": "pg", "namespace": "databases"}}
    stack = builders.settings(
        secrets={"delivery": "external", "store": {"name": "platform"}},
        storage=storage,
        database=tenant,
    )
    of: Any = SimpleNamespace(settings=stack, namespace="harbor", cluster=lambda: cluster)
    sources.sources(of)["delivered"]()
    homes = {path.split("/")[5] for path in cluster.asked}
    assert homes == {"harbor", "estate", "databases"}
