"""Waiting for the controller: what counts as opened, and what a later run notices."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config
from pulumi.runtime.rpc import UNKNOWN

from components.sealing import unsealed
from components.sealing.opened import REVISION_ANNOTATION
from components.sealing.unsealed import LOOK_AGAIN, NotUnsealed, UnsealedProvider
from tests.support.builders import Cluster

State = dict[str, Any]

SECRET = "/api/v1/namespaces/registry/secrets/harbor"
SEALED = "/apis/bitnami.com/v1alpha1/namespaces/registry/sealedsecrets/harbor"
INPUTS: State = {
    "namespace": "registry",
    "name": "harbor",
    "revision": "new",
    "applied": "uid/2",
    "timeoutSeconds": 2.0,
    "stack": "omantel",
    "__provider": "…",
}


def secret_of(revision: str | None, password: str = "password") -> State:
    annotations = {} if revision is None else {REVISION_ANNOTATION: revision}
    data = {"password": base64.b64encode(password.encode()).decode()}
    return {"metadata": {"annotations": annotations}, "data": data}


def sealed(
    status: str | None = "True", message: str = "", *, generation: int = 2, observed: int = 2
) -> State:
    """A SealedSecret; `status` of its condition Synced, None where the controller wrote none."""
    made: State = {"metadata": {"generation": generation, "uid": "uid"}}
    if status is None:
        return made
    condition = {"type": "Synced", "status": status, "message": message}
    return {**made, "status": {"observedGeneration": observed, "conditions": [condition]}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster().stand_in(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept; time passes by sleeping alone."""
    slept: list[float] = []
    monkeypatch.setattr(unsealed.time, "sleep", slept.append)
    monkeypatch.setattr(unsealed.time, "monotonic", lambda: sum(slept))
    return slept


@pytest.fixture
def state(cluster: Cluster, clock: list[float]) -> State:
    """The outputs after a wait that was fulfilled, with that cluster as it was then."""
    cluster.objects = {SECRET: secret_of("new"), SEALED: sealed()}
    outs = UnsealedProvider().create(INPUTS).outs
    assert outs is not None
    return outs


def configured(cluster_section: str) -> UnsealedProvider:
    provider = UnsealedProvider()
    config = Config({"sovereign-harbor:cluster": cluster_section}, "sovereign-harbor")
    provider.configure(ConfigureRequest(config))
    return provider


def answers(*each: Any) -> Callable[[], Any]:
    """One after the other; the last one for ever."""
    left = list(each)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


# --- The wait ----------------------------------------------------------------------------------


def test_it_waits_until_the_secret_has_the_new_revision(
    cluster: Cluster, clock: list[float]
) -> None:
    # No Secret, then the old content beside a Synced=True of old, then the new content.
    waiting = answers(None, secret_of("old"), secret_of("old"), secret_of("new"))
    cluster.objects = {SECRET: waiting, SEALED: answers(sealed(observed=1), *[sealed()] * 4)}
    created = configured('{"context": "admin@omantel"}').create(INPUTS)
    assert created.id == "registry/harbor"
    assert created.outs is not None
    assert {k: created.outs[k] for k in INPUTS if k != "__provider"} == {
        k: v for k, v in INPUTS.items() if k != "__provider"
    }
    assert "__provider" not in created.outs
    assert cluster.contexts == ["admin@omantel"], "one client for all requests"
    assert clock == sorted(clock)


def test_a_secret_that_is_right_by_chance_is_not_enough(
    cluster: Cluster, clock: list[float]
) -> None:
    # Sealed for a key that the controller does not have: what is there came from before.
    refused = sealed("False", "no key could decrypt secret (password)")
    cluster.objects = {SECRET: secret_of("new"), SEALED: refused}
    with pytest.raises(NotUnsealed, match="no key could decrypt secret"):
        UnsealedProvider().create(INPUTS)


def test_the_condition_of_the_sealed_secret_before_is_not_enough(
    cluster: Cluster, clock: list[float]
) -> None:
    cluster.objects = {SECRET: secret_of("new"), SEALED: sealed("True", observed=1)}
    with pytest.raises(NotUnsealed, match="is sealed-secrets running"):
        UnsealedProvider().create(INPUTS)
    assert cluster.merged == [], "the controller has not looked the first time yet"


