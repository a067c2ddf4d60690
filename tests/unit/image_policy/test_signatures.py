"""The signature policy as data, its settings, what waits for what, and the evidence that Enforce
needs. tests/sandbox/test_signatures.py asks a real Kyverno with real signatures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pulumi_kubernetes.apiextensions import CustomResource

from components.image_policy import require_harbor, signatures
from components.image_policy.component import ImagePolicy, image_policy_args, signed_images
from components.image_policy.require_harbor import PolicyKind
from components.image_policy.signatures import SignedImages, pin_policy, signature_policy
from components.preflight import evidence
from components.settings.model import Settings
from components.settings.reading import refusals
from components.settings.signatures import SignaturesSettings
from tests.support.builders import Cluster, context_of
from tests.support.certificates import certificate_of
from tests.support.mocks import Engine, unknown_inputs

HOST = "registry.omantel.omani.works"
KINDS: tuple[PolicyKind, ...] = ("ValidatingPolicy", "ClusterPolicy")
PRIVATE = ec.generate_private_key(ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


KEY = pem_of(PRIVATE)
SIGNED_IMAGES = SignedImages(
    settings=SignaturesSettings(projects=("platform",), public_key=KEY, action="Enforce"),
    prefixes=(f"{HOST}/",),
    excluded_namespaces=("harbor", "kube-system"),
)
GOOD: dict[str, Any] = {
    "fqdn": "omantel.omani.works",
    "cluster": {"name": "omantel"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
}
SIGNED: dict[str, Any] = {"projects": ["platform"], "publicKey": KEY}


def read(policy: dict[str, Any], **sections: Any) -> refusals.Reading:
    return refusals.read({**GOOD, **sections, "imagePolicy": policy}, stack="omantel")


def settings(policy: dict[str, Any], **sections: Any) -> Settings:
    reading = read(policy, **sections)
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))
    assert reading.settings is not None
    return reading.settings


def enforced(**signed: Any) -> dict[str, Any]:
    return {"enforcement": "Enforce", "signatures": {**SIGNED, "action": "Enforce", **signed}}


# --- The policy, in both kinds -----------------------------------------------------------------


def signed_with(**changes: Any) -> SignedImages:
    """SIGNED_IMAGES with other settings, which are not validated."""
    return replace(SIGNED_IMAGES, settings=SIGNED_IMAGES.settings.model_copy(update=changes))


def spec_of(kind: PolicyKind, **changes: Any) -> dict[str, Any]:
    return signature_policy(kind, signed_with(**changes))["spec"]


@pytest.mark.parametrize(
    ("prefixes", "projects", "signed"),
    [
        ((f"{HOST}/",), ("platform",), (f"{HOST}/platform/",)),
        ((f"{HOST}/",), ("a", "b"), (f"{HOST}/a/", f"{HOST}/b/")),
        ((f"{HOST}/", "h.x:443/"), ("a",), (f"{HOST}/a/", "h.x:443/a/")),
        # A prefix with a path names a project itself.
        ((f"{HOST}/", "h.x/a/"), ("a",), (f"{HOST}/a/", "h.x/a/")),
        ((f"{HOST}/", "h.x/a/deep/"), ("a",), (f"{HOST}/a/", "h.x/a/deep/")),
        ((f"{HOST}/", "h.x/ab/"), ("a",), (f"{HOST}/a/",)),
    ],
)
def test_images_of_the_named_projects_have_to_be_signed_under_every_allowed_host(
    prefixes: tuple[str, ...], projects: tuple[str, ...], signed: tuple[str, ...]
) -> None:
    images = replace(signed_with(projects=projects), prefixes=prefixes)
    assert images.signed_prefixes == signed
    globs = [f"{prefix}*" for prefix in signed]
    new, old = (signature_policy(kind, images)["spec"] for kind in KINDS)
    assert [reference["glob"] for reference in new["matchImageReferences"]] == globs
    assert old["rules"][0]["verifyImages"][0]["imageReferences"] == globs


def test_a_policy_that_names_no_image_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="no image"):
        signed_with(projects=())
    with pytest.raises(ValueError, match="no image"):
        replace(SIGNED_IMAGES, prefixes=("h.x/other/",))


def test_the_only_attestor_is_the_given_key() -> None:
    new, old = (spec_of(kind) for kind in KINDS)
    for attestor in new["attestors"]:
        assert attestor["cosign"]["key"] == {"data": KEY}
        assert attestor["cosign"]["ctlog"] == {
            "insecureIgnoreTlog": True,
            "insecureIgnoreSCT": True,
        }
    ((entry,),) = (each["entries"] for each in old["rules"][0]["verifyImages"][0]["attestors"])
    assert entry["keys"]["publicKeys"] == KEY
    assert entry["keys"]["rekor"] == {"ignoreTlog": True}


@pytest.mark.parametrize(
    ("action", "failing", "does", "fails"),
    [
        ("Audit", "Ignore", "Audit", "Ignore"),
        ("Audit", "Fail", "Audit", "Ignore"),
        ("Enforce", "Ignore", "Deny", "Ignore"),
        ("Enforce", "Fail", "Deny", "Fail"),
    ],
)
def test_only_enforce_refuses_pins_and_may_fail_closed(
    action: Any, failing: Any, does: str, fails: str
) -> None:
    new, old = (spec_of(kind, action=action, failure_policy=failing) for kind in KINDS)
    assert new["validationActions"] == [does]
    assert new["failurePolicy"] == fails
    assert old["webhookConfiguration"]["failurePolicy"] == fails
    (verification,) = old["rules"][0]["verifyImages"]
    assert {rule["verifyImages"][0]["failureAction"] for rule in old["rules"]} == {action}
    pin = pin_policy(signed_with(action=action, failure_policy=failing))
    assert (pin is not None) == verification["mutateDigest"] == (action == "Enforce")
    assert pin is None or pin["failurePolicy"] == fails
    assert new["validationConfigurations"]["mutateDigest"] is False


def test_a_timeout_reaches_both_kinds() -> None:
    for kind in KINDS:
        assert spec_of(kind, timeout_seconds=7)["webhookConfiguration"]["timeoutSeconds"] == 7


def test_a_log_that_is_named_has_to_know_the_signature() -> None:
    new, old = (spec_of(kind, rekor_url="https://rekor.example.com") for kind in KINDS)
    log = new["attestors"][0]["cosign"]["ctlog"]
    assert log == {"url": "https://rekor.example.com", "insecureIgnoreSCT": True}
    keys = old["rules"][0]["verifyImages"][0]["attestors"][0]["entries"][0]["keys"]
    assert keys["rekor"] == {"url": "https://rekor.example.com"}


def test_a_pull_secret_is_named_only_where_one_is_given() -> None:
    new, old = (spec_of(kind, pull_secret="reader") for kind in KINDS)
    assert new["credentials"] == {"secrets": ["reader"]}
    verification = old["rules"][0]["verifyImages"][0]
    assert verification["imageRegistryCredentials"] == {"secrets": ["reader"]}
    new, old = (spec_of(kind) for kind in KINDS)
    assert "credentials" not in new
    assert "imageRegistryCredentials" not in old["rules"][0]["verifyImages"][0]


def test_excluded_namespaces_are_known_to_the_api_server() -> None:
    """With ClusterPolicy they are known to Kyverno only; the settings refuse Fail there."""
    new, old = (spec_of(kind) for kind in KINDS)
    (selector,) = new["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert (selector["operator"], selector["values"]) == ("NotIn", ["harbor", "kube-system"])
    excluded = old["rules"][0]["exclude"]["any"][0]["resources"]["namespaces"]
    assert excluded == ["harbor", "kube-system"]


def test_kyverno_is_asked_only_about_pods_that_bring_in_an_image_of_ours() -> None:
    (condition,) = spec_of("ValidatingPolicy")["matchConditions"]
    assert f'image.startsWith("{HOST}/platform/")' in condition["expression"]
    assert "oldObject" in condition["expression"]
    # It would keep this kind from verifying anything.
    assert "matchConditions" not in spec_of("ClusterPolicy")["webhookConfiguration"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("log", [None, "https://rekor.example.com"])
def test_what_a_policy_demands_can_be_read_back(kind: PolicyKind, log: str | None) -> None:
    assert signatures.demands(spec_of(kind, rekor_url=log)) == signatures.Demands(
        images=(f"{HOST}/platform/*",),
        excluded_namespaces=("harbor", "kube-system"),
        public_key=KEY,
        log=log,
    )


# --- Settings ----------------------------------------------------------------------------------


def test_by_default_no_signature_is_asked_for() -> None:
    assert signed_images(settings({})) is None


def test_once_a_key_is_given_signatures_are_audited() -> None:
    signed = signed_images(settings({"signatures": SIGNED}))
    assert signed == replace(
        signed_with(action="Audit"),
        excluded_namespaces=image_policy_args_of({}).required.excluded_namespaces,
    )


def test_a_disabled_image_policy_asks_for_no_signatures() -> None:
    assert signed_images(settings({"enabled": False, "signatures": SIGNED})) is None


def test_pods_that_kyverno_reaches_harbor_through_are_left_out() -> None:
    """Its gateway could not come back otherwise: to verify its image takes the gateway."""
    perimeter = {
        "networkPolicies": {
            "gateway": {"kind": "namespace", "namespace": "traefik"},
            "apiServer": {"cidr": "10.0.0.2/32"},
        }
    }
    signed = signed_images(settings(enforced(), **perimeter))
    assert signed is not None
    assert {"traefik", "harbor", "kyverno", "cnpg-system"} <= set(signed.excluded_namespaces)


def test_a_key_is_kept_in_one_spelling() -> None:
    spellings = [KEY, KEY.strip(), f"\n{KEY}\n", KEY.replace("\n", "\r\n")]
    kept = {signed_images(settings({"signatures": {**SIGNED, "publicKey": s}})) for s in spellings}
    assert len(kept) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"action": "Audit", "failurePolicy": "Fail"},
        {"timeoutSeconds": 1},
        {"timeoutSeconds": 20},
        {"projects": ["a", "b.c", "d_e-f"]},
        {"rekorUrl": "https://rekor.example.com:8443"},
        {"pullSecret": "harbor-reader"},
        {"acceptRefusals": True},
    ],
    ids=str,
)
def test_accepted(change: dict[str, Any]) -> None:
    assert signed_images(settings({"signatures": {**SIGNED, **change}})) is not None


def test_enforce_is_accepted_beside_enforce() -> None:
    signed = signed_images(settings(enforced(failurePolicy="Fail")))
    assert signed is not None and signed.refuses


RSA = rsa.generate_private_key(65537, 2048)
SECRET = PRIVATE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
SIGSTORE = SECRET.replace("PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY")
KEY_FIX = "pulumi config set --path 'imagePolicy.signatures.publicKey' < cosign.pub -s omantel"


def fix(key: str, value: str) -> str:
    return f"pulumi config set --path 'imagePolicy.signatures.{key}' {value} -s omantel"


@pytest.mark.parametrize(
    ("change", "key", "allowed", "mends"),
    [
        ({"projects": []}, "projects", "at least one", fix("projects[0]", "'<project>'")),
        ({"projects": ["a", "a"]}, "projects", "twice", fix("projects[0]", "'<project>'")),
        (
            {"projects": ["a/b"]},
            "projects[0]",
            "a Harbor project",
            fix("projects[0]", "'<project>'"),
        ),
        ({"projects": ["*"]}, "projects[0]", "a Harbor project", fix("projects[0]", "'<project>'")),
        ({"action": "enforce"}, "action", "one of Audit, Enforce", fix("action", "Audit")),
        ({"action": "Enforce"}, "action", "beside imagePolicy.enforcement", fix("action", "Audit")),
        (
            {"failurePolicy": "fail"},
            "failurePolicy",
            "Ignore, Fail",
            fix("failurePolicy", "Fail"),
        ),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "from 1 to 20", fix("timeoutSeconds", "10")),
        ({"timeoutSeconds": 21}, "timeoutSeconds", "after 60", fix("timeoutSeconds", "10")),
        (
            {"rekorUrl": "http://rekor.example.com"},
            "rekorUrl",
            "https://host",
            fix("rekorUrl", "https://rekor.example.com"),
        ),
        (
            {"rekorUrl": "https://rekor.example.com/api"},
            "rekorUrl",
            "without path",
            fix("rekorUrl", "https://rekor.example.com"),
        ),
        (
            {"pullSecret": "Kyverno/secret"},
            "pullSecret",
            "object name",
            fix("pullSecret", "harbor-signatures"),
        ),
        ({"publicKey": "cosign.pub"}, "publicKey", "EC P-256 public key", KEY_FIX),
        ({"publicKey": KEY + KEY}, "publicKey", "one key", KEY_FIX),
        ({"publicKey": KEY[:-40]}, "publicKey", "EC P-256 public key", KEY_FIX),
        ({"publicKey": pem_of(RSA)}, "publicKey", "EC P-256 public key", KEY_FIX),
        (
            {"publicKey": pem_of(ec.generate_private_key(ec.SECP384R1()))},
            "publicKey",
            "EC P-256 public key",
            KEY_FIX,
        ),
        ({"publicKey": certificate_of(PRIVATE)}, "publicKey", "EC P-256 public key", KEY_FIX),
        ({"publicKey": SECRET}, "publicKey", "this is a private key", KEY_FIX),
        ({"publicKey": SIGSTORE}, "publicKey", "this is a private key", KEY_FIX),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(change: dict[str, Any], key: str, allowed: str, mends: str) -> None:
    reading = read({"signatures": {**SIGNED, **change}})
    (refusal,) = reading.refusals
    assert refusal.key == f"imagePolicy.signatures.{key}"
    assert allowed in refusal.allowed
    assert mends in refusal.fix.splitlines()


@pytest.mark.parametrize("pem", [SECRET, SIGSTORE, SECRET.replace("-----", "")])
def test_a_private_key_is_never_shown(pem: str) -> None:
    (refusal,) = read({"signatures": {**SIGNED, "publicKey": pem}}).refusals
    assert refusal.value == f"<secret, {len(pem)} characters>"
    assert pem.splitlines()[1] not in str(refusal)


def test_the_old_kind_must_not_fail_closed() -> None:
    (refusal,) = read({"kind": "ClusterPolicy", **enforced(failurePolicy="Fail")}).refusals
    assert refusal.key == "imagePolicy.signatures.failurePolicy"
    assert "Harbor's own pods" in refusal.allowed
    assert refusal.fix == fix("failurePolicy", "Ignore")
    settings({"kind": "ClusterPolicy", **enforced()})


@pytest.mark.parametrize("failing", ["Ignore", "Fail"])
def test_enforce_is_refused_where_harbor_could_not_come_back(failing: str) -> None:
    policy = {**enforced(failurePolicy=failing), "excludedNamespaces": ["kube-system", "kyverno"]}
    sentences = [refusal.allowed for refusal in read(policy).refusals]
    assert any("Enforce needs harbor among the excluded" in allowed for allowed in sentences)


# --- The component -----------------------------------------------------------------------------

IMAGE_VALIDATING = "kubernetes:policies.kyverno.io/v1:ImageValidatingPolicy"
VALIDATING = "kubernetes:policies.kyverno.io/v1:ValidatingPolicy"
CLUSTER_POLICY = "kubernetes:kyverno.io/v1:ClusterPolicy"


def image_policy_args_of(policy: dict[str, Any]) -> Any:
    context = context_of(fqdn="omantel.omani.works", options=pulumi.ResourceOptions())
    return image_policy_args(settings(policy), context, "2.14.3")


def run(engine: Engine, policy: dict[str, Any], *, harbor_is_there: bool = True) -> ImagePolicy:
    def build() -> ImagePolicy:
        args = image_policy_args_of(policy)
        if not harbor_is_there:
            release = CustomResource("harbor", api_version="v1", kind="ConfigMap")
            args = replace(args, harbor=release.id)
        return ImagePolicy("image-policy", args)

    return engine.run(build, preview=not harbor_is_there)


def test_without_a_key_there_is_no_policy(engine: Engine) -> None:
    run(engine, {})
    assert not engine.all(IMAGE_VALIDATING)
    assert engine.one(VALIDATING)


def test_the_policy_is_of_the_kind_asked_for_and_awaited(engine: Engine) -> None:
    run(engine, enforced())
    policies = {each["metadata"]["name"]: each for each in engine.all(IMAGE_VALIDATING)}
    signed = signed_images(settings(enforced()))
    assert signed is not None
    assert {name: policy["spec"] for name, policy in policies.items()} == {
        "verify-harbor-signatures": signature_policy("ValidatingPolicy", signed)["spec"],
        "pin-harbor-images": pin_policy(signed),
    }
    for policy in policies.values():
        annotations = policy["metadata"]["annotations"]
        assert annotations["pulumi.com/waitFor"] == require_harbor.READY["ValidatingPolicy"]
        assert annotations["pulumi.com/patchFieldManager"] == "sovereign-harbor"


def test_audit_pins_nothing(engine: Engine) -> None:
    run(engine, {"signatures": SIGNED})
    assert engine.one(IMAGE_VALIDATING)["metadata"]["name"] == "verify-harbor-signatures"


def test_old_estates_get_a_second_policy_of_their_kind(engine: Engine) -> None:
    run(engine, {"kind": "ClusterPolicy", **enforced()})
    policies = {policy["metadata"]["name"]: policy for policy in engine.all(CLUSTER_POLICY)}
    assert set(policies) == {"require-harbor-images", "verify-harbor-signatures"}
    annotations = policies["verify-harbor-signatures"]["metadata"]["annotations"]
    assert annotations["pod-policies.kyverno.io/autogen-controllers"] == "none"
    assert annotations["pulumi.com/waitFor"] == "condition=Ready"
    assert not engine.all(IMAGE_VALIDATING)


@pytest.mark.parametrize("policy", [{"signatures": SIGNED}, enforced()], ids=["Audit", "Enforce"])
def test_signatures_are_not_asked_for_before_harbor_is_ready(
    engine: Engine, policy: dict[str, Any]
) -> None:
    run(engine, policy, harbor_is_there=False)
    for signed in engine.all(IMAGE_VALIDATING):
        assert engine.one("kubernetes:v1:ConfigMap").urn in signed.dependencies
        assert unknown_inputs(signed) == set(), "a preview shows the policy all the same"


# --- Evidence ----------------------------------------------------------------------------------

POLICY_REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
OPEN_REPORTS = "/apis/openreports.io/v1alpha1/reports"
PATHS: dict[PolicyKind, str] = {
    "ValidatingPolicy": "/apis/policies.kyverno.io/v1/imagevalidatingpolicies/",
    "ClusterPolicy": "/apis/kyverno.io/v1/clusterpolicies/",
}
REQUIRE_PATH = "/apis/policies.kyverno.io/v1/validatingpolicies/require-harbor-images"


def problems(policy: dict[str, Any], objects: dict[str, Any]) -> list[str]:
    return evidence.problems(Cluster(objects), settings(policy))  # pyright: ignore[reportArgumentType]


def report(pod: str, result: str, message: str = "", policy: str = signatures.NAME) -> Any:
    namespace, _, name = pod.partition("/")
    return {
        "scope": {"kind": "Pod", "namespace": namespace, "name": name},
        "results": [
            {"policy": "somebody-elses", "result": "fail", "message": "not ours"},
            {"policy": policy, "result": result, "message": message},
        ],
    }


def audited(policy: dict[str, Any], *reports: Any, kind: PolicyKind = "ValidatingPolicy") -> Any:
    """A cluster in which what `policy` asks for is audited, with these reports of it."""
    audit = {**policy, "signatures": {**policy["signatures"], "action": "Audit"}}
    signed = signed_images(settings(audit))
    assert signed is not None
    return {
        PATHS[kind] + signatures.NAME: signature_policy(kind, signed),
        POLICY_REPORTS: {"items": list(reports)},
    }


@pytest.mark.parametrize("policy", [{}, {"signatures": SIGNED}])
def test_audit_needs_no_evidence(policy: dict[str, Any]) -> None:
    assert problems(policy, {}) == []


def test_enforce_without_an_audit_step_is_refused() -> None:
    (problem,) = problems(enforced(), {})
    assert "imagePolicy.signatures.action = Enforce, but" in problem
    assert "not applied yet" in problem
    assert "pulumi config set --path 'imagePolicy.signatures.action' Audit" in problem
    assert "pulumi config set --path 'imagePolicy.signatures.acceptRefusals' true" in problem


def test_enforce_is_refused_while_nothing_has_been_judged() -> None:
    (problem,) = problems(enforced(), audited(enforced()))
    assert "no report says anything" in problem
    skipped = audited(enforced(), report("apps/a", "skip"))
    assert problems(enforced(), skipped) == [problem]


@pytest.mark.parametrize("kind", KINDS)
def test_enforce_goes_on_when_everything_that_was_judged_is_signed(kind: PolicyKind) -> None:
    policy = {"kind": kind, **enforced()}
    cluster = audited(policy, report("apps/a", "pass"), report("apps/b", "pass"), kind=kind)
    cluster[REQUIRE_PATH] = None
    assert problems(policy, cluster) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", ["fail", "error"])
def test_what_would_be_refused_is_named_with_the_ways_out(kind: PolicyKind, result: str) -> None:
    policy = {"kind": kind, **enforced()}
    unsigned = report("apps/a", result, f"not signed: {HOST}/platform/a:1")
    (problem,) = problems(policy, audited(policy, unsigned, report("apps/b", "pass"), kind=kind))
    assert "Audit's reports name 1 of 2 pods" in problem
    assert f"  apps/a: not signed: {HOST}/platform/a:1" in problem
    assert "apps/b" not in problem
    assert "not ours" not in problem
    for way in ("sign these images", "extraExcludedNamespaces", "acceptRefusals' true"):
        assert way in problem


def test_ten_pods_are_listed_and_the_rest_counted() -> None:
    reports = [report(f"apps/{n:02}", "fail", "x" * 500) for n in range(13)]
    (problem,) = problems(enforced(), audited(enforced(), *reports))
    assert problem.count("apps/") == 10
    assert "  and 3 more" in problem
    assert max(map(len, problem.splitlines())) < 250


def test_reports_of_the_newer_kind_are_read_too() -> None:
    cluster = audited(enforced())
    cluster[OPEN_REPORTS] = {"items": [report("apps/a", "fail", "unsigned")]}
    (problem,) = problems(enforced(), cluster)
    assert "apps/a: unsigned" in problem


def test_refusals_that_are_accepted_stop_nothing() -> None:
    policy = enforced(acceptRefusals=True)
    assert problems(policy, {}) == []
    assert problems(policy, audited(policy, report("apps/a", "fail", "x"))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_enforced_already_is_not_asked_for_evidence_again(kind: PolicyKind) -> None:
    """Pods that are older than the policy stay unsigned, and every update would be refused."""
    policy = {"kind": kind, **enforced()}
    signed = signed_images(settings(policy))
    assert signed is not None
    cluster = {
        PATHS[kind] + signatures.NAME: signature_policy(kind, signed),
        POLICY_REPORTS: {"items": [report("apps/old", "fail", "x")]},
    }
    assert problems(policy, cluster) == []


@pytest.mark.parametrize(
    "change",
    [
        {"publicKey": pem_of(ec.generate_private_key(ec.SECP256R1()))},
        {"projects": ["platform", "team"]},
        {"rekorUrl": "https://rekor.example.com"},
        None,
    ],
    ids=["another key", "another project", "a log", "a namespace that was excluded"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_evidence_about_other_projects_or_another_key_is_none(
    change: dict[str, Any] | None, kind: PolicyKind
) -> None:
    more = {"extraExcludedNamespaces": ["apps"]} if change is None else {}
    before = signed_images(settings({"kind": kind, **enforced(), **more}))
    assert before is not None
    cluster = {
        PATHS[kind] + signatures.NAME: signature_policy(kind, before),
        POLICY_REPORTS: {"items": [report("apps/a", "pass")]},
    }
    (problem,) = problems({"kind": kind, **enforced(**(change or {}))}, cluster)
    assert "applied with other projects, hosts or excluded namespaces, or another key" in problem


def test_a_policy_of_the_same_name_that_somebody_else_wrote_is_no_evidence() -> None:
    cluster: dict[str, Any] = {
        PATHS["ValidatingPolicy"] + signatures.NAME: {"spec": {"validationActions": ["Deny"]}},
        REQUIRE_PATH: {"spec": {"validationActions": ["Deny"]}},
    }
    (problem,) = problems(enforced(), cluster)
    assert "applied with other projects" in problem


@pytest.mark.parametrize("kind", KINDS)
def test_to_ask_for_fewer_signatures_takes_no_evidence(kind: PolicyKind) -> None:
    before = signed_images(settings({"kind": kind, **enforced(projects=["platform", "team"])}))
    assert before is not None
    cluster = {PATHS[kind] + signatures.NAME: signature_policy(kind, before)}
    fewer = {"kind": kind, **enforced(), "extraExcludedNamespaces": ["apps"]}
    assert problems(fewer, cluster) == []


# --- Evidence for require-harbor-images --------------------------------------------------------


def requiring(enforcement: Any, *reports: Any) -> dict[str, Any]:
    images = replace(image_policy_args_of({}).required, enforcement=enforcement)
    return {
        REQUIRE_PATH: require_harbor.image_policy("ValidatingPolicy", images),
        POLICY_REPORTS: {"items": list(reports)},
    }


ELSEWHERE = report("apps/a", "fail", "refused: nginx", require_harbor.NAME)


def test_harbors_images_are_not_enforced_while_audit_reports_others() -> None:
    (problem,) = problems({"enforcement": "Enforce"}, requiring("Audit", ELSEWHERE))
    assert "imagePolicy.enforcement = Enforce would refuse what runs now" in problem
    assert "apps/a: refused: nginx" in problem
    assert "pulumi config set --path 'imagePolicy.acceptRefusals' true" in problem


@pytest.mark.parametrize(
    ("policy", "cluster"),
    [
        ({}, requiring("Audit", ELSEWHERE)),
        ({"enforcement": "Enforce"}, {}),
        ({"enforcement": "Enforce"}, requiring("Audit")),
        ({"enforcement": "Enforce"}, requiring("Enforce", ELSEWHERE)),
        ({"enforcement": "Enforce", "acceptRefusals": True}, requiring("Audit", ELSEWHERE)),
        ({"enforcement": "Enforce", "enabled": False}, requiring("Audit", ELSEWHERE)),
    ],
    ids=["audit", "new cluster", "nothing reported", "enforced already", "accepted", "disabled"],
)
def test_harbors_images_are_enforced_where_nothing_speaks_against_it(
    policy: dict[str, Any], cluster: dict[str, Any]
) -> None:
    assert problems(policy, cluster) == []


PODS = "/api/v1/pods?limit=500"


def pod(name: str, *images: str, **spec: Any) -> dict[str, Any]:
    namespace, _, name = name.partition("/")
    containers = [{"name": "main", "image": image} for image in images]
    metadata = {"namespace": namespace, "name": name}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


def with_pods(applied: dict[str, Any], *pods: dict[str, Any], kind: PolicyKind) -> dict[str, Any]:
    """A cluster in which `applied` is in force, these pods run, and no report speaks against it."""
    args = image_policy_args_of({"kind": kind, **applied})
    path = REQUIRE_PATH if kind == "ValidatingPolicy" else f"{PATHS[kind]}{require_harbor.NAME}"
    return {path: require_harbor.image_policy(kind, args.required), PODS: {"items": list(pods)}}


OLD = "registry.old.omani.works"


@pytest.mark.parametrize("action", ["Audit", "Enforce"])
@pytest.mark.parametrize("kind", KINDS)
def test_another_host_is_refused_while_pods_are_named_by_the_old_one(
    kind: PolicyKind, action: str
) -> None:
    applied = {"enforcement": action, "extraPrefixes": [f"{OLD}/"]}  # as before the change of fqdn
    volume = {
        "volumes": [{"name": "v", "image": {"reference": f"{OLD}/team/files:1"}}, {"name": "e"}]
    }
    cluster = with_pods(
        applied,
        pod("apps/a", f"{OLD}/team/app:1", f"{HOST}/team/app:1"),
        pod("apps/b", f"{HOST}/team/app:1", **volume),
        pod("apps/c", f"{HOST}/team/app:1"),
        pod("apps/older-than-the-policy", "nginx"),
        pod("harbor/core", f"{OLD}/goharbor/core:1"),
        kind=kind,
    )
    (problem,) = problems({"kind": kind, "enforcement": "Enforce"}, cluster)
    assert f"no longer allow images of {OLD}/" in problem
    assert f"  apps/a: {OLD}/team/app:1\n" in problem
    assert f"  apps/b: {OLD}/team/files:1\n" in problem
    for other in ("apps/c", "older", "harbor/core"):
        assert other not in problem
    way = f"pulumi config set --path 'imagePolicy.extraPrefixes[0]' {OLD}/"
    assert way in problem
    for policy in (
        {"extraPrefixes": [f"{OLD}/"]},
        {"extraPrefixes": [f"{OLD}/team/", f"{OLD}/goharbor/", f"{OLD}/"]},
        {"acceptRefusals": True},
        {"extraExcludedNamespaces": ["apps"]},
    ):
        assert problems({"kind": kind, "enforcement": "Enforce", **policy}, cluster) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_namespace_is_covered_only_once_nothing_in_it_is_refused(kind: PolicyKind) -> None:
    applied = {"enforcement": "Enforce", "extraExcludedNamespaces": ["apps"]}
    cluster = with_pods(applied, pod("apps/a", "nginx"), pod("other/b", "nginx"), kind=kind)
    (problem,) = problems({"kind": kind, "enforcement": "Enforce"}, cluster)
    assert "no longer allow any image in namespace apps" in problem
    assert "  apps/a: nginx" in problem
    assert "other/b" not in problem
    assert "pulumi config set --path 'imagePolicy.extraExcludedNamespaces[0]' apps" in problem


def test_another_host_is_told_when_no_pod_needs_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    applied = {"enforcement": "Enforce", "extraPrefixes": [f"{OLD}/"]}
    cluster = with_pods(applied, kind="ValidatingPolicy")
    assert problems({"enforcement": "Enforce"}, cluster) == []
    (warning,) = told
    assert f"no longer allows images of {OLD}/" in warning
    assert "scaled to zero" in warning


def test_pods_are_read_in_parts() -> None:
    applied = {"enforcement": "Enforce", "extraPrefixes": [f"{OLD}/"]}
    cluster = with_pods(applied, kind="ValidatingPolicy")
    cluster[PODS] = {"items": [], "metadata": {"continue": "a b"}}
    cluster[f"{PODS}&continue=a%20b"] = {"items": [pod("apps/a", f"{OLD}/team/app:1")]}
    (problem,) = problems({"enforcement": "Enforce"}, cluster)
    assert "apps/a" in problem
