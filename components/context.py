"""Context: what every component of one Sovereign is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.delivery.external_secret import (
    ExternalSecret,
    ExternalSecretArgs,
    FromProgram,
    FromStore,
)
from components.delivery.objects import Remote
from components.kubernetes import naming
from components.registry_address import RegistryAddress
from components.sealing.kept import NAMES as KEPT
from components.sealing.revisions import Minted
from components.sealing.sealed_secret import SealedSecret, SealedSecretArgs
from components.settings.database import StoreRef
from components.settings.secrets import ExternalDelivery

DeliveredSecret = SealedSecret | ExternalSecret
"""A Secret in the cluster: `secret_name` and `revision` are known once it has its content."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is the same for all components of a Sovereign.

    `registry`: the address of its registry. `kube_context`: a context of the kubeconfig; None for
    the current one. `namespace`: Harbor's, known once it exists. `certificate`: PEM to seal with.
    `adopting`: whether a Sovereign that another state made is adopted.
    `mark`: that of the state (components/ownership).
    `unseal_seconds`: how long the controller may take to unseal a Secret. `protect`: refuse to
    delete resources that hold data. `retain`: leave them in place on destroy. `options`: resource
    options of every component, with the one provider of the stack's cluster. `secret_labels`: of
    every Secret that is sealed or delivered, and not of the object that makes it.
    `external`: the section `secrets` where the estate's store delivers Secrets; None where they are
    sealed.
    """

    registry: RegistryAddress
    kube_context: str | None
    namespace: pulumi.Input[str]
    certificate: pulumi.Input[str]
    unseal_seconds: int
    adopting: bool = False
    mark: pulumi.Input[str] = ""
    protect: bool
    retain: bool
    options: pulumi.ResourceOptions
    secret_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    external: ExternalDelivery | None = None

    def labels(self, component: str) -> dict[str, str]:
        """The labels of every object that the program writes itself."""
        return naming.labels(self.registry.fqdn, component)

    def data_options(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        """Resource options of a child of `parent` that holds data which cannot be made again."""
        return pulumi.ResourceOptions(
            parent=parent, protect=self.protect, retain_on_delete=self.retain
        )

    def sealed(
        self,
        name: str,
        secret_name: str,
        data: dict[str, pulumi.Input[str]],
        *,
        parent: pulumi.Resource,
        namespace: str | None = None,
        kind: str = "Opaque",
        labels: dict[str, str] | None = None,
        minted: Minted | None = None,
    ) -> DeliveredSecret:
        """A Secret, in Harbor's namespace unless another is given: sealed, or where
        `secrets.delivery` is external by way of the estate's store.

        `minted`: of a value that the program made, see Credentials.minted. One that a kept
        database cannot do without stays with it (components/sealing/kept.py).
        """
        if self.external is not None:
            content = FromProgram(data=data, minted=minted, adopting=self.adopting)
            return self._external(
                name, self.external, secret_name, content, parent, namespace, kind, labels
            )
        return SealedSecret(
            name,
            SealedSecretArgs(
                namespace=self.namespace if namespace is None else namespace,
                secret_name=secret_name,
                data=data,
                certificate=self.certificate,
                type=kind,
                timeout_seconds=self.unseal_seconds,
                labels={**self.labels("secret"), **(labels or {})},
                secret_labels=self.secret_labels,
                minted=minted,
                adopting=self.adopting,
                retain=self.retain and secret_name in KEPT,
            ),
            pulumi.ResourceOptions(parent=parent),
        )

    def from_store(
        self,
        name: str,
        secret_name: str,
        password: StoreRef,
        template: Mapping[str, str],
        *,
        parent: pulumi.Resource,
    ) -> ExternalSecret:
        """A Secret in Harbor's namespace with a password that only the estate's store has.

        `template`: key of the Secret → Go template over `.password`. Raises ValueError where
        Secrets are sealed, which the settings refuse.
        """
        if self.external is None:
            raise ValueError("secrets.delivery is sealed: there is no store")
        remote = Remote(key=password.store_key, part=password.part)
        content = FromStore(password=remote, template=template)
        return self._external(name, self.external, secret_name, content, parent)

    def _external(
        self,
        name: str,
        delivery: ExternalDelivery,
        secret_name: str,
        content: FromProgram | FromStore,
        parent: pulumi.Resource,
        namespace: str | None = None,
        kind: str = "Opaque",
        labels: dict[str, str] | None = None,
    ) -> ExternalSecret:
        args = ExternalSecretArgs(
            delivery=delivery,
            prefix=delivery.prefix_for(self.registry.fqdn),
            owner=self.registry.host,
            namespace=self.namespace if namespace is None else namespace,
            apart=namespace,
            secret_name=secret_name,
            content=content,
            type=kind,
            labels={**self.labels("secret"), **(labels or {})},
            secret_labels=self.secret_labels,
            retain=self.retain and secret_name in KEPT,
        )
        return ExternalSecret(name, args, pulumi.ResourceOptions(parent=parent))
