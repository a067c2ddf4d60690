"""What a plan's changes of Harbor's own objects mean for those who use the registry. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from components.settings.registry import patterns
from components.settings.registry.replications import KEEP_PATH, Copy, example, target_of
from policy.resource import RELEASE, UNKNOWN
from review.plan import Change, Plan

PREFIX: Final = "sovereign-registry:index:"
PROVIDER: Final = "pulumi:providers:sovereign-registry"
_ACTIONS: Final[Mapping[str, str]] = {
    "repository:push": "push to",
    "repository:pull": "pull from",
}
_JOBS: Final[Mapping[str, str]] = {
    "garbageCollection": "Garbage is collected",
    "auditPurge": "The audit log is purged",
    "scanAll": "All images are scanned",
}
_GO_WITH_PROJECT: Final = frozenset({"ImmutableTags", "Member", "Retention"})
_Tree = Mapping[str, Any]


def consequences(plan: Plan) -> tuple[str, ...]:
    """One sentence or more for each change that people notice; the gravest, in bold, first.

    Nothing of a registry that is new itself: nobody uses it yet.
    """
    if any(change.type == RELEASE and change.act == "create" for change in plan.changes):
        return ()
    if any(change.inputs.get("keepEverything") == "true" for change in plan.changes):
        return tuple(_switched_off(plan))
    leaving = {
        str(change.had.get("name"))
        for change in plan.changes
        if change.type == f"{PREFIX}Project" and change.act == "delete"
    }
    emptied = {
        name
        for change in plan.changes
        if change.type == PROVIDER
        for name in _names(change.inputs.get("deleteContents")) & leaving
    }
    said = [f"**Project `{name}` is deleted with all its images.**" for name in sorted(emptied)]
    said += _idle(plan, leaving)
    for change in sorted(plan.changes, key=lambda each: each.name):
        kind = change.type.removeprefix(PREFIX) if _is_of_harbor(change) else ""
        say = _KINDS.get(kind)
        if kind in _GO_WITH_PROJECT and change.act == "delete":
            # It is deleted with its project, or stays with one that holds images.
            say = None if change.had.get("project") in leaving else say
        if kind == "Project" and change.act == "delete" and change.had.get("name") in emptied:
            say = None
        if say is not None and change.act != "same":
            before = {} if change.act == "create" else change.had
            after = {} if change.act == "delete" else {**change.inputs, **_new_secrets(change)}
            said += say(before, after)
    return tuple(sorted(said, key=lambda sentence: not sentence.startswith("**")))


def _idle(plan: Plan, leaving: Set[str]) -> Iterator[str]:
    """The projects that are named for deletion in this change, and not deleted by it."""
    for change in plan.changes:
        if change.type == PROVIDER:
            new, old = (_names(of.get("deleteContents")) for of in (change.inputs, change.had))
            if idle := new - old - leaving:
                yield (
                    f"`registry.deleteContents` names {_listed(sorted(idle))}, which this change "
                    "does not delete: no such project leaves the stack's file with it."
                )


def _names(encoded: Any) -> Set[str]:
    """Names in an input of the provider, which is JSON."""
    names = json.loads(encoded) if isinstance(encoded, str) else encoded
    return {str(name) for name in names} if isinstance(names, list) else set()


def _switched_off(plan: Plan) -> Iterator[str]:
    """With `registry.enabled: false` the provider keeps what the engine asks it to delete."""
    if any(_is_of_harbor(change) and change.act == "delete" for change in plan.changes):
        yield (
            "Harbor is no longer configured by this stack (`registry.enabled: false`): all that "
            "it shows as deleted there stays as it is. Logins of robots that it sealed into "
            "namespaces are removed there."
        )


def _new_secrets(change: Change) -> dict[str, Any]:
    """The secret inputs that change, unknown: the engine shows all of them alike."""
    changed = {difference.path.partition(".")[0] for difference in change.differences}
    return {key: UNKNOWN for key in ("secret", "secrets") if key in changed & change.had.keys()}


def _is_of_harbor(change: Change) -> bool:
    return change.type.startswith(PREFIX)


def _both(before: _Tree, after: _Tree) -> _Tree:
    """What tells an object's name, whether it comes or goes."""
    return after or before


def _changes(before: _Tree, after: _Tree, key: str, absent: Any) -> tuple[Any, Any] | None:
    """A field before and after, where it differs and both are known."""
    old, new = before.get(key, absent), after.get(key, absent)
    return None if old == new or UNKNOWN in (old, new) else (old, new)


def _listed(items: Iterable[Any]) -> str:
    return ", ".join(f"`{item}`" for item in items)


# --- Copies ---------------------------------------------------------------------------------------


