"""Harbor's namespace is new, this program's own, empty or adopted; anything else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from components.image_policy.require_harbor import HarborImages, PolicyKind, image_policy
from components.kubernetes import naming
from components.preflight import namespace
from tests.support.builders import FQDN, Cluster, settings

PATH = "/api/v1/namespaces/team"


def existing(labels: dict[str, str] | None = None, **lists: list[dict[str, Any]]) -> dict[str, Any]:
    """The namespace `team`, with these objects by the plural of their kind."""
    objects: dict[str, Any] = {PATH: {"metadata": {"name": "team", "labels": labels}}}
    for kind, items in lists.items():
        objects[f"{namespace._LISTS[kind]}/namespaces/team/{kind}?limit=50"] = {"items": items}
    return objects


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **fields}


def problems(objects: dict[str, Any], **sections: Any) -> list[str]:
    harbor = {"namespace": "team", **sections.pop("harbor", {})}
    stack = settings(harbor=harbor, **sections)
    return namespace.problems(Cluster(objects), stack, "omantel")  # pyright: ignore[reportArgumentType]


PUT_THERE_BY_KUBERNETES = existing(
    configmaps=[named("kube-root-ca.crt")],
    secrets=[named("default-token-x", type="kubernetes.io/service-account-token")],
)
SOMEBODY_S = existing(
    pods=[named("app-0")],
    persistentvolumeclaims=[named("data-app-0")],
    secrets=[named("app", type="Opaque")],
)


@pytest.mark.parametrize(
    ("objects", "sections"),
    [
        ({}, {}),
        (existing(), {}),
        (PUT_THERE_BY_KUBERNETES, {}),
        (existing(naming.labels(FQDN, "namespace"), pods=[named("harbor-core")]), {}),
        (existing(naming.labels("was.example.com", "namespace"), pods=[named("core")]), {}),
        (SOMEBODY_S, {"harbor": {"adopt": True}}),
        (
            existing(secrets=[named("their-tls", type="kubernetes.io/tls")]),
            {
                "exposure": {"kind": "ingress", "className": "nginx", "tlsSecret": "their-tls"},
                "networkPolicies": {"enabled": False},
            },
        ),
    ],
    ids=["new", "empty", "Kubernetes' own", "ours", "ours before a new fqdn", "adopted", "its TLS"],
)
def test_a_namespace_that_belongs_to_nobody_else_is_taken(
    objects: dict[str, Any], sections: dict[str, Any]
) -> None:
    assert problems(objects, **sections) == []


@pytest.mark.parametrize("kind", namespace._LISTS)
def test_a_namespace_that_holds_anything_of_somebody_else_is_refused(kind: str) -> None:
    (words,) = problems(existing({"team": "billing"}, **{kind: [named("app")]}))
    for part in (
        "sovereign-harbor:harbor.namespace = team",
        f"holds {kind}/app",
        "pulumi config set --path 'harbor.namespace' <name> -s omantel",
        "kubectl label namespace team app.kubernetes.io/part-of=sovereign-harbor",
    ):
        assert part in words


def test_the_estate_s_own_label_does_not_make_a_namespace_ours() -> None:
    assert problems(existing({naming.SOVEREIGN_LABEL: FQDN}, pods=[named("app")]))


def test_a_long_list_of_foreign_objects_is_cut() -> None:
    (words,) = problems(existing(pods=[named(f"app-{n}") for n in range(9)]))
    assert "pods/app-4 and 4 more" in words
    assert "app-5" not in words


def test_a_namespace_that_is_being_deleted_is_refused() -> None:
    gone = {
        PATH: {
            "metadata": {
                "labels": naming.labels(FQDN, "namespace"),
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            }
        }
    }
    (words,) = problems(gone)
    assert "is being deleted" in words
    assert "kubectl wait --for=delete namespace/team" in words


def applied(kind: PolicyKind, *, enforce: bool, excluded: tuple[str, ...]) -> dict[str, Any]:
    """The policy as the cluster has it."""
    images = HarborImages(
        prefixes=("registry.omantel.omani.works/",),
        excluded_namespaces=excluded,
        enforcement="Enforce" if enforce else "Audit",
    )
    paths: dict[PolicyKind, str] = {
        "ValidatingPolicy": "/apis/policies.kyverno.io/v1/validatingpolicies",
        "ClusterPolicy": "/apis/kyverno.io/v1/clusterpolicies",
    }
    return {f"{paths[kind]}/require-harbor-images": image_policy(kind, images)}


@pytest.mark.parametrize("kind", ["ValidatingPolicy", "ClusterPolicy"])
@pytest.mark.parametrize("now", ["Audit", "Enforce"])
def test_another_namespace_waits_until_the_enforced_policy_leaves_it_out(
    kind: PolicyKind, now: str
) -> None:
    before = applied(kind, enforce=True, excluded=("harbor", "kube-system"))
    (words,) = problems(before, imagePolicy={"kind": kind, "enforcement": now})
    assert "Harbor's own pods could not start" in words
    assert "'imagePolicy.extraExcludedNamespaces[0]' team -s omantel" in words


@pytest.mark.parametrize("kind", ["ValidatingPolicy", "ClusterPolicy"])
@pytest.mark.parametrize(
    ("enforce", "excluded"), [(False, ("harbor",)), (True, ("harbor", "team"))]
)
def test_a_policy_that_lets_harbor_s_pods_start_is_no_obstacle(
    kind: PolicyKind, enforce: bool, excluded: tuple[str, ...]
) -> None:
    before = applied(kind, enforce=enforce, excluded=excluded)
    assert problems(before, imagePolicy={"kind": kind}) == []
