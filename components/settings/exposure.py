"""The section `exposure`: how the registry's host reaches Harbor. Pure."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from components.settings.schema.labels import ANNOTATIONS, LABELS
from components.settings.schema.rules import (
    DNS_LABEL,
    DNS_NAME,
    OBJECT_NAME,
    REMOVE,
    Section,
    SettingRule,
    matching,
    refuse,
)

_ISSUER = replace(OBJECT_NAME, example="<cluster-issuer>")


class ParentRef(Section):
    """A listener of a Gateway, or of a ListenerSet."""

    name: Annotated[str, OBJECT_NAME]
    """Name of the Gateway or ListenerSet."""
    namespace: Annotated[str, DNS_LABEL]
    """Namespace of the Gateway or ListenerSet."""
    kind: Literal["Gateway", "ListenerSet", "XListenerSet"] = "Gateway"
    """What has the listener: a Gateway, or a set of listeners that is attached to one.
    XListenerSet is its experimental form, before Gateway API 1.5."""
    section_name: Annotated[str, replace(OBJECT_NAME, example="https")] = "https"
    """Name of its listener with TLS."""


class Issuer(Section):
    """An issuer of cert-manager, or of an extension of it."""

    name: Annotated[str, _ISSUER]
    """Name of the issuer."""
    kind: Annotated[
        str,
        SettingRule(
            allowed="the kind of an issuer, such as Issuer or ClusterIssuer",
            example="Issuer",
            check=matching(r"[A-Z][A-Za-z0-9]{0,62}"),
            suggest=lambda text: [text[:1].upper() + text[1:]],
        ),
    ] = "ClusterIssuer"
    """Its kind. An Issuer is in the namespace of the certificate's Secret."""
    group: Annotated[
        str,
        SettingRule(
            allowed="an API group: lower-case labels with dots between them",
            example="cert-manager.io",
            check=matching(
                r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+"
            ),
        ),
    ] = "cert-manager.io"
    """API group of that kind."""


_SIZES = {"ECDSA": (256, 384, 521), "RSA": (2048, 3072, 4096, 8192)}


class PrivateKey(Section):
    """The private key of a certificate."""

    algorithm: Literal["ECDSA", "RSA", "Ed25519"] = "ECDSA"
    """Algorithm of the key; the issuer must sign such keys, and clients must know them."""
    size: (
        Annotated[
            int,
            SettingRule(allowed="a number of bits that the algorithm knows", example="384"),
        ]
        | None
    ) = None
    """Bits of the key; 256 for ECDSA and 2048 for RSA when unset. An Ed25519 key has no size."""

    @property
    def bits(self) -> int | None:
        """Bits of the key; None for Ed25519."""
        return self.size or next(iter(_SIZES.get(self.algorithm, ())), None)

    @model_validator(mode="after")
    def _size_is_of_the_algorithm(self) -> Self:
        sizes = _SIZES.get(self.algorithm, ())
        if self.size is None or self.size in sizes:
            return self
        if not sizes:
            refuse(f"left out for {self.algorithm}", at=("size",), example=REMOVE)
        else:
            allowed = ", ".join(map(str, sizes))
            refuse(f"one of {allowed} for {self.algorithm}", at=("size",), example=str(sizes[0]))
        return self


def _one_issuer(cluster_issuer: str | None, issuer: Issuer | None, section: str) -> None:
    if (cluster_issuer is None) == (issuer is None):
        refuse(
            f"either {section}.clusterIssuer or {section}.issuer",
            at=("clusterIssuer",),
            example=None if cluster_issuer is None else REMOVE,
        )


def _issuer(cluster_issuer: str | None, issuer: Issuer | None) -> Issuer | None:
    return issuer if cluster_issuer is None else Issuer(name=cluster_issuer)


class CommonExposure(Section):
    """Settings of both kinds."""

    host: Annotated[str, DNS_NAME] | None = None
    """Host of the registry, in image references, certificate and records; registry.<fqdn> when
    unset. A change breaks every image reference that names the old host."""


