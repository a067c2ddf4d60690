"""A SealedSecret: what is sealed, what is applied, and what waits for it."""

import base64
from dataclasses import asdict, replace
from typing import Any, cast

import pulumi
import pytest

from components.context import Context
from components.sealing.crypto import certificate_fingerprint, load_certificate
from components.sealing.seal import Minted, Seal
from components.sealing.sealed_secret import SealedSecret, SealedSecretArgs, _applied
from components.sealing.unsealed import REVISION_ANNOTATION, Unsealed
from tests.support import builders
from tests.support.builders import PASSWORD, Build
from tests.support.mocks import (
    SEAL,
    SEALED_SECRET,
    UNSEALED,
    Engine,
    is_secret,
    plain,
    unknown_inputs,
)


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


def test_the_engine_is_told_all_that_the_providers_need(engine: Engine, build: Build) -> None:
    minted = Minted(what="csrf-key", epoch=2, keys=("password",), rotation="csrfKey")
    args = SealedSecretArgs(
        namespace="registry",
        secret_name="secret-name",
        data={"password": builders.password()},
        certificate="",
        type="kubernetes.io/basic-auth",
        timeout_seconds=7,
        labels={"both": "1"},
        secret_labels={"secret": "1"},
        minted=minted,
        adopting=True,
        retain=True,
    )

    def create(given: Context) -> None:
        SealedSecret("one", replace(args, certificate=given.certificate), given.options)

    build(create)
    seal, manifest, waiting = (engine.one(typ) for typ in (SEAL, SEALED_SECRET, UNSEALED))
    assert (seal.name, manifest.name, waiting.name) == ("one-seal", "one-manifest", "one-unsealed")
    assert {each.parent_name for each in (seal, manifest, waiting)} == {"one"}
    known = plain(seal.inputs)
    given = {key: value for key, value in asdict(minted).items() if value is not None}
    assert known["minted"] == {**given, "keys": ["password"]}
    assert (known["adopting"], known["stack"]) == (True, "omantel")
    assert certificate_fingerprint(load_certificate(known["certificate"]))
    assert (seal.retain, manifest.retain, waiting.retain) == (False, True, False)
    assert manifest["metadata"] == {
        **{"namespace": "registry", "name": "secret-name", "labels": {"both": "1"}},
        "annotations": {"pulumi.com/patchFieldManager": "sovereign-harbor"},
    }
    template = manifest["spec"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"] == {
        **{"namespace": "registry", "name": "secret-name"},
        "labels": {"both": "1", "secret": "1"},
        "annotations": {REVISION_ANNOTATION: waiting["revision"]},
    }
    assert {key: waiting[key] for key in ("namespace", "name", "timeoutSeconds", "stack")} == {
        **{"namespace": "registry", "name": "secret-name"},
        **{"timeoutSeconds": 7, "stack": "omantel"},
    }


def test_the_salt_is_a_secret_of_the_state(engine: Engine, build: Build) -> None:
    """With it and a Secret's revision anybody could try out guesses."""

    def create(given: Context) -> tuple[Seal, Unsealed]:
        named: dict[str, Any] = {"namespace": "n", "secret_name": "s", "stack": "omantel"}
        data: dict[str, pulumi.Input[str]] = {"password": "harbor"}
        seal = Seal("one", data=data, certificate=given.certificate, **named)
        revision = {"revision": "r", "applied": None, "timeout_seconds": 1}
        return seal, Unsealed("one", **revision, **named)

    for each in build(create):
        salt = engine.resolve(cast("Any", each).salt)
        assert salt.is_secret


@pytest.mark.parametrize(
    ("metadata", "named"),
    [({"uid": "u-1", "generation": 3.0}, "u-1/3"), ({}, None), (None, None)],
)
def test_a_manifest_is_named_by_what_the_api_server_numbers(
    metadata: Any, named: str | None
) -> None:
    assert _applied(metadata) == named
