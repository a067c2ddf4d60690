"""The section `exposure`: how the registry's host reaches Harbor. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.settings.schema.rules import (
    DNS_LABEL,
    OBJECT_NAME,
    Section,
    SettingRule,
    matching,
    refuse,
)

_ISSUER = replace(OBJECT_NAME, example="letsencrypt-dns01-prod")


class ParentRef(Section):
    """A listener of a Gateway."""

    name: Annotated[str, replace(OBJECT_NAME, example="cilium-gateway")]
    """Name of the Gateway."""
    namespace: Annotated[str, replace(DNS_LABEL, example="kube-system")]
    """Namespace of the Gateway."""
    section_name: Annotated[str, replace(OBJECT_NAME, example="https")] = "https"
    """Name of its listener with TLS."""


class ListenerCertificate(Section):
    """A certificate from cert-manager, for a listener that has none for the registry's host."""

    cluster_issuer: Annotated[str, _ISSUER]
    """ClusterIssuer that signs it."""
    secret_name: Annotated[str, replace(OBJECT_NAME, example="harbor-tls")]
    """Secret that the listener names in certificateRefs."""
    namespace: Annotated[str, replace(DNS_LABEL, example="kube-system")] | None = None
    """Namespace of that Secret; the first Gateway's own when unset."""


class GatewayExposure(Section):
    """An HTTPRoute on a Gateway (Gateway API), which terminates TLS."""

    kind: Literal["gateway"] = "gateway"
    parent_refs: tuple[ParentRef, ...] = (
        ParentRef(name="cilium-gateway", namespace="kube-system"),
    )
    """The listeners that the route is attached to."""
    certificate: ListenerCertificate | None = None
    """A certificate to make; none where the listener has one, such as the Sovereign's wildcard."""

    @property
    def needs_cert_manager(self) -> bool:
        """Whether a certificate is to be made."""
        return self.certificate is not None

    @model_validator(mode="after")
    def _is_attached_once(self) -> Self:
        if not self.parent_refs:
            refuse("without one the route belongs to no Gateway", at=("parentRefs",))
        if len(set(self.parent_refs)) < len(self.parent_refs):
            refuse("the same listener twice", at=("parentRefs",))
        return self


_ANNOTATION = matching(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}\w)?")


def _annotations(annotations: Mapping[str, str]) -> str | None:
    bad = next((key for key in annotations if _ANNOTATION(key) is not None), None)
    return None if bad is None else f"{bad} is not the name of one"


class IngressExposure(Section):
    """An Ingress of a controller such as Traefik or nginx, which terminates TLS."""

    kind: Literal["ingress"]
    class_name: Annotated[str, replace(OBJECT_NAME, example="traefik")]
    """IngressClass."""
    annotations: Annotated[
        dict[str, str],
        SettingRule(allowed="an object of annotations", example="VALUE", check=_annotations),
    ] = Field(default_factory=dict)
    """Annotations to add to those that let large layers through."""
    cluster_issuer: Annotated[str, _ISSUER] | None = None
    """ClusterIssuer of cert-manager that signs the certificate."""
    tls_secret: Annotated[str, replace(OBJECT_NAME, example="harbor-tls")] | None = None
    """Secret with the certificate, in Harbor's namespace; harbor-tls with clusterIssuer."""

    @property
    def tls_secret_name(self) -> str:
        """The Secret with the certificate, whether cert-manager or somebody else fills it."""
        return self.tls_secret or "harbor-tls"

    @property
    def needs_cert_manager(self) -> bool:
        """Whether a certificate is to be made."""
        return self.cluster_issuer is not None

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if self.cluster_issuer is None and self.tls_secret is None:
            refuse(
                "exposure.clusterIssuer or exposure.tlsSecret: without a certificate the "
                "controller answers with one of its own, which no client trusts",
                at=("clusterIssuer",),
            )
        return self


ExposureSettings = Annotated[GatewayExposure | IngressExposure, Field(discriminator="kind")]
