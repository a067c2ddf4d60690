"""The signature policy, asked by a real API server of a real Kyverno, which reads the signatures of
signing.py from a real registry."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from components.image_policy import require_harbor, signatures
from components.image_policy.component import signed_images
from components.image_policy.require_harbor import HarborImages, PolicyKind
from components.image_policy.signatures import SignedImages, pin_policy, signature_policy
from components.preflight import evidence
from components.settings.model import Settings
from components.settings.signatures import SignaturesSettings
from sandbox import kyverno, processes
from tests.support.policy_cluster import Answer, PolicyCluster, pod, pod_of, until
from tests.support.signing import PROVENANCE, SIGNATURE, VULNERABILITIES, Key, Registry

KINDS: tuple[PolicyKind, ...] = ("ValidatingPolicy", "ClusterPolicy")
OURS, ANOTHER = Key(), Key()
TAGS = ("signed", "signed-2", "unsigned", "foreign", "both", "moved")
MANY = tuple(f"signed-too-{n}" for n in range(11))
ATTESTED = {
    "bundled": ((SIGNATURE, OURS),),
    "bundled-and-attested": ((PROVENANCE, OURS), (SIGNATURE, OURS)),
    "provenance": ((PROVENANCE, OURS),),
    "vulnerabilities": ((VULNERABILITIES, OURS),),
    "provenance-and-foreign": ((PROVENANCE, OURS), (SIGNATURE, ANOTHER)),
}
"""Tag → what is in bundle format about it."""
WAITED = 20
"""Seconds that the API server waits for Kyverno, the most that a policy may say: a busy machine is
to be waited for, since a pod is admitted unverified then."""
HARBORS = ("harbor", "cnpg-system", "sealed-secrets", "kyverno", "kube-system")


@dataclass(frozen=True)
class Ground:
    """A cluster with Kyverno, and a registry with images in it."""

    cluster: PolicyCluster
    registry: Registry
    digests: dict[str, str]
    kind: PolicyKind = "ValidatingPolicy"

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

    def by_tag(self, tag: str) -> str:
        return self.image(f"platform/app:{tag}")

    def by_digest(self, tag: str) -> str:
        return self.image(f"platform/app@{self.digests[f'platform/app:{tag}']}")

    def create_with(
        self,
        lists: Mapping[str, Sequence[str]],
        *,
        name: str = "probe",
        metadata: dict[str, Any] | None = None,
        dry_run: bool = True,
    ) -> Answer:
        """A pod with these images in these of its lists."""
        good = self.image("team/app:unsigned")
        request = pod_of(name, good=good, lists=lists, metadata=metadata)
        return self.cluster.create(request, dry_run=dry_run)

    def create(self, image: str, **what: str) -> Answer:
        return self.cluster.create(self.pod(image, **what))

    def policy(self, action: Any, **changes: Any) -> SignedImages:
        changes = {"timeout_seconds": WAITED, **changes}
        section = SignaturesSettings(
            projects=("platform",), public_key=OURS.public, action=action, **changes
        )
        return SignedImages(
            settings=section, prefixes=(f"{self.registry.host}/",), excluded_namespaces=HARBORS
        )

    def apply(self, kind: PolicyKind, images: SignedImages) -> None:
        """In the program's order."""
        pin = pin_policy(images) if kind == "ValidatingPolicy" else None
        if pin is not None:
            self._apply(kind, signatures.PIN_NAME, {"annotations": {}, "spec": pin})
            until(lambda: self._is_awaited(kind, signatures.PIN_NAME))
        self._apply(kind, signatures.NAME, signature_policy(kind, images))
        until(lambda: self._is_awaited(kind, signatures.NAME))

    def _apply(self, kind: PolicyKind, name: str, policy: dict[str, Any]) -> None:
        self.cluster.apply(
            {
                "apiVersion": require_harbor.API_VERSIONS[kind],
                "kind": signatures.KINDS[kind],
                "metadata": {"name": name, "annotations": policy["annotations"]},
                "spec": policy["spec"],
            }
        )

    @contextmanager
    def applied(self, kind: PolicyKind, images: SignedImages) -> Iterator[None]:
        """With the policy in force."""
        self.apply(kind, images)
        try:
            if images.refuses:
                until(lambda: not self.create("platform/app:unsigned").admitted)
                until(lambda: "@" in _first_image(self.create("platform/app:signed")))
            yield
        finally:
            for name in (signatures.NAME, signatures.PIN_NAME):
                served = signatures.KINDS[kind].lower()
                self.cluster.kubectl("delete", served, name, "--ignore-not-found")
            until(lambda: self.create("platform/app:unsigned").admitted)

    @contextmanager
    def required(self, kind: PolicyKind, images: SignedImages) -> Iterator[None]:
        """With `require-harbor-images` in force beside the signature policy."""
        policy = require_harbor.image_policy(
            kind,
            HarborImages(
                prefixes=images.prefixes,
                excluded_namespaces=HARBORS,
                enforcement="Enforce",
                signed_prefixes=images.signed_prefixes,
            ),
        )
        metadata = {"name": require_harbor.NAME, "annotations": policy["annotations"]}
        version = require_harbor.API_VERSIONS[kind]
        document = {"apiVersion": version, "kind": kind, "metadata": metadata}
        self.cluster.apply({**document, "spec": policy["spec"]})
        elsewhere = pod("probe", "apps", good="", image="nginx")
        until(lambda: not self.cluster.create(elsewhere).admitted)
        try:
            yield
        finally:
            self.cluster.kubectl("delete", kind.lower(), require_harbor.NAME)
            until(lambda: self.cluster.create(elsewhere).admitted)

    def _is_awaited(self, kind: PolicyKind, name: str) -> bool:
        """Whether what the program waits for has come true."""
        condition = "Ready" if kind == "ClusterPolicy" else "WebhookConfigured"
        status = self.cluster.kubectl(
            "get", signatures.KINDS[kind].lower(), name, "-o", "jsonpath={.status}"
        )
        return f'"type":"{condition}"' in status and '"status":"True"' in status


