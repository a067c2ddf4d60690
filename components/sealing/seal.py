"""Sealing as a resource: the ciphertext is made once and kept in the state.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from components.sealing.cluster_provider import ClusterProvider
from components.sealing.crypto import (
    certificate_fingerprint,
    load_certificate,
    seal,
)
from components.sealing.kept import earlier_names, has_values, may_be_another
from components.sealing.lost_state import (
    lowered,
    older_state,
    other_value,
    unknown_secret,
)
from components.sealing.opened import revision_of, secret_path
from components.sealing.revisions import revision

IDENTITY = ("namespace", "name")
"""Bound into the ciphertext by strict scope."""

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


class SealProvider(ClusterProvider):
    """Seals `data` for `namespace`/`name`; again only on a change of plaintext or certificate.

    Sealing is random by design (bitnami/sealed-secrets #376), so a program that seals on every
    run differs on every run. Here the ciphertext is an output and lives in the state; `data` is
    a secret input, which the engine stores encrypted.

    `check` computes two inputs. `revision` names the plaintext; it is an input so that a preview
    knows it. `past` has the revisions before it, by which a state knows what it wrote.
    """

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
            return _refused(inputs, other_value(_where(news), news["minted"], news.get("stack")))
        if (before := _lowered(_olds, news)) is not None:
            return _refused(inputs, lowered(news["minted"], before, news.get("stack")))
        known: list[str | None] = [*(_olds.get("past") or []), _olds.get("revision")]
        # Who adopts, too: what the state has already is not left to be adopted.
        is_unknown = seen is not None and _olds.get("revision") is not None and seen not in known
        if is_unknown and self._stays(secret, news):
            return _refused(inputs, older_state(_where(news), news.get("stack")))
        return CheckResult({**inputs, **_next_revision(_olds, news, seen)}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        replaces = [key for key in IDENTITY if _olds.get(key) != _news.get(key)]
        changed = [k for k in ("data", "certificate") if _olds.get(k) != _news.get(k)]
        named = _news.get("revision")
        # The inputs of an earlier version have no revision, so that `check` took the cluster's.
        if not replaces and "data" not in changed and named not in (None, _olds.get("revision")):
            raise StateIsOlder(older_state(_where(_news), _news.get("stack")))
        return DiffResult(changes=bool(replaces or changed), replaces=replaces)

    def create(self, props: dict[str, Any]) -> CreateResult:
        outs = _sealed(props, salt=os.urandom(16), kept={})
        return CreateResult(id_=_where(props), outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        # Without a revision among the inputs: the salt stays, so an unchanged plaintext keeps its
        # revision under a new certificate and no pod restarts for it.
        salt = bytes.fromhex(_olds["salt"])
        return UpdateResult(outs=_sealed(_news, salt=salt, kept=_kept(_olds, _news)))

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
                return _where(there)
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


def _where(props: Mapping[str, Any]) -> str:
    return f"{props['namespace']}/{props['name']}"


def _refused(inputs: dict[str, Any], reason: str) -> CheckResult:
    return CheckResult(inputs, [CheckFailure("", reason)])


def _is_known(data: Any) -> bool:
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
    return is_given or (_is_known(news["data"]) and has_values(secret, news["data"]))


def _new_revision(data: dict[str, str]) -> str:
    """The salt is not kept: the inputs tell whether a plaintext is the same as before."""
    return revision(data, salt=os.urandom(16))


def _first_revision(news: Mapping[str, Any], adopted: str | None) -> dict[str, Any]:
    """`adopted`: the revision of the Secret that is adopted, which an interrupted run leaves."""
    data, past = news["data"], [adopted] if adopted else []
    return {"revision": _new_revision(data), "past": past} if _is_known(data) else {}


def _next_revision(
    olds: Mapping[str, Any], news: Mapping[str, Any], seen: str | None
) -> dict[str, Any]:
    """`revision` and `past`; nothing where they are not known.

    `seen`: the revision in the cluster, for states of earlier versions, whose inputs have none.
    """
    before: str | None = olds.get("revision") or seen
    past: list[str] = olds.get("past") or []
    if not _is_known(news["data"]):
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


def _kept(olds: dict[str, Any], news: dict[str, Any]) -> dict[str, str]:
    """The ciphertexts that stay as they are: same value under the same certificate."""
    if olds.get("certificate") != news["certificate"]:
        return {}
    before: dict[str, str] = olds.get("data") or {}
    sealed: dict[str, str] = olds.get("ciphertexts") or {}
    return {k: sealed[k] for k, v in news["data"].items() if k in sealed and before.get(k) == v}


def _sealed(props: dict[str, Any], *, salt: bytes, kept: dict[str, str]) -> dict[str, Any]:
    certificate = load_certificate(props["certificate"])
    namespace, name, data = props["namespace"], props["name"], props["data"]
    return {
        "namespace": namespace,
        "name": name,
        "data": data,
        "certificate": props["certificate"],
        "certificateFingerprint": certificate_fingerprint(certificate),
        "ciphertexts": {
            key: kept.get(key)
            or seal(value.encode(), namespace=namespace, name=name, certificate=certificate)
            for key, value in data.items()
        },
        "revision": props.get("revision") or revision(data, salt=salt),
        "salt": salt.hex(),
    }


class Seal(Resource, module="sealing", name="Seal"):
    """The ciphertext of one Secret.

    Inputs: namespace, name, data (key → plaintext, secret), certificate (PEM), and what `check`
    needs: minted (see Minted), adopting, stack.
    Outputs: ciphertexts (key → base64 ciphertext) and revision (another for each plaintext).
    """

    ciphertexts: pulumi.Output[dict[str, str]]
    revision: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        secret_name: str,
        data: dict[str, pulumi.Input[str]],
        certificate: pulumi.Input[str],
        minted: Minted | None = None,
        adopting: bool = False,
        stack: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`minted`: None for values that somebody gave. `adopting`: whether Secrets that another
        state wrote may be written over."""
        super().__init__(
            SealProvider(),
            name,
            {
                "namespace": namespace,
                "name": secret_name,
                "data": pulumi.Output.secret(data),
                "certificate": certificate,
                "minted": None if minted is None else asdict(minted),
                "adopting": adopting,
                "stack": stack,
                "ciphertexts": None,
                "revision": None,
                "salt": None,
            },
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["data", "salt"]), opts
            ),
        )
