"""ImagePolicy: only Harbor's images run in the cluster, by Kyverno's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.image_policy import require_harbor, rewrite
from components.image_policy.require_harbor import HarborImages, PolicyKind
from components.image_policy.rewrite import Rewrite
from components.naming import FIELD_MANAGER
from components.settings.image_policy import namespaces_harbor_needs
from components.settings.model import Settings
from components.site import Site


@dataclass(frozen=True, kw_only=True)
class ImagePolicyArgs:
    """`images`: None where no policy is wanted. `harbor`: known once Harbor is Ready."""

    kind: PolicyKind
    images: HarborImages | None
    rewrite: Rewrite | None
    harbor: pulumi.Input[str]
    site: Site


class ImagePolicy(pulumi.ComponentResource):
    """The policies. `excluded_namespaces`: where any image may run; None: no policy, everywhere.

    Enforce takes Harbor's version as an input, and so is never applied to a cluster in which
    Harbor cannot be pulled from yet. Audit refuses nothing and waits for nothing.
    """

    excluded_namespaces: tuple[str, ...] | None

    def __init__(
        self, name: str, args: ImagePolicyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:ImagePolicy", name, None, opts)
        self.excluded_namespaces = None
        if args.images is not None:
            self.excluded_namespaces = args.images.excluded_namespaces
            self._require(name, args, args.images)
        if args.rewrite is not None:
            self._rewrite(name, args, args.rewrite)
        self.register_outputs({"excludedNamespaces": self.excluded_namespaces})

    def _require(self, name: str, args: ImagePolicyArgs, images: HarborImages) -> None:
        policy = require_harbor.image_policy(args.kind, images)
        spec: pulumi.Input[dict[str, Any]] = policy["spec"]
        if images.enforcement == "Enforce":
            spec = pulumi.Output.from_input(args.harbor).apply(lambda _: policy["spec"])
        CustomResource(
            f"{name}-require",
            api_version=require_harbor.API_VERSIONS[args.kind],
            kind=args.kind,
            metadata={
                "name": require_harbor.NAME,
                "labels": args.site.labels("image-policy"),
                "annotations": {
                    **FIELD_MANAGER,
                    **policy["annotations"],
                    "pulumi.com/waitFor": require_harbor.READY[args.kind],
                },
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _rewrite(self, name: str, args: ImagePolicyArgs, wanted: Rewrite) -> None:
        CustomResource(
            f"{name}-rewrite",
            api_version="policies.kyverno.io/v1",
            kind="MutatingPolicy",
            metadata={
                "name": rewrite.NAME,
                "labels": args.site.labels("image-policy"),
                "annotations": FIELD_MANAGER,
            },
            # What it writes into pods has to be pulled from a Harbor that is there.
            spec=pulumi.Output.from_input(args.harbor).apply(
                lambda _: rewrite.mutating_policy(wanted)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


def image_policy_args(settings: Settings, site: Site, harbor: pulumi.Input[str]) -> ImagePolicyArgs:
    """The args that `settings` amount to."""
    wanted = settings.image_policy
    excluded = wanted.exclusions(
        namespaces_harbor_needs(
            harbor=settings.harbor.namespace,
            sealing=settings.sealing.controller_namespace,
            database=settings.database,
            valkey=settings.valkey,
        )
    )
    prefixes = (f"{settings.registry_fqdn}/", *wanted.extra_prefixes)
    images = HarborImages(
        prefixes=prefixes, excluded_namespaces=excluded, enforcement=wanted.enforcement
    )
    through_caches = Rewrite(
        registry=settings.registry_fqdn,
        projects=wanted.rewrite.projects,
        kept=prefixes,
        excluded_namespaces=excluded,
    )
    return ImagePolicyArgs(
        kind=wanted.kind,
        images=images if wanted.enabled else None,
        rewrite=through_caches if wanted.enabled and wanted.rewrite.enabled else None,
        harbor=harbor,
        site=site,
    )
