"""The image policies, asked by a real API server of a real Kyverno."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from components.image_policy import require_harbor, rewrite
from components.image_policy.require_harbor import (
    API_VERSIONS,
    NAME,
    Enforcement,
    HarborImages,
    PolicyKind,
    image_policy,
)
from components.image_policy.rewrite import RewrittenImages
from components.registry_address import RegistryAddress
from components.settings.database import DedicatedDatabase
from components.settings.image_policy import (
    ImagePolicySettings,
    namespaces_harbor_needs,
)
from components.settings.proxy_projects import PROXY_PROJECTS
from components.settings.valkey import DedicatedValkey
from tests.support.policy_cluster import Answer, PolicyCluster, pod, pod_of, until

HOST = "registry.omantel.omani.works"
GOOD = f"{HOST}/library/app:1"
OTHER_GOOD = f"{HOST}/team/tool:2"
SECOND_FORM = "harbor.mct1.omani.works/team/"
DIGEST = "sha256:" + "0" * 64
KINDS: tuple[PolicyKind, ...] = ("ValidatingPolicy", "ClusterPolicy")
EXCLUDED = ImagePolicySettings().exclusions(
    namespaces_harbor_needs("harbor", "sealed-secrets", DedicatedDatabase(), DedicatedValkey())
)


def harbor_images(enforcement: Enforcement) -> HarborImages:
    return HarborImages(
        prefixes=(f"{HOST}/", SECOND_FORM),
        excluded_namespaces=EXCLUDED,
        enforcement=enforcement,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyCluster]:
    folder = tmp_path_factory.mktemp("policies")
    running = PolicyCluster.start(folder, watch=os.getpid())
    for name in ("apps", *EXCLUDED):
        running.namespace(name)
    # Older than any policy.
    for name in ("old", "old-debugged"):
        assert running.create(_pod(name, image="docker.io/library/old:1"), dry_run=False).admitted
    assert running.create(_pod("running", image=GOOD), dry_run=False).admitted
    yield running
    running.stop()


@contextmanager
def applied(
    cluster: PolicyCluster, kind: PolicyKind, enforcement: Enforcement
) -> Iterator[PolicyCluster]:
    """The cluster with the policy in force."""
    policy = image_policy(kind, harbor_images(enforcement))
    cluster.apply(
        {
            "apiVersion": API_VERSIONS[kind],
            "kind": kind,
            "metadata": {"name": NAME, "annotations": policy["annotations"]},
            "spec": policy["spec"],
        }
    )
    until(lambda: _is_ready(cluster, kind))
    try:
        if enforcement == "Enforce":
            until(lambda: not cluster.create(_pod(image="nginx")).admitted)
        yield cluster
    finally:
        cluster.kubectl("delete", kind.lower(), NAME)
        until(lambda: cluster.create(_pod(image="nginx")).admitted)


def _is_ready(cluster: PolicyCluster, kind: PolicyKind) -> bool:
    """Whether what the program waits for has come true, in kubectl's words."""
    want = require_harbor.READY[kind]
    if want.startswith("condition="):
        path = f'{{.status.conditions[?(@.type=="{want.removeprefix("condition=")}")].status}}'
    else:
        path = want.removeprefix("jsonpath=").removesuffix("=True")
    return cluster.kubectl("get", kind.lower(), NAME, "-o", f"jsonpath={path}") == "True"


def _pod(name: str = "probe", namespace: str = "apps", **what: str) -> dict[str, Any]:
    return pod(name, namespace, good=GOOD, **what)


