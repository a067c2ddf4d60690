"""A Sovereign whose Secrets come by way of a store. Order matters.

What is real: the engine, the API server, garbage collection. The kinds are small CRDs, and
sandbox/stand_ins/external_secrets.py carries them out.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.credentials import read_by_component
from components.delivery.objects import OWNER_KEY
from components.harbor_inputs import Cache, cache_secret
from engine.stack import Stack
from sandbox import cluster, external_secrets
from sandbox.waiting import wait_until
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import NAMESPACE, edit_state, generations, objects, remove, unsealed

PREFIX = "local-harbor-test-"
STORED = "estate-redis"
FIRST, SECOND = "p@ss word+1/ä", "rotated:by the estate"
DELIVERY = {"delivery": "external", "store": {"name": external_secrets.STORE}}
VALKEY = {
    "mode": "shared",
    "host": "valkey-primary.valkey",
    "indexes": {"core": 3, "jobservice": 1, "registry": 2},
    "secret": {"storeKey": STORED, "property": "password"},
}


@pytest.fixture(scope="module", autouse=True)
def operator(sandbox: Sandbox, sovereign: Stack) -> Iterator[None]:
    external_secrets.start(sandbox.state, sandbox.tools)
    yield
    # Only the operator takes the finalizers off.
    remove(sovereign)
    external_secrets.stop(sandbox.state)


def kubectl(sandbox: Sandbox, *arguments: str, stdin: str | None = None) -> str:
    return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, stdin=stdin)


def put_into_store(sandbox: Sandbox, key: str, **values: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key, "namespace": external_secrets.NAMESPACE},
        "stringData": values,
    }
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(sandbox, *apply, stdin=json.dumps(secret))


def texts(secret: dict[str, dict[str, str]]) -> dict[str, str]:
    data = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def in_store(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Key → property → value."""
    listed = objects(sandbox, "secrets", external_secrets.NAMESPACE)
    return {each["metadata"]["name"]: texts(each) for each in listed}


