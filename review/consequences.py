"""What a plan's changes mean for those who use the registry, in sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.harbor_lines import harbor_of
from policy.resource import DATABASE, RELEASE, UNKNOWN
from review import registry
from review.plan import SECRETS_ANNOTATION, Change, Difference, Plan

COMPONENTS: Final = ("core", "jobservice", "portal", "registry", "trivy", "exporter")
_ALL: Final = frozenset(COMPONENTS)
_CONFIGURED: Final = frozenset({"core", "jobservice", "registry", "exporter"})

RESTARTS: Final[Mapping[str, frozenset[str]]] = {
    # Key of the chart's values → the components whose pods have it in their configuration, of which
    # chart 1.18 writes a checksum into their annotations. tests/render/test_restarts.py renders it.
    "externalURL": frozenset({"core"}),
    "logLevel": _CONFIGURED | {"trivy"},
    "database": frozenset({"core", "exporter"}),
    "redis": _CONFIGURED | {"trivy"},
    "redis.external.coreDatabaseIndex": frozenset({"core"}),
    "redis.external.jobserviceDatabaseIndex": frozenset({"jobservice", "exporter"}),
    "redis.external.registryDatabaseIndex": frozenset({"core", "registry"}),
    "redis.external.trivyAdapterIndex": frozenset({"trivy"}),
    "redis.external.harborDatabaseIndex": frozenset({"core"}),
    "redis.external.cacheLayerDatabaseIndex": frozenset({"core", "jobservice"}),
    "trivy.enabled": frozenset({"core", "trivy"}),
    "persistence": frozenset({"registry"}),
    "existingSecretAdminPassword": frozenset({"core", "exporter"}),
    "existingSecretSecretKey": frozenset({"core"}),
    "metrics": frozenset({"core", "jobservice", "registry"}),
    "metrics.serviceMonitor": frozenset(),
    "updateStrategy": frozenset(),
    "expose": frozenset(),
}
_POLICIES: Final = frozenset(
    {"ValidatingPolicy", "ImageValidatingPolicy", "ClusterPolicy", "MutatingPolicy"}
)
_WORKLOADS: Final = frozenset({"StatefulSet", "Deployment", "DaemonSet"})
_DENY: Final = frozenset({"Deny", "Enforce"})
_EVIDENCE: Final = "sovereign-harbor:imagePolicy"


def consequences(plan: Plan) -> tuple[str, ...]:
    """One sentence or more for each; the gravest first."""
    said: list[str] = []
    for change in plan.changes:
        if change.type == RELEASE and change.act in ("update", "replace"):
            said += [*_address(change), *_chart(change), *_connections(change)]
        if change.type == DATABASE and change.act == "update":
            said += _standbys(change)
    for change in plan.changes:
        if change.kind in _POLICIES:
            said += _policy(change, plan)
    return (*said, *registry.consequences(plan), *_restarts(plan))


# --- Harbor's release ---------------------------------------------------------------------------


def _difference(change: Change, path: str) -> Difference | None:
    return next((each for each in change.differences if each.path == path), None)


def _address(release: Change) -> Iterator[str]:
    address = _difference(release, "values.externalURL")
    if address is None or not (isinstance(address.before, str) and isinstance(address.after, str)):
        return
    old, new = (url.partition("://")[2] for url in (address.before, address.after))
    yield (
        f"**The registry's address changes from `{old}` to `{new}`.** Every image reference that "
        f"begins with `{old}/` breaks: workloads fail at their next pull, and so do clients, pull "
        "secrets and replication rules that name it. Where the image policy enforces, it refuses "
        f"them besides, unless `{old}/` is in `imagePolicy.extraPrefixes`."
    )


def _chart(release: Change) -> Iterator[str]:
    version = _difference(release, "version") or _difference(release, "chart")
    if version is None:
        return
    harbors = [
        harbor_of(text)
        for text in (version.before, version.after)
        if version.path == "version" and isinstance(text, str)
    ]
    told = f" Harbor {harbors[0]} becomes {harbors[1]}." if len(harbors) == 2 else ""
    yield (
        f"**The chart changes from `{version.before}` to `{version.after}`.**{told} If Harbor's "
        "version changes with it, core migrates the database when it starts. That goes one way: an "
        "older Harbor does not start on a migrated database. Back the database up first "
        "(docs/runbooks/upgrade.md)."
    )


def _standbys(database: Change) -> Iterator[str]:
    instances = _difference(database, "spec.instances")
    if instances is None:
        return
    before, after = instances.before, instances.after
    if not (isinstance(before, int | float) and isinstance(after, int | float)) or after >= before:
        return
    left = "No standby is left." if after == 1 else f"{int(after) - 1} are left."
    yield (
        f"**PostgreSQL goes from {int(before)} instances to {int(after)}.** The operator deletes "
        f"standbys with their volumes. {left}"
    )


def _connections(release: Change) -> Iterator[str]:
    limit = _difference(release, "values.database.maxOpenConns")
    if limit is not None:
        yield (
            "Each pod of core, jobservice and exporter may open "
            f"{limit.after} connections to the database, before {limit.before}."
        )


def _restarts(plan: Plan) -> Iterator[str]:
    certain: set[str] = set()
    with_credential: set[str] = set()
    scaled: list[str] = []
    unknown = False
    for change in plan.changes:
        if change.act not in ("update", "replace"):
            continue
        for difference in change.differences:
            pods = set(_restarted(change, difference.path))
            by_credential = difference.path.endswith(SECRETS_ANNOTATION)
            if by_credential and difference.after is UNKNOWN:
                with_credential |= pods
            else:
                certain |= pods
            unknown |= change.type == RELEASE and difference.path == "values"
            scaled += _scaled(change, difference)
    if certain:
        yield f"Pods restart: {_listed(certain)}.{_valkey(certain)}"
    if more := with_credential - certain:
        yield (
            f"Pods restart if their credentials change: {_listed(more)}. A new sealing "
            f"certificate alone restarts none of them.{_valkey(more)}"
        )
    if unknown:
        yield "Which of Harbor's pods restart is not known: all values are outputs of this run."
    if scaled:
        yield f"The number of pods changes: {', '.join(scaled)}."


def _restarted(change: Change, path: str) -> Iterator[str]:
    if change.type == RELEASE:
        yield from restarted_components(path)
    elif change.type == DATABASE:
        if re.match(r"spec\.(imageName|resources|postgresql|topologySpread\w+)\b", path):
            yield "the database"
    elif change.kind in _WORKLOADS and (
        change.act == "replace" or path.startswith("spec.template")
    ):
        yield str(change.as_resource().at("metadata.name", change.name))


def restarted_components(path: str) -> frozenset[str]:
    """The components of Harbor whose pods restart when the Release's input at `path` changes."""
    keys = path.split(".")
    if keys[0] in ("version", "chart"):
        return _ALL
    if keys[0] != "values" or len(keys) < 2:
        return frozenset()
    below = [".".join(keys[1:end]) for end in range(len(keys), 1, -1)]
    listed = (RESTARTS[key] for key in below if key in RESTARTS)
    is_scaled = keys[2:3] == ["replicas"]
    own = frozenset({keys[1]} if keys[1] in COMPONENTS and not is_scaled else ())
    return next(listed, own)


