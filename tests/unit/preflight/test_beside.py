"""Harbor in a namespace in which others live: nothing of theirs is taken, selected or deleted."""

from __future__ import annotations

from typing import Any

import pytest

from components.kubernetes import naming
from components.network.policies import DATA_SERVICES
from components.network.rules import network_policies, perimeter
from components.preflight import beside, namespace
from components.settings.network_policies import CiliumGateway
from tests.support.builders import BACKUP, CACHES, FILESYSTEM, FQDN, Cluster, settings
from tests.support.monitoring import WIDE as MONITORED

PATH = "/api/v1/namespaces/team"
THEIRS: dict[str, Any] = {PATH: {"metadata": {"name": "team", "labels": {"team": "gitlab"}}}}
INGRESS: dict[str, Any] = {
    "exposure": {"kind": "ingress", "className": "traefik", "clusterIssuer": "le"},
    "networkPolicies": {"gateway": {"kind": "namespace", "namespace": "traefik"}},
    "database": {
        "mode": "shared",
        "host": "gitlab-postgres-rw",
        "username": "harbor",
        "secret": {"namespace": "team", "name": "harbor-database"},
    },
}


def stack(**sections: Any) -> Any:
    harbor = {"namespace": "team", "sharedNamespace": True, **sections.pop("harbor", {})}
    return settings(harbor=harbor, **sections)


def problems(objects: dict[str, Any], **sections: Any) -> list[str]:
    cluster: Any = Cluster({**THEIRS, **objects})
    return namespace.problems(cluster, stack(**sections), "bda")


def pods(selector: str, *names: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/team/pods?labelSelector={selector}"
    return {path: {"items": [{"metadata": {"name": name}} for name in names]}}


HARBOR_SELECTOR = "app%3Dharbor%2Crelease%3Dharbor"


def test_whatever_others_have_there_by_other_names_is_no_hindrance() -> None:
    lists = {
        f"{namespace._LISTS[kind]}/namespaces/team/{kind}?limit=50": {
            "items": [{"metadata": {"name": "gitlab"}}]
        }
        for kind in namespace._LISTS
    }
    assert problems(lists) == []


def test_without_the_key_the_same_namespace_is_refused_with_the_way_out() -> None:
    theirs = {f"{PATH}/pods?limit=50": {"items": [{"metadata": {"name": "gitlab-0"}}]}}
    cluster: Any = Cluster({**THEIRS, **theirs})
    (words,) = namespace.problems(cluster, settings(harbor={"namespace": "team"}), "bda")
    assert "holds pods/gitlab-0" in words
    assert "pulumi config set --path 'harbor.sharedNamespace' true -s bda" in words


def test_a_shared_namespace_that_is_missing_is_somebody_else_s_to_make() -> None:
    (words,) = problems({PATH: None})
    assert "kubectl create namespace team" in words
    assert "pulumi config rm --path 'harbor.sharedNamespace' -s bda" in words


def test_a_shared_namespace_that_goes_is_waited_for() -> None:
    gone = {PATH: {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}}
    (words,) = problems(gone)
    assert "is being deleted" in words


def test_a_namespace_of_this_program_s_own_is_not_said_to_be_shared() -> None:
    own = {PATH: {"metadata": {"labels": naming.labels(FQDN, "namespace")}}}
    (words,) = problems(own)
    assert "is this program's own" in words
    assert "docs/howto/shared-namespace.md" in words


@pytest.mark.parametrize(
    ("kind", "name", "sections"),
    [
        ("ConfigMap", "harbor-core", {}),
        ("Service", "harbor-registry", {}),
        ("Service", "harbor-valkey", {}),
        ("Secret", "harbor-registry-htpasswd", {}),
        ("Secret", "harbor-pg-ca", {}),
        ("SealedSecret", "harbor-minted-core-secret", {}),
        ("SealedSecret", "harbor-given-secret-key", {}),
        ("Deployment", "harbor-portal", {}),
        ("StatefulSet", "harbor-trivy", {}),
        ("PersistentVolumeClaim", "harbor-registry", {"storage": FILESYSTEM}),
        ("NetworkPolicy", "harbor-default-deny", {}),
        ("Ingress", "harbor-ingress", INGRESS),
        ("Certificate", "harbor-registry", INGRESS),
        ("Secret", "harbor-tls", INGRESS),
        ("HTTPRoute", "harbor-route", {}),
        ("ConfigMap", "sovereign-harbor-state", {}),
    ],
)
def test_an_object_of_others_under_a_name_of_ours_is_never_written_over(
    kind: str, name: str, sections: dict[str, Any]
) -> None:
    there = {beside.path(kind, "team", name): {"kind": kind, "metadata": {"name": name}}}
    (words,) = problems(there, **sections)
    assert f"have, and would lose them: {kind} {name}\n" in words
    assert "pulumi config set --path 'harbor.namespace' <name> -s bda" in words


def test_what_only_the_store_has_is_not_pushed_there() -> None:
    shared = {
        "mode": "shared",
        "host": "valkey.estate",
        "indexes": {"core": 3},
        "secret": {"storeKey": "estate-valkey"},
    }
    external = {"delivery": "external", "store": {"name": "platform"}}
    stack = settings(secrets=external, valkey=shared)
    assert [*beside.of_secret(stack, "harbor-shared-valkey")] == [
        ("ExternalSecret", "harbor-shared-valkey")
    ]
    assert ("PushSecret", "harbor-minted-secret-key") in beside.objects(stack)


OF_HELM = {"meta.helm.sh/release-name": "harbor", "meta.helm.sh/release-namespace": "team"}


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("ConfigMap", {"labels": naming.labels(FQDN, "any")}),
        ("Service", {"annotations": OF_HELM}),
        ("Secret", {"annotations": {"cert-manager.io/certificate-name": "harbor-registry"}}),
        ("Secret", {"ownerReferences": [{"kind": "Cluster", "name": "harbor-pg"}]}),
        ("PersistentVolumeClaim", {"labels": {"app.kubernetes.io/name": "harbor-valkey"}}),
        ("PersistentVolumeClaim", {"labels": {"app": "harbor", "release": "harbor"}}),
    ],
)
def test_what_is_ours_already_is_no_collision(kind: str, metadata: dict[str, Any]) -> None:
    assert beside.is_ours({"kind": kind, "metadata": metadata}, "team")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": {**OF_HELM, "meta.helm.sh/release-namespace": "another"}},
        {"labels": {"app": "harbor", "release": "harbor"}},
        {"labels": {"app.kubernetes.io/part-of": "gitlab"}},
        {"ownerReferences": [{"kind": "Cluster", "name": "gitlab-postgres"}]},
    ],
)
def test_what_only_looks_like_ours_is_somebody_else_s(metadata: dict[str, Any]) -> None:
    assert not beside.is_ours({"kind": "Service", "metadata": metadata}, "team")


