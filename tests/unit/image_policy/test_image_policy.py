"""The image policies as data, their settings, and what waits for what. tests/unit/settings has the
words of the refusals; tests/sandbox/test_image_policy.py asks a real Kyverno."""

from dataclasses import replace
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi_kubernetes.apiextensions import CustomResource

from components.image_policy import require_harbor, rewrite, unchanged
from components.image_policy.component import ImagePolicy, image_policy_args
from components.image_policy.require_harbor import HarborImages, PolicyKind, image_policy
from components.image_policy.rewrite import RewrittenImages, rewritten
from components.preflight.exclusions import existing
from components.registry_address import RegistryAddress
from components.settings.exclusions import CLUSTER, ESTATE
from components.settings.model import Settings
from components.settings.proxy_projects import PROXY_PROJECTS
from components.settings.reading import refusals
from components.settings.unchanged_pods import UnchangedPodsSettings
from tests.support.builders import CACHES, Cluster, context_of
from tests.support.mocks import Engine, unknown_inputs

HOST = "registry.omantel.omani.works"
KINDS: tuple[PolicyKind, ...] = ("ValidatingPolicy", "ClusterPolicy")
IMAGES = HarborImages(
    prefixes=(f"{HOST}/",), excluded_namespaces=("harbor", "kube-system"), enforcement="Enforce"
)
AUDITED = HarborImages(
    prefixes=(f"{HOST}/",), excluded_namespaces=("harbor", "kube-system"), enforcement="Audit"
)
GOOD: dict[str, Any] = {
    "fqdn": "omantel.omani.works",
    "cluster": {"name": "omantel"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
}


def settings(policy: dict[str, Any], **sections: Any) -> Settings:
    reading = refusals.read({**GOOD, **sections, "imagePolicy": policy}, stack="omantel")
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))
    assert reading.settings is not None
    return reading.settings


def refused(policy: dict[str, Any], **sections: Any) -> dict[str, refusals.Refusal]:
    reading = refusals.read({**GOOD, **sections, "imagePolicy": policy}, stack="omantel")
    return {refusal.key: refusal for refusal in reading.refusals}


# --- The policy, in both kinds -----------------------------------------------------------------


def cel(kind: PolicyKind, images: HarborImages) -> tuple[Any, Any]:
    spec = image_policy(kind, images)["spec"]
    if kind == "ValidatingPolicy":
        return spec["variables"], spec["validations"]
    rule = spec["rules"][0]["validate"]["cel"]
    return rule["variables"], rule["expressions"]


def test_both_kinds_decide_by_the_same_expressions() -> None:
    assert cel("ValidatingPolicy", IMAGES) == cel("ClusterPolicy", IMAGES)


@pytest.mark.parametrize("prefix", [HOST, "", "harbor.example.com/team"])
def test_a_prefix_that_other_hosts_share_cannot_be_built(prefix: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        HarborImages(prefixes=(prefix,), excluded_namespaces=(), enforcement="Audit")


def test_a_policy_without_prefixes_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="nothing could run"):
        HarborImages(prefixes=(), excluded_namespaces=(), enforcement="Audit")


def test_enforce_denies_and_fails_closed_and_audit_does_neither() -> None:
    for images, action, failing in ((IMAGES, "Deny", "Fail"), (AUDITED, "Audit", "Ignore")):
        spec, old = (image_policy(kind, images)["spec"] for kind in KINDS)
        assert spec["validationActions"] == [action]
        assert spec["failurePolicy"] == failing
        assert old["rules"][0]["validate"]["failureAction"] == images.enforcement
        assert old["webhookConfiguration"]["failurePolicy"] == failing


@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_already_is_reported_in_the_background(kind: PolicyKind) -> None:
    spec = image_policy(kind, IMAGES)["spec"]
    background = (
        spec["evaluation"]["background"]["enabled"] if kind == KINDS[0] else spec["background"]
    )
    assert background is True


@pytest.mark.parametrize("kind", KINDS)
def test_excluded_namespaces_are_known_to_the_api_server(kind: PolicyKind) -> None:
    """Kyverno's own exclusions do not help while Kyverno is down."""
    spec = image_policy(kind, IMAGES)["spec"]
    if kind == "ValidatingPolicy":
        selector = spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        assert selector == [
            {
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["harbor", "kube-system"],
            }
        ]
    else:
        (condition,) = spec["webhookConfiguration"]["matchConditions"]
        assert condition["expression"] == '!(request.namespace in ["harbor", "kube-system"])'