def _first_image(answer: Answer) -> str:
    return answer.body["spec"]["containers"][0]["image"] if answer.admitted else ""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    cluster = PolicyCluster.start(tmp_path_factory.mktemp("signatures"), watch=os.getpid())
    registry = Registry(cluster.state, cluster.tools, processes.free_port())
    registry.start()
    digests = {
        f"{project}/app:{tag}": registry.push(f"{project}/app", tag, content=project + tag)
        for project in ("platform", "team", "platform-of-others")
        for tag in (*TAGS, *MANY, *ATTESTED)
    }
    for tag, keys in (
        ("signed", (OURS,)),
        ("foreign", (ANOTHER,)),
        ("both", (ANOTHER, OURS)),
        ("signed-2", (OURS,)),
        ("moved", (OURS,)),
        *((tag, (OURS,)) for tag in MANY),
    ):
        registry.sign("platform/app", digests[f"platform/app:{tag}"], *keys)
    for tag, statements in ATTESTED.items():
        registry.bundle("platform/app", digests[f"platform/app:{tag}"], *statements)
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
        yield replace(ground, kind=request.param)


PLACES = ("containers", "second", "initContainers", "sidecar")


LISTS = ("containers", "initContainers", "volumes")


class TestEnforced:
    """What carries our signature runs, and nothing else of our projects; in either kind."""

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("tag", ["signed", "both"])
    def test_what_our_key_signed_runs(self, enforced: Ground, place: str, tag: str) -> None:
        answer = enforced.create(f"platform/app:{tag}", kind=place)
        assert answer.admitted, answer

    @pytest.mark.parametrize("tag", ["bundled", "bundled-and-attested"])
    def test_a_signature_in_bundle_format_counts_where_that_is_read(
        self, enforced: Ground, tag: str
    ) -> None:
        answer = enforced.create(f"platform/app:{tag}")
        assert answer.admitted == (enforced.kind == "ValidatingPolicy"), answer

    @pytest.mark.parametrize("tag", ["provenance", "vulnerabilities", "provenance-and-foreign"])
    def test_an_attestation_by_our_key_is_no_signature(self, enforced: Ground, tag: str) -> None:
        assert not enforced.create(f"platform/app:{tag}").admitted

    @pytest.mark.parametrize("unsigned_in", LISTS)
    @pytest.mark.parametrize("signed_in", LISTS)
    @pytest.mark.parametrize("order", ["signed first", "unsigned first", "signed twice"])
    def test_a_signed_image_vouches_for_no_image_of_any_list(
        self, enforced: Ground, signed_in: str, unsigned_in: str, order: str
    ) -> None:
        signed, unsigned = (enforced.by_digest(tag) for tag in ("signed", "unsigned"))
        lists: dict[str, list[str]] = {signed_in: [signed], unsigned_in: [unsigned]}
        if order == "signed twice":
            lists[signed_in] = [signed, signed]
        if signed_in == unsigned_in:
            lists[signed_in] = [*([signed] * (2 if order == "signed twice" else 1)), unsigned]
        if order == "unsigned first":
            lists = {key: images[::-1] for key, images in reversed(lists.items())}
        answer = enforced.create_with(lists)
        assert not answer.admitted
        assert signatures.NAME in answer.message

    @pytest.mark.parametrize("signed_in", LISTS)
    def test_a_signed_image_vouches_for_no_debugging_container(
        self, enforced: Ground, signed_in: str
    ) -> None:
        name = f"debugged-{signed_in.lower()}-{time.monotonic_ns()}"
        signed = [enforced.by_digest("signed")]
        answer = enforced.create_with({signed_in: signed}, name=name, dry_run=False)
        assert answer.admitted, answer
        try:
            for images, admitted in (
                (["signed", "unsigned"], False),
                (["unsigned", "signed"], False),
                (["signed", "signed", "unsigned"], False),
                (["signed"], True),
                # A ClusterPolicy notes in an annotation what it verified, and the API server drops
                # that from a change of this kind: an image that the pod does not have is refused.
                (["signed", "signed-2"], enforced.kind == "ValidatingPolicy"),
            ):
                debug = [
                    {"name": f"debug{n}", "image": enforced.by_digest(tag)}
                    for n, tag in enumerate(images)
                ]
                change = {"spec": {"ephemeralContainers": debug}}
                answer = enforced.cluster.patch(
                    "apps", name, change, subresource="/ephemeralcontainers", dry_run=True
                )
                assert answer.admitted == admitted, answer
        finally:
            enforced.cluster.delete("apps", name)

    @pytest.mark.parametrize("by", ["tag", "digest"])
    def test_an_image_named_twice_keeps_nobody_waiting(self, enforced: Ground, by: str) -> None:
        """To Kyverno 1.19.1 it was a hang of twice the timeout, which admitted the pod."""
        name = enforced.by_digest if by == "digest" else enforced.by_tag
        signed, unsigned, other = (name(tag) for tag in ("signed", "unsigned", "signed-2"))
        for lists, admitted in (
            ({"containers": [signed, signed, unsigned]}, False),
            ({"containers": [signed] * 3, "initContainers": [signed, unsigned]}, False),
            ({"initContainers": [signed], "containers": [signed, unsigned]}, False),
            ({"initContainers": [signed], "containers": [signed, signed]}, True),
            ({"initContainers": [signed], "containers": [signed, other]}, None),
        ):
            for _ in range(4):  # Kyverno walks through the lists in another order each time
                began = time.monotonic()
                answer = enforced.create_with(lists)
                assert time.monotonic() - began < WAITED
                if admitted is None:
                    admitted = by == "digest" or enforced.kind == "ClusterPolicy"
                assert answer.admitted == admitted, answer

    @pytest.mark.parametrize("place", [*PLACES, "volumes"])
    @pytest.mark.parametrize("tag", ["unsigned", "foreign", "not-there"])
    def test_what_it_did_not_sign_does_not(self, enforced: Ground, place: str, tag: str) -> None:
        answer = enforced.create(f"platform/app:{tag}", kind=place)
        assert not answer.admitted
        # An image that does not exist cannot be pinned either.
        assert signatures.NAME in answer.message or signatures.PIN_NAME in answer.message
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


