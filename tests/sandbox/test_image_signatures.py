"""The signature policy, asked by a real API server of a real Kyverno, which reads the signatures of
signing.py from a real registry."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from components.image_policy import require_harbor, signatures
from components.image_policy.component import signed_images
from components.image_policy.require_harbor import PolicyKind
from components.image_policy.signatures import SignedImages, signature_policy
from components.preflight import evidence
from components.settings.model import Settings
from components.settings.signatures import SignaturesSettings
from sandbox import kyverno, processes
from tests.support.policy_cluster import Answer, PolicyCluster, pod, until
from tests.support.signing import Key, Registry

KINDS: tuple[PolicyKind, ...] = ("ValidatingPolicy", "ClusterPolicy")
OURS, ANOTHER = Key(), Key()
HARBORS = ("harbor", "cnpg-system", "sealed-secrets", "kyverno", "kube-system")


@dataclass(frozen=True)
class Ground:
    """A cluster with Kyverno, and a registry with images in it."""

    cluster: PolicyCluster
    registry: Registry
    digests: dict[str, str]

    def image(self, name: str) -> str:
        return f"{self.registry.host}/{name}"

    def pod(
        self,
        image: str,
        *,
        name: str = "probe",
        namespace: str = "apps",
        kind: str = "containers",
    ) -> dict[str, Any]:
        good = self.image("team/app:unsigned")
        return pod(name, namespace, good=good, kind=kind, image=self.image(image))

    def create(self, image: str, **what: str) -> Answer:
        return self.cluster.create(self.pod(image, **what))

    def policy(self, action: Any, **changes: Any) -> SignedImages:
        section = SignaturesSettings(
            projects=("platform",), public_key=OURS.public, action=action, **changes
        )
        return SignedImages(
            settings=section, prefixes=(f"{self.registry.host}/",), excluded_namespaces=HARBORS
        )

    def apply(self, kind: PolicyKind, images: SignedImages) -> None:
        policy = signature_policy(kind, images)
        self.cluster.apply(
            {
                "apiVersion": require_harbor.API_VERSIONS[kind],
                "kind": signatures.KINDS[kind],
                "metadata": {"name": signatures.NAME, "annotations": policy["annotations"]},
                "spec": policy["spec"],
            }
        )

    @contextmanager
    def applied(self, kind: PolicyKind, images: SignedImages) -> Iterator[None]:
        """With the policy in force."""
        self.apply(kind, images)
        until(lambda: self._is_awaited(kind))
        try:
            if images.refuses:
                until(lambda: not self.create("platform/app:unsigned").admitted)
            yield
        finally:
            self.cluster.kubectl("delete", signatures.KINDS[kind].lower(), signatures.NAME)
            until(lambda: self.create("platform/app:unsigned").admitted)

    def _is_awaited(self, kind: PolicyKind) -> bool:
        """Whether what the program waits for has come true."""
        condition = "Ready" if kind == "ClusterPolicy" else "WebhookConfigured"
        status = self.cluster.kubectl(
            "get", signatures.KINDS[kind].lower(), signatures.NAME, "-o", "jsonpath={.status}"
        )
        return f'"type":"{condition}"' in status and '"status":"True"' in status


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    cluster = PolicyCluster.start(tmp_path_factory.mktemp("signatures"), watch=os.getpid())
    registry = Registry(cluster.state, cluster.tools, processes.free_port())
    registry.start()
    digests = {
        f"{project}/app:{tag}": registry.push(f"{project}/app", tag, content=project + tag)
        for project in ("platform", "team", "platform-of-others")
        for tag in ("signed", "unsigned", "foreign", "both", "moved")
    }
    for tag, keys in (
        ("signed", (OURS,)),
        ("foreign", (ANOTHER,)),
        ("both", (ANOTHER, OURS)),
        ("moved", (OURS,)),
    ):
        registry.sign("platform/app", digests[f"platform/app:{tag}"], *keys)
    ground = Ground(cluster, registry, digests)
    for name in ("apps", *HARBORS):
        cluster.namespace(name)
    for name in ("old", "old-debugged"):  # older than any policy
        assert cluster.create(
            ground.pod("platform/app:unsigned", name=name), dry_run=False
        ).admitted
    yield ground
    cluster.stop()


@pytest.fixture(scope="class", params=KINDS)
def enforced(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Ground]:
    with ground.applied(request.param, ground.policy("Enforce")):
        yield ground


PLACES = ("containers", "second", "initContainers", "sidecar")


class TestEnforced:
    """What carries our signature runs, and nothing else of our projects; in either kind."""

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("tag", ["signed", "both"])
    def test_what_our_key_signed_runs(self, enforced: Ground, place: str, tag: str) -> None:
        answer = enforced.create(f"platform/app:{tag}", kind=place)
        assert answer.admitted, answer

    @pytest.mark.parametrize("place", [*PLACES, "volumes"])
    @pytest.mark.parametrize("tag", ["unsigned", "foreign", "not-there"])
    def test_what_it_did_not_sign_does_not(self, enforced: Ground, place: str, tag: str) -> None:
        answer = enforced.create(f"platform/app:{tag}", kind=place)
        assert not answer.admitted
        assert signatures.NAME in answer.message
        assert tag in answer.message

    def test_a_digest_is_as_good_as_a_tag(self, enforced: Ground) -> None:
        for tag, admitted in (("signed", True), ("unsigned", False), ("foreign", False)):
            image = f"platform/app@{enforced.digests[f'platform/app:{tag}']}"
            for place in ("containers", "volumes"):
                answer = enforced.create(image, kind=place)
                assert answer.admitted == admitted, answer

    def test_the_digest_that_was_verified_is_what_runs(self, enforced: Ground) -> None:
        answer = enforced.create("platform/app:signed")
        image = answer.body["spec"]["containers"][0]["image"]
        digest = enforced.digests["platform/app:signed"]
        assert image == enforced.image(f"platform/app:signed@{digest}")

    def test_a_tag_that_is_moved_to_an_unsigned_image_is_refused_at_once(
        self, enforced: Ground
    ) -> None:
        registry = enforced.registry
        assert enforced.create("platform/app:moved").admitted
        registry.push("platform/app", "moved", content="moved to another one")
        try:
            assert not enforced.create("platform/app:moved").admitted
        finally:
            registry.push("platform/app", "moved", content="platformmoved")

    @pytest.mark.parametrize("image", ["team/app:unsigned", "platform-of-others/app:unsigned"])
    def test_other_projects_are_left_alone(self, enforced: Ground, image: str) -> None:
        answer = enforced.create(image)
        assert answer.admitted, answer
        assert answer.body["spec"]["containers"][0]["image"] == enforced.image(image)

    def test_a_pod_that_is_older_than_the_policy_can_still_be_changed(
        self, enforced: Ground
    ) -> None:
        cluster = enforced.cluster
        labels = {"metadata": {"labels": {"turn": f"t{time.monotonic_ns()}"}}}
        answer = cluster.patch("apps", "old", labels)
        assert answer.admitted, answer
        image = answer.body["spec"]["containers"][0]["image"]
        assert image == enforced.image("platform/app:unsigned")
        change = {"spec": {"containers": [{"name": "main", "image": ""}]}}
        change["spec"]["containers"][0]["image"] = enforced.image("platform/app:foreign")
        assert not cluster.patch("apps", "old", change).admitted

    def test_a_debugging_container_needs_the_signature_too(self, enforced: Ground) -> None:
        debug = {"name": "debug", "image": enforced.image("platform/app:foreign")}
        change = {"spec": {"ephemeralContainers": [debug]}}
        answer = enforced.cluster.patch(
            "apps", "old-debugged", change, subresource="/ephemeralcontainers"
        )
        assert not answer.admitted

    def test_harbor_comes_back_while_its_registry_is_down_and_kyverno_has_just_restarted(
        self, enforced: Ground
    ) -> None:
        with enforced.registry.down():
            enforced.cluster.restart_kyverno()
            _recreate_harbor(enforced)
            # Kyverno answers, and says that it could not verify: failurePolicy is not about that.
            until(lambda: not enforced.create("platform/app:signed").admitted)
        until(lambda: enforced.create("platform/app:signed").admitted)

    def test_while_kyverno_is_down_nothing_waits_for_it(self, enforced: Ground) -> None:
        enforced.cluster.stop_kyverno()
        try:
            _recreate_harbor(enforced)
            for image in ("platform/app:unsigned", "team/app:unsigned"):
                assert enforced.create(image).admitted
        finally:
            enforced.cluster.restart_kyverno()
        until(lambda: not enforced.create("platform/app:unsigned").admitted)


def _recreate_harbor(ground: Ground) -> None:
    """Harbor's, Valkey's and PostgreSQL's pods and those they need, from unsigned images."""
    for namespace in HARBORS:
        names = ("core", "cache-0", "database-1") if namespace == "harbor" else (namespace,)
        for name in names:
            ground.cluster.delete(namespace, name)
            request = ground.pod("platform/app:unsigned", name=name, namespace=namespace)
            answer = ground.cluster.create(request, dry_run=False)
            assert answer.admitted, f"{namespace}/{name}: {answer}"