SIGNED = replace(IMAGES, signed_prefixes=(f"{HOST}/platform/",))


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_counted_where_signatures_are_enforced(kind: PolicyKind) -> None:
    most = "at most 10 different images"
    counted = [any(most in str(v) for v in cel(kind, images)[1]) for images in (IMAGES, SIGNED)]
    assert counted == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_images_is_looked_at_before_they_are_compared(kind: PolicyKind) -> None:
    first = cel(kind, SIGNED)[1][0]
    assert first["expression"].startswith("variables.images.size() <= 100")


LONG = "a" * (255 - len(f"{HOST}/"))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a", True),
        ("team/app", True),
        ("team/app:1", True),
        (f"team/app:1@{'sha256:' + '0' * 64}", True),
        ("a/b__c/d-e--f/g.h:A_1.x-y", True),
        (LONG, True),
        (f"app:{'t' * 128}", True),
        (f"{LONG}a", False),
        (f"app:{'t' * 129}", False),
        ("team/App:x", False),
        ("a//b", False),
        ("a:b:c", False),
        ("..", False),
        ("a/../b", False),
        ("a/", False),
        ("", False),
        ("a b", False),
        ("a\n", False),
        ("a/{{x}}", False),
        ("a/*", False),
        ("a@sha256:0", False),
        (f"a@sha512:{'0' * 128}", False),
        (f"a@sha256:{'0' * 64}@sha256:{'0' * 64}", False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_only_a_name_that_is_a_reference_may_run(name: str, is_one: bool) -> None:
    assert IMAGES.allow(f"{HOST}/{name}") == is_one
    assert not IMAGES.allow(f"evil.com/{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_policy_allows_can_be_read_back(kind: PolicyKind) -> None:
    images = replace(SIGNED, prefixes=(f"{HOST}/", "h.x:5000/team/"))
    assert require_harbor.allowances(image_policy(kind, images)["spec"]) == (
        require_harbor.Allowances(
            prefixes=images.prefixes, excluded_namespaces=images.excluded_namespaces
        )
    )
    for strange in ({}, {"rules": []}, {"variables": [], "matchConstraints": {}}):
        assert require_harbor.allowances(strange) is None


# --- Pods whose operator compares images -------------------------------------------------------


def test_images_that_an_operator_compares_stay_unless_the_settings_say_otherwise() -> None:
    cases = {
        "operators and Zalando": UnchangedPodsSettings(),
        "operators": UnchangedPodsSettings(labels=()),
        "a label": UnchangedPodsSettings(of_operators=False, labels=("example.com/a=b",)),
        "none": UnchangedPodsSettings(of_operators=False, labels=()),
    }
    told = {name: unchanged.expression(pods) for name, pods in cases.items()}
    older = {name: unchanged.jmespath(pods) or "" for name, pods in cases.items()}
    for name, has_owners, label in (
        ("operators and Zalando", True, "spilo"),
        ("operators", True, None),
        ("a label", False, "example.com/a"),
        ("none", False, None),
    ):
        for text in (told[name], older[name]):
            assert ("ownerReferences" in text) == has_owners
            assert ("labels" in text) == (label is not None)
            assert label is None or label in text
    assert (told["none"], older["none"]) == ("true", "")


@pytest.mark.parametrize(
    ("pods", "key"),
    [
        ({"labels": ["spilo"]}, "labels[0]"),
        ({"labels": ["a=b,c=d"]}, "labels[0]"),
        ({"labels": ["a='b'"]}, "labels[0]"),
        ({"labels": ["a={{x}}"]}, "labels[0]"),
    ],
)
def test_labels_that_are_refused(pods: dict[str, Any], key: str) -> None:
    by_key = refused({"unchangedPods": pods})
    refusal = by_key[f"imagePolicy.unchangedPods.{key}"]
    assert "a label KEY=VALUE" in refusal.allowed
    assert "application=spilo" in refusal.fix


# --- Rewriting ---------------------------------------------------------------------------------

REWRITTEN_IMAGES = RewrittenImages(
    projects={**PROXY_PROJECTS, "registry.example.com:5000": "proxy-example"},
    registry=RegistryAddress("omantel.omani.works"),
    prefixes=(f"{HOST}/", "harbor.mct1.omani.works/"),
    excluded_namespaces=(),
)
DIGEST = "sha256:" + "0" * 64

REWRITTEN = [
    ("nginx", "proxy-dockerhub/library/nginx"),
    ("nginx:1.27", "proxy-dockerhub/library/nginx:1.27"),
    (f"nginx:1.27@{DIGEST}", f"proxy-dockerhub/library/nginx:1.27@{DIGEST}"),
    ("grafana/grafana", "proxy-dockerhub/grafana/grafana"),
    ("docker.io/nginx", "proxy-dockerhub/library/nginx"),
    ("docker.io/library/nginx", "proxy-dockerhub/library/nginx"),
    ("index.docker.io/nginx", "proxy-dockerhub/library/nginx"),
    ("ghcr.io/a/b:1", "proxy-ghcr/a/b:1"),
    (f"quay.io/a/b@{DIGEST}", f"proxy-quay/a/b@{DIGEST}"),
    ("registry.k8s.io/pause:3", "proxy-k8s/pause:3"),
    ("registry.example.com:5000/a", "proxy-example/a"),
    ("localhoster/app", "proxy-dockerhub/localhoster/app"),
]
UNTOUCHED = [
    "localhost/app",
    "localhost:5000/app",
    "registry.example.com/a",
    "10.0.0.1:5000/a",
    "MYHOST/app",
    "ghcr.io.evil.com/a/b",
    f"{HOST}/proxy-dockerhub/library/nginx",
    f"{HOST}/own/app@{DIGEST}",
    "harbor.mct1.omani.works/own/app",
    f"{HOST}.evil.com/app",
]


@pytest.mark.parametrize(("image", "becomes"), REWRITTEN)
def test_images_go_through_the_cache_of_their_registry(image: str, becomes: str) -> None:
    assert rewritten(image, REWRITTEN_IMAGES) == f"{HOST}/{becomes}"


@pytest.mark.parametrize("image", UNTOUCHED)
def test_images_of_no_cached_registry_and_of_harbor_stay(image: str) -> None:
    assert rewritten(image, REWRITTEN_IMAGES) == image


@given(st.from_regex(r"\A([a-z.:]{1,12}/){0,3}[a-z]{1,6}(:[a-z0-9]{1,4})?\Z"))
def test_rewriting_twice_is_rewriting_once(image: str) -> None:
    once = rewritten(image, REWRITTEN_IMAGES)
    assert rewritten(once, REWRITTEN_IMAGES) == once


def test_docker_hub_stays_where_it_has_no_cache() -> None:
    without = replace(REWRITTEN_IMAGES, projects={"ghcr.io": "g"})
    assert rewritten("nginx", without) == "nginx"
    assert rewritten("ghcr.io/a", without) == f"{HOST}/g/a"


def test_rewriting_never_refuses_and_never_changes_a_running_pod() -> None:
    spec = rewrite.mutating_policy(REWRITTEN_IMAGES)
    assert spec["failurePolicy"] == "Ignore"
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert rule["operations"] == ["CREATE"]


# --- Settings ----------------------------------------------------------------------------------


def args_of(policy: dict[str, Any], **sections: Any) -> Any:
    read = settings(policy, **sections)
    context = context_of(fqdn=read.fqdn, options=pulumi.ResourceOptions())
    return image_policy_args(read, context, "2.14.3")


def excluded(policy: dict[str, Any], **sections: Any) -> set[str]:
    return set(args_of(policy, **sections).required.excluded_namespaces)


def cluster_with(*namespaces: str) -> Any:
    return Cluster({f"/api/v1/namespaces/{name}": {} for name in namespaces})


def test_by_default_harbors_images_are_asked_for_and_nothing_is_refused() -> None:
    args = args_of({})
    assert args.kind == "ValidatingPolicy"
    assert args.required.prefixes == (f"{HOST}/",)
    assert args.required.enforcement == "Audit"
    assert args.rewritten is None


def test_by_default_all_that_harbor_needs_is_excluded() -> None:
    assert excluded({}) == {*CLUSTER, *ESTATE, "harbor"}
    assert {"kube-system", "kyverno", "cnpg-system", "flux-system", "cert-manager"} <= excluded({})


def test_the_namespaces_follow_where_harbor_and_its_services_are() -> None:
    shared = {
        "database": {
            "mode": "shared",
            "host": "pg-rw.databases",
            "username": "harbor",
            "secret": {"namespace": "databases", "name": "pg-app"},
        },
        "valkey": {
            "mode": "shared",
            "host": "valkey-primary.valkey",
            "secret": {"namespace": "valkey", "name": "valkey"},
        },
        "harbor": {"namespace": "registry"},
        "sealing": {"controllerNamespace": "sealed-secrets"},
    }
    namespaces = excluded({"enforcement": "Enforce"}, **shared)
    assert {"registry", "sealed-secrets", "databases", "valkey"} <= namespaces
    assert "harbor" not in namespaces


def test_given_namespaces_replace_the_default_and_extra_ones_are_added() -> None:
    assert excluded({"excludedNamespaces": ["a"]}) == {"a"}
    assert excluded({"excludedNamespaces": ["a"], "extraExcludedNamespaces": ["b"]}) == {"a", "b"}
    assert excluded({"extraExcludedNamespaces": ["b"]}) == {*excluded({}), "b"}


def test_of_the_default_only_namespaces_that_exist_are_left_out() -> None:
    read = settings({})
    there = existing(cluster_with("kube-system", "kyverno", "flux-system", "apps"), read)
    context = context_of(fqdn=read.fqdn, options=pulumi.ResourceOptions())
    args = image_policy_args(read, context, "2.14.3", there)
    assert args.required is not None
    expected = ("flux-system", "harbor", "kube-system", "kyverno")
    assert args.required.excluded_namespaces == expected


def test_namespaces_listed_by_hand_are_left_out_and_told_while_they_do_not_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    read = settings({"extraExcludedNamespaces": ["later", "apps"]})
    there = existing(cluster_with("kube-system", "apps"), read)
    context = context_of(fqdn=read.fqdn, options=pulumi.ResourceOptions())
    args = image_policy_args(read, context, "2.14.3", there)
    assert args.required is not None
    expected = ("apps", "harbor", "kube-system", "later")
    assert args.required.excluded_namespaces == expected
    (warning,) = told
    assert "that do not exist: later." in warning


@pytest.mark.parametrize("forgotten", ["harbor", "kube-system", "kyverno", "cnpg-system"])
def test_enforce_is_refused_where_harbor_could_not_come_back(forgotten: str) -> None:
    rest = sorted({*CLUSTER, "harbor"} - {forgotten})
    (refusal,) = refused({"enforcement": "Enforce", "excludedNamespaces": rest}).values()
    assert f"Enforce needs {forgotten} among the excluded namespaces" in refusal.allowed
    assert refusal.fix == (
        f"pulumi config set --path 'imagePolicy.extraExcludedNamespaces[0]' {forgotten} -s omantel"
    )
    mended = {"extraExcludedNamespaces": [forgotten]}
    settings({"enforcement": "Enforce", "excludedNamespaces": rest, **mended})


def test_every_forgotten_namespace_gets_a_place_of_its_own() -> None:
    policy = {
        "enforcement": "Enforce",
        "excludedNamespaces": [],
        "extraExcludedNamespaces": ["monitoring"],
    }
    by_key = refused(policy, sealing={"controllerNamespace": "sealed-secrets"})
    names = [refusal.fix.split()[5] for refusal in by_key.values()]
    assert sorted(names) == ["cnpg-system", "harbor", "kube-system", "kyverno", "sealed-secrets"]
    assert list(by_key) == [f"imagePolicy.extraExcludedNamespaces[{n}]" for n in range(1, 6)]


@pytest.mark.parametrize(
    "policy",
    [
        {"excludedNamespaces": []},
        {"enabled": False, "enforcement": "Enforce", "excludedNamespaces": []},
    ],
)
def test_a_policy_that_refuses_nothing_may_look_everywhere(policy: dict[str, Any]) -> None:
    settings(policy)


@pytest.mark.parametrize(
    "prefix",
    ["harbor.mct1.omani.works/", "harbor.mct1.omani.works/team/", "host:5000/", "localhost/"],
)
def test_prefixes_that_are_accepted(prefix: str) -> None:
    assert args_of({"extraPrefixes": [prefix]}).required.prefixes == (f"{HOST}/", prefix)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("harbor.mct1.omani.works", "with the slash"),
        ("harbor.mct1.omani.works/team", "with the slash"),
        ("https://harbor.mct1.omani.works/", "without a scheme"),
        ("harbor.mct1.omani.works/*", "not a pattern"),
        ("library/", "Docker Hub's"),
        ("Harbor.mct1.omani.works/", "lower-case registry host"),
        ("/", "lower-case registry host"),
        ("harbor..works/", "lower-case registry host"),
        ("a b.c/", "lower-case registry host"),
    ],
)
def test_prefixes_that_are_refused(prefix: str, reason: str) -> None:
    by_key = refused({"extraPrefixes": [prefix]})
    assert reason in by_key["imagePolicy.extraPrefixes[0]"].allowed


