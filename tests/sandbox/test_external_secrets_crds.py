"""The manifests for the External Secrets Operator against its published CRDs.

EXTERNAL_SECRETS_CRDS names a file or folder of them: deploy/crds/bundle.yaml, or config/crds/bases,
of external-secrets/external-secrets. They are no part of this project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.delivery.objects import (
    EXTERNAL_API,
    PASSWORD,
    PUSH_API,
    URL_QUOTED,
    Remote,
    external_secret_spec,
    proof_manifest,
    push_secret_spec,
)
from components.settings.secrets import StoreSettings
from sandbox import cluster
from sandbox.processes import SandboxError
from tests.support.sandbox import Sandbox

CRDS = os.environ.get("EXTERNAL_SECRETS_CRDS", "")
STORE = StoreSettings(name="platform")
NAMED = {"namespace": "default", "name": "harbor-one"}

pytestmark = pytest.mark.skipif(not CRDS, reason="EXTERNAL_SECRETS_CRDS names no published CRDs")


def made(api_version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": NAMED, "spec": spec}


def external(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "remotes": {"password": Remote(key="omantel-one", part="password")},
        "refresh_interval": "1h",
        "kind": "kubernetes.io/basic-auth",
        "labels": {"cnpg.io/reload": "true"},
        "revision": "0a1b2c",
        **changes,
    }
    return made(EXTERNAL_API, "ExternalSecret", external_secret_spec(STORE, **arguments))


MANIFESTS = {
    "pushed": external(),
    "of a namespaced store": made(
        EXTERNAL_API,
        "ExternalSecret",
        external_secret_spec(
            StoreSettings(kind="SecretStore", name="vault"),
            remotes={"a": Remote(key="a")},
            refresh_interval="24h",
            kind="Opaque",
            labels={},
        ),
    ),
    "of the estate's": external(
        revision=None, template={"password": PASSWORD, "url": f"redis://:{URL_QUOTED}@valkey"}
    ),
    "push": made(
        PUSH_API,
        "PushSecret",
        push_secret_spec(
            STORE, source="one-pushed", key="k", keys=["password"], refresh_interval="1h30m"
        ),
    ),
    "proof": proof_manifest(
        "default",
        "harbor-one-in-store",
        store={"kind": "ClusterSecretStore", "name": "platform"},
        key="k",
        labels={"app.kubernetes.io/part-of": "sovereign-harbor"},
    ),
}


@pytest.fixture(scope="module", autouse=True)
def published(sandbox: Sandbox) -> Iterator[None]:
    """The published CRDs in the place of the stand-ins."""
    file = Path(CRDS)
    cluster.apply(sandbox.state, sandbox.tools, file)
    yield
    standin = cluster.MANIFESTS / "external-secrets-standin.yaml"
    cluster.kubectl(sandbox.state, sandbox.tools, "replace", "-f", str(standin))


def dry_run(sandbox: Sandbox, manifest: dict[str, Any]) -> dict[str, Any]:
    arguments = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "json")
    text = json.dumps(manifest)
    told = cluster.kubectl(sandbox.state, sandbox.tools, *arguments, "-f", "-", stdin=text)
    return json.loads(told)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_published_crds_take_it(name: str, sandbox: Sandbox) -> None:
    manifest = MANIFESTS[name]
    taken = dry_run(sandbox, manifest)
    assert contains(taken["spec"], manifest["spec"])


def contains(whole: Any, part: Any) -> bool:
    """Whether `whole` is `part` with defaults filled in."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        pairs = zip(whole, part, strict=True)
        return all(contains(each, value) for each, value in pairs)
    return whole == part


def test_a_misspelt_field_would_be_seen(sandbox: Sandbox) -> None:
    manifest = json.loads(json.dumps(MANIFESTS["pushed"]))
    manifest["spec"]["target"]["createPolicy"] = "Owner"
    with pytest.raises(SandboxError, match="createPolicy"):
        dry_run(sandbox, manifest)
