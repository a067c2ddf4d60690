"""An ExternalSecret: what is pushed, what is applied, and what waits for it."""

import base64
import itertools
from dataclasses import replace
from typing import Any

import pulumi

from components.context import Context
from components.delivery.external_secret import ExternalSecret
from components.sealing.opened import REVISION_ANNOTATION
from components.settings.database import StoreRef
from tests.support import builders
from tests.support.builders import PASSWORD, Build
from tests.support.mocks import (
    EXTERNAL_SECRET,
    HANDOVER,
    PUSH_SECRET,
    PUSHED,
    SEAL,
    SYNCED,
    Engine,
    is_secret,
)

REMOTE = "omantel-omani-works-secret-name"


def deliver(given: Context, **changes: Any) -> Any:
    component = pulumi.ComponentResource("test:index:Parent", "parent", None, given.options)
    context = replace(given, external=builders.EXTERNAL, secret_labels={"velero": "no"})
    data: dict[str, pulumi.Input[str]] = {"password": builders.password(), "user": "harbor"}
    return context.sealed("one", "secret-name", data, parent=component, **changes)


def of_store(given: Context) -> ExternalSecret:
    component = pulumi.ComponentResource("test:index:Parent", "parent", None, given.options)
    context = replace(given, external=builders.EXTERNAL)
    password = StoreRef.model_validate({"storeKey": "gitlab-redis", "property": "password"})
    template = {"url": "redis://{{ .password }}"}
    return context.from_store("one", "secret-name", password, template, parent=component)


def test_a_value_is_pushed_and_comes_back(engine: Engine, build: Build) -> None:
    delivered = build(deliver, kind="kubernetes.io/basic-auth")
    handover, source = engine.one(HANDOVER), engine.one(PUSHED)
    push, manifest, synced = (
        engine.one(PUSH_SECRET),
        engine.one(EXTERNAL_SECRET),
        engine.one(SYNCED),
    )
    assert (handover["storeKey"], handover["owner"]) == (REMOTE, "registry.omantel.omani.works")
    revision = engine.resolve(delivered.revision).value
    assert source["metadata"]["name"] == "secret-name-pushed"
    assert source["type"] == "Opaque"
    assert {key: base64.b64decode(text).decode() for key, text in source["data"].items()} == {
        "password": PASSWORD,
        "user": "harbor",
        "sovereign-harbor-owner": "registry.omantel.omani.works",
    }
    assert push["spec"]["selector"] == {"secret": {"name": "secret-name-pushed"}}
    for resource in (source, push):
        assert resource["metadata"]["annotations"][REVISION_ANNOTATION] == revision
    template = manifest["spec"]["target"]["template"]
    assert template["metadata"]["annotations"] == {REVISION_ANNOTATION: revision}
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["labels"]["velero"] == "no"
    assert "velero" not in manifest["metadata"]["labels"]
    assert (synced["source"], synced["revision"]) == ("secret-name-pushed", revision)
    assert engine.resolve(delivered.secret_name).value == "secret-name"
    assert engine.all(SEAL) == []


def test_each_step_waits_for_the_one_before(engine: Engine, build: Build) -> None:
    build(deliver)
    steps = [HANDOVER, PUSHED, PUSH_SECRET, EXTERNAL_SECRET, SYNCED]
    for before, after in itertools.pairwise(steps):
        assert engine.one(before).urn in engine.one(after).dependencies, after


def test_only_the_handover_and_the_source_have_the_value(engine: Engine, build: Build) -> None:
    build(deliver)
    holding = {
        (resource.typ, key)
        for resource in engine.resources
        for key, value in resource.inputs.items()
        if is_secret(value)
    }
    assert holding == {(HANDOVER, "data"), (PUSHED, "data")}


def test_a_value_of_the_store_is_only_read(engine: Engine, build: Build) -> None:
    delivered = build(of_store)
    manifest, synced = engine.one(EXTERNAL_SECRET), engine.one(SYNCED)
    assert manifest["spec"]["data"] == [
        {
            "secretKey": "password",
            "remoteRef": {"key": "gitlab-redis", "property": "password"},
        }
    ]
    template = manifest["spec"]["target"]["template"]
    assert template["data"] == {"url": "redis://{{ .password }}"}
    assert template["metadata"]["annotations"] == {}
    assert synced["remotes"] == "gitlab-redis, property password"
    assert engine.resolve(delivered.revision).value == "of-the-store-one-synced"
    assert [each for typ in (HANDOVER, PUSH_SECRET, PUSHED) for each in engine.all(typ)] == []


def test_another_namespace_is_part_of_the_key(engine: Engine, build: Build) -> None:
    build(deliver, namespace="web")
    assert engine.one(HANDOVER)["storeKey"] == "omantel-omani-works-web--secret-name"
    for typ in (PUSHED, PUSH_SECRET, EXTERNAL_SECRET):
        assert engine.one(typ)["metadata"]["namespace"] == "web"


def test_a_preview_knows_the_name_but_not_the_revision(engine: Engine, build: Build) -> None:
    delivered = build(deliver, preview=True)
    assert engine.resolve(delivered.secret_name).value == "secret-name"
    assert not engine.resolve(delivered.revision).is_known