def test_pods_of_others_with_harbor_s_labels_would_be_cut_off_and_are_refused() -> None:
    (words,) = problems(pods(HARBOR_SELECTOR, "harbor-core-5d7-x", "old-harbor-7f-y"))
    assert "labels app=harbor,release=harbor" in words
    assert "old-harbor-7f-y" in words
    assert "harbor-core-5d7-x" not in words


def test_our_own_pods_are_no_hindrance_to_the_second_up() -> None:
    assert problems(pods(HARBOR_SELECTOR, "harbor-core-5d7-x", "harbor-trivy-0")) == []
    assert problems(pods("cnpg.io%2Fcluster%3Dharbor-pg", "harbor-pg-1")) == []


@pytest.mark.parametrize(
    "sections",
    [{}, INGRESS, MONITORED, {"backup": BACKUP}, {"registry": CACHES}],
    ids=["the least", "shared database", "monitoring", "backup", "registry"],
)
def test_no_policy_selects_a_pod_without_labels_of_ours(sections: dict[str, Any]) -> None:
    """A selector that is empty, or has fewer labels, would select pods of others."""
    given = stack(**sections)
    assert isinstance(given.network_policies.gateway, CiliumGateway) == (sections is not INGRESS)
    for policy in network_policies(perimeter(given, DATA_SERVICES)):
        chosen = policy.spec.get("podSelector") or policy.spec["endpointSelector"]
        assert set(chosen) == {"matchLabels"}, policy.name
        labels = chosen["matchLabels"]
        assert any(own.items() <= labels.items() for own in beside.selectors()), policy.name


@pytest.mark.parametrize("plain", ["app", "release", "app.kubernetes.io/name", "cnpg.io/cluster"])
def test_a_pod_with_one_label_of_a_name_that_harbor_has_is_not_selected(plain: str) -> None:
    foreign = {plain: "gitlab"}
    assert not any(own.items() <= foreign.items() for own in beside.selectors())
