"""A SealedSecret: what is sealed, what is applied, and what waits for it."""

import base64
from typing import Any

import pulumi

from components.context import Context
from components.sealing.sealed_secret import SealedSecret
from components.sealing.unsealed import REVISION_ANNOTATION
from tests.support import builders
from tests.support.builders import PASSWORD, Build
from tests.support.mocks import SEAL, SEALED_SECRET, UNSEALED, Engine, is_secret, unknown_inputs


def seal_one(given: Context, **changes: Any) -> SealedSecret:
    component = pulumi.ComponentResource("test:index:Parent", "parent", None, given.options)
    data: dict[str, pulumi.Input[str]] = {"password": builders.password()}
    sealed = given.sealed("one", "secret-name", data, parent=component, **changes)
    assert isinstance(sealed, SealedSecret)
    return sealed


def test_a_sealed_secret_is_sealed_applied_and_awaited(engine: Engine, build: Build) -> None:
    sealed = build(seal_one)
    seal, manifest = engine.one(SEAL), engine.one(SEALED_SECRET)
    assert (seal["namespace"], seal["name"]) == ("registry", "secret-name")
    assert seal["data"] == {"password": PASSWORD}
    revision = manifest["spec"]["template"]["metadata"]["annotations"][REVISION_ANNOTATION]
    assert engine.resolve(sealed.secret_name).value == "secret-name"
    assert engine.resolve(sealed.revision).value == revision
    waiting = engine.one(UNSEALED)
    assert waiting["revision"] == revision
    assert waiting["timeoutSeconds"] == 5
    # The wait begins once the manifest is applied.
    assert manifest.urn in waiting.dependencies


def test_the_manifest_holds_ciphertext_and_no_secret(engine: Engine, build: Build) -> None:
    build(seal_one, kind="kubernetes.io/basic-auth")
    manifest = engine.one(SEALED_SECRET)
    assert not is_secret(manifest.inputs)
    assert PASSWORD not in str(manifest.inputs)
    base64.b64decode(manifest["spec"]["encryptedData"]["password"], validate=True)
    template = manifest["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["name"] == manifest["metadata"]["name"] == "secret-name"
    assert template["metadata"]["namespace"] == manifest["metadata"]["namespace"] == "registry"
    assert template["metadata"]["labels"] == manifest["metadata"]["labels"]


def test_what_is_sealed_is_secret_even_if_its_parts_are_not(engine: Engine, build: Build) -> None:
    def seal_a_plain_value(given: Context) -> None:
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        given.sealed("one", "secret-name", {"user": "harbor"}, parent=parent)

    build(seal_a_plain_value)
    assert is_secret(engine.one(SEAL).inputs["data"])


def test_a_preview_knows_the_name_of_a_secret_that_is_not_there_but_not_its_revision(
    engine: Engine, build: Build
) -> None:
    sealed = build(seal_one, preview=True)
    assert engine.resolve(sealed.secret_name).value == "secret-name"
    assert not engine.resolve(sealed.revision).is_known
    assert unknown_inputs(engine.one(SEALED_SECRET)) == {"spec"}
