"""Two commits' offline previews of one stack, compared. Pure.

Both start from an empty state, so both show everything as new. What differs between them is what
the change amounts to: inputs of the same logical name, and options. Which change replaces a
resource is the provider's decision; REPLACES has the properties of which it is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from components.settings import profiles
from components.settings.reading import spec
from policy.resource import RELEASE, UNKNOWN, leaves
from review.plan import SECRET, SECRETS_ANNOTATION, Change, Difference, Plan, dotted, flat

Readers = Mapping[str, Sequence[str]]
"""Credential → the components of Harbor whose pods read it."""

_KUBERNETES: Final = r"metadata\.(name|namespace)$"
REPLACES: Final[Mapping[str, str]] = {
    "StatefulSet": rf"{_KUBERNETES}|spec\.(volumeClaimTemplates|serviceName|selector)\b",
    "Deployment": rf"{_KUBERNETES}|spec\.selector\b",
    "PersistentVolumeClaim": rf"{_KUBERNETES}|spec\.(accessModes|storageClassName)\b",
    "Release": r"(name|namespace)$",
    "RandomPassword": r"(keepers|length|special|min\w+)\b",
    "PrivateKey": r"",
    "SelfSignedCert": r"",
    "S3Bucket": r"(bucket|endpoint|region)$",
    "Bucket": r"(bucket|region)$",
    "Seal": r"(namespace|name)$",
    "Unsealed": r"(namespace|name)$",
    "Handover": r"(namespace|name)$",
    "Synced": r"(namespace|name)$",
}
"""Kind → the paths of which a change replaces the resource."""

_MINTED: Final = frozenset({"RandomPassword", "PrivateKey", "SelfSignedCert", "AccessKey"})
_CARRIERS: Final = frozenset({*_MINTED, "Seal", "Unsealed", "Handover", "Synced"})
"""Kinds whose outputs are unknown here and are other ones after a change of their inputs."""


def compare(base: Plan, head: Plan, readers: Readers) -> Plan:
    """`head` with what it changes in comparison with `base`."""
    before = {change.urn: change for change in base.changes}
    changes = [_compared(before.get(change.urn), change) for change in head.changes]
    here = {change.urn for change in head.changes}
    gone = [_gone(change) for change in base.changes if change.urn not in here]
    return replace(head, changes=(*_followed(changes, gone, readers), *gone))


def rotated(changes: Sequence[Change], readers: Readers) -> tuple[str, ...]:
    """The credentials of which a new value is minted."""
    minted = {
        change.name
        for change in changes
        if change.type.rpartition(":")[2] in _MINTED and change.act in ("replace", "create")
    }
    names = (_credential(name, readers) for name in sorted(minted))
    return tuple(dict.fromkeys(name for name in names if name is not None))


def settings(base: Mapping[str, Any], head: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What differs between the `config` of two stack files, by key; no secret in it.

    After the keys themselves: the defaults that another profile changes.
    """
    return (*_settings(_shown(base), _shown(head)), *_by_profile(_raw(base), _raw(head)))


def _compared(old: Change | None, new: Change) -> Change:
    if old is None:
        return new
    differences = tuple(_differences(old, new))
    replaced_by = tuple(d.path for d in differences if _replaces(new, d.path))
    act = "replace" if replaced_by else "update" if differences else "same"
    return replace(
        new,
        act=act,
        had=old.inputs,
        differences=differences,
        replaced_by=replaced_by,
        was_protected=old.is_protected,
        stays=old.will_stay,
        data=new.data or old.data,
    )


def _gone(change: Change) -> Change:
    return replace(
        change,
        act="delete",
        had=change.inputs,
        was_protected=change.is_protected,
        is_protected=False,
        stays=change.will_stay,
    )


_NEW_IN_EACH_RUN: Final = {("state-mark", ("mark",)), ("state-mark-record", ("data", "mark"))}
"""Logical name and path of values that each run without a state makes anew."""


def _differences(old: Change, new: Change) -> Iterator[Difference]:
    before, after = flat(old.inputs), flat(new.inputs)
    for path in dict.fromkeys([*before, *after]):
        if (new.name, path) in _NEW_IN_EACH_RUN:
            continue
        if before.get(path) != after.get(path):
            yield Difference(path=dotted(path), before=before.get(path), after=after.get(path))
    for option in ("is_protected", "will_stay"):
        was, is_now = getattr(old, option), getattr(new, option)
        if was != is_now:
            yield Difference(path=_OPTIONS[option], before=was, after=is_now)


