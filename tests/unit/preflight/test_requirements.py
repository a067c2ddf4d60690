"""Before anything is created: the right cluster, and one that has what is needed."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from components.kubernetes.client import ClusterClient
from components.preflight import identity, requirements
from components.settings.cluster import ClusterSettings
from components.settings.exposure import ParentRef
from components.settings.model import Settings
from tests.support import builders
from tests.support.builders import BUCKET, FILESYSTEM, settings
from tests.support.signing import Key

KEY = Key().public

UID = "11111111-2222-3333-4444-555555555555"


SHARED = {
    "mode": "shared",
    "host": "pg.db",
    "username": "harbor",
    "secret": {"namespace": "db", "name": "pg-app"},
}


ROBOT: dict[str, Any] = {
    "registry": {
        "projects": {"p": {}},
        "robots": {
            "r": {
                "permissions": {"p": ["pull"]},
                "pullSecret": {"namespaces": ["apps"], "serviceAccounts": {"apps": ["default"]}},
            }
        },
    }
}
GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces"
CERTIFICATE = {
    "kind": "gateway",
    "certificate": {"clusterIssuer": "ca", "secretName": "harbor-tls", "namespace": "edge"},
}
NGINX = {
    "gateway": {"kind": "namespace", "namespace": "ingress-nginx"},
    "apiServer": {"cidr": "10.0.0.1/32"},
}
INGRESS = {
    "exposure": {"kind": "ingress", "className": "nginx", "tlsSecret": "our-tls"},
    "networkPolicies": NGINX,
}
OF_THE_NAMESPACE = {
    "exposure": {
        "kind": "ingress",
        "className": "nginx",
        "issuer": {"name": "ca", "kind": "Issuer"},
    },
    "networkPolicies": NGINX,
}
OF_AN_EXTENSION = {
    "exposure": {
        "kind": "ingress",
        "className": "nginx",
        "issuer": {"name": "ca", "kind": "ClusterIssuer", "group": "certmanager.step.sm"},
    },
    "networkPolicies": NGINX,
}
LISTENER_SET = {
    "exposure": {
        "kind": "gateway",
        "parentRefs": [{"kind": "ListenerSet", "name": "harbor", "namespace": "edge"}],
    }
}
ISSUED = {
    "exposure": {"kind": "ingress", "className": "nginx", "clusterIssuer": "ca"},
    "networkPolicies": NGINX,
}


def cluster_with(objects: dict[str, Any], name: str | None = "omantel") -> Any:
    """In place of a ClusterClient."""
    return builders.Cluster(objects, cluster_name=name)


def paths(stack: Settings) -> set[str]:
    return {requirement.path for requirement in requirements.requirements(stack)}


def test_a_cluster_that_has_everything_is_accepted() -> None:
    stack = settings(storage=BUCKET)
    client = builders.Cluster(has_everything=True)
    assert requirements.problems(cast("ClusterClient", client), stack) == []


ALL: dict[str, Any] = {
    "registry": builders.CACHES,
    "imagePolicy": {
        "rewrite": {"enabled": True},
        "signatures": {"projects": ["platform"], "publicKey": KEY},
    },
    "exposure": {
        "kind": "gateway",
        "parentRefs": [{"name": "g", "namespace": "g"}],
        "certificate": {"clusterIssuer": "letsencrypt", "secretName": "harbor-tls"},
    },
    "metrics": {"enabled": True, "serviceMonitor": True},
    "monitoring": {"enabled": True, "dashboardNamespace": "grafana"},
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/apis/bitnami.com/v1alpha1", "SealedSecret"),
        ("/apis/postgresql.cnpg.io/v1", "Cluster"),
        ("/apis/policies.kyverno.io/v1", "ValidatingPolicy"),
        ("/apis/policies.kyverno.io/v1", "ImageValidatingPolicy"),
        ("/apis/policies.kyverno.io/v1", "MutatingPolicy"),
        ("/apis/gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("/apis/cert-manager.io/v1", "Certificate"),
        ("/apis/cilium.io/v2", "CiliumNetworkPolicy"),
        ("/apis/monitoring.coreos.com/v1", "ServiceMonitor"),
        ("/apis/monitoring.coreos.com/v1", "PrometheusRule"),
        ("/apis/monitoring.coreos.com/v1", "PodMonitor"),
    ],
)
def test_a_kind_that_is_gone_is_missed_though_its_api_version_answers(path: str, kind: str) -> None:
    others = [each for each in builders.KINDS if each != kind]
    client = builders.Cluster({path: builders.serving(*others)}, has_everything=True)
    (problem,) = requirements.problems(cast("ClusterClient", client), settings(**ALL))
    assert f"kind {kind} ({path.removeprefix('/apis/')})" in problem
    assert re.search(r"pulumi up -s (?!None)\S+ --refresh makes them again", problem)


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        ({}, {"ValidatingPolicy"}),
        ({"kind": "ClusterPolicy"}, {"ClusterPolicy"}),
        (
            {"kind": "ClusterPolicy", "rewrite": {"enabled": True}},
            {"ClusterPolicy", "MutatingPolicy"},
        ),
        (
            {"kind": "ClusterPolicy", "signatures": {"projects": ["a"], "publicKey": KEY}},
            {"ClusterPolicy"},
        ),
        ({"enabled": False, "rewrite": {"enabled": True}}, set()),
    ],
)
def test_only_the_policies_that_are_asked_for_need_their_kind(
    policy: dict[str, Any], kinds: set[str]
) -> None:
    needed = requirements.policy_kinds(
        settings(imagePolicy=policy, registry=builders.CACHES).image_policy
    )
    assert {kind for _, kind in needed} == kinds


def test_all_that_is_missing_is_named_at_once_with_how_to_get_it() -> None:
    stack = settings(storage=BUCKET)
    lines = requirements.problems(cluster_with({}), stack)
    text = "\n".join(lines)
    assert len(lines) == len(requirements.requirements(stack))
    for part in ("bitnami.com/v1alpha1", "postgresql.cnpg.io/v1", "flux-system", "fix: install"):
        assert part in text


@pytest.mark.parametrize(
    ("section", "path", "is_needed"),
    [
        ({}, "/apis/postgresql.cnpg.io/v1", True),
        ({"database": SHARED}, "/apis/postgresql.cnpg.io/v1", False),
        ({"storage": BUCKET}, "/api/v1/namespaces/flux-system", True),
        ({"storage": {**BUCKET, "seamNamespace": "argocd"}}, "/api/v1/namespaces/argocd", True),
        ({"storage": FILESYSTEM}, "/api/v1/namespaces/flux-system", False),
        (ROBOT, "/api/v1/namespaces/apps", True),
        (ROBOT, "/api/v1/namespaces/apps/serviceaccounts/default", True),
        ({"registry": {**ROBOT["registry"], "enabled": False}}, "/api/v1/namespaces/apps", False),
        (
            {"sealing": {"controllerNamespace": "sealing", "controllerName": "ss"}},
            "/api/v1/namespaces/sealing/services/ss",
            True,
        ),
        ({}, f"{GATEWAYS}/kube-system/gateways/cilium-gateway", True),
        (
            {
                "exposure": {
                    "kind": "gateway",
                    "parentRefs": [{"name": "edge", "namespace": "gateways"}],
                }
            },
            f"{GATEWAYS}/gateways/gateways/edge",
            True,
        ),
        ({"exposure": CERTIFICATE}, "/apis/cert-manager.io/v1/clusterissuers/ca", True),
        ({"exposure": CERTIFICATE}, "/api/v1/namespaces/edge", True),
        (INGRESS, "/apis/networking.k8s.io/v1/ingressclasses/nginx", True),
        (INGRESS, "/api/v1/namespaces/harbor/secrets/our-tls", True),
        (INGRESS, f"{GATEWAYS}/kube-system/gateways/cilium-gateway", False),
        (ISSUED, "/apis/cert-manager.io/v1/clusterissuers/ca", True),
        (OF_THE_NAMESPACE, "/apis/cert-manager.io/v1/namespaces/harbor/issuers/ca", True),
        (OF_AN_EXTENSION, "/apis/cert-manager.io/v1/clusterissuers/ca", False),
        (LISTENER_SET, f"{GATEWAYS}/edge/listenersets/harbor", True),
        (ISSUED, "/api/v1/namespaces/harbor/secrets/harbor-tls", False),
        (INGRESS, "/api/v1/namespaces/ingress-nginx", True),
    ],
)
def test_only_what_the_settings_use_is_required(
    section: dict[str, Any], path: str, is_needed: bool
) -> None:
    assert (path in paths(settings(**section))) is is_needed


HOST = "registry.omantel.omani.works"
LISTENER: dict[str, Any] = {
    "name": "https",
    "protocol": "HTTPS",
    "allowedRoutes": {"namespaces": {"from": "All"}},
}


def refused_listener(listener: dict[str, Any], *, gateway_in: str = "kube-system") -> str | None:
    gateway = {"spec": {"listeners": [{"name": "http", "protocol": "HTTP"}, listener]}}
    ref = ParentRef(name="edge", namespace=gateway_in)
    return requirements.listener_problem(gateway, ref, host=HOST, namespace="harbor")


@pytest.mark.parametrize(
    ("change", "gateway_in"),
    [
        ({}, "kube-system"),
        ({"hostname": HOST}, "kube-system"),
        ({"protocol": "HTTP"}, "kube-system"),
        ({"hostname": "*.omantel.omani.works"}, "kube-system"),
        ({"hostname": "*.omani.works"}, "kube-system"),
        ({"allowedRoutes": {"namespaces": {"from": "Selector"}}}, "kube-system"),
        ({"allowedRoutes": None}, "harbor"),
    ],
    ids=str,
)
def test_a_listener_that_takes_the_route_is_accepted(
    change: dict[str, Any], gateway_in: str
) -> None:
    assert refused_listener({**LISTENER, **change}, gateway_in=gateway_in) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "web"}, "has no listener https; it has http, web"),
        ({"protocol": "TLS"}, "speaks TLS on listener https"),
        ({"hostname": "registry.otech.omani.works"}, "serves registry.otech.omani.works"),
        ({"hostname": "*.otech.omani.works"}, f"not {HOST}"),
        ({"allowedRoutes": None}, "takes no route of namespace harbor"),
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, "from Same"),
        ({"allowedRoutes": {"namespaces": {"from": "None"}}}, "from None"),
    ],
    ids=str,
)
def test_a_listener_that_would_not_take_the_route_is_refused(
    change: dict[str, Any], word: str
) -> None:
    assert word in (refused_listener({**LISTENER, **change}) or "")


def test_a_refused_listener_is_named_with_its_setting() -> None:
    stack = settings(storage=BUCKET)
    path = f"{GATEWAYS}/kube-system/gateways/cilium-gateway"
    gateway = {"spec": {"listeners": [{**LISTENER, "name": "web"}]}}
    cluster: Any = builders.Cluster({path: gateway}, has_everything=True)
    (words,) = requirements.problems(cluster, stack)
    assert "exposure.parentRefs[0]: Gateway cilium-gateway in namespace kube-system has no" in words
    assert "'exposure.parentRefs[0].sectionName' <listener>" in words


@pytest.mark.parametrize(
    ("cluster", "reached", "uid", "word"),
    [
        (ClusterSettings(name="omantel"), "omantel", UID, None),
        (ClusterSettings(name="omantel", uid=UID), "omantel", UID, None),
        (ClusterSettings(), "whatever", UID, None),
        (ClusterSettings(name="omantel"), "otech", UID, "reaches cluster otech"),
        (
            ClusterSettings(name="omantel", uid=UID),
            "omantel",
            UID[::-1],
            "another cluster of the same",
        ),
    ],
)
def test_a_stack_touches_only_the_cluster_that_it_names(
    cluster: ClusterSettings, reached: str, uid: str, word: str | None
) -> None:
    system = {"/api/v1/namespaces/kube-system": {"metadata": {"uid": uid}}}
    problems = identity.problems(cluster_with(system, reached), cluster)
    assert len(problems) == (0 if word is None else 1)
    assert word is None or word in problems[0]


POD = cluster_with({"/api/v1/namespaces/kube-system": {"metadata": {"uid": UID}}}, name=None)
"""The account of the pod in which the program runs: it names no cluster."""


def test_the_account_of_a_pod_is_no_proof_of_a_cluster_s_name() -> None:
    (line,) = identity.problems(POD, ClusterSettings(name="default"))
    assert "cluster.name = default" in line
    assert "it names no cluster" in line
    assert "pulumi config set --path 'cluster.uid'" in line


def test_the_account_of_a_pod_is_accepted_for_the_cluster_of_that_uid() -> None:
    assert identity.problems(POD, ClusterSettings(name="omantel", uid=UID)) == []
    (line,) = identity.problems(POD, ClusterSettings(name="omantel", uid=UID.replace("1", "9")))
    assert "it is another cluster" in line


MONITORED: dict[str, Any] = {
    "metrics": {"enabled": True, "serviceMonitor": True},
    "monitoring": {"enabled": True, "dashboardNamespace": "grafana"},
}


def missing_monitoring(**sections: Any) -> str:
    """What a stack misses of monitoring in a cluster with nothing."""
    lines = requirements.problems(cluster_with({}), settings(**{**MONITORED, **sections}))
    return "\n".join(line for line in lines if "onitoring" in line)


def test_monitoring_without_the_operator_is_refused_with_the_way_out() -> None:
    said = missing_monitoring()
    assert "kind PrometheusRule (monitoring.coreos.com/v1)" in said
    assert re.search(r"pulumi config set --path 'monitoring.rules' false -s (?!None)\S+", said)
    assert "kind PodMonitor (monitoring.coreos.com/v1)" in said
    assert re.search(r"pulumi config set --path 'monitoring.enabled' false -s (?!None)\S+", said)
    assert "namespace grafana, where the dashboard goes (monitoring.dashboardNamespace)" in said
    assert "namespace monitoring, from which alone the policies let Prometheus through" in said
    assert "set networkPolicies.monitoringNamespace to where Prometheus runs" in said


@pytest.mark.parametrize(
    ("sections", "absent"),
    [
        ({"monitoring": {"enabled": True, "rules": False}}, "PrometheusRule"),
        ({"database": SHARED}, "PodMonitor"),
        (
            {"monitoring": {**MONITORED["monitoring"], "dashboard": False}},
            "namespace grafana",
        ),
        ({"monitoring": {"enabled": False}}, "PrometheusRule"),
        ({"monitoring": {"enabled": False}}, "namespace monitoring"),
        ({"networkPolicies": {"enabled": False}}, "namespace monitoring"),
    ],
    ids=str,
)
def test_what_is_not_written_is_not_needed(sections: dict[str, Any], absent: str) -> None:
    assert absent not in missing_monitoring(**sections)
