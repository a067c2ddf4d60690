"""What a Seal refuses before anything is sealed, and the revision that it gives a plaintext."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from components.sealing.opened import REVISION_ANNOTATION
from components.sealing.seal import SealProvider, StateIsOlder
from tests.support.builders import Cluster

State = dict[str, Any]

SECRET = "/api/v1/namespaces/registry/secrets/harbor"
SEALED = "/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/harbor"
MINTED: State = {
    "what": "csrf-key",
    "epoch": 1.0,  # as the engine hands numbers on
    "keys": ["password"],
    "rotation": "csrfKey",
    "given_by": None,
}


def secret_of(revision: str, *, is_owned: bool = True) -> State:
    owners = [{"kind": "SealedSecret", "name": "harbor"}] if is_owned else []
    annotations = {REVISION_ANNOTATION: revision}
    return {"metadata": {"annotations": annotations, "ownerReferences": owners}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster().stand_in(monkeypatch)


@pytest.fixture
def inputs(sealing_certificate: str) -> State:
    return {
        "namespace": "registry",
        "name": "harbor",
        "data": {"password": "TOPSECRET-old", "host": "valkey"},
        "certificate": sealing_certificate,
        "minted": MINTED,
        "adopting": False,
        "stack": "omantel",
    }


def checked(olds: State, news: State) -> State:
    result = SealProvider().check(olds, news)
    assert result.failures == []
    return result.inputs


def refusal(olds: State, news: State) -> str:
    (failure,) = SealProvider().check(olds, news).failures
    assert "TOPSECRET" not in failure.reason
    return failure.reason


def sealed_in_cluster(cluster: Cluster, revision: str) -> None:
    cluster.objects = {SECRET: secret_of(revision), SEALED: {"metadata": {}}}


# --- An empty state ----------------------------------------------------------------------------


def test_a_secret_that_another_state_wrote_is_not_written_over(
    cluster: Cluster, inputs: State
) -> None:
    sealed_in_cluster(cluster, "theirs")
    words = refusal({}, inputs)
    assert "Secret registry/harbor was written by this program" in words
    assert "pulumi stack import -s omantel" in words
    for part in ("harbor.adopt", "database.adopt", "docs/runbooks/state-lost.md"):
        assert part in words
    assert refusal({}, {**inputs, "data": UNKNOWN}) == words, "in a preview, too"


def test_whoever_adopts_writes_over_it(cluster: Cluster, inputs: State) -> None:
    sealed_in_cluster(cluster, "theirs")
    assert checked({}, {**inputs, "adopting": True})["revision"] != "theirs"


def test_the_secret_of_a_destroyed_stack_is_about_to_go(cluster: Cluster, inputs: State) -> None:
    # Kubernetes removes the Secret a moment after its SealedSecret.
    cluster.objects = {SECRET: secret_of("left"), SEALED: None}
    checked({}, inputs)


@pytest.mark.parametrize("objects", [{}, {SECRET: {"metadata": {"annotations": {}}}}])
def test_a_cluster_without_our_secret_is_new(
    objects: State, cluster: Cluster, inputs: State
) -> None:
    cluster.objects = objects
    checked({}, inputs)


def test_without_a_cluster_nothing_is_refused(cluster: Cluster, inputs: State) -> None:
    cluster.is_up = False
    checked({}, inputs)


# --- What stayed of a Sovereign that was taken down --------------------------------------------


def stored(revision: str, **data: str) -> State:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {**secret_of(revision), "data": encoded}


def test_a_secret_with_the_same_values_may_be_sealed_again(cluster: Cluster, inputs: State) -> None:
    # The values stay in the state after `pulumi destroy --exclude-protected`.
    kept = stored("kept", password="TOPSECRET-old", host="valkey")
    cluster.objects = {SECRET: kept, SEALED: {"metadata": {}}}
    checked({}, inputs)
    cluster.objects[SECRET] = stored("kept", password="TOPSECRET-old")
    refusal({}, inputs)
    cluster.objects[SECRET] = kept
    refusal({}, {**inputs, "data": UNKNOWN})


@pytest.mark.parametrize(
    ("name", "minted", "passes"),
    [
        ("harbor-minted-admin-password", None, True),
        ("harbor-pg-credentials", None, True),
        ("harbor-minted-admin-password", MINTED, False),
        # Only the key that encrypted the database decrypts it.
        ("harbor-given-secret-key", None, False),
        ("harbor-objectstorage-credentials", None, False),
    ],
)
def test_a_person_may_give_another_password_than_the_one_that_was_kept(
    name: str, minted: State | None, passes: bool, cluster: Cluster, inputs: State
) -> None:
    there = f"/api/v1/namespaces/registry/secrets/{name}"
    sealed = f"/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/{name}"
    cluster.objects = {there: stored("kept", password="TOPSECRET-kept"), sealed: {"metadata": {}}}
    failures = SealProvider().check({}, {**inputs, "name": name, "minted": minted}).failures
    assert (failures == []) is passes


def test_a_key_is_not_minted_beside_the_one_that_was_given(cluster: Cluster, inputs: State) -> None:
    name = "harbor-given-secret-key"
    there = f"/api/v1/namespaces/registry/secrets/{name}"
    sealed = f"/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/{name}"
    cluster.objects = {there: stored("kept", secretKey="TOPSECRET-given"), sealed: {"metadata": {}}}
    news = {**inputs, "name": "harbor-minted-secret-key", "data": UNKNOWN}
    assert f"Secret registry/{name} was written by this program" in refusal({}, news)
    checked({}, {**news, "data": {"secretKey": "TOPSECRET-given"}})


def test_the_key_that_was_minted_is_in_use_where_none_was_given(
    cluster: Cluster, inputs: State
) -> None:
    name = "harbor-minted-secret-key"
    there = f"/api/v1/namespaces/registry/secrets/{name}"
    sealed = f"/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/{name}"
    cluster.objects = {there: stored("kept", secretKey="TOPSECRET-old"), sealed: {"metadata": {}}}
    words = refusal({}, {**inputs, "name": name, "data": UNKNOWN})
    assert f"Secret registry/{name} was written by this program" in words


# --- A credential that is missing from the state -----------------------------------------------


@pytest.mark.parametrize(
    "data", [UNKNOWN, {"password": UNKNOWN, "host": "valkey"}, {"password": "TOPSECRET-new"}]
)
def test_a_minted_value_does_not_change_without_a_rotation(
    data: Any, cluster: Cluster, inputs: State
) -> None:
    olds = checked({}, inputs)
    words = refusal(olds, {**inputs, "data": data})
    assert "the value of csrf-key in Secret registry/harbor" in words
    assert "pulumi stack import -s omantel" in words
    assert "pulumi config set --path 'rotation.csrfKey' 2 -s omantel" in words


ADMIN: State = {
    **MINTED,
    "what": "admin-password",
    "epoch": 3,
    "rotation": None,
    "given_by": "harborAdminPassword",
}


def test_a_rotation_that_harbor_has_followed_is_not_taken_back(
    cluster: Cluster, inputs: State
) -> None:
    olds = checked({}, {**inputs, "minted": ADMIN})
    words = refusal(olds, {**inputs, "minted": {**ADMIN, "epoch": 2}, "data": UNKNOWN})
    assert "rotation.adminPassword = 2, and it was 3 already" in words
    assert "pulumi config set --path 'rotation.adminPassword' 3 -s omantel" in words


def test_a_value_that_any_rotation_makes_anew_may_go_back(cluster: Cluster, inputs: State) -> None:
    olds = checked({}, {**inputs, "minted": {**MINTED, "epoch": 3}})
    checked(olds, {**inputs, "minted": {**MINTED, "epoch": 2}, "data": {"password": "new"}})


def test_a_password_of_admin_that_is_lost_is_the_one_before_the_next_rotation(
    cluster: Cluster, inputs: State
) -> None:
    olds = checked({}, {**inputs, "minted": ADMIN})
    words = refusal(olds, {**inputs, "minted": ADMIN, "data": UNKNOWN})
    assert "pulumi config set --secret harborAdminPassword -s omantel && " in words
    assert "pulumi config set --path 'rotation.adminPassword' 4 -s omantel" in words
    checked(olds, {**inputs, "minted": {**ADMIN, "epoch": 4}, "data": UNKNOWN})


def test_a_value_that_cannot_be_rotated_can_be_given(cluster: Cluster, inputs: State) -> None:
    fixed = {**MINTED, "rotation": None, "given_by": "harborSecretKey"}
    olds = checked({}, {**inputs, "minted": fixed})
    words = refusal(olds, {**inputs, "minted": fixed, "data": UNKNOWN})
    assert "rotation." not in words
    assert (
        "kubectl get secret harbor -n registry -o jsonpath='{.data.password}' | base64 -d | "
        "pulumi config set --secret harborSecretKey -s omantel" in words
    )


@pytest.mark.parametrize("data", [UNKNOWN, {"password": "minted", "host": "valkey"}])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_given_password_of_admin_is_not_left_out_for_a_minted_one(
    data: State | str, epoch: int, cluster: Cluster, inputs: State
) -> None:
    """Harbor keeps the given one: no login of the program would be taken any more."""
    given = checked({}, {**inputs, "minted": None})
    minted = {**ADMIN, "keys": ["password"], "epoch": epoch}
    words = refusal(given, {**inputs, "minted": minted, "data": data})
    assert "the value of admin-password in Secret registry/harbor would change" in words
    assert "pulumi config set --secret harborAdminPassword -s omantel" in words
    checked(given, {**inputs, "minted": {**minted, "first_is_given": True}, "data": data})


@pytest.mark.parametrize(
    "change",
    [
        {"minted": {**MINTED, "epoch": 2.0}, "data": UNKNOWN},
        {"minted": None, "data": {"password": "given"}},
        {"data": {"password": "TOPSECRET-old", "host": "elsewhere"}},
        {"data": {"password": "TOPSECRET-old"}},
    ],
    ids=["rotated", "given from now on", "another key", "a key less"],
)
def test_what_a_person_changed_passes(change: State, cluster: Cluster, inputs: State) -> None:
    checked(checked({}, inputs), {**inputs, **change})


def test_the_state_of_an_earlier_version_is_not_judged(cluster: Cluster, inputs: State) -> None:
    earlier = {key: inputs[key] for key in ("namespace", "name", "data", "certificate")}
    checked(earlier, {**inputs, "data": UNKNOWN})


# --- An older state ----------------------------------------------------------------------------


def test_a_value_that_a_newer_state_wrote_is_not_written_over(
    cluster: Cluster, inputs: State
) -> None:
    olds = checked({}, inputs)
    sealed_in_cluster(cluster, "newer")
    words = refusal(olds, inputs)
    assert "the state is older than the cluster" in words
    assert "pulumi stack import -s omantel" in words
    assert "kubectl delete sealedsecret harbor -n registry" in words


def test_a_newer_value_that_is_about_to_go_is_none(cluster: Cluster, inputs: State) -> None:
    olds = checked({}, inputs)
    cluster.objects = {SECRET: secret_of("newer"), SEALED: None}
    assert checked(olds, inputs)["revision"] == olds["revision"]


def test_settings_that_adopt_take_no_newer_value_for_the_state_s_own(
    cluster: Cluster, inputs: State
) -> None:
    adopting = {**inputs, "adopting": True}
    sealed_in_cluster(cluster, "theirs")
    olds = checked({}, adopting)
    assert olds["past"] == ["theirs"]
    # Killed before the SealedSecret was applied: the adoption goes on, and ends.
    assert checked(olds, adopting)["revision"] == olds["revision"]
    sealed_in_cluster(cluster, olds["revision"])
    checked(olds, adopting)
    sealed_in_cluster(cluster, "newer")
    assert "the state is older than the cluster" in refusal(olds, adopting)


def test_a_run_that_was_killed_is_no_newer_state(cluster: Cluster, inputs: State) -> None:
    # Sealed and recorded, and killed before the SealedSecret was applied; and again.
    first = checked({}, inputs)
    sealed_in_cluster(cluster, first["revision"])
    rotated: State = {**inputs, "minted": {**MINTED, "epoch": 2.0}, "data": {"password": "two"}}
    second = checked(first, rotated)
    third = checked(
        second, {**rotated, "minted": {**MINTED, "epoch": 3.0}, "data": {"password": "three"}}
    )
    assert len({each["revision"] for each in (first, second, third)}) == 3
    for written in (first, second, third):
        sealed_in_cluster(cluster, written["revision"])
        assert checked(third, {**inputs, **third})["revision"] == third["revision"]


def test_the_older_state_of_an_earlier_version_is_refused_by_its_outputs(
    cluster: Cluster, inputs: State
) -> None:
    # Its inputs have no revision, so the check takes the cluster's; the diff knows the outputs.
    outs = SealProvider().create(inputs).outs
    assert outs is not None
    earlier = {key: inputs[key] for key in ("namespace", "name", "data", "certificate")}
    sealed_in_cluster(cluster, "newer")
    news = checked(earlier, inputs)
    with pytest.raises(StateIsOlder, match="older than the cluster"):
        SealProvider().diff("registry/harbor", outs, news)
    sealed_in_cluster(cluster, outs["revision"])
    assert SealProvider().diff("registry/harbor", outs, checked(earlier, inputs)).changes is False


# --- The revision ------------------------------------------------------------------------------


def test_the_same_plaintext_keeps_its_revision_under_another_certificate(
    cluster: Cluster, inputs: State
) -> None:
    olds = checked({}, inputs)
    assert checked(olds, {**inputs, "certificate": "another"})["revision"] == olds["revision"]


def test_another_plaintext_has_another_revision(cluster: Cluster, inputs: State) -> None:
    given = {**inputs, "minted": None}
    olds = checked({}, given)
    news = checked(olds, {**given, "data": {"password": "new"}})
    assert news["revision"] != olds["revision"]
    assert news["past"] == [olds["revision"]]
    assert checked(news, {**given, "data": {"password": "new"}})["past"] == news["past"]
    assert checked(news, {**given, "data": UNKNOWN})["past"] == news["past"]


def test_a_plaintext_that_is_not_known_yet_has_no_revision(cluster: Cluster, inputs: State) -> None:
    assert "revision" not in checked({}, {**inputs, "data": UNKNOWN})
    given = {**inputs, "minted": None}
    assert "revision" not in checked(checked({}, given), {**given, "data": UNKNOWN})


def test_a_state_of_an_earlier_version_learns_its_revision_from_the_cluster(
    cluster: Cluster, inputs: State
) -> None:
    earlier = {key: inputs[key] for key in ("namespace", "name", "data", "certificate")}
    sealed_in_cluster(cluster, "theirs")
    assert checked(earlier, inputs)["revision"] == "theirs"
    cluster.is_up = False
    assert "revision" not in checked(earlier, inputs)


def test_the_revision_that_was_checked_is_the_one_that_is_applied(
    cluster: Cluster, inputs: State
) -> None:
    props = checked({}, inputs)
    outs = SealProvider().create(props).outs
    assert outs is not None
    assert outs["revision"] == props["revision"]
