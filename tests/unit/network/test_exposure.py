"""How the registry's host reaches Harbor: values of the chart, and the certificate."""

from typing import Any

import pulumi
import pytest

from components.harbor_inputs import Gateway, Ingress
from components.network import exposure
from components.network.exposure import TRAEFIK_HINT, chart_exposure
from components.preflight.requirements import requirements
from tests.support.builders import config, context_of, harbor, settings
from tests.support.mocks import RELEASE, Engine, Registered

CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"
ISSUER = "letsencrypt-dns01-prod"
INGRESS: dict[str, Any] = {"kind": "ingress", "className": "nginx", "clusterIssuer": ISSUER}
POLICIES: dict[str, Any] = {
    "gateway": {"kind": "namespace", "namespace": "ingress-nginx"},
    "apiServer": {"cidr": "10.0.0.2/32"},
}


def certificates(engine: Engine, pem: str, **sections: Any) -> list[Registered]:
    def build() -> None:
        exposure.create(config(**sections), context_of(pem))

    engine.run(build)
    return engine.all(CERTIFICATE)


def values(engine: Engine, pem: str, **sections: Any) -> dict[str, Any]:
    engine.run(lambda: harbor(context_of(pem), **sections))
    return engine.one(RELEASE)["values"]


def test_by_default_the_estates_gateway_ends_tls(engine: Engine, sealing_certificate: str) -> None:
    chart = values(engine, sealing_certificate)
    assert chart["expose"] == {
        "type": "route",
        "tls": {"enabled": False},
        "route": {
            "parentRefs": [
                {"name": "cilium-gateway", "namespace": "kube-system", "sectionName": "https"}
            ],
            "hosts": ["registry.omantel.omani.works"],
        },
    }
    assert chart["externalURL"] == "https://registry.omantel.omani.works"


def test_an_ingress_has_a_certificate_and_lets_large_layers_through(
    engine: Engine, sealing_certificate: str
) -> None:
    chart = values(engine, sealing_certificate, exposure=INGRESS, networkPolicies=POLICIES)
    expose = chart["expose"]
    assert expose["type"] == "ingress"
    assert expose["tls"] == {
        "enabled": True,
        "certSource": "secret",
        "secret": {"secretName": "harbor-tls"},
    }
    assert expose["ingress"]["hosts"] == {"core": "registry.omantel.omani.works"}
    assert expose["ingress"]["className"] == "nginx"
    assert expose["ingress"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    assert chart["externalURL"] == "https://registry.omantel.omani.works"


def test_own_annotations_are_added_and_win() -> None:
    limit = "nginx.ingress.kubernetes.io/proxy-body-size"
    annotations = {limit: "8g", "example.com/team": "platform"}
    stack = settings(exposure={**INGRESS, "annotations": annotations}, networkPolicies=POLICIES)
    ingress = chart_exposure(stack)
    assert isinstance(ingress, Ingress)
    assert ingress.annotations[limit] == "8g"
    assert ingress.annotations["example.com/team"] == "platform"
    assert "nginx.ingress.kubernetes.io/proxy-read-timeout" in ingress.annotations


def test_several_listeners_are_handed_on_as_they_are() -> None:
    refs = [
        {"name": "public", "namespace": "gateways", "sectionName": "registry"},
        {"name": "internal", "namespace": "gateways"},
    ]
    exposure = chart_exposure(settings(exposure={"kind": "gateway", "parentRefs": refs}))
    assert exposure == Gateway(
        parent_refs=(
            {"name": "public", "namespace": "gateways", "sectionName": "registry"},
            {"name": "internal", "namespace": "gateways", "sectionName": "https"},
        )
    )


def test_a_listener_with_a_certificate_gets_none(engine: Engine, sealing_certificate: str) -> None:
    assert certificates(engine, sealing_certificate) == []


def test_an_ingress_with_a_secret_of_its_own_gets_no_certificate(
    engine: Engine, sealing_certificate: str
) -> None:
    own = {"kind": "ingress", "className": "nginx", "tlsSecret": "wildcard"}
    sections = {"exposure": own, "networkPolicies": POLICIES}
    assert certificates(engine, sealing_certificate, **sections) == []
    ingress = chart_exposure(settings(**sections))
    assert isinstance(ingress, Ingress)
    assert ingress.tls_secret == "wildcard"


@pytest.mark.parametrize(
    ("sections", "namespace", "secret"),
    [
        pytest.param(
            {"exposure": INGRESS, "networkPolicies": POLICIES},
            "registry",
            "harbor-tls",
            id="ingress",
        ),
        pytest.param(
            {
                "exposure": {
                    "kind": "gateway",
                    "certificate": {"clusterIssuer": ISSUER, "secretName": "registry-tls"},
                }
            },
            "kube-system",
            "registry-tls",
            id="beside the gateway",
        ),
        pytest.param(
            {
                "exposure": {
                    "kind": "gateway",
                    "certificate": {
                        "clusterIssuer": ISSUER,
                        "secretName": "registry-tls",
                        "namespace": "certificates",
                    },
                }
            },
            "certificates",
            "registry-tls",
            id="elsewhere",
        ),
    ],
)
def test_a_certificate_is_made_where_it_is_read(
    engine: Engine, sealing_certificate: str, sections: dict[str, Any], namespace: str, secret: str
) -> None:
    (certificate,) = certificates(engine, sealing_certificate, **sections)
    assert certificate["metadata"]["namespace"] == namespace
    assert certificate["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    spec = certificate["spec"]
    assert spec["secretName"] == secret
    assert spec["dnsNames"] == ["registry.omantel.omani.works"]
    assert spec["issuerRef"]["name"] == ISSUER
    assert spec["privateKey"]["rotationPolicy"] == "Always"


@pytest.mark.parametrize(("class_name", "told"), [("traefik", True), ("nginx", False)])
def test_what_no_annotation_can_do_is_said(
    engine: Engine,
    sealing_certificate: str,
    monkeypatch: pytest.MonkeyPatch,
    class_name: str,
    told: bool,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    certificates(
        engine,
        sealing_certificate,
        exposure={**INGRESS, "className": class_name},
        networkPolicies=POLICIES,
    )
    assert (TRAEFIK_HINT in said) is told


@pytest.mark.parametrize(
    ("sections", "needed"),
    [
        ({}, {"gateway.networking.k8s.io", "cilium.io"}),
        (
            {"exposure": INGRESS, "networkPolicies": POLICIES},
            {"cert-manager.io"},
        ),
        (
            {"networkPolicies": {"enabled": False}, "metrics": {"enabled": True}},
            {"gateway.networking.k8s.io"},
        ),
        (
            {"metrics": {"enabled": True, "serviceMonitor": True}},
            {"gateway.networking.k8s.io", "cilium.io", "monitoring.coreos.com"},
        ),
    ],
)
def test_the_cluster_must_have_what_the_perimeter_uses_and_nothing_else(
    sections: dict[str, Any], needed: set[str]
) -> None:
    asked = {requirement.path for requirement in requirements(settings(**sections))}
    ours = {"gateway.networking.k8s.io", "cilium.io", "cert-manager.io", "monitoring.coreos.com"}
    assert {group for group in ours if any(f"/{group}/" in path for path in asked)} == needed