# --- The table ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """`operation`: create, or what is changed of a running pod (running: Harbor's image, old:
    an image from elsewhere, older than the policy)."""

    image: str
    kind: str
    namespace: str
    operation: str
    admitted: bool

    def __str__(self) -> str:
        verdict = "admitted" if self.admitted else "denied"
        return f"{self.operation} {self.kind} {self.namespace} {self.image[:50]} {verdict}"


def _rows() -> list[Row]:
    yes, no = True, False
    images = [
        (GOOD, yes),
        (f"{HOST}/library/app@{DIGEST}", yes),
        (f"{HOST}/library/app:1@{DIGEST}", yes),
        (f"{HOST}/proxy-dockerhub/library/nginx:1.27", yes),
        (f"{HOST}/app", yes),
        (f"{SECOND_FORM}app:1", yes),
        (f"{HOST}.evil.com/library/app:1", no),
        (f"{HOST}x/library/app:1", no),
        (f"{HOST}:5000/library/app:1", no),
        (f"{HOST}", no),
        (f"{HOST}@{DIGEST}", no),
        (f"evil.com/{HOST}/library/app:1", no),
        (f"x{HOST}/library/app:1", no),
        (f"{HOST.upper()}/library/app:1", no),
        (f"{HOST.replace('.', 'x')}/library/app:1", no),
        ("omantel.omani.works/library/app:1", no),
        ("harbor.mct1.omani.works/other/app:1", no),
        ("harbor.mct1.omani.works/teamx/app:1", no),
        ("nginx", no),
        ("nginx:1.27", no),
        (f"nginx@{DIGEST}", no),
        ("library/nginx", no),
        ("docker.io/library/nginx:1.27", no),
        ("ghcr.io/openova-io/console:1", no),
        ("localhost/app:1", no),
        ("localhost:5000/app:1", no),
        ("127.0.0.1:5000/app:1", no),
    ]
    rows = [Row(image, "containers", "apps", "create", admitted) for image, admitted in images]
    for kind in ("second", "initContainers", "sidecar", "volumes"):
        rows += [
            Row(GOOD, kind, "apps", "create", yes),
            Row(f"{HOST}.evil.com/library/app:1", kind, "apps", "create", no),
            Row("nginx", kind, "apps", "create", no),
            Row("nginx", kind, "harbor", "create", yes),
        ]
    rows += [Row("nginx", "containers", name, "create", yes) for name in EXCLUDED]
    rows += [
        # A name that only begins like an excluded one is not excluded.
        Row("nginx", "containers", "harbor-apps", "create", no),
        Row("nginx", "containers", "default", "create", no),
        Row(GOOD, "containers", "default", "create", yes),
        # Changes of a pod that runs.
        Row(OTHER_GOOD, "containers", "apps", "update running", yes),
        Row("nginx", "containers", "apps", "update running", no),
        Row(f"{HOST}.evil.com/x", "containers", "apps", "update running", no),
        Row(OTHER_GOOD, "ephemeralContainers", "apps", "update running", yes),
        Row("nginx", "ephemeralContainers", "apps", "update running", no),
        Row(f"{HOST}x/tool:2", "ephemeralContainers", "apps", "update running", no),
        # Changes of a pod that is older than the policy: what it has stays, nothing new comes.
        Row("", "labels", "apps", "update old", yes),
        Row("", "finalizers", "apps", "update old", yes),
        Row("docker.io/library/new:1", "containers", "apps", "update old", no),
        Row(GOOD, "ephemeralContainers", "apps", "update old-debugged", yes),
        Row("docker.io/library/old:2", "ephemeralContainers", "apps", "update old-debugged", no),
    ]
    return rows


ROWS = _rows()


def ask(cluster: PolicyCluster, row: Row, turn: int) -> Answer:
    if row.operation == "create":
        return cluster.create(_pod("probe", row.namespace, kind=row.kind, image=row.image))
    name = row.operation.removeprefix("update ")
    match row.kind:
        case "containers":
            change = {"spec": {"containers": [{"name": "main", "image": row.image}]}}
        case "ephemeralContainers":
            debug = {"name": f"debug-{turn}", "image": row.image}
            change = {"spec": {"ephemeralContainers": [debug]}}
            return cluster.patch(row.namespace, name, change, subresource="/ephemeralcontainers")
        case "labels":
            change = {"metadata": {"labels": {"turn": f"t{turn}"}}}
        case _:
            finalizers = [f"example.com/turn-{turn}"]
            added = cluster.patch(row.namespace, name, {"metadata": {"finalizers": finalizers}})
            assert added.admitted, added
            change = {"metadata": {"$deleteFromPrimitiveList/finalizers": finalizers}}
    return cluster.patch(row.namespace, name, change)


@pytest.fixture(scope="class", params=KINDS)
def enforced(request: pytest.FixtureRequest, cluster: PolicyCluster) -> Iterator[PolicyCluster]:
    cluster.namespace("harbor-apps")
    cluster.namespace("default")
    with applied(cluster, request.param, "Enforce"):
        yield cluster


_turns = iter(range(10**6))


def _turn() -> int:
    return next(_turns)


# --- Kyverno restarts, Kyverno is gone ---------------------------------------------------------

HARBORS_OWN = {
    "harbor-core": ("harbor", "docker.io/goharbor/harbor-core:v2.14.3"),
    "harbor-registry": ("harbor", "docker.io/goharbor/registry-photon:v2.14.3"),
    "harbor-database-1": ("harbor", "ghcr.io/cloudnative-pg/postgresql:17.6"),
    "harbor-cache-0": ("harbor", "docker.io/valkey/valkey:8.1.5"),
    "cnpg-controller": ("cnpg-system", "ghcr.io/cloudnative-pg/cloudnative-pg:1.27.0"),
    "sealed-secrets": ("sealed-secrets", "docker.io/bitnami/sealed-secrets-controller:0.27.1"),
    "kyverno": ("kyverno", "ghcr.io/kyverno/kyverno:v1.19.1"),
    "coredns": ("kube-system", "registry.k8s.io/coredns/coredns:v1.12.0"),
}


def recreate_harbor(cluster: PolicyCluster) -> None:
    for name, (namespace, image) in HARBORS_OWN.items():
        cluster.delete(namespace, name)
        answer = cluster.create(_pod(name, namespace, image=image), dry_run=False)
        assert answer.admitted, f"{name}: {answer}"


class TestEnforced:
    """The policy refuses, in either kind. The kind is put in force once for all of these."""

    @pytest.mark.parametrize("row", ROWS, ids=str)
    def test_enforced_as_written(self, enforced: PolicyCluster, row: Row) -> None:
        answer = ask(enforced, row, _turn())
        assert answer.admitted == row.admitted, answer
        if not row.admitted:
            assert f"only images from {HOST}/ or {SECOND_FORM} may run here" in answer.message
            assert f"refused: {row.image}" in answer.message

    def test_all_refused_images_are_named_and_no_other(self, enforced: PolicyCluster) -> None:
        pod = _pod(kind="initContainers", image="ghcr.io/a/b:1")
        pod["spec"]["containers"].append({"name": "second", "image": "quay.io/c/d:1"})
        message = enforced.create(pod).message
        assert "quay.io/c/d:1, ghcr.io/a/b:1" in message
        assert GOOD not in message.partition("refused:")[2]

    @pytest.mark.parametrize("place", ["containers", "initContainers", "volumes"])
    @pytest.mark.parametrize("name", ["team/App:x", "a//b", "a:b:c", "..", "a@sha256:0"])
    def test_a_name_that_is_no_reference_is_refused(
        self, enforced: PolicyCluster, name: str, place: str
    ) -> None:
        lists = {"containers": [GOOD], place: [GOOD, f"{HOST}/{name}"]}
        answer = enforced.create(pod_of(good=GOOD, lists=lists))
        assert not answer.admitted
        assert f"names that are no image reference: {HOST}/{name}" in answer.message

    @pytest.mark.parametrize("number", [101, 3000])
    def test_a_pod_with_too_many_images_is_refused(
        self, enforced: PolicyCluster, number: int
    ) -> None:
        images = [f"{HOST}/team/app:{n}" for n in range(number)]
        answer = enforced.create(pod_of(good=GOOD, lists={"containers": images}))
        assert not answer.admitted
        assert "a pod may name at most 100 images here" in answer.message
        assert enforced.create(pod_of(good=GOOD, lists={"containers": images[:100]})).admitted

    def test_a_deleted_pod_may_go_whatever_it_ran(self, enforced: PolicyCluster) -> None:
        name = f"doomed-{_turn()}"
        excluded = _pod(name, "harbor", image="docker.io/library/old:1")
        assert enforced.create(excluded, dry_run=False).admitted
        assert enforced.delete("harbor", name).admitted

    def test_harbor_comes_back_while_kyverno_has_just_restarted(
        self, enforced: PolicyCluster
    ) -> None:
        recreate_harbor(enforced)
        enforced.restart_kyverno()
        recreate_harbor(enforced)
        until(lambda: enforced.create(_pod(image=GOOD)).admitted)
        until(lambda: not enforced.create(_pod(image="nginx")).admitted)

    def test_harbor_comes_back_while_kyverno_is_down_and_nothing_slips_in(
        self,
        enforced: PolicyCluster,
    ) -> None:
        enforced.stop_kyverno()
        try:
            recreate_harbor(enforced)
            for image in ("nginx", GOOD):
                answer = enforced.create(_pod(image=image))
                assert not answer.admitted
                assert "failed calling webhook" in answer.message
        finally:
            enforced.restart_kyverno()


# --- Audit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_audit_reports_and_does_not_deny(cluster: PolicyCluster, kind: PolicyKind) -> None:
    with applied(cluster, kind, "Audit"):
        names = {"nginx": f"audited-{kind.lower()}", GOOD: f"fine-{kind.lower()}"}
        for image, name in names.items():
            answer = cluster.create(_pod(name, image=image), dry_run=False)
            assert answer.admitted, answer
        until(lambda: "fail" in _results(cluster, names["nginx"]))
        until(lambda: "pass" in _results(cluster, names[GOOD]))
        assert "fail" not in _results(cluster, names[GOOD])
        cluster.stop_kyverno()
        try:
            assert cluster.create(_pod(image="nginx")).admitted
        finally:
            cluster.restart_kyverno()


def _results(cluster: PolicyCluster, name: str) -> set[str]:
    """What Kyverno's admission reports say of a pod under our policy."""
    text = cluster.kubectl("get", "ephemeralreports.reports.kyverno.io", "-n", "apps", "-o", "json")
    return {
        result["result"]
        for report in json.loads(text)["items"]
        if report["metadata"]["annotations"]["audit.kyverno.io/resource.name"] == name
        for result in report["spec"]["results"]
        if result["policy"] == NAME
    }


