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


def test_a_listener_set_is_named_by_group_and_kind() -> None:
    refs = [
        {"name": "own", "namespace": "harbor", "kind": "ListenerSet"},
        {"name": "old", "namespace": "harbor", "kind": "XListenerSet"},
    ]
    exposure = chart_exposure(settings(exposure={"kind": "gateway", "parentRefs": refs}))
    assert isinstance(exposure, Gateway)
    assert [(ref["group"], ref["kind"], ref["name"]) for ref in exposure.parent_refs] == [
        ("gateway.networking.k8s.io", "ListenerSet", "own"),
        ("gateway.networking.x-k8s.io", "XListenerSet", "old"),
    ]


def test_a_route_has_the_labels_and_annotations_that_were_given(
    engine: Engine, sealing_certificate: str
) -> None:
    given = {"labels": {"expose": "public"}, "annotations": {"example.com/ttl": "60"}}
    route = values(engine, sealing_certificate, exposure={"kind": "gateway", **given})["expose"][
        "route"
    ]
    assert {key: route[key] for key in given} == given


def test_the_chart_is_told_of_a_controller_that_needs_other_paths(
    engine: Engine, sealing_certificate: str
) -> None:
    alb = {"kind": "ingress", "className": "alb", "tlsSecret": "tls", "controller": "alb"}
    chart = values(engine, sealing_certificate, exposure=alb, networkPolicies=POLICIES)
    assert chart["expose"]["ingress"]["controller"] == "alb"


@pytest.mark.parametrize(
    ("certificate", "issuer", "key"),
    [
        (
            {"clusterIssuer": ISSUER},
            {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ISSUER},
            {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        ),
        (
            {"issuer": {"name": "vault", "kind": "Issuer"}, "privateKey": {"algorithm": "RSA"}},
            {"group": "cert-manager.io", "kind": "Issuer", "name": "vault"},
            {"algorithm": "RSA", "size": 2048, "rotationPolicy": "Always"},
        ),
        (
            {
                "issuer": {
                    "name": "own",
                    "kind": "StepClusterIssuer",
                    "group": "certmanager.step.sm",
                },
                "privateKey": {"algorithm": "Ed25519"},
            },
            {"group": "certmanager.step.sm", "kind": "StepClusterIssuer", "name": "own"},
            {"algorithm": "Ed25519", "rotationPolicy": "Always"},
        ),
    ],
    ids=["cluster issuer", "issuer", "extension"],
)
@pytest.mark.parametrize("kind", ["gateway", "ingress"])
def test_any_issuer_signs_a_key_of_any_algorithm(
    engine: Engine,
    sealing_certificate: str,
    kind: str,
    certificate: dict[str, Any],
    issuer: dict[str, str],
    key: dict[str, Any],
) -> None:
    exposure = (
        {"kind": "gateway", "certificate": {"secretName": "tls", **certificate}}
        if kind == "gateway"
        else {"kind": "ingress", "className": "nginx", **certificate}
    )
    sections = {"exposure": exposure, "networkPolicies": POLICIES}
    (made,) = certificates(engine, sealing_certificate, **sections)
    assert (made["spec"]["issuerRef"], made["spec"]["privateKey"]) == (issuer, key)


def test_a_host_of_its_own_is_the_registry_s_everywhere(
    engine: Engine, sealing_certificate: str
) -> None:
    host = "harbor.example.com"
    stack = settings(
        exposure={"kind": "gateway", "host": host},
        trivy={"dbRepositories": [f"{host}/mirror/trivy-db"]},
    )
    assert stack.registry_address.url == f"https://{host}"
    assert stack.registry_address.image_prefix == f"{host}/"
    chart = values(engine, sealing_certificate, exposure={"kind": "gateway", "host": host})
    assert chart["expose"]["route"]["hosts"] == [host]
    assert chart["externalURL"] == f"https://{host}"


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