_OPTION: Final = "(option)"
_OPTIONS: Final = {"is_protected": f"{_OPTION} protect", "will_stay": f"{_OPTION} retainOnDelete"}


def _replaces(change: Change, path: str) -> bool:
    fallback = _KUBERNETES if change.type.startswith("kubernetes:") else r"(?!)"
    is_option = path.startswith(_OPTION)
    return not is_option and re.match(REPLACES.get(change.kind, fallback), path) is not None


def _followed(
    changes: Sequence[Change], gone: Sequence[Change], readers: Readers
) -> Iterator[Change]:
    """Those that take a value which is minted or sealed anew are changed, too.

    Neither value is known here, so their own inputs look the same.
    """
    by_urn = {change.urn: change for change in changes}
    sources = {urn for urn, change in by_urn.items() if _is_source(change)}
    components = {
        component for name in rotated([*changes, *gone], readers) for component in readers[name]
    }
    has_grown = True
    while has_grown:
        has_grown = False
        for urn, change in by_urn.items():
            told = {difference.path for difference in change.differences}
            hidden = _hidden(change, sources, components)
            more = tuple(difference for difference in hidden if difference.path not in told)
            if more and change.act != "create":
                act = "update" if change.act == "same" else change.act
                followed = replace(change, act=act, differences=(*change.differences, *more))
                by_urn[urn] = followed
                sources |= {urn} if _is_source(followed) else set()
                has_grown = True
    return iter(by_urn.values())


def _is_source(change: Change) -> bool:
    """Whether its outputs become other ones. Another certificate alone changes no revision."""
    paths = [d.path for d in change.differences if not d.path.startswith(_OPTION)]
    if change.kind in ("Seal", "Handover"):
        return change.act != "same" and any(path.startswith("data") for path in paths)
    return change.kind in _CARRIERS and (change.act == "create" or bool(paths))


def _hidden(change: Change, sources: set[str], components: set[str]) -> Iterator[Difference]:
    for key, urns in change.needs.items():
        if not urns & sources or key not in change.inputs:
            continue
        paths = [path for path, value in leaves({key: change.inputs[key]}) if value in _UNSEEN]
        if change.type == RELEASE:
            # Its provider leaves what is not known out of the inputs.
            paths = [(key, name, "podAnnotations", _ANNOTATION) for name in sorted(components)]
        for path in paths:
            yield Difference(path=dotted(path), before=None, after=UNKNOWN)


_UNSEEN: Final = (UNKNOWN, SECRET)
_ANNOTATION: Final = SECRETS_ANNOTATION.strip('[]"')


def _credential(name: str, readers: Readers) -> str | None:
    """The credential of a minted resource: credentials-core-secret → core-secret."""
    what = re.sub(r"-\d+$", "", name.removeprefix("credentials-"))
    what = {"token-key": "token-certificate"}.get(what, what)
    return what if what in readers else None


# --- Settings -----------------------------------------------------------------------------------

PREFIX: Final = "sovereign-harbor:"
_PLAIN: Final = frozenset({"fqdn", "profile", "sandbox", "protect", "retainData"})
"""The settings on the top level that are no sections and no secrets."""


def _shown(config: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Path → value; a secret is a tuple, so that two can be compared and none can be shown."""
    values: dict[tuple[str, ...], Any] = {}
    for key, value in config.items():
        name = key.removeprefix(PREFIX)
        if isinstance(value, Mapping) and set(value) == {"secure"}:
            values[(name,)] = (value["secure"],)
        elif not isinstance(value, Mapping | list) and name not in _PLAIN and key != name:
            values[(name,)] = (value,)
        else:
            values |= {(name, *path): leaf for path, leaf in leaves(value)}
    return values


def _settings(
    before: Mapping[tuple[str, ...], Any], after: Mapping[tuple[str, ...], Any]
) -> Iterator[Difference]:
    for path in dict.fromkeys([*before, *after]):
        old, new = before.get(path), after.get(path)
        if old != new:
            yield Difference(path=dotted(path), before=_masked(old), after=_masked(new))


def _raw(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(PREFIX): value for key, value in config.items()}


def _by_profile(base: Mapping[str, Any], head: Mapping[str, Any]) -> Iterator[Difference]:
    for path, before, after in profiles.changes(base, head):
        default = spec.default_at(path, {})
        yield Difference(
            path=f"{dotted(path)}, by the profile",
            before=_listed(default if before is None else before),
            after=_listed(default if after is None else after),
        )


def _listed(value: Any) -> Any:
    return ", ".join(value) or "nothing" if isinstance(value, list | tuple) else value


def _masked(value: Any) -> Any:
    return SECRET if isinstance(value, tuple) else value
