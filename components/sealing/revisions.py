"""What a state knows of a Secret's value, and what it refuses to write over.

The base of the providers that bring a value into the cluster: sealed (components/sealing/seal.py)
or by way of a secret store (components/delivery/handover.py). Existing states name the modules of
those, and not this one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from pulumi.dynamic import CheckFailure, CheckResult, DiffResult

from components.sealing.cluster_provider import ClusterProvider
from components.sealing.digests import revision
from components.sealing.kept import earlier_names, has_values, may_be_another
from components.sealing.lost_state import (
    lowered,
    older_state,
    other_value,
    unknown_secret,
)
from components.sealing.opened import revision_of, secret_path

IDENTITY: Final = ("namespace", "name")
"""Inputs that say which Secret it is."""

MOST_PAST: Final = 50
"""Revisions that are remembered. Each run that is killed between two of its steps needs one."""


@dataclass(frozen=True, kw_only=True)
class Minted:
    """What tells a rotation from a lost state.

    `what`: the credential's name. `epoch`: its number in the section `rotation`. `keys`: those keys
    of the Secret that hold the minted value. `rotation`: its key in the section `rotation`, None
    where no value but a newly given one can take its place. `given_by`: the config secret that can
    give it. `first_is_given`: whether the value before the first rotation is one that was given.
    """

    what: str
    epoch: int
    keys: tuple[str, ...]
    rotation: str | None = None
    given_by: str | None = None
    first_is_given: bool = False


class StateIsOlder(Exception):
    """The cluster has a newer value than the state; the text says what to do."""


class RevisionProvider(ClusterProvider):
    """Names the value `data` of the Secret `namespace`/`name`, and guards the one in the cluster.

    `check` computes two inputs. `revision` names the plaintext; it is an input so that a preview
    knows it. `past` has the revisions before it, by which a state knows what it wrote.
    """

    contents: ClassVar[tuple[str, ...]] = ("data",)
    """Inputs whose change is an update."""
    maker: ClassVar[str] = "sealedsecret"
    """The kind whose object makes the Secret, as kubectl takes it."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        inputs = {key: value for key, value in news.items() if key not in ("revision", "past")}
        # The program declares outputs without a value, so that the SDK makes Outputs of them.
        is_same_secret = bool(_olds) and all(_olds.get(k) == news.get(k) for k in IDENTITY)
        if not is_same_secret:
            unknown = None if _olds or news.get("adopting") else self._unknown(news)
            if unknown is not None:
                return _refused(inputs, unknown_secret(unknown, news.get("stack")))
            seen = revision_of(self._secret(news)) if news.get("adopting") else None
            return CheckResult({**inputs, **_first_revision(news, seen)}, [])
        secret = self._secret(news)
        seen = revision_of(secret)
        if _lost_value(_olds, news):
            return _refused(inputs, other_value(where(news), news["minted"], news.get("stack")))
        if (before := _lowered(_olds, news)) is not None:
            return _refused(inputs, lowered(news["minted"], before, news.get("stack")))
        known: list[str | None] = [*(_olds.get("past") or []), _olds.get("revision")]
        # Who adopts, too: what the state has already is not left to be adopted.
        is_unknown = seen is not None and _olds.get("revision") is not None and seen not in known
        if is_unknown and self._stays(secret, news):
            return _refused(inputs, older_state(where(news), news.get("stack"), self.maker))
        return CheckResult({**inputs, **_next_revision(_olds, news, seen)}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [k for k in self.contents if _olds.get(k) != _news.get(k)]
        named = _news.get("revision")
        # The inputs of an earlier version have no revision, so that `check` took the cluster's.
        if not replaces and "data" not in changed and named not in (None, _olds.get("revision")):
            raise StateIsOlder(older_state(where(_news), _news.get("stack"), self.maker))
        return DiffResult(changes=bool(replaces or changed), replaces=replaces)

    def _unknown(self, props: Mapping[str, Any]) -> str | None:
        """Which Secret has a value in use that this one, new to the state, would take away."""
        if not isinstance(props.get("namespace"), str) or not isinstance(props.get("name"), str):
            return None
        for name in earlier_names(props["name"]):
            there = {**props, "name": name}
            secret = self._secret(there)
            if revision_of(secret) is None or _loses_nothing(secret, props):
                continue
            if self._stays(secret, there):
                return where(there)
        return None

    def _secret(self, props: Mapping[str, Any]) -> Any:
        """The Secret in the cluster; None when it is missing or not known."""
        namespace, name = props.get("namespace"), props.get("name")
        if not isinstance(namespace, str) or not isinstance(name, str):
            return None
        _, secret = self.look(secret_path(namespace, name))
        return secret

    def _stays(self, secret: Mapping[str, Any], props: Mapping[str, Any]) -> bool:
        return self.stays(secret, props["namespace"], props["name"])


def where(props: Mapping[str, Any]) -> str:
    return f"{props['namespace']}/{props['name']}"


def _refused(inputs: dict[str, Any], reason: str) -> CheckResult:
    return CheckResult(inputs, [CheckFailure("", reason)])


def is_known(data: Any) -> bool:
    """Whether all plaintexts are known; in a preview some are not."""
    if not isinstance(data, dict):
        return False
    values = cast("dict[str, Any]", data)
    return all(isinstance(each, str) for each in values.values())


def _loses_nothing(secret: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether a Secret that no state knows may be written over: it has these values already.

    So it is after `pulumi destroy --exclude-protected`, where the values stay in the state. Or a
    person gave a value in place of the one that was kept (components/sealing/kept.py).
    """
    is_given = news.get("minted") is None and may_be_another(news["name"])
    return is_given or (is_known(news["data"]) and has_values(secret, news["data"]))


def _new_revision(data: dict[str, str]) -> str:
    """The salt is not kept: the inputs tell whether a plaintext is the same as before."""
    return revision(data, salt=os.urandom(16))


def _first_revision(news: Mapping[str, Any], adopted: str | None) -> dict[str, Any]:
    """`adopted`: the revision of the Secret that is adopted, which an interrupted run leaves."""
    data, past = news["data"], [adopted] if adopted else []
    return {"revision": _new_revision(data), "past": past} if is_known(data) else {}


def _next_revision(
    olds: Mapping[str, Any], news: Mapping[str, Any], seen: str | None
) -> dict[str, Any]:
    """`revision` and `past`; nothing where they are not known.

    `seen`: the revision in the cluster, for states of earlier versions, whose inputs have none.
    """
    before: str | None = olds.get("revision") or seen
    past: list[str] = olds.get("past") or []
    if not is_known(news["data"]):
        return {"past": past}
    if olds.get("data") == news["data"]:
        return {"revision": before, "past": past} if before else {"past": past}
    past = [*past, before] if before else past
    return {"revision": _new_revision(news["data"]), "past": past[-MOST_PAST:]}


def _lost_value(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether a minted value is another one, or not known yet, without a rotation.

    So it is, too, where one takes the place of a value that somebody gave, and its reader does not
    follow: Harbor keeps the password of admin that its database was made with.
    """
    before: Mapping[str, Any] | None = olds.get("minted")
    after: Mapping[str, Any] | None = news.get("minted")
    if not after:
        return False
    if not before and (after.get("rotation") or after.get("first_is_given")):
        return False
    if before and before["epoch"] != after["epoch"]:
        return False
    old: dict[str, Any] = olds.get("data") or {}
    if not isinstance(news["data"], dict):
        return bool(old)
    new = cast("dict[str, Any]", news["data"])
    return any(old[key] != new.get(key) for key in after["keys"] if key in old)


def _lowered(olds: Mapping[str, Any], news: Mapping[str, Any]) -> int | None:
    """The epoch before, where it was higher and only a later value is of use; else None."""
    before: Mapping[str, Any] | None = olds.get("minted")
    after: Mapping[str, Any] | None = news.get("minted")
    if not before or not after or after.get("rotation") or after["epoch"] >= before["epoch"]:
        return None
    return int(before["epoch"])