# --- Rewriting ---------------------------------------------------------------------------------

REWRITTEN_IMAGES = RewrittenImages(
    projects={**PROXY_PROJECTS, "registry.example.com:5000": "proxy-example"},
    registry=RegistryAddress("omantel.omani.works"),
    prefixes=(f"{HOST}/", SECOND_FORM),
    excluded_namespaces=EXCLUDED,
)

IMAGES = [
    "nginx",
    "nginx:1.27",
    f"nginx@{DIGEST}",
    f"nginx:1.27@{DIGEST}",
    "grafana/grafana:12",
    "library/nginx",
    "docker.io/nginx",
    "docker.io/library/nginx:1.27",
    "docker.io/grafana/grafana:12",
    "index.docker.io/library/nginx",
    "index.docker.io/nginx:1",
    "ghcr.io/openova-io/console:1",
    f"quay.io/cilium/cilium:v1@{DIGEST}",
    "registry.k8s.io/pause:3.10",
    "registry.k8s.io/sig-storage/csi-provisioner:v5",
    "registry.example.com:5000/a/b:1",
    "registry.example.com/a/b:1",
    "localhost/app:1",
    "localhost:5000/app:1",
    "localhoster/app:1",
    "127.0.0.1:5000/app",
    "MYHOST/app:1",
    "ghcr.io.evil.com/a/b",
    GOOD,
    f"{HOST}/proxy-dockerhub/library/nginx:1.27",
    f"{SECOND_FORM}app:1",
    f"{HOST}.evil.com/app:1",
]