def _replication(before: _Tree, after: _Tree) -> Iterator[str]:
    of = _both(before, after)
    name, endpoint = of["name"], of["endpoint"]
    pulls = of["direction"] == "pull"
    way = f"from `{endpoint}`" if pulls else f"to `{endpoint}`"
    old, new = _copied(before), _copied(after)
    if gone := sorted(old - new):
        yield (
            f"**No longer copied {way}: {_listed(gone)}** (`{name}`). What was copied stays, and "
            "gets no new tags."
        )
    if fresh := sorted(new - old):
        when = f"by the schedule `{after['cron']}`" if after.get("cron") else _when(after)
        source, target = _example(after, fresh[0])
        yield (
            f"Copied {way} from now on: {_listed(fresh)} (`{name}`), {when}. For example "
            f"`{source}` becomes `{target}`."
        )
    if after.get("deletions") and not before.get("deletions"):
        yield f"**What is deleted here is deleted in `{endpoint}` too** (`{name}`)."
    places = [_changes(before, after, *key) for key in (("into", ""), ("replaceCount", KEEP_PATH))]
    if any(places) and (kept := sorted(old & new)):
        (source, was), (_, target) = (_example(of, kept[0]) for of in (before, after))
        if was != target:
            yield (
                f"**Copies of `{name}` get another name: `{source}` becomes `{target}`**, before "
                f"`{was}`, which stays."
            )


def _example(of: _Tree, repository: str) -> tuple[str, str]:
    """A repository and where it is copied to, as a person reads them."""
    count, into = of.get("replaceCount", KEEP_PATH), of.get("into", "")
    is_known = isinstance(count, (int, float)) and isinstance(into, str)
    target = target_of(repository, into=into, replace_count=int(count)) if is_known else "?"
    return example(Copy(source=repository, target=target))


def _when(of: _Tree) -> str:
    return "at each push" if of.get("trigger") == "onPush" else "when a person starts it"


def _copied(of: _Tree) -> set[str]:
    """Patterns of the repositories that are copied, one by one."""
    if not of or not of.get("enabled", True):
        return set()
    pattern = of.get("repositories") or patterns.ALL
    return set(patterns.expanded(pattern)) if isinstance(pattern, str) else set()


# --- Robots and people ----------------------------------------------------------------------------


def _robot(before: _Tree, after: _Tree) -> Iterator[str]:
    of = _both(before, after)
    name = f"{of['project']}+{of['name']}" if of.get("project") else of["name"]
    if not after:
        yield f"**The login of robot `{name}` ends.** Whoever still uses it is refused."
        return
    old, new = _rights(before), _rights(after)
    if gained := new - old:
        pushes = any(right == "repository:push" for _, right in gained)
        text = f"robot `{name}` may {_phrase(gained)}"
        if not before:
            text = f"A new {text}."
        else:
            text = f"{text[0].upper()}{text[1:]}, which it could not."
        yield f"**{text}**" if pushes else text
    if lost := old - new:
        yield f"**Robot `{name}` may no longer {_phrase(lost)}.**"
    if before and (days := _changes(before, after, "days", -1)) is not None:
        end = "never ends" if days[1] == -1 else f"ends {days[1]:g} days after this update"
        yield f"The login of robot `{name}` {end}."
    if (enabled := _changes(before, after, "enabled", True)) is not None and before:
        yield (
            f"Robot `{name}` may log in again."
            if enabled[1]
            else f"**Robot `{name}` is switched off.** Whoever uses its login is refused."
        )
    if before and before.get("secret") != after.get("secret"):
        yield f"**The secret of robot `{name}` changes.** Copies of the old one are refused."


def _rights(of: _Tree) -> set[tuple[str, str]]:
    """Namespace and right."""
    blocks = of.get("permissions") or []
    if not isinstance(blocks, list):
        return set()
    return {
        (str(block.get("namespace")), str(right))
        for block in blocks
        if isinstance(block, Mapping)
        for right in block.get("access") or []
    }


def _phrase(rights: set[tuple[str, str]]) -> str:
    by_right: dict[str, list[str]] = {}
    for namespace, right in sorted(rights):
        where = "the registry" if namespace == "/" else f"`{namespace}`"
        by_right.setdefault(right, []).append(where)
    said = [
        f"{verb} {', '.join(by_right.pop(right))}"
        for right, verb in _ACTIONS.items()
        if right in by_right
    ]
    others: dict[str, list[str]] = {}
    for right, where in by_right.items():
        others.setdefault(", ".join(where), []).append(right)
    said += [f"do {_listed(actions)} in {where}" for where, actions in others.items()]
    return " and ".join(said)