class ListenerCertificate(Section):
    """A certificate from cert-manager, for a listener that has none for the registry's host."""

    cluster_issuer: Annotated[str, _ISSUER] | None = None
    """ClusterIssuer that signs it."""
    issuer: Issuer | None = None
    """An issuer of another kind, instead of clusterIssuer."""
    private_key: PrivateKey = PrivateKey()
    """Its private key."""
    secret_name: Annotated[str, replace(OBJECT_NAME, example="harbor-tls")]
    """Secret that the listener names in certificateRefs."""
    namespace: Annotated[str, DNS_LABEL] | None = None
    """Namespace of that Secret; that of the first of parentRefs when unset."""

    @property
    def signed_by(self) -> Issuer | None:
        """The issuer that signs it."""
        return _issuer(self.cluster_issuer, self.issuer)

    @model_validator(mode="after")
    def _has_one_issuer(self) -> Self:
        _one_issuer(self.cluster_issuer, self.issuer, "exposure.certificate")
        return self


class GatewayExposure(CommonExposure):
    """An HTTPRoute on a Gateway (Gateway API), which terminates TLS."""

    also_called = ("httproute", "route")

    kind: Literal["gateway"] = "gateway"
    parent_refs: tuple[ParentRef, ...] = (
        ParentRef(name="cilium-gateway", namespace="kube-system"),
    )
    """The listeners that the route is attached to."""
    annotations: Annotated[dict[str, str], ANNOTATIONS] = Field(default_factory=dict)
    """Annotations of the route, such as those that external-dns reads."""
    labels: Annotated[dict[str, str], LABELS] = Field(default_factory=dict)
    """Labels of the route, by which a listener or external-dns may choose routes."""
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


class IngressExposure(CommonExposure):
    """An Ingress of a controller such as Traefik or nginx, which terminates TLS."""

    also_called = ("traefik", "nginx", "ingress-nginx")

    kind: Literal["ingress"]
    class_name: Annotated[str, replace(OBJECT_NAME, example="<ingress-class>")]
    """IngressClass."""
    controller: Literal["default", "gce", "ncp", "alb", "f5-bigip"] = "default"
    """How Harbor's chart writes paths and Services for the controller. With gce, alb and f5-bigip
    the Services are of type NodePort."""
    annotations: Annotated[dict[str, str], ANNOTATIONS] = Field(default_factory=dict)
    """Annotations to add to those that let large layers through."""
    cluster_issuer: Annotated[str, _ISSUER] | None = None
    """ClusterIssuer of cert-manager that signs the certificate."""
    issuer: Issuer | None = None
    """An issuer of another kind, instead of clusterIssuer."""
    private_key: PrivateKey = PrivateKey()
    """Private key of the certificate, with an issuer."""
    tls_secret: Annotated[str, replace(OBJECT_NAME, example="harbor-tls")] | None = None
    """Secret with the certificate, in Harbor's namespace; harbor-tls with an issuer."""

    @property
    def tls_secret_name(self) -> str:
        """The Secret with the certificate, whether cert-manager or somebody else fills it."""
        return self.tls_secret or "harbor-tls"

    @property
    def needs_cert_manager(self) -> bool:
        """Whether a certificate is to be made."""
        return self.signed_by is not None

    @property
    def signed_by(self) -> Issuer | None:
        """The issuer that signs the certificate; None where somebody else brings it."""
        return _issuer(self.cluster_issuer, self.issuer)

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if self.cluster_issuer is not None and self.issuer is not None:
            _one_issuer(self.cluster_issuer, self.issuer, "exposure")
        if self.signed_by is None and self.tls_secret is None:
            refuse(
                "exposure.clusterIssuer or exposure.tlsSecret: without a certificate the "
                "controller answers with one of its own, which no client trusts",
                at=("clusterIssuer",),
            )
        return self


def by_default_a_gateway(value: Any) -> Any:
    """`exposure: {host: …}` means kind gateway, as the section left out does. With a key that only
    an Ingress has, the kind has to be named."""
    if not isinstance(value, dict):
        return value
    given = cast("dict[str, Any]", value)
    known = {field.alias or name for name, field in GatewayExposure.model_fields.items()}
    return {"kind": "gateway", **given} if given.keys() <= known else given


ExposureSettings = Annotated[
    GatewayExposure | IngressExposure,
    Field(discriminator="kind"),
    BeforeValidator(by_default_a_gateway),
]