@pytest.mark.parametrize(
    ("state_of", "words"),
    [
        (sealed("False", "no key could decrypt secret (password)"), "no key could decrypt secret"),
        (sealed("False"), "Synced=False"),
        (sealed(None), "is sealed-secrets running"),
    ],
    ids=["message", "no message", "no status"],
)
def test_when_time_is_up_the_controller_has_the_word(
    state_of: State, words: str, cluster: Cluster, clock: list[float]
) -> None:
    cluster.objects = {SECRET: secret_of("old"), SEALED: state_of}
    with pytest.raises(NotUnsealed, match=words) as refusal:
        UnsealedProvider().create(INPUTS)
    assert "registry/harbor was not unsealed within" in str(refusal.value)
    assert 2.0 <= sum(clock) <= 3.1


def test_a_controller_that_refuses_twice_is_not_waited_for_to_the_end(
    cluster: Cluster, clock: list[float]
) -> None:
    cluster.objects = {SECRET: None, SEALED: sealed("False", "no key could decrypt secret")}
    with pytest.raises(NotUnsealed):
        UnsealedProvider().create({**INPUTS, "timeoutSeconds": 900.0})
    assert sum(clock) < unsealed.REFUSED_SECONDS + 2


def test_a_sealed_secret_that_is_gone_is_not_waited_for(
    cluster: Cluster, clock: list[float]
) -> None:
    cluster.objects = {SECRET: None}
    words = "SealedSecret registry/harbor is in this .* pulumi refresh -s omantel"
    with pytest.raises(NotUnsealed, match=f"(?s){words}"):
        UnsealedProvider().create(INPUTS)
    assert clock == []


def test_a_controller_that_gave_up_is_made_to_look_again(
    cluster: Cluster, clock: list[float]
) -> None:
    # It looks again only when the spec changes; the spec is left as it was applied.
    cluster.objects = {
        SECRET: answers(None, None, secret_of("new")),
        SEALED: answers(sealed("False"), sealed(observed=2, generation=4), sealed()),
    }
    UnsealedProvider().create(INPUTS)
    values = [
        change["spec"]["template"]["metadata"]["annotations"][LOOK_AGAIN]
        for path, change in cluster.merged
        if path.startswith(f"{SEALED}?")
    ]
    assert len(values) == 2
    assert values[0]
    assert values[1] is None


def test_a_controller_without_status_is_believed_by_the_secret_alone(
    cluster: Cluster, clock: list[float]
) -> None:
    # --update-status=false
    cluster.objects = {SECRET: secret_of("new"), SEALED: sealed(None)}
    UnsealedProvider().create({**INPUTS, "timeoutSeconds": 120.0})
    assert unsealed.STATUS_SECONDS <= sum(clock) < unsealed.STATUS_SECONDS + 2


def test_a_secret_that_goes_with_its_gone_owner_is_waited_for(
    cluster: Cluster, clock: list[float]
) -> None:
    """As after the kind was removed and installed again, while the controller is silent."""

    def owned(uid: str) -> dict[str, Any]:
        secret = secret_of("new")
        owner = {"kind": "SealedSecret", "uid": uid}
        return {**secret, "metadata": {**secret["metadata"], "ownerReferences": [owner]}}

    silent = sealed(None)
    silent = {**silent, "metadata": {**silent["metadata"], "uid": "here"}}
    left = [owned("gone")] * 30
    cluster.objects = {SECRET: answers(*left, owned("here")), SEALED: silent}
    UnsealedProvider().create({**INPUTS, "timeoutSeconds": 120.0})
    assert len(clock) >= len(left)


def test_the_secret_is_looked_at_at_least_once(cluster: Cluster, clock: list[float]) -> None:
    cluster.objects = {SECRET: secret_of("new"), SEALED: sealed()}
    UnsealedProvider().create({**INPUTS, "timeoutSeconds": 0.0})
    assert clock == []


def test_data_that_somebody_changed_is_waited_for_to_come_back(
    cluster: Cluster, clock: list[float], state: State
) -> None:
    cluster.objects = {
        SECRET: answers(secret_of("new", "by hand"), secret_of("new", "by hand"), secret_of("new")),
        SEALED: sealed(),
    }
    UnsealedProvider().update("registry/harbor", state, INPUTS)
    assert len(clock) == 2