# --- Both policies in force: neither is got around ---------------------------------------------


@pytest.fixture(scope="class", params=KINDS)
def guarded(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Ground]:
    images = ground.policy("Enforce")
    misnamed = {"containers": [ground.image("team/App:x")]}  # older than the policies
    assert ground.create_with(misnamed, name="old-misnamed", dry_run=False).admitted
    with ground.applied(request.param, images), ground.required(request.param, images):
        yield replace(ground, kind=request.param)
    ground.cluster.delete("apps", "old-misnamed")


NO_REFERENCES = ("team/App:x", "team//app", "team/app:b:c", "team/..", "team/app@sha256:0", "")


class TestBothEnforced:
    """What would keep the signature policy from an answer is refused by the other one."""

    @pytest.mark.parametrize("place", LISTS)
    @pytest.mark.parametrize("name", NO_REFERENCES)
    def test_a_name_that_is_no_reference_switches_nothing_off(
        self, guarded: Ground, name: str, place: str
    ) -> None:
        unsigned = guarded.by_digest("unsigned")
        lists: dict[str, list[str]] = {"containers": [unsigned]}
        lists[place] = [*lists.get(place, []), guarded.image(name)]
        answer = guarded.create_with(lists)
        assert not answer.admitted
        # Whichever policy comes first; the one that pins is asked before the one that verifies.
        reasons = (signatures.NAME, signatures.PIN_NAME, "no image reference")
        assert any(reason in answer.message for reason in reasons)

    def test_neither_does_one_that_the_pod_had_before(self, guarded: Ground) -> None:
        debug = [{"name": "debug", "image": guarded.by_digest("unsigned")}]
        answer = guarded.cluster.patch(
            "apps",
            "old-misnamed",
            {"spec": {"ephemeralContainers": debug}},
            subresource="/ephemeralcontainers",
        )
        assert not answer.admitted

    def test_a_pod_with_such_a_name_can_still_be_changed(self, guarded: Ground) -> None:
        labels = {"metadata": {"labels": {"turn": f"t{time.monotonic_ns()}"}}}
        answer = guarded.cluster.patch("apps", "old-misnamed", labels)
        assert answer.admitted, answer

    @pytest.mark.parametrize("number", [101, 3000])
    def test_a_pod_with_too_many_images_is_refused(self, guarded: Ground, number: int) -> None:
        """The API server gives up its condition then, and asks the signature policy no more."""
        many = [guarded.image(f"team/app:{n}") for n in range(number)]
        answer = guarded.create_with({"containers": [guarded.by_digest("unsigned"), *many]})
        assert not answer.admitted
        # Unlike the other kind, a ClusterPolicy is asked about every pod, and answers first.
        reason = signatures.NAME if guarded.kind == "ClusterPolicy" else "at most 100 images"
        assert reason in answer.message

    def test_with_as_many_images_as_may_be_the_condition_is_not_given_up(
        self, guarded: Ground
    ) -> None:
        name = f"many-{time.monotonic_ns()}"
        longest = f"{'very-long-' * 12}app:{'t' * 80}"
        many = [guarded.image(f"team/{n}{longest}") for n in range(98)]
        signed = guarded.by_digest("signed")
        answer = guarded.create_with({"containers": [signed, *many]}, name=name, dry_run=False)
        assert answer.admitted, answer
        try:
            is_newer = guarded.kind == "ValidatingPolicy"  # see the debugging containers above
            for tag, admitted in (("unsigned", False), ("signed-2", is_newer)):
                debug = [{"name": "debug", "image": guarded.by_digest(tag)}]
                answer = guarded.cluster.patch(
                    "apps",
                    name,
                    {"spec": {"ephemeralContainers": debug}},
                    subresource="/ephemeralcontainers",
                    dry_run=True,
                )
                assert answer.admitted == admitted, answer
        finally:
            guarded.cluster.delete("apps", name)

    def test_a_pod_brings_in_only_as_many_signed_images_as_are_verified_in_time(
        self, guarded: Ground
    ) -> None:
        many = [guarded.by_digest(tag) for tag in MANY]
        answer = guarded.create_with({"containers": many})
        assert not answer.admitted
        assert "at most 10 different images" in answer.message
        assert guarded.create_with({"containers": many[1:]}).admitted
        assert guarded.create_with({"containers": many[:1] * 12}).admitted