@pytest.fixture(scope="class")
def rewriting(cluster: PolicyCluster) -> Iterator[PolicyCluster]:
    cluster.apply(
        {
            "apiVersion": "policies.kyverno.io/v1",
            "kind": "MutatingPolicy",
            "metadata": {"name": rewrite.NAME},
            "spec": rewrite.mutating_policy(REWRITTEN_IMAGES),
        }
    )
    until(lambda: _image_of(cluster.create(_pod(image="nginx"))) != "nginx")
    yield cluster
    cluster.kubectl("delete", "mutatingpolicy", rewrite.NAME)
    until(lambda: _image_of(cluster.create(_pod(image="nginx"))) == "nginx")


def _image_of(answer: Answer, kind: str = "containers") -> str:
    assert answer.admitted, answer
    return answer.body["spec"][kind][0]["image"]


class TestRewriting:
    """New pods get their images through Harbor."""

    @pytest.mark.parametrize("image", IMAGES)
    def test_kyverno_rewrites_as_the_reference_does(
        self, rewriting: PolicyCluster, image: str
    ) -> None:
        answer = rewriting.create(_pod(kind="initContainers", image=image))
        assert _image_of(answer, "initContainers") == rewrite.rewritten(image, REWRITTEN_IMAGES)
        assert _image_of(answer) == GOOD
        again = rewriting.create(_pod(image=_image_of(answer, "initContainers")))
        assert _image_of(again) == _image_of(answer, "initContainers")

    def test_rewriting_changes_nothing_but_images(self, rewriting: PolicyCluster) -> None:
        pod = _pod(image="nginx")
        pod["spec"]["containers"][0] |= {"args": ["--x"], "env": [{"name": "A", "value": "b"}]}
        spec = rewriting.create(pod).body["spec"]
        container = spec["containers"][0]
        assert container["image"] == f"{HOST}/proxy-dockerhub/library/nginx"
        assert (container["args"], container["env"]) == (["--x"], [{"name": "A", "value": "b"}])
        assert "initContainers" not in spec

    def test_rewriting_leaves_excluded_namespaces_and_running_pods_alone(
        self,
        rewriting: PolicyCluster,
    ) -> None:
        assert _image_of(rewriting.create(_pod(namespace="harbor", image="nginx"))) == "nginx"
        change = {"metadata": {"labels": {"turn": f"t{_turn()}"}}}
        old = rewriting.patch("apps", "old", change)
        assert _image_of(old) == "docker.io/library/old:1"

    def test_images_that_an_operator_compares_stay(self, rewriting: PolicyCluster) -> None:
        owner = {"name": "o", "uid": "11111111-2222-3333-4444-555555555555", "controller": True}
        cluster = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", **owner}
        stateful_set = {"apiVersion": "apps/v1", "kind": "StatefulSet", **owner}
        for metadata, stays in (
            ({"ownerReferences": [cluster]}, True),
            ({"ownerReferences": [{**cluster, "controller": False}]}, False),
            ({"ownerReferences": [stateful_set]}, False),
            ({"ownerReferences": [stateful_set], "labels": {"application": "spilo"}}, True),
            ({"labels": {"application": "other"}}, False),
        ):
            request = pod_of(good=GOOD, lists={"containers": ["nginx"]}, metadata=metadata)
            assert (_image_of(rewriting.create(request)) == "nginx") == stays

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_rewritten_is_enforced_after_that(
        self, rewriting: PolicyCluster, cluster: PolicyCluster, kind: PolicyKind
    ) -> None:
        policy = image_policy(kind, harbor_images("Enforce"))
        metadata = {"name": NAME, "annotations": policy["annotations"]}
        document = {"apiVersion": API_VERSIONS[kind], "kind": kind, "metadata": metadata}
        cluster.apply({**document, "spec": policy["spec"]})
        try:
            until(lambda: not rewriting.create(_pod(image="mcr.example.com/a/b")).admitted)
            assert _image_of(rewriting.create(_pod(image="nginx"))).startswith(f"{HOST}/")
        finally:
            cluster.kubectl("delete", kind.lower(), NAME)
            until(lambda: rewriting.create(_pod(image="mcr.example.com/a/b")).admitted)