# --- What a later run notices ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "changes", "replaces"),
    [
        ({}, False, []),
        ({"timeoutSeconds": 900}, False, []),
        ({"revision": "newer"}, True, []),
        ({"applied": "uid/3"}, True, []),
        ({"applied": UNKNOWN}, True, []),
        ({"name": "other"}, True, ["name"]),
        ({"namespace": "other"}, True, ["namespace"]),
    ],
    ids=str,
)
def test_it_waits_whenever_the_sealed_secret_was_applied(
    change: State, changes: bool, replaces: list[str], state: State
) -> None:
    result = UnsealedProvider().diff("registry/harbor", state, {**INPUTS, **change})
    assert (result.changes, result.replaces) == (changes, replaces)


def test_a_state_of_an_earlier_version_is_no_change(cluster: Cluster, state: State) -> None:
    earlier = {k: v for k, v in state.items() if k not in ("applied", "content", "salt", "stack")}
    assert UnsealedProvider().diff("registry/harbor", earlier, INPUTS).changes is False


DRIFT: list[tuple[State, str]] = [
    ({SECRET: None}, "a Secret that is missing"),
    ({SECRET: secret_of(None)}, "a Secret of somebody else"),
    ({SECRET: secret_of("old")}, "another revision"),
    ({SECRET: secret_of("new", "by hand")}, "data that somebody changed"),
    ({SEALED: sealed("False", "no key could decrypt secret")}, "a key that is lost"),
    ({SEALED: None, SECRET: None}, "both are gone"),
]


@pytest.mark.parametrize("objects", [each for each, _ in DRIFT], ids=[name for _, name in DRIFT])
def test_an_up_without_other_changes_notices_what_is_not_as_meant(
    objects: State, cluster: Cluster, state: State
) -> None:
    cluster.objects = {**cluster.objects, **objects}
    assert UnsealedProvider().diff("registry/harbor", state, INPUTS).changes is True


@pytest.mark.parametrize("objects", [each for each, _ in DRIFT], ids=[name for _, name in DRIFT])
def test_a_refresh_notices_what_is_not_as_meant(
    objects: State, cluster: Cluster, state: State
) -> None:
    cluster.objects = {**cluster.objects, **objects}
    read = UnsealedProvider().read("registry/harbor", state)
    assert read.id == "registry/harbor"
    assert read.outs is not None
    assert read.outs == {**state, "revision": ""}
    assert UnsealedProvider().diff("registry/harbor", read.outs, INPUTS).changes is True


def test_a_refresh_of_a_secret_without_a_name_changes_nothing(cluster: Cluster) -> None:
    """As of a state whose namespace is not known yet."""
    nameless = {**INPUTS, "namespace": UNKNOWN, "name": None}
    assert UnsealedProvider().read("registry/harbor", nameless).outs == nameless
    assert cluster.asked == []


def test_a_refresh_of_what_is_as_meant_changes_nothing(state: State) -> None:
    assert UnsealedProvider().read("registry/harbor", state).outs == state


def test_without_a_cluster_nothing_is_noticed(cluster: Cluster, state: State) -> None:
    cluster.is_up = False
    provider = UnsealedProvider()
    assert provider.check({**INPUTS}, {**INPUTS}).failures == []
    assert provider.diff("registry/harbor", state, INPUTS).changes is False
    assert provider.read("registry/harbor", state).outs == state


@pytest.mark.parametrize("answer", [sealed(), None])
def test_a_sealed_secret_is_looked_for_by_its_name(answer: Any, cluster: Cluster) -> None:
    cluster.objects = {SEALED: answer}
    checked = UnsealedProvider().check(INPUTS, INPUTS)
    assert bool(checked.failures) is (answer is None)
    assert checked.inputs == INPUTS
    assert cluster.asked == [SEALED]


@pytest.mark.parametrize(
    ("olds", "applied", "is_refused"),
    [
        (INPUTS, "uid/2", True),
        (INPUTS, "other/1", False),  # a refresh has noticed it, and it is applied again
        (INPUTS, UNKNOWN, False),
        ({}, "uid/2", False),  # the state of an earlier version
    ],
)
def test_a_sealed_secret_that_the_cluster_lost_is_refused_in_preview(
    olds: State, applied: Any, is_refused: bool, cluster: Cluster
) -> None:
    failures = UnsealedProvider().check(olds, {**INPUTS, "applied": applied}).failures
    assert bool(failures) is is_refused
    for failure in failures:
        assert "pulumi refresh -s omantel, and then pulumi up -s omantel" in failure.reason