def _member(before: _Tree, after: _Tree) -> Iterator[str]:
    of = _both(before, after)
    who = f"{str(of['kind']).capitalize()} `{of['name']}`"
    if not after:
        yield f"{who} loses its role in project `{of['project']}`."
    elif before.get("role") != after["role"]:
        was = f", before {before['role']}" if before else ""
        yield f"{who} is {after['role']} in project `{of['project']}`{was}."


# --- Projects -------------------------------------------------------------------------------------


def _project(before: _Tree, after: _Tree) -> Iterator[str]:
    name = _both(before, after)["name"]
    if not after:
        yield (
            f"Project `{name}` is no longer managed. It is deleted if it is empty; with images it "
            "stays, with its rules and members and without the robots that were declared in it, "
            "unless `registry.deleteContents` names it."
        )
        return
    if not before:
        return
    if (gate := _changes(before, after, "blockSeverity", "")) is not None:
        yield from _gate(name, *gate)
    if (cosign := _changes(before, after, "requireCosign", False)) is not None:
        yield (
            f"**Project `{name}` hands out only signed images from now on.**"
            if cosign[1]
            else f"**Project `{name}` hands out images without a signature too.**"
        )
    if (public := _changes(before, after, "public", False)) is not None:
        yield (
            f"**Everybody may pull from project `{name}`, without a login.**"
            if public[1]
            else f"**Project `{name}` needs a login for pulls from now on.**"
        )
    quota = _changes(before, after, "quota", -1)
    if quota is not None and quota[1] != -1 and (quota[0] == -1 or quota[1] < quota[0]):
        yield f"Project `{name}` holds at most {_size(quota[1])}: pushes beyond it are refused."
    if (scans := _changes(before, after, "scanOnPush", False)) is not None and not scans[1]:
        yield f"Images pushed to project `{name}` are no longer scanned at once."
    old, new = (_allowed(of.get("allowlist")) for of in (before, after))
    yield from _allowlist(f" from project `{name}`", old, new)


def _gate(project: str, old: str, new: str) -> Iterator[str]:
    ranks = ("", "critical", "high", "medium", "low")
    if not new:
        yield f"**Project `{project}` blocks no pull any more**, whatever a scan reported."
    elif ranks.index(new) > ranks.index(old):
        yield (
            f"**Project `{project}` refuses pulls of images with a vulnerability of severity {new} "
            "or worse from now on**, and of images that were not scanned."
        )
    else:
        yield (
            f"**Project `{project}` refuses pulls only from severity {new} on**, before from {old}."
        )


def _size(quota: float) -> str:
    return f"{quota / 1024**3:.4g} GiB"


def _allowed(allowlist: Any) -> set[str]:
    items = allowlist.get("items") if isinstance(allowlist, Mapping) else None
    return {str(item) for item in items} if isinstance(items, list) else set()


def _allowlist(where: str, old: set[str], new: set[str]) -> Iterator[str]:
    if added := sorted(new - old):
        yield f"**{_listed(added)} stops no pull{where} any more.**"
    if removed := sorted(old - new):
        yield f"{_listed(removed)} stops pulls{where} again."


def _system_allowlist(before: _Tree, after: _Tree) -> Iterator[str]:
    yield from _allowlist("", _allowed(before), _allowed(after))


def _retention(before: _Tree, after: _Tree) -> Iterator[str]:
    project = _both(before, after)["project"]
    cron = after.get("cron")
    if not cron:
        if before.get("cron"):
            yield f"Tags of project `{project}` are no longer deleted by a schedule."
        return
    if (before.get("cron"), before.get("rules")) == (cron, after.get("rules")):
        return
    rules = after.get("rules") or []
    kept = "; ".join(_rule(rule) for rule in rules) or "nothing"
    yield (
        f"**Tags of project `{project}` are deleted by the schedule `{cron}`, but for what a rule "
        f"keeps**: {kept}."
    )


_TEMPLATES: Final[Mapping[str, str]] = {
    "latestPushedK": "the last {:g} pushed",
    "latestPulledN": "the last {:g} pulled",
    "nDaysSinceLastPush": "pushed within {:g} days",
    "nDaysSinceLastPull": "pulled within {:g} days",
    "always": "all",
}


def _rule(rule: Any) -> str:
    if not isinstance(rule, Mapping):
        return "what is not known yet"
    number = rule.get("number") or 0
    said = _TEMPLATES.get(rule["template"], str(rule["template"])).format(number)
    return f"{said} of {_selected(rule)}"


def _selected(rule: _Tree) -> str:
    tags = f"tags {_matching(rule, 'tags')}"
    return f"{tags} in repositories {_matching(rule, 'repositories')}"


