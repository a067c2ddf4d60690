"""SealedSecret: a Secret that is sent as ciphertext, and that exists once it is unsealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.kubernetes.naming import FIELD_MANAGER
from components.sealing.seal import Seal
from components.sealing.unsealed import REVISION_ANNOTATION, Unsealed


@dataclass(frozen=True, kw_only=True)
class SealedSecretArgs:
    """`data`: key → plaintext (secret outputs). `certificate`: PEM of the sealing certificate."""

    namespace: pulumi.Input[str]
    secret_name: str
    data: dict[str, pulumi.Input[str]]
    certificate: pulumi.Input[str]
    type: str = "Opaque"
    timeout_seconds: int = 120
    labels: dict[str, str] | None = None


class SealedSecret(pulumi.ComponentResource):
    """Seals in the program, applies the SealedSecret, waits until the controller has opened it.

    `secret_name` and `revision` are known only once the Secret exists with this content, so
    whatever takes them as input waits for it. `revision` changes with the plaintext alone: as a
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
            opts=pulumi.ResourceOptions(parent=self),
        )
        unsealed = Unsealed(
            f"{name}-unsealed",
            namespace=args.namespace,
            # By way of the manifest's ID, so that the wait begins after it was applied.
            secret_name=manifest.id.apply(lambda _: args.secret_name),
            revision=sealed.revision,
            timeout_seconds=args.timeout_seconds,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.secret_name = unsealed.name
        self.revision = unsealed.revision
        self.register_outputs({"secretName": self.secret_name, "revision": self.revision})


def _template(args: SealedSecretArgs, revision: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "type": args.type,
        "metadata": {
            "namespace": args.namespace,
            "name": args.secret_name,
            "labels": args.labels or {},
            "annotations": {REVISION_ANNOTATION: revision},
        },
    }
