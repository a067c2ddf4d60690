"""Sealing as a resource: the ciphertext is made once and kept in the state.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, Resource, UpdateResult

from components.sealing.crypto import (
    certificate_fingerprint,
    load_certificate,
    seal,
)
from components.sealing.digests import revision
from components.sealing.revisions import (
    IDENTITY,
    MOST_PAST,
    Minted,
    RevisionProvider,
    StateIsOlder,
    where,
)

__all__ = ["IDENTITY", "MOST_PAST", "Minted", "Seal", "SealProvider", "StateIsOlder"]


class SealProvider(RevisionProvider):
    """Seals `data` for `namespace`/`name`; again only on a change of plaintext or certificate.

    Sealing is random by design (bitnami/sealed-secrets #376), so a program that seals on every
    run differs on every run. Here the ciphertext is an output and lives in the state; `data` is
    a secret input, which the engine stores encrypted. Strict scope binds namespace and name into
    the ciphertext.
    """

    contents: ClassVar[tuple[str, ...]] = ("data", "certificate")

    def create(self, props: dict[str, Any]) -> CreateResult:
        outs = _sealed(props, salt=os.urandom(16), kept={})
        return CreateResult(id_=where(props), outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        # Without a revision among the inputs: the salt stays, so an unchanged plaintext keeps its
        # revision under a new certificate and no pod restarts for it.
        salt = bytes.fromhex(_olds["salt"])
        return UpdateResult(outs=_sealed(_news, salt=salt, kept=_kept(_olds, _news)))


def _kept(olds: dict[str, Any], news: dict[str, Any]) -> dict[str, str]:
    """The ciphertexts that stay as they are: same value under the same certificate."""
    if olds.get("certificate") != news["certificate"]:
        return {}
    before: dict[str, str] = olds.get("data") or {}
    sealed: dict[str, str] = olds.get("ciphertexts") or {}
    return {k: sealed[k] for k, v in news["data"].items() if k in sealed and before.get(k) == v}


def _sealed(props: dict[str, Any], *, salt: bytes, kept: dict[str, str]) -> dict[str, Any]:
    certificate = load_certificate(props["certificate"])
    namespace, name, data = props["namespace"], props["name"], props["data"]
    return {
        "namespace": namespace,
        "name": name,
        "data": data,
        "certificate": props["certificate"],
        "certificateFingerprint": certificate_fingerprint(certificate),
        "ciphertexts": {
            key: kept.get(key)
            or seal(value.encode(), namespace=namespace, name=name, certificate=certificate)
            for key, value in data.items()
        },
        "revision": props.get("revision") or revision(data, salt=salt),
        "salt": salt.hex(),
    }


class Seal(Resource, module="sealing", name="Seal"):
    """The ciphertext of one Secret.

    Inputs: namespace, name, data (key → plaintext, secret), certificate (PEM), and what `check`
    needs: minted (see Minted), adopting, stack.
    Outputs: ciphertexts (key → base64 ciphertext) and revision (another for each plaintext).
    """

    ciphertexts: pulumi.Output[dict[str, str]]
    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: str,
        data: dict[str, pulumi.Input[str]],
        certificate: pulumi.Input[str],
        minted: Minted | None = None,
        adopting: bool = False,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`minted`: None for values that somebody gave. `adopting`: whether Secrets that another
        state wrote may be written over."""
        super().__init__(
            SealProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "data": pulumi.Output.secret(data),
                "certificate": certificate,
                "minted": None if minted is None else asdict(minted),
                "adopting": adopting,
                "stack": stack,
                "ciphertexts": None,
                "revision": None,
                "salt": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["data", "salt"]), opts
            ),
        )