def delivered(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Secret → key → plaintext, of each Secret that an ExternalSecret owns, in both namespaces."""
    return {
        secret["metadata"]["name"]: texts(secret)
        for namespace in (NAMESPACE, "flux-system")
        for secret in objects(sandbox, "secrets", namespace)
        if any(o["kind"] == "ExternalSecret" for o in secret["metadata"].get("ownerReferences", []))
    }


def fetch_now(sandbox: Sandbox, name: str) -> None:
    annotate = ("annotate", "externalsecret", name, "-n", NAMESPACE, "--overwrite")
    kubectl(sandbox, *annotate, f"force-sync={time.monotonic_ns()}")


def test_a_sealed_sovereign_goes_over_to_the_store(sandbox: Sandbox, sovereign: Stack) -> None:
    sealed = unsealed(sandbox)
    put_into_store(sandbox, STORED, password=FIRST)
    sandbox.configure(secrets=DELIVERY, sealing=None, valkey=VALKEY)

    refused = sovereign.run("preview", "-s", sovereign.name, check=False)
    assert refused.code != 0
    command = "kubectl delete sealedsecret harbor-minted-csrf-key -n harbor --cascade=orphan"
    assert command in " ".join(refused.text.split())
    for namespace in (NAMESPACE, "flux-system"):
        kubectl(
            sandbox, "delete", "sealedsecrets.bitnami.com", "--all", "-n", namespace,
            "--cascade=orphan",
        )  # fmt: skip
    sovereign.up()

    secrets = delivered(sandbox)
    cache = Cache(host="valkey-primary.valkey", port=6379, secret_name="harbor-shared-valkey")
    assert secrets.pop("harbor-shared-valkey") == cache_secret(cache, FIRST)
    sealed.pop("harbor-valkey-credentials")
    assert secrets == sealed, "the same values, all of them"
    assert objects(sandbox, "sealedsecrets.bitnami.com") == []
    store = in_store(sandbox)
    assert store.pop(STORED) == {"password": FIRST}
    assert {each.pop(OWNER_KEY) for each in store.values()} == {"registry.local.harbor.test"}
    assert store[f"{PREFIX}harbor-minted-secret-key"] == sealed["harbor-minted-secret-key"]
    assert store[f"{PREFIX}flux-system--object-storage"] == sealed["object-storage"]
    assert len(store) == len(sealed)


def test_a_second_up_changes_nothing(sovereign: Stack) -> None:
    sovereign.up(expect_no_changes=True)


def test_nothing_readable_is_in_state_and_preview(sandbox: Sandbox, sovereign: Stack) -> None:
    state = sovereign.run("stack", "export", "-s", sovereign.name).text
    preview = sovereign.run("preview", "-s", sovereign.name, "--diff", "--json").text
    for secret in delivered(sandbox).values():
        for value in secret.values():
            if len(value) > 12 and "harbor" not in value and "://" not in value:
                encoded = base64.b64encode(value.encode()).decode()
                for text in (state, preview):
                    assert value not in text
                    assert encoded not in text


def changed(sandbox: Sandbox, before: dict[str, int]) -> set[str]:
    after = generations(sandbox)
    return {name.rpartition("harbor-")[2] for name in after if after[name] != before.get(name)}


def readers(credential: str) -> set[str]:
    return {component for component, read in read_by_component().items() if credential in read}


def test_a_password_rotated_in_the_store_restarts_exactly_its_readers(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    before = generations(sandbox)
    put_into_store(sandbox, STORED, password=SECOND)
    fetch_now(sandbox, "harbor-shared-valkey")
    assert wait_until(
        lambda: delivered(sandbox)["harbor-shared-valkey"]["REDIS_PASSWORD"] == SECOND, seconds=180
    )
    preview = sovereign.run("preview", "-s", sovereign.name).text
    assert "cache-credentials-synced" in preview
    assert generations(sandbox) == before
    sovereign.up()
    # The registry's exporter reads it where metrics are on.
    assert changed(sandbox, before) == readers("valkey-password") & {
        name.rpartition("harbor-")[2] for name in before
    }
    sovereign.up(expect_no_changes=True)


def test_a_value_of_the_program_s_is_rotated_through_the_store(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    name = "harbor-minted-csrf-key"
    before, value = generations(sandbox), delivered(sandbox)[name]
    with sandbox.configured(rotation={"csrfKey": 2}):
        sovereign.up()
        now = delivered(sandbox)[name]
        assert now != value
        assert in_store(sandbox)[f"{PREFIX}{name}"]["CSRF_KEY"] == now["CSRF_KEY"]
        assert changed(sandbox, before) == {"core"}
        sovereign.up(expect_no_changes=True)
    # Back to 1 would be another rotation; the file of the next test says 2 again.
    sandbox.configure(rotation={"csrfKey": 2})


def test_what_somebody_changed_in_the_store_is_put_back(sandbox: Sandbox, sovereign: Stack) -> None:
    name = "harbor-minted-jobservice-secret"
    value, before = delivered(sandbox)[name], generations(sandbox)
    put_into_store(sandbox, f"{PREFIX}{name}", JOBSERVICE_SECRET="of-somebody")
    fetch_now(sandbox, name)
    assert wait_until(lambda: delivered(sandbox)[name] != value, seconds=180)
    sovereign.up()
    assert delivered(sandbox)[name] == value
    assert in_store(sandbox)[f"{PREFIX}{name}"]["JOBSERVICE_SECRET"] == value["JOBSERVICE_SECRET"]
    assert generations(sandbox) == before


def test_a_missing_key_is_refused_with_what_to_write(sandbox: Sandbox, sovereign: Stack) -> None:
    kubectl(sandbox, "delete", "secret", STORED, "-n", external_secrets.NAMESPACE)
    fetch_now(sandbox, "harbor-shared-valkey")
    external = ("externalsecret/harbor-shared-valkey", "-n", NAMESPACE, "--timeout=180s")
    kubectl(sandbox, "wait", *external, "--for=condition=Ready=False")
    refused = sovereign.run("up", "-s", sovereign.name, "--yes", "--skip-preview", check=False)
    said = " ".join(refused.text.split())
    assert refused.code != 0
    assert f"the store must have {STORED}, property password" in said
    assert f"(key: {STORED}), err: Secret does not exist" in said
    assert delivered(sandbox)["harbor-shared-valkey"]["REDIS_PASSWORD"] == SECOND, "Retain"
    put_into_store(sandbox, STORED, password=SECOND)
    sovereign.up()
    sovereign.up(expect_no_changes=True)


def test_a_lost_state_is_refused_by_what_is_in_the_cluster(
    sandbox: Sandbox, sovereign: Stack, tmp_path: Path
) -> None:
    before = delivered(sandbox), in_store(sandbox)
    backup = tmp_path / "state.json"
    sovereign.run("stack", "export", "-s", sovereign.name, "--file", str(backup))
    document = json.loads(backup.read_text())
    # As a state that lost one resource: the Secret's value is none that it wrote.
    lost = "credentials-secret-key-handover"
    kept = [r for r in document["deployment"]["resources"] if not r["urn"].endswith(lost)]
    for resource in kept:
        for key in ("dependencies", "propertyDependencies"):
            resource.pop(key, None)
        resource.pop("deletedWith", None)
    document["deployment"]["resources"] = [
        r for r in kept if "credentials-secret-key" not in r["urn"].rpartition("::")[2]
    ]
    edited = tmp_path / "lost.json"
    edited.write_text(json.dumps(document))
    sovereign.run("stack", "import", "-s", sovereign.name, "--file", str(edited))
    refused = sovereign.run("preview", "-s", sovereign.name, check=False)
    assert refused.code != 0
    said = " ".join(refused.text.split())
    assert "Secret harbor/harbor-minted-secret-key was written by this program" in said
    sovereign.run("stack", "import", "-s", sovereign.name, "--file", str(backup))
    assert (delivered(sandbox), in_store(sandbox)) == before


def test_a_new_state_does_not_write_over_the_key_that_the_store_keeps(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    """The cluster is lost with the state; the store is the last one that knows."""
    kept = in_store(sandbox)
    edit_state(sovereign, lambda resource: resource.pop("retainOnDelete", None))
    destroy = ("destroy", "-s", sovereign.name, "--yes", "--skip-preview", "--continue-on-error")
    sovereign.run(*destroy, check=False)
    assert wait_until(lambda: delivered(sandbox) == {}, seconds=180), [*delivered(sandbox)]
    assert objects(sandbox, "externalsecrets.external-secrets.io") == []
    assert in_store(sandbox) == kept, "what was pushed stays"

    # Otherwise the first refusal ends the run, and which one that is differs.
    goes_on = ("up", "-s", sovereign.name, "--yes", "--skip-preview", "--continue-on-error")
    refused = sovereign.run(*goes_on, check=False)
    said = " ".join(refused.text.split())
    assert refused.code != 0
    place = f"key {PREFIX}harbor-minted-secret-key of ClusterSecretStore {external_secrets.STORE}"
    assert f"{place} has another value of Secret harbor/harbor-minted-secret-key" in said
    assert "pulumi config set --secret harborSecretKey -s local" in said
    now = in_store(sandbox)
    for name in ("harbor-minted-secret-key", "harbor-minted-admin-password"):
        assert now[f"{PREFIX}{name}"] == kept[f"{PREFIX}{name}"]
