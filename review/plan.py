"""What a preview says, read from the engine's own JSON. Pure.

It has two sources: the digest of `pulumi preview --json`, where alone dependencies and protection
are written, and the event log (`--event-log`), where alone the policy pack's violations are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from policy.placement import data_touched
from policy.resource import RELEASE, UNKNOWN, Resource, leaves

Act = Literal["delete", "replace", "update", "create", "same"]
ACTS: Final[tuple[Act, ...]] = ("delete", "replace", "update", "create", "same")
"""From the gravest to no change."""

CHANGING: Final = ACTS[:-1]

SECRETS_ANNOTATION: Final = '["sovereign-harbor/secrets"]'
"""End of the path of the annotation by which a changed credential restarts the pods that read it
(components/harbor/values.py)."""

SECRET: Final = "[secret]"
"""What the engine writes in place of a secret."""

_ENGINE_OPS: Final[Mapping[str, Act]] = {
    "delete": "delete",
    "discard": "delete",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
    "update": "update",
    "create": "create",
    "import": "create",
    "read": "same",
    "refresh": "same",
    "same": "same",
}
# What the engine writes in place of a value that is known only after the run
# (sdk/go/common/resource/plugin).
_UNKNOWNS: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One property that changes; `before` or `after` is None where it is not set."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to one resource; `inputs` are those it will have, or had if it goes."""

    act: Act
    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: Mapping[str, Any]
    had: Mapping[str, Any]
    """The inputs that it had; empty for one that is new."""
    differences: tuple[Difference, ...]
    replaced_by: tuple[str, ...]
    """The properties that force a replacement."""
    was_protected: bool
    is_protected: bool
    stays: bool
    """Retained on delete: it leaves the state, and the object itself stays."""
    will_stay: bool
    """The same, of the state that it will have."""
    depends_on: frozenset[str]
    needs: Mapping[str, frozenset[str]]
    """Property of the inputs → the resources whose outputs are in it."""
    data: str
    """What of the Sovereign's data would be lost with it; empty when nothing."""

    @property
    def kind(self) -> str:
        return self.type.rpartition(":")[2]

    def as_resource(self) -> Resource:
        """As the rules of the policy pack see it."""
        return Resource(
            type=self.type, name=self.name, props=self.inputs, protected=self.is_protected
        )

    @property
    def touches_data(self) -> bool:
        """Whether what holds data changes; labels and annotations on it are not the data."""
        only_noise = (
            self.act == "update"
            and bool(self.differences)
            and all(is_noise(difference.path) for difference in self.differences)
        )
        return bool(self.data) and self.act != "same" and not only_noise


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule that is broken."""

    rule: str
    resource: str
    message: str
    mandatory: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One Sovereign's preview."""

    stack: str
    changes: tuple[Change, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    infos: tuple[str, ...]
    """What the program says besides, as hints."""
    violations: tuple[Violation, ...]
    seconds: float

    def count(self, act: Act) -> int:
        """How many resources, without the stack and providers."""
        return sum(change.act == act for change in self.changes if is_shown(change))


def is_shown(change: Change) -> bool:
    """Whether people would call it a resource: components, the stack and providers are not."""
    return change.custom and not change.type.startswith("pulumi:")


def read(stack: str, digest: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()) -> Plan:
    """The plan, from the digest and the event log of one run."""
    diagnostics = digest.get("diagnostics") or []
    texts = {
        severity: tuple(
            dict.fromkeys(
                d["message"].strip().removeprefix(f"{severity}: ")
                for d in diagnostics
                if d.get("severity") == severity and not _is_noise(d["message"])
            )
        )
        for severity in ("error", "warning", "info")
    }
    return Plan(
        stack=stack,
        changes=tuple(_merged(digest.get("steps") or [])),
        errors=texts["error"],
        warnings=texts["warning"],
        infos=texts["info"],
        violations=tuple(_violations(events)),
        seconds=(digest.get("duration") or 0) / 1e9,
    )


def _is_noise(message: str) -> bool:
    """Whether a message says nothing about the stack."""
    return message.strip() in ("error: preview failed", "error: update failed") or (
        "from $PATH at" in message
    )


def _merged(steps: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    """One change per resource: a replacement can come as up to three steps."""
    changes: dict[str, Change] = {}
    for step in steps:
        change = _change(step)
        earlier = changes.get(change.urn, change)
        changes[change.urn] = min(earlier, change, key=lambda each: ACTS.index(each.act))
    yield from changes.values()


def _change(step: Mapping[str, Any]) -> Change:
    old, new = step.get("oldState") or {}, step.get("newState") or {}
    state = new or old
    before, after = old.get("inputs") or {}, new.get("inputs") or {}
    act = _ENGINE_OPS.get(step["op"], "update")
    name = step["urn"].rpartition("::")[2]
    type_ = state.get("type") or step["urn"].split("::")[2].rpartition("$")[2]
    replaced_by = tuple(step.get("replaceReasons") or ()) if act == "replace" else ()
    differences = tuple(_differences(before, after)) if old and new and act != "same" else ()
    if type_ == RELEASE:
        differences = tuple(map(_of_release, differences))
    if act in ("update", "replace") and not differences:
        keys = [*(step.get("detailedDiff") or ()), *(step.get("diffReasons") or ())]
        named = dict.fromkeys([*keys, *replaced_by])
        differences = tuple(Difference(path=key, before=None, after=UNKNOWN) for key in named)
    properties: Mapping[str, Any] = state.get("propertyDependencies") or {}
    return Change(
        act=act,
        urn=step["urn"],
        type=type_,
        name=name,
        parent=state.get("parent") or "",
        custom=bool(state.get("custom")),
        inputs=_marked(state.get("inputs") or {}),
        had=_marked(before),
        differences=differences,
        replaced_by=replaced_by,
        was_protected=bool(old.get("protect")),
        is_protected=bool(new.get("protect")),
        stays=bool(old.get("retainOnDelete")),
        will_stay=bool(new.get("retainOnDelete")),
        depends_on=frozenset(state.get("dependencies") or ()).union(
            *(urns or () for urns in properties.values())
        ),
        needs={key: frozenset(urns or ()) for key, urns in properties.items()},
        data=data_touched(type_, name, before) or data_touched(type_, name, after),
    )


def _of_release(difference: Difference) -> Difference:
    """Where an annotation is not known yet, the Release's provider leaves it out of the inputs."""
    is_left_out = difference.after is None and difference.path.endswith(SECRETS_ANNOTATION)
    return replace(difference, after=UNKNOWN) if is_left_out else difference


def _marked(value: Any) -> Any:
    """The tree with UNKNOWN for each value that is not known yet."""
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return UNKNOWN if isinstance(value, str) and value in _UNKNOWNS else value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old, new = flat(before), flat(after)
    for path in dict.fromkeys([*old, *new]):
        if old.get(path) != new.get(path) or new.get(path) is UNKNOWN:
            below_unknown = any(new.get(path[:depth]) is UNKNOWN for depth in range(1, len(path)))
            if not below_unknown:
                yield Difference(path=dotted(path), before=old.get(path), after=new.get(path))


def is_noise(path: str) -> bool:
    """Whether a property is only for people and selectors: labels, annotations, tags."""
    return _NOISE.search(path) is not None


# Not below a pod's template: there a change of them makes a new pod.
_NOISE: Final = re.compile(
    r"^(metadata|spec\.inheritedMetadata)\.(labels|annotations)(\.|\[|$)|^tags(\.|\[|$)"
)


def flat(inputs: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Path → value of the leaves, with UNKNOWN for each that is not known yet."""
    return dict(leaves(_marked(inputs)))


def dotted(path: tuple[str, ...]) -> str:
    """A path as people write it: spec.ports[0].port."""
    text = ""
    for key in path:
        if key.isdigit():
            text += f"[{key}]"
        elif re.fullmatch(r"[\w-]+", key):
            text += f".{key}" if text else key
        else:
            text += f'["{key}"]'
    return text


def _violations(events: Sequence[Mapping[str, Any]]) -> Iterator[Violation]:
    for event in events:
        violation = event.get("policyEvent")
        if violation:
            yield Violation(
                rule=violation["policyName"],
                resource=(violation.get("resourceUrn") or "").rpartition("::")[2],
                # The rule's description comes first, then what is wrong.
                message=violation["message"].strip().rpartition("\n")[2],
                mandatory=violation.get("enforcementLevel") == "mandatory",
            )