@pytest.mark.parametrize(
    ("projects", "reason"),
    [
        ({"dockerhub": "proxy"}, "'dockerhub' is not the host"),
        ({"https://ghcr.io": "proxy"}, "is not the host"),
        ({"ghcr.io": "Proxy"}, "'Proxy' is not the name of a Harbor project"),
        ({"ghcr.io": "a/b"}, "'a/b' is not the name"),
        ({}, "nothing is rewritten"),
    ],
)
def test_proxy_projects_that_are_refused(projects: dict[str, str], reason: str) -> None:
    by_key = refused({"rewrite": {"enabled": True, "projects": projects}})
    assert reason in by_key["imagePolicy.rewrite.projects"].allowed


# --- The component -----------------------------------------------------------------------------

VALIDATING = "kubernetes:policies.kyverno.io/v1:ValidatingPolicy"
MUTATING = "kubernetes:policies.kyverno.io/v1:MutatingPolicy"
CLUSTER_POLICY = "kubernetes:kyverno.io/v1:ClusterPolicy"


def run(
    engine: Engine, policy: dict[str, Any], *, harbor_is_there: bool = True, **sections: Any
) -> ImagePolicy:
    def build() -> ImagePolicy:
        args = args_of(policy, **sections)
        if not harbor_is_there:
            release = CustomResource("harbor", api_version="v1", kind="ConfigMap")
            args = replace(args, harbor=release.id)
        return ImagePolicy("image-policy", args)

    return engine.run(build, preview=not harbor_is_there)


