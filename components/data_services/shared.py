"""SharedCredentials: the password of a service of the estate, in Harbor's namespace.

The estate keeps the password in a Secret in the service's namespace (valkey-primary.valkey: Secret
`valkey`, key valkey-password; CNPG: `<cluster>-app`, key password). Pods can read Secrets of their
own namespace only, so a sealed copy is made (docs/decisions/0006). Where the password is in the
estate's secret store, the store's operator makes the Secret (docs/decisions/0020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pulumi

from components.context import Context, DeliveredSecret
from components.settings.database import SecretRef, StoreRef
from components.unknown import unknown

Data = dict[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class SharedCredentialsArgs:
    """`source`: where the password is. `data`: password → data of the copy. `template`: the same
    data as Go templates over `.password`, where only a store has the password."""

    source: SecretRef | StoreRef
    secret_name: str
    data: Callable[[pulumi.Output[str]], Data]
    template: Mapping[str, str] = field(default_factory=dict[str, str])
    context: Context


class SharedCredentials(pulumi.ComponentResource):
    """The Secret. The next `up` follows a password that changed at its source."""

    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: SharedCredentialsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:SharedCredentials", name, None, opts)
        copy = shared_copy(f"{name}-credentials", args, parent=self)
        self.secret_name = copy.secret_name
        self.revision = copy.revision
        self.register_outputs({})


def shared_copy(
    name: str, args: SharedCredentialsArgs, *, parent: pulumi.Resource
) -> DeliveredSecret:
    """The Secret with a password of the estate, in Harbor's namespace. Raises RunError where a
    Secret that has it cannot be read."""
    context, source = args.context, args.source
    if isinstance(source, StoreRef):
        return context.from_store(name, args.secret_name, source, args.template, parent=parent)
    password = pulumi.Output.secret(shared_password(source, context.kube_context))
    return context.sealed(name, args.secret_name, args.data(password), parent=parent)


def shared_password(source: SecretRef, kube_context: str | None) -> pulumi.Output[str]:
    """The password in `source`; unknown in a preview without cluster. Raises RunError."""
    from components.kubernetes.client import ClusterClient, secret_value
    from components.kubernetes.unreachable import ClusterUnreachable

    where = f"{source.namespace}/{source.name}"
    try:
        value = secret_value(
            ClusterClient(kube_context),
            namespace=source.namespace,
            name=source.name,
            key=source.key,
        )
    except ClusterUnreachable as error:
        if pulumi.runtime.is_dry_run():
            pulumi.log.warn(f"Secret {where} was not read ({error}); its password is unknown here")
            return unknown()
        raise pulumi.RunError(f"Secret {where} was not read: {error}") from None
    if value is None:
        raise pulumi.RunError(
            f"Secret {where} has no key {source.key}; it must stand beside the shared service. "
            "Set secret.namespace, secret.name and secret.key of that section to where it is."
        )
    return pulumi.Output.secret(value)