def _scaled(change: Change, difference: Difference) -> Iterator[str]:
    match = re.fullmatch(r"values\.(\w+)\.replicas|spec\.(replicas|instances)", difference.path)
    if match and (change.type == RELEASE or match[2]):
        yield f"{match[1] or change.name} {difference.before} → {difference.after}"


def _listed(pods: set[str]) -> str:
    order = {name: index for index, name in enumerate(COMPONENTS)}
    return ", ".join(sorted(pods, key=lambda name: (order.get(name, -1), name)))


def _valkey(pods: set[str]) -> str:
    if "harbor-valkey" not in pods:
        return ""
    return " Valkey has one pod: until it is ready again, logins and jobs wait or fail."


# --- Image policies -----------------------------------------------------------------------------


def _policy(change: Change, plan: Plan) -> Iterator[str]:
    name = change.as_resource().at("metadata.name", change.name)
    now = change.act != "delete" and _refuses(change.inputs)
    actions = [each for each in change.differences if _ACTION.search(each.path)]
    before = any(each.before in _DENY for each in actions) or (
        not actions and change.act != "create" and _refuses(change.inputs)
    )
    has_other_rules = any(each.path.startswith("spec") for each in change.differences)
    if now and not before:
        yield (
            f"**From now on the policy `{name}` refuses pods.** {_refused(name)} {_evidence(plan)}"
        )
    elif before and not now:
        yield f"**The policy `{name}` refuses no pods any more.** Any image may run."
    elif now and change.act == "update" and has_other_rules:
        yield (
            f"**The policy `{name}` refuses by other rules from now on.** A pod that runs stays; "
            f"one that does not keep to them is refused when it starts again. {_evidence(plan)}"
        )


_ACTION: Final = re.compile("validationActions|failureAction")


def _refuses(inputs: Mapping[str, Any]) -> bool:
    """Whether anything in a policy's spec says Deny or Enforce."""
    spec = inputs.get("spec")
    if not isinstance(spec, Mapping):
        return False
    return bool(_actions(spec) & _DENY)


def _actions(value: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "failureAction" and isinstance(item, str):
                found.add(item)
            elif key == "validationActions" and isinstance(item, list):
                found |= set(item)
            else:
                found |= _actions(item)
    elif isinstance(value, list):
        for item in value:
            found |= _actions(item)
    return found


def _refused(name: str) -> str:
    if "signature" in name:
        return (
            "Images of the projects in `imagePolicy.signatures.projects` run only if they are "
            "signed with its key."
        )
    return (
        "Outside the excluded namespaces only images of this registry and of "
        "`imagePolicy.extraPrefixes` run; what runs now and has another is refused at its next "
        "start."
    )


def _evidence(plan: Plan) -> str:
    told = [info.splitlines()[0] for info in plan.infos if info.startswith(_EVIDENCE)]
    return " ".join(told) or (
        "It is not known here how many reports this rests on: no cluster was asked, or "
        "`acceptRefusals` is set."
    )