RELEASED = "kubernetes:v1:ConfigMap"
"""Stands for the Release: what the policies wait for."""


def test_enforce_is_not_applied_before_harbor_is_ready(engine: Engine) -> None:
    run(engine, {"enforcement": "Enforce"}, harbor_is_there=False)
    policy = engine.one(VALIDATING)
    assert engine.one(RELEASED).urn in policy.dependencies
    assert unknown_inputs(policy) == set(), "a preview shows the policy all the same"


def test_audit_waits_for_nothing(engine: Engine) -> None:
    run(engine, {}, harbor_is_there=False)
    assert engine.one(RELEASED).urn not in engine.one(VALIDATING).dependencies


@pytest.mark.parametrize(
    ("kind", "typ"), [("ValidatingPolicy", VALIDATING), ("ClusterPolicy", CLUSTER_POLICY)]
)
def test_the_policy_is_of_the_kind_asked_for_and_awaited(
    engine: Engine, kind: PolicyKind, typ: str
) -> None:
    component = run(engine, {"kind": kind, "enforcement": "Enforce"})
    policy = engine.one(typ)
    assert (
        policy["spec"] == image_policy(kind, args_of({"enforcement": "Enforce"}).required)["spec"]
    )
    assert policy["metadata"]["name"] == "require-harbor-images"
    annotations = policy["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == require_harbor.READY[kind]
    assert annotations["pulumi.com/patchFieldManager"] == "sovereign-harbor"
    assert component.excluded_namespaces == tuple(sorted({*CLUSTER, *ESTATE, "harbor"}))
    assert not engine.all(MUTATING)


def test_rewriting_is_a_policy_beside_it(engine: Engine) -> None:
    run(engine, {"rewrite": {"enabled": True}}, registry=CACHES)
    assert engine.one(MUTATING)["metadata"]["name"] == "rewrite-harbor-images"
    assert engine.one(VALIDATING)


def test_disabled_means_no_policy_and_no_exclusions(engine: Engine) -> None:
    component = run(engine, {"enabled": False, "rewrite": {"enabled": True}})
    assert component.excluded_namespaces is None
    assert not engine.all(VALIDATING) and not engine.all(MUTATING)
