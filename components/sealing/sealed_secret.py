"""SealedSecret: a Secret that is sent as ciphertext, and that exists once it is unsealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.kubernetes.naming import FIELD_MANAGER
from components.ordering import after
from components.sealing.opened import REVISION_ANNOTATION
from components.sealing.seal import Minted, Seal
from components.sealing.unsealed import Unsealed
from components.unknown import unknown


@dataclass(frozen=True, kw_only=True)
class SealedSecretArgs:
    """`data`: key → plaintext (secret outputs). `certificate`: PEM of the sealing certificate.

    `secret_labels`: labels of the Secret that its SealedSecret does not have.
    `minted`: of a value that the program made; None for those that somebody gave. `adopting`:
    whether a Secret that another state wrote may be written over. `retain`: whether the Secret
    stays in the cluster on destroy.
    """

    namespace: pulumi.Input[str]
    secret_name: str
    data: dict[str, pulumi.Input[str]]
    certificate: pulumi.Input[str]
    type: str = "Opaque"
    timeout_seconds: int = 120
    labels: dict[str, str] | None = None
    secret_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    minted: Minted | None = None
    adopting: bool = False
    retain: bool = False


class SealedSecret(pulumi.ComponentResource):
    """Seals in the program, applies the SealedSecret, waits until the controller has opened it.

    Whatever takes `secret_name` or `revision` as an input waits until the Secret exists with this
    content. A preview knows the name; it knows the revision unless the content changes. `revision`
    changes with the plaintext alone: as a
    pod annotation it restarts exactly the pods that read the Secret.
    """

    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: SealedSecretArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:SealedSecret", name, None, opts)
        sealed = Seal(
            f"{name}-seal",
            namespace=args.namespace,
            secret_name=args.secret_name,
            data=args.data,
            certificate=args.certificate,
            minted=args.minted,
            adopting=args.adopting,
            stack=pulumi.get_stack(),
            opts=pulumi.ResourceOptions(parent=self),
        )
        manifest = CustomResource(
            f"{name}-manifest",
            api_version="bitnami.com/v1alpha1",
            kind="SealedSecret",
            metadata={
                "namespace": args.namespace,
                "name": args.secret_name,
                "labels": args.labels or {},
                "annotations": FIELD_MANAGER,
            },
            spec={
                "encryptedData": sealed.ciphertexts,
                "template": _template(args, sealed.revision),
            },
            # The Secret goes with this object, and with no other.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.retain),
        )
        unsealed = Unsealed(
            f"{name}-unsealed",
            namespace=args.namespace,
            # By way of the manifest's ID, so that the wait begins after it was applied.
            secret_name=after(manifest.id, args.secret_name),
            revision=sealed.revision,
            applied=cast("Any", manifest).metadata.apply(_applied),
            stack=pulumi.get_stack(),
            timeout_seconds=args.timeout_seconds,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.secret_name = after(unsealed.name, args.secret_name)
        self.revision = unsealed.revision
        self.register_outputs({"secretName": self.secret_name, "revision": self.revision})


def _applied(metadata: Any) -> Any:
    """Names the SealedSecret as it is applied; another text after each change of it.

    A preview of a change has no generation yet, so the text is unknown there.
    """
    known: dict[str, Any] = metadata or {}
    if "generation" not in known:
        return unknown() if pulumi.runtime.is_dry_run() else None
    return f"{known['uid']}/{known['generation']:.0f}"


def _template(args: SealedSecretArgs, revision: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "type": args.type,
        "metadata": {
            "namespace": args.namespace,
            "name": args.secret_name,
            "labels": {**(args.labels or {}), **args.secret_labels},
            "annotations": {REVISION_ANNOTATION: revision},
        },
    }
