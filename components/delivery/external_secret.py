"""ExternalSecret: a Secret that the External Secrets Operator makes from the estate's store."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.apiextensions import CustomResource

from components.delivery.handover import Handover
from components.delivery.objects import (
    EXTERNAL_API,
    OWNER_KEY,
    PUSH_API,
    Remote,
    external_secret_spec,
    push_secret_spec,
    remote_key,
    source_name,
)
from components.delivery.synced import Synced
from components.kubernetes.naming import FIELD_MANAGER
from components.ordering import after
from components.sealing.opened import REVISION_ANNOTATION
from components.sealing.revisions import Minted
from components.settings.secrets import ExternalDelivery
from components.unknown import unknown


@dataclass(frozen=True, kw_only=True)
class FromStore:
    """A value that only the store has. `password`: where. `template`: key of the Secret → Go
    template over `.password`."""

    password: Remote
    template: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class FromProgram:
    """A value that the program has: minted, or given as a secret of the stack. `data`: key →
    plaintext (secret outputs). `minted`: of a value that the program made; None for those that
    somebody gave. `adopting`: whether a Secret that another state wrote may be written over."""

    data: dict[str, pulumi.Input[str]]
    minted: Minted | None = None
    adopting: bool = False


@dataclass(frozen=True, kw_only=True)
class ExternalSecretArgs:
    """`delivery`: the section `secrets`. `prefix`: of the keys that the program writes. `owner`:
    the registry's host. `apart`: the namespace as part of the key in the store; None for Harbor's
    own. `secret_labels`: labels of the Secret that its ExternalSecret does not have. `retain`:
    whether the Secret stays in the cluster on destroy.
    """

    delivery: ExternalDelivery
    prefix: str
    owner: str
    namespace: pulumi.Input[str]
    secret_name: str
    content: FromProgram | FromStore
    apart: str | None = None
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    secret_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    retain: bool = False


class ExternalSecret(pulumi.ComponentResource):
    """Gives a value of the program's into the store, and waits until the operator brought it back.

    A value that only the store has is only waited for. Whatever takes `secret_name` or `revision`
    as an input waits until the Secret exists with this content. `revision` changes with the content
    alone: as a pod annotation it restarts exactly the pods that read the Secret.
    """

    secret_name: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: ExternalSecretArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:ExternalSecret", name, None, opts)
        self._name, self._args = name, args
        content, delivery = args.content, args.delivery
        revision: pulumi.Output[str] | None = None
        template: Mapping[str, str] | None = None
        before: list[pulumi.Output[Any]] = []
        if isinstance(content, FromProgram):
            key = remote_key(args.prefix, args.secret_name, namespace=args.apart)
            revision, pushed = self._push(content, key)
            before.append(pushed)
            remotes = {each: Remote(key=key, part=each) for each in content.data}
        else:
            template = content.template
            remotes = {"password": content.password}
        spec = external_secret_spec(
            delivery.store,
            remotes=remotes,
            refresh_interval=delivery.refresh_interval,
            kind=args.type,
            labels={**args.labels, **args.secret_labels},
            revision=revision,
            template=template,
        )
        manifest = CustomResource(
            f"{name}-manifest",
            api_version=EXTERNAL_API,
            kind="ExternalSecret",
            metadata=self._metadata(args.secret_name),
            spec=after(pulumi.Output.all(*before), spec) if before else spec,
            # The Secret goes with this object, and with no other.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.retain),
        )
        synced = Synced(
            f"{name}-synced",
            namespace=args.namespace,
            # By way of the manifest's ID, so that the wait begins after it was applied.
            secret_name=after(manifest.id, args.secret_name),
            revision=revision,
            applied=cast("Any", manifest).metadata.apply(_applied),
            remotes="; ".join(str(remote) for remote in remotes.values()),
            source=source_name(args.secret_name) if revision is not None else None,
            stack=pulumi.get_stack(),
            timeout_seconds=delivery.timeout_seconds,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.secret_name = after(synced.name, args.secret_name)
        self.revision = synced.revision
        self.register_outputs({"secretName": self.secret_name, "revision": self.revision})

    def _push(
        self, content: FromProgram, key: str
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """The value's revision, and the ID of the PushSecret that brings it into the store."""
        name, args = self._name, self._args
        handover = Handover(
            f"{name}-handover",
            namespace=args.namespace,
            secret_name=args.secret_name,
            data=content.data,
            store_kind=args.delivery.store.kind,
            store_name=args.delivery.store.name,
            store_key=key,
            owner=args.owner,
            timeout_seconds=args.delivery.timeout_seconds,
            minted=content.minted,
            adopting=content.adopting,
            stack=pulumi.get_stack(),
            opts=pulumi.ResourceOptions(parent=self),
        )
        source = source_name(args.secret_name)
        data = {key: _encoded(value) for key, value in content.data.items()}
        secret = k8s.core.v1.Secret(
            f"{name}-source",
            metadata=cast("Any", self._metadata(source, args.secret_labels, handover.revision)),
            type="Opaque",
            data=pulumi.Output.secret({**data, OWNER_KEY: _encoded(args.owner)}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        push = CustomResource(
            f"{name}-push",
            api_version=PUSH_API,
            kind="PushSecret",
            # The operator pushes again when an annotation changes, and not when the Secret does.
            metadata=self._metadata(args.secret_name, revision=handover.revision),
            spec=push_secret_spec(
                args.delivery.store,
                source=after(secret.id, source),
                key=key,
                keys=content.data,
                refresh_interval=args.delivery.refresh_interval,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return handover.revision, push.id

    def _metadata(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        revision: pulumi.Output[str] | None = None,
    ) -> dict[str, Any]:
        named = {} if revision is None else {REVISION_ANNOTATION: revision}
        return {
            "namespace": self._args.namespace,
            "name": name,
            "labels": {**self._args.labels, **(labels or {})},
            "annotations": {**FIELD_MANAGER, **named},
        }


def _encoded(value: pulumi.Input[str]) -> pulumi.Output[str]:
    return pulumi.Output.secret(value).apply(lambda text: base64.b64encode(text.encode()).decode())


def _applied(metadata: Any) -> Any:
    """Names the ExternalSecret as it is applied; another text after each change of it.

    A preview of a change has no generation yet, so the text is unknown there.
    """
    known: dict[str, Any] = metadata or {}
    if "generation" not in known:
        return unknown() if pulumi.runtime.is_dry_run() else None
    return f"{known['uid']}/{known['generation']:.0f}"
