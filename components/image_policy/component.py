"""ImagePolicy: Kyverno policies by which only Harbor's images run in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.image_policy import require_harbor, rewrite, signatures
from components.image_policy.require_harbor import HarborImages, PolicyKind
from components.image_policy.rewrite import RewrittenImages
from components.image_policy.signatures import SignedImages
from components.kubernetes.naming import FIELD_MANAGER
from components.ordering import after
from components.settings.image_policy import namespaces_harbor_needs
from components.settings.model import Settings
from components.settings.network_policies import NamespaceGateway
from components.stack_config import StackConfig


@dataclass(frozen=True, kw_only=True)
class ImagePolicyArgs:
    """The policies, each None where the settings leave it out.

    `harbor`: Harbor's version, known once Harbor is Ready.
    """

    kind: PolicyKind
    required: HarborImages | None
    rewritten: RewrittenImages | None
    signed: SignedImages | None
    harbor: pulumi.Input[str]
    context: Context


class ImagePolicy(pulumi.ComponentResource):
    """The policies. `excluded_namespaces`: where any image may run; None without a policy.

    A policy that refuses pods has Harbor's version as an input, so the engine applies it only after
    images can be pulled from Harbor. Audit refuses nothing and waits for nothing.
    """

    excluded_namespaces: tuple[str, ...] | None

    def __init__(
        self, name: str, args: ImagePolicyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:ImagePolicy", name, None, opts)
        self.excluded_namespaces = None
        if args.required is not None:
            self.excluded_namespaces = args.required.excluded_namespaces
            self._require(name, args, args.required)
        if args.rewritten is not None:
            self._rewrite(name, args, args.rewritten)
        if args.signed is not None:
            self._verify(name, args, args.signed)
        self.register_outputs({"excludedNamespaces": self.excluded_namespaces})

    def _require(self, name: str, args: ImagePolicyArgs, images: HarborImages) -> None:
        policy = require_harbor.image_policy(args.kind, images)
        spec: pulumi.Input[dict[str, Any]] = policy["spec"]
        if images.refuses:
            spec = after(pulumi.Output.from_input(args.harbor), policy["spec"])
        self._policy(
            f"{name}-require",
            args,
            api_version=require_harbor.API_VERSIONS[args.kind],
            kind=args.kind,
            called=require_harbor.NAME,
            annotations={
                **policy["annotations"],
                "pulumi.com/waitFor": require_harbor.READY[args.kind],
            },
            spec=spec,
        )

    def _rewrite(self, name: str, args: ImagePolicyArgs, images: RewrittenImages) -> None:
        self._policy(
            f"{name}-rewrite",
            args,
            api_version=rewrite.API_VERSION,
            kind=rewrite.KIND,
            called=rewrite.NAME,
            annotations={},
            # The images that it writes into pods are pulled from Harbor, so it waits for Harbor.
            spec=after(pulumi.Output.from_input(args.harbor), rewrite.mutating_policy(images)),
        )

    def _verify(self, name: str, args: ImagePolicyArgs, images: SignedImages) -> None:
        policy = signatures.signature_policy(args.kind, images)
        pin = self._pin(name, args, images)
        self._policy(
            f"{name}-verify",
            args,
            api_version=require_harbor.API_VERSIONS[args.kind],
            kind=signatures.KINDS[args.kind],
            called=signatures.NAME,
            annotations={
                **policy["annotations"],
                "pulumi.com/waitFor": require_harbor.READY[args.kind],
            },
            # Kyverno reads signatures from Harbor, in Audit too, so it waits for Harbor.
            spec=after(pulumi.Output.from_input(args.harbor), policy["spec"]),
            # Until tags are pinned, it would refuse every pod that names one.
            depends_on=pin,
        )

    def _pin(self, name: str, args: ImagePolicyArgs, images: SignedImages) -> list[CustomResource]:
        spec = signatures.pin_policy(images) if args.kind == "ValidatingPolicy" else None
        if spec is None:
            return []
        pinned = self._policy(
            f"{name}-pin",
            args,
            api_version=require_harbor.API_VERSIONS[args.kind],
            kind=signatures.KINDS[args.kind],
            called=signatures.PIN_NAME,
            annotations={"pulumi.com/waitFor": require_harbor.READY[args.kind]},
            spec=after(pulumi.Output.from_input(args.harbor), spec),
        )
        return [pinned]

    def _policy(
        self,
        name: str,
        args: ImagePolicyArgs,
        *,
        api_version: str,
        kind: str,
        called: str,
        annotations: dict[str, str],
        spec: pulumi.Input[dict[str, Any]],
        depends_on: Sequence[CustomResource] = (),
    ) -> CustomResource:
        return CustomResource(
            name,
            api_version=api_version,
            kind=kind,
            metadata={
                "name": called,
                "labels": args.context.labels("image-policy"),
                "annotations": {**FIELD_MANAGER, **annotations},
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on)),
        )


def create(
    config: StackConfig,
    context: Context,
    harbor: pulumi.Input[str],
    *,
    existing: frozenset[str] | None = None,
) -> ImagePolicy:
    """The policies that the setting `imagePolicy` asks for. `harbor`: see ImagePolicyArgs.

    `existing`: see Adopted.namespaces.
    """
    args = image_policy_args(config.settings, context, harbor, existing)
    return ImagePolicy("image-policy", args, context.options)


def image_policy_args(
    settings: Settings,
    context: Context,
    harbor: pulumi.Input[str],
    existing: frozenset[str] | None = None,
) -> ImagePolicyArgs:
    """The args that `settings` amount to."""
    section = settings.image_policy
    prefixes, excluded = _prefixes(settings), _exclusions(settings, existing)
    rewritten = RewrittenImages(
        projects=settings.rewritten_hosts,
        registry=settings.registry_address,
        prefixes=prefixes,
        excluded_namespaces=excluded,
        unchanged=section.unchanged_pods,
    )
    return ImagePolicyArgs(
        kind=section.kind,
        required=harbor_images(settings, existing) if section.enabled else None,
        rewritten=rewritten if section.enabled and section.rewrite.enabled else None,
        signed=signed_images(settings, existing),
        harbor=harbor,
        context=context,
    )


def harbor_images(settings: Settings, existing: frozenset[str] | None = None) -> HarborImages:
    """The images that may run."""
    signed = signed_images(settings)
    return HarborImages(
        prefixes=_prefixes(settings),
        excluded_namespaces=_exclusions(settings, existing),
        enforcement=settings.image_policy.enforcement,
        signed_prefixes=signed.signed_prefixes if signed is not None and signed.refuses else (),
    )


def signed_images(
    settings: Settings, existing: frozenset[str] | None = None
) -> SignedImages | None:
    """The images that have to be signed; None where none has to be."""
    section = settings.image_policy.signatures
    if section is None or not settings.image_policy.enabled:
        return None
    # Kyverno reaches Harbor through the gateway's pods, so these must start without Kyverno.
    gateway = settings.network_policies.gateway
    in_between = {gateway.namespace} if isinstance(gateway, NamespaceGateway) else set[str]()
    return SignedImages(
        settings=section,
        prefixes=_prefixes(settings),
        excluded_namespaces=tuple(sorted({*_exclusions(settings, existing), *in_between})),
        unchanged=settings.image_policy.unchanged_pods,
    )


def _prefixes(settings: Settings) -> tuple[str, ...]:
    return (settings.registry_address.image_prefix, *settings.image_policy.extra_prefixes)


def _exclusions(settings: Settings, existing: frozenset[str] | None) -> tuple[str, ...]:
    return settings.image_policy.exclusions(default_exclusions(settings), existing)


def default_exclusions(settings: Settings) -> dict[str, str]:
    """Namespace → why Harbor cannot start again while its pods are refused."""
    return namespaces_harbor_needs(
        harbor=settings.harbor.namespace,
        sealing=settings.sealing.controller_namespace,
        database=settings.database,
        valkey=settings.valkey,
    )
