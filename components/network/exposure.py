"""Exposure: how requests to the registry's host reach Harbor, and the certificate for it.

The chart makes the HTTPRoute or Ingress itself, from the values that are built here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.harbor_inputs import Gateway, Ingress
from components.kubernetes.naming import FIELD_MANAGER, REGISTRY_CERTIFICATE
from components.settings.exposure import (
    GatewayExposure,
    IngressExposure,
    Issuer,
    ParentRef,
    PrivateKey,
)
from components.settings.model import Settings
from components.stack_config import StackConfig

LARGE_LAYERS: Final = {
    "nginx.ingress.kubernetes.io/proxy-body-size": "0",
    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "900",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "900",
    "traefik.ingress.kubernetes.io/router.entrypoints": "websecure",
    "traefik.ingress.kubernetes.io/router.tls": "true",
}
"""For layers of gigabytes that are sent for minutes. Each controller ignores the annotations of
others."""

TRAEFIK_HINT: Final = (
    "Traefik ends a request after 60 seconds, which no annotation can change, and large pushes "
    "break: start it with --entryPoints.websecure.transport.respondingTimeouts.readTimeout=0"
)


def chart_exposure(settings: Settings) -> Gateway | Ingress:
    """What the chart is told of it: the section `exposure` in the chart's terms."""
    section = settings.exposure
    if isinstance(section, GatewayExposure):
        return Gateway(
            parent_refs=tuple(map(_parent_ref, section.parent_refs)),
            annotations=section.annotations,
            labels=section.labels,
        )
    return Ingress(
        class_name=section.class_name,
        tls_secret=section.tls_secret_name,
        annotations={**LARGE_LAYERS, **section.annotations},
        controller=section.controller,
    )


_GROUPS: Final = {
    "ListenerSet": "gateway.networking.k8s.io",
    "XListenerSet": "gateway.networking.x-k8s.io",
}


def _parent_ref(ref: ParentRef) -> dict[str, str]:
    """A parentRef of the route. Group and kind of a Gateway are the API's defaults."""
    kind = {"group": _GROUPS[ref.kind], "kind": ref.kind} if ref.kind in _GROUPS else {}
    return {**kind, "name": ref.name, "namespace": ref.namespace, "sectionName": ref.section_name}


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """The registry's certificate; cert-manager keeps it in `secret_name` and renews it."""

    issuer: Issuer
    private_key: PrivateKey
    secret_name: str
    namespace: pulumi.Input[str]
    context: Context


class RegistryCertificate(pulumi.ComponentResource):
    """A Certificate of cert-manager, awaited: an `up` that ends has a certificate."""

    def __init__(
        self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:RegistryCertificate", name, None, opts)
        CustomResource(
            f"{name}-certificate",
            api_version="cert-manager.io/v1",
            kind="Certificate",
            metadata={
                "name": REGISTRY_CERTIFICATE,
                "namespace": args.namespace,
                "labels": args.context.labels("certificate"),
                "annotations": {**FIELD_MANAGER, "pulumi.com/waitFor": "condition=Ready"},
            },
            spec={
                "secretName": args.secret_name,
                "dnsNames": [args.context.registry.host],
                "issuerRef": {
                    "group": args.issuer.group,
                    "kind": args.issuer.kind,
                    "name": args.issuer.name,
                },
                "privateKey": _private_key(args.private_key),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _private_key(key: PrivateKey) -> dict[str, str | int]:
    size = {} if key.bits is None else {"size": key.bits}
    return {"algorithm": key.algorithm, **size, "rotationPolicy": "Always"}


def create(config: StackConfig, context: Context) -> RegistryCertificate | None:
    """The certificate that the setting `exposure` asks for; None where somebody else makes it."""
    settings = config.settings
    section = settings.exposure
    if isinstance(section, IngressExposure):
        if "traefik" in section.class_name:
            pulumi.log.info(TRAEFIK_HINT)
        issuer, key, secret_name = section.signed_by, section.private_key, section.tls_secret_name
        namespace: pulumi.Input[str] = context.namespace
    elif section.certificate is not None:
        certificate = section.certificate
        issuer, key, secret_name = (
            certificate.signed_by,
            certificate.private_key,
            certificate.secret_name,
        )
        namespace = certificate.namespace or section.parent_refs[0].namespace
    else:
        return None
    if issuer is None:
        return None
    args = CertificateArgs(
        issuer=issuer,
        private_key=key,
        secret_name=secret_name,
        namespace=namespace,
        context=context,
    )
    return RegistryCertificate("certificate", args, context.options)