def _matching(rule: _Tree, key: str) -> str:
    excluded = rule.get(f"{key}Excluded")
    return f"other than `{excluded}`" if excluded else f"`{rule.get(key) or patterns.ALL}`"


def _immutable(before: _Tree, after: _Tree) -> Iterator[str]:
    project = _both(before, after)["project"]
    old, new = _immutables(before), _immutables(after)
    if fixed := sorted(new - old):
        yield (
            f"**Nobody can move or delete {'; '.join(fixed)} of project `{project}` from now on.** "
            "A push to such a tag that exists is refused."
        )
    if freed := sorted(old - new):
        yield f"**{'; '.join(freed)} of project `{project}` can be moved and deleted again.**"


def _immutables(of: _Tree) -> set[str]:
    rules = of.get("rules") or []
    return {
        _selected(rule) for rule in rules if isinstance(rule, Mapping) and rule.get("enabled", True)
    }


# --- Harbor as a whole ----------------------------------------------------------------------------


def _configuration(before: _Tree, after: _Tree) -> Iterator[str]:
    if not after:
        return  # Harbor keeps its settings
    old, new = before.get("values") or {}, after.get("values") or {}
    part = after["part"]
    if part == "readOnly" and old.get("read_only") != new.get("read_only"):
        yield (
            "**The registry becomes read-only: every push and every change is refused.**"
            if new.get("read_only")
            else "The registry takes pushes and changes again."
        )
    elif part == "login":
        yield from _login(before, after, old, new)
    elif part == "system":
        yield from _system(old, new)


def _login(before: _Tree, after: _Tree, old: _Tree, new: _Tree) -> Iterator[str]:
    if not before:
        yield (
            f"**People log in by OpenID Connect at `{new.get('oidc_endpoint')}` from now on.** "
            "admin keeps the password, at /account/sign-in. Machines need robots."
        )
        return
    if (issuer := _changes(old, new, "oidc_endpoint", "")) is not None:
        yield (
            f"**The login moves from `{issuer[0]}` to `{issuer[1]}`.** Harbor knows people by "
            "their issuer: all of them are new users, and old names and addresses are taken."
        )
    if (group := _changes(old, new, "oidc_admin_group", "")) is not None:
        yield f"**Administrators are the group `{group[1]}`**, before `{group[0]}`."
    if before.get("secrets") != after.get("secrets"):
        yield "The secret of the login's client changes: the provider has to know it already."
    others = sorted(
        key
        for key in {*old, *new} - {"oidc_endpoint", "oidc_admin_group"}
        if _changes(old, new, key, None) is not None
    )
    if others:
        yield f"**How people log in changes**: {_listed(others)}."


def _system(old: _Tree, new: _Tree) -> Iterator[str]:
    if (prefix := _changes(old, new, "robot_name_prefix", "robot$")) is not None:
        yield (
            f"**The login of every robot changes: `{prefix[0]}…` becomes `{prefix[1]}…`.** Copies "
            "of old logins are refused at once; Secrets of this stack follow."
        )
    made_by = _changes(old, new, "project_creation_restriction", None)
    if made_by is not None and made_by[1] == "everyone":
        yield "**Everybody who logs in may make projects.**"


def _schedule(before: _Tree, after: _Tree) -> Iterator[str]:
    job = _JOBS.get(str(_both(before, after)["what"]), "It runs")
    old, new = before.get("cron") or "", after.get("cron") or ""
    if old and not new:
        yield f"**{job} no more.**"
    elif new != old:
        yield f"{job} by the schedule `{new}`{f', before `{old}`' if old else ''}."
    untagged = [of.get("parameters", {}).get("delete_untagged", False) for of in (before, after)]
    if untagged == [False, True]:
        yield "**Garbage collection deletes images without a tag too.**"


def _endpoint(before: _Tree, after: _Tree) -> Iterator[str]:
    if before and after and (url := _changes(before, after, "url", "")) is not None:
        yield (
            f"**`{after['name']}` is another registry: `{url[1]}`, before `{url[0]}`.** Caches and "
            "copies read from it."
        )
    if before and after and after.get("tlsVerify") is False and before.get("tlsVerify", True):
        yield f"**The certificate of `{after['url']}` is no longer checked.**"


_KINDS: Final[Mapping[str, Callable[[_Tree, _Tree], Iterator[str]]]] = {
    "Configuration": _configuration,
    "CveAllowlist": _system_allowlist,
    "Endpoint": _endpoint,
    "ImmutableTags": _immutable,
    "Member": _member,
    "Project": _project,
    "ReplicationPolicy": _replication,
    "Retention": _retention,
    "Robot": _robot,
    "Schedule": _schedule,
}