# --- Pods whose operator compares images -------------------------------------------------------

OWNER = {"name": "pg", "uid": "11111111-2222-3333-4444-555555555555", "controller": True}
COMPARED = {
    "CloudNativePG": {
        "ownerReferences": [{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", **OWNER}]
    },
    "Zalando": {
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", **OWNER}],
        "labels": {"application": "spilo"},
    },
}


@pytest.mark.parametrize("operator", COMPARED)
def test_images_that_an_operator_compares_are_verified_and_not_changed(
    enforced: Ground, operator: str
) -> None:
    create = enforced.create_with
    image = f"{enforced.by_tag('signed')}@{enforced.digests['platform/app:signed']}"
    answer = create({"containers": [image]}, metadata=COMPARED[operator])
    assert answer.admitted, answer
    assert _first_image(answer) == image
    for refused in (enforced.by_tag("signed"), enforced.by_digest("unsigned")):
        assert not create({"containers": [refused]}, metadata=COMPARED[operator]).admitted
    replica_set = {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", **OWNER}]}
    for metadata in (replica_set, {"labels": {"application": "other"}}, {}):
        answer = create({"containers": [enforced.by_tag("signed")]}, metadata=metadata)
        assert "@sha256:" in _first_image(answer), answer


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
            # Kyverno's own timeout, where a policy names none, is 10 for each of the two.
            assert time.monotonic() - began < 2 * 2 + 5


def test_an_image_volume_is_named_by_digest(ground: Ground) -> None:
    with ground.applied("ValidatingPolicy", ground.policy("Enforce")):
        answer = ground.create("platform/app:signed", kind="volumes")
        assert "name these images by digest" in answer.message


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
        until(lambda: "name 4 of 5 pods" in problems())
        told = problems()
        assert f"apps/{pods['unsigned']}: " in told
        assert f"apps/{pods['foreign']}: " in told
        assert "platform/app:foreign" in told
        assert "apps/old: " in told
        assert f"apps/{pods['signed']}: " not in told
        for name in (pods["unsigned"], pods["foreign"], "old", "old-debugged"):
            cluster.delete("apps", name)
        until(lambda: problems() == "")
        ground.apply(kind, policy("Enforce"))
        until(lambda: not ground.create("platform/app:unsigned").admitted)
        assert problems() == ""
    cluster.delete("apps", pods["signed"])
    for name in ("old", "old-debugged"):
        cluster.create(ground.pod("platform/app:unsigned", name=name), dry_run=False)
    until(lambda: not _reported(cluster))


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