# --- Failing closed, hanging, a volume's tag: what only the newer kind does ---------------------


def test_failing_closed_holds_up_pods_with_our_images_and_no_others(ground: Ground) -> None:
    images = ground.policy("Enforce", failure_policy="Fail")
    with ground.applied("ValidatingPolicy", images):
        ground.cluster.stop_kyverno()
        try:
            _recreate_harbor(ground)
            assert ground.create("team/app:unsigned").admitted
            answer = ground.create("platform/app:signed")
            assert not answer.admitted
            assert "failed calling webhook" in answer.message
        finally:
            ground.cluster.restart_kyverno()


def test_a_registry_that_hangs_holds_up_a_pod_no_longer_than_twice_the_timeout(
    ground: Ground,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        images = replace(
            ground.policy("Enforce", timeout_seconds=2),
            prefixes=(f"{ground.registry.host}/", f"{host}/"),
        )
        with ground.applied("ValidatingPolicy", images):
            hanging = pod("probe", "apps", good="", image=f"{host}/platform/app:1")
            began = time.monotonic()
            answer = ground.cluster.create(hanging)
            assert answer.admitted, answer
            assert time.monotonic() - began < 2 * 2 + 2


def test_an_image_volume_is_named_by_digest(ground: Ground) -> None:
    with ground.applied("ValidatingPolicy", ground.policy("Enforce")):
        answer = ground.create("platform/app:signed", kind="volumes")
        assert "an image volume is named by digest" in answer.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_and_a_pull_secret_are_accepted_by_kyverno(ground: Ground, kind: PolicyKind) -> None:
    """Accepted, no more: no transparency log runs here."""
    images = ground.policy("Audit", rekor_url="https://rekor.example.com", pull_secret="reader")
    with ground.applied(kind, images):
        pass


# --- Audit, and the step to Enforce ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_audit_denies_and_changes_nothing(ground: Ground, kind: PolicyKind) -> None:
    with ground.applied(kind, ground.policy("Audit")):
        for tag in ("signed", "unsigned", "foreign", "not-there"):
            answer = ground.create(f"platform/app:{tag}")
            assert answer.admitted, answer
            image = answer.body["spec"]["containers"][0]["image"]
            assert image == ground.image(f"platform/app:{tag}")
        with ground.registry.down():
            assert ground.create("platform/app:signed").admitted
        ground.cluster.stop_kyverno()
        try:
            assert ground.create("platform/app:signed").admitted
        finally:
            ground.cluster.restart_kyverno()


@pytest.mark.parametrize("kind", KINDS)
def test_enforce_is_decided_on_what_kyverno_reports(ground: Ground, kind: PolicyKind) -> None:
    """The whole step: no evidence, evidence against it, evidence for it, done."""
    cluster = ground.cluster
    kyverno.start_reports(cluster.state, cluster.tools)

    def settings(action: str) -> Settings:
        signed = {"projects": ["platform"], "publicKey": OURS.public, "action": action}
        return Settings.model_validate(
            {
                "fqdn": "omantel.omani.works",
                "cluster": {"name": "omantel"},
                "storage": {"kind": "filesystem", "size": "10Gi"},
                "sealing": {"controllerNamespace": "sealed-secrets"},
                "imagePolicy": {
                    "kind": kind,
                    "enforcement": "Enforce",
                    "extraPrefixes": [f"{ground.registry.host}/"],
                    "signatures": signed,
                },
            }
        )

    def problems() -> str:
        client: Any = _Client(cluster)
        return "\n".join(evidence.problems(client, settings("Enforce")))

    def policy(action: str) -> SignedImages:
        signed = signed_images(settings(action))
        assert signed is not None
        return signed

    assert "not applied yet" in problems()
    pods = {tag: f"{tag}-{kind.lower()}" for tag in ("signed", "unsigned", "foreign")}
    with ground.applied(kind, policy("Audit")):
        for tag, name in pods.items():
            wanted_pod = ground.pod(f"platform/app:{tag}", name=name)
            assert cluster.create(wanted_pod, dry_run=False).admitted
        # Three that are new, and two that are older than the policy.
        until(lambda: "name 4 of 5 pods" in problems(), seconds=90)
        told = problems()
        assert f"apps/{pods['unsigned']}: " in told
        assert f"apps/{pods['foreign']}: " in told
        assert "platform/app:foreign" in told
        assert "apps/old: " in told
        assert f"apps/{pods['signed']}: " not in told
        for name in (pods["unsigned"], pods["foreign"], "old", "old-debugged"):
            cluster.delete("apps", name)
        until(lambda: problems() == "", seconds=90)
        ground.apply(kind, policy("Enforce"))
        until(lambda: not ground.create("platform/app:unsigned").admitted)
        assert problems() == ""
    cluster.delete("apps", pods["signed"])
    for name in ("old", "old-debugged"):
        cluster.create(ground.pod("platform/app:unsigned", name=name), dry_run=False)
    until(lambda: not _reported(cluster), seconds=60)


@dataclass(frozen=True)
class _Client:
    """The API server as the program's client sees it."""

    cluster: PolicyCluster

    def get(self, path: str) -> Any:
        served = self.cluster.request("GET", "/apis").body["groups"]
        if path.split("/")[2] not in [group["name"] for group in served]:
            return None  # the answer would not be JSON
        answer = self.cluster.request("GET", path)
        return answer.body if answer.admitted else None


def _reported(cluster: PolicyCluster) -> bool:
    return signatures.NAME in cluster.kubectl("get", "policyreports", "-A", "-o", "json")
