"""Day 2 of every kind of object in Harbor, by the real engine: made, unchanged, changed by hand and
mended, taken out of the program, declared again, adopted by a stack that lost its state.

The rows run against a fake of Harbor's API, and against a real Harbor where SANDBOX_HARBOR_API
names one (`make test-harbor`). All rows are in one stack, as in a Sovereign; one life of it is
observed, and each test is about one row of what was seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from components.registry.kinds import KINDS
from engine.stack import Result
from sandbox.fake_harbor.server import FakeHarbor
from tests.support import registry_trial
from tests.support.harbor_client import Client
from tests.support.registry import ACCOUNT, ACCOUNT_PASSWORD, ADMIN_PASSWORD
from tests.support.registry_trial import STACK, Trial

ADDRESS = "SANDBOX_HARBOR_API"
PASSWORD = "SANDBOX_HARBOR_ADMIN_PASSWORD"
UPSTREAM = "SANDBOX_HARBOR_UPSTREAM"
"""A registry that the real Harbor reaches, as http://host[:port]; ghcr.io without it."""

SECRETS = {
    "endpoint": "Upstream-Password-1",
    "robot": "Robot-Secret-1",
    "webhook": "Bearer webhook-secret-1",
    "login": "Client-Secret-1",
}

Thing = dict[str, Any]
"""An object as Harbor's API writes it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A resource. `listed`: the path at which Harbor lists or shows such objects; `is_it`: whether
    a row of a list is this one.

    `by_hand`: how a person changes it, given the object as Harbor shows it; None where nobody can
    mend that. `seen`: the property that a preview then shows as changed. `stays`: it is in Harbor
    after it was taken out of the program.
    """

    kind: str
    inputs: Thing
    listed: str
    is_it: Callable[[Thing], bool] = lambda _: True
    by_hand: Callable[[Client, Thing], None] | None
    seen: str = ""
    stays: bool = False
    then: Callable[[Client, Thing], Thing | None] | None = None
    """From what `listed` shows to the object."""

    def shown(self, person: Client) -> Thing | None:
        """The object; None when there is none."""
        listed = self._listed(person)
        return listed if listed is None or self.then is None else self.then(person, listed)

    def _listed(self, person: Client) -> Thing | None:
        reply = person.ask("GET", self.listed)
        if reply.status == 404:
            return None
        assert reply.status == 200, f"{self.listed}: {reply.status} {reply.content!r}"
        body = reply.body if reply.content else {}
        if not isinstance(body, list):
            return body
        return next((item for item in body if self.is_it(item)), None)


def named(name: str, key: str = "name") -> Callable[[Thing], bool]:
    return lambda item: item[key] == name


def put(path: str, **changes: Any) -> Callable[[Client, Thing], None]:
    """PUT of the object as it is shown, with changes. `{id}` in the path is its number."""

    def change(person: Client, thing: Thing) -> None:
        _done(person, "PUT", path.replace("{id}", str(thing.get("id"))), {**thing, **changes})

    return change


def ask(method: str, path: str, body: Any) -> Callable[[Client, Thing], None]:
    def change(person: Client, thing: Thing) -> None:
        _done(person, method, path.replace("{id}", str(thing.get("id"))), body)

    return change


def _done(person: Client, method: str, path: str, body: Any) -> Thing:
    reply = person.ask(method, path, body)
    assert reply.status in (200, 201), f"{method} {path}: {reply.status} {reply.content!r}"
    return reply.body if reply.content else {}


def _delete_webhooks_header(person: Client, webhook: Thing) -> None:
    target = {k: v for k, v in webhook["targets"][0].items() if k != "auth_header"}
    path = f"/projects/apps/webhook/policies/{webhook['id']}"
    _done(person, "PUT", path, {**webhook, "targets": [target]})


def _retention(person: Client, project: Thing) -> Thing | None:
    number = project["metadata"].get("retention_id")
    reply = person.ask("GET", f"/retentions/{number}")
    return reply.body if number and reply.status == 200 else None


def _keep_less(person: Client, policy: Thing) -> None:
    rules = policy["rules"][:1]
    _done(person, "PUT", f"/retentions/{policy['id']}", {**policy, "rules": rules})


_SYSTEM = "/configurations"
_ALL = "?page_size=100"
_RIGHTS = [{"kind": "project", "namespace": "apps", "access": ["repository:pull"]}]
_REGISTRY = os.environ.get(UPSTREAM, "")
_UP = (
    {"type": "docker-registry", "url": _REGISTRY}
    if _REGISTRY
    else {"type": "github-ghcr", "url": "https://ghcr.io"}
)
_OTHER_RULE = {
    "action": "immutable",
    "template": "immutable_template",
    "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "x"}],
    "scope_selectors": {
        "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
    },
}

ROWS: dict[str, Row] = {
    "account": Row(
        kind="Account",
        inputs={},  # the program's own line
        listed=f"/robots{_ALL}",
        is_it=named(f"robot${ACCOUNT}"),
        by_hand=ask("PATCH", "/robots/{id}", {"secret": "Theirs-Secret-1"}),
        seen="ready",
        stays=True,
    ),
    "read-only": Row(
        kind="Configuration",
        inputs={"part": "readOnly", "values": {"read_only": False}},
        listed=_SYSTEM,
        by_hand=ask("PUT", _SYSTEM, {"read_only": True}),
        seen="values",
        stays=True,
    ),
    "system": Row(
        kind="Configuration",
        inputs={
            "part": "system",
            "values": {"session_timeout": 77, "banner_message": '{"message":"Hello"}'},
            "defaults": {"project_creation_restriction": "adminonly"},
        },
        listed=_SYSTEM,
        by_hand=ask("PUT", _SYSTEM, {"session_timeout": 5}),
        seen="values",
        stays=True,
    ),
    "login": Row(
        kind="Configuration",
        inputs={
            "part": "login",
            "values": {"oidc_name": "staff", "oidc_scope": "openid"},
            "secrets": {"oidc_client_secret": SECRETS["login"]},
        },
        listed=_SYSTEM,
        by_hand=ask("PUT", _SYSTEM, {"oidc_name": "theirs"}),
        seen="values",
        stays=True,
    ),
    "admin": Row(
        kind="AdminPassword",
        inputs={"password": "{admin}"},
        listed="/users/current",
        by_hand=None,  # a password that nobody declared cannot be guessed
        stays=True,
    ),
    "up": Row(
        kind="Endpoint",
        inputs={"name": "up", "username": "u", "password": SECRETS["endpoint"], **_UP},
        listed=f"/registries{_ALL}",
        is_it=named("up"),
        by_hand=ask("PUT", "/registries/{id}", {"description": "theirs"}),
        seen="description",
    ),
    "apps": Row(
        kind="Project",
        inputs={"name": "apps", "scanOnPush": True, "quota": 50 * 1024**3},
        listed="/projects/apps",
        by_hand=ask("PUT", "/projects/apps", {"metadata": {"auto_scan": "false"}}),
        seen="scanOnPush",
    ),
    "held": Row(
        kind="Project",
        inputs={"name": "held", "blockSeverity": "high"},
        listed="/projects/held",
        by_hand=ask("PUT", "/projects/held", {"metadata": {"prevent_vul": "false"}}),
        seen="blockSeverity",
        stays=True,  # since it holds an image
    ),
    "cache": Row(
        kind="Project",
        inputs={"name": "cache", "endpoint": "up", "speedLimit": 1024},
        listed="/projects/cache",
        by_hand=ask("PUT", "/projects/cache", {"metadata": {"public": "true"}}),
        seen="public",
    ),
    "ci": Row(
        kind="Robot",
        inputs={
            "name": "ci",
            "project": "apps",
            "days": 30,
            "permissions": _RIGHTS,
            "secret": SECRETS["robot"],
        },
        listed=f"/robots{_ALL}&q=Level%3Dproject%2CProjectID%3D{{apps}}",
        is_it=named("robot$apps+ci"),
        by_hand=put("/robots/{id}", disable=True),
        seen="enabled",
    ),
    "cluster": Row(
        kind="Robot",
        inputs={"name": "cluster", "permissions": _RIGHTS, "secret": SECRETS["robot"]},
        listed=f"/robots{_ALL}",
        is_it=named("robot$cluster"),
        by_hand=put("/robots/{id}", description="theirs"),
        seen="description",
    ),
    "approved": Row(
        kind="Label",
        inputs={"name": "approved", "project": "apps", "color": "#00aa55"},
        listed=f"/labels{_ALL}&scope=p&project_id={{apps}}",
        is_it=named("approved"),
        by_hand=put("/labels/{id}", color="#ff0000"),
        seen="color",
    ),
    "of-all": Row(
        kind="Label",
        inputs={"name": "of/all"},
        listed=f"/labels{_ALL}&scope=g",
        is_it=named("of/all"),
        by_hand=put("/labels/{id}", description="theirs"),
        seen="description",
    ),
    "group": Row(
        kind="Member",
        inputs={"project": "apps", "kind": "group", "name": "/dsi/team", "role": "maintainer"},
        listed=f"/projects/apps/members{_ALL}",
        is_it=named("/dsi/team", "entity_name"),
        by_hand=ask("PUT", "/projects/apps/members/{id}", {"role_id": 1}),
        seen="role",
    ),
    "user": Row(
        kind="Member",
        inputs={"project": "apps", "kind": "user", "name": "dora", "role": "developer"},
        listed=f"/projects/apps/members{_ALL}",
        is_it=named("dora", "entity_name"),
        by_hand=ask("PUT", "/projects/apps/members/{id}", {"role_id": 4}),
        seen="role",
    ),
    "hook": Row(
        kind="Webhook",
        inputs={
            "project": "apps",
            "name": "build",
            "url": "https://hooks.test/x",
            "events": ["PUSH_ARTIFACT", "DELETE_ARTIFACT"],
            "authorization": SECRETS["webhook"],
        },
        listed=f"/projects/apps/webhook/policies{_ALL}",
        is_it=named("build"),
        by_hand=_delete_webhooks_header,
        seen="authorizationIsDeclared",
    ),
    "immutable": Row(
        kind="ImmutableTags",
        inputs={
            "project": "apps",
            "rules": [
                {"repositories": "**", "tags": "v*"},
                {"repositories": "base/*", "tagsExcluded": "sha256-*", "enabled": False},
            ],
        },
        listed=f"/projects/apps/immutabletagrules{_ALL}",
        by_hand=ask("POST", "/projects/apps/immutabletagrules", _OTHER_RULE),
        seen="rules",
    ),
    "retention": Row(
        kind="Retention",
        inputs={
            "project": "apps",
            "cron": "0 0 3 * * *",
            "rules": [
                {"template": "latestPushedK", "number": 10},
                {"template": "always", "repositories": "base", "tags": "{v*,prod}"},
            ],
        },
        listed="/projects/apps",
        then=_retention,
        by_hand=_keep_less,
        seen="rules",
    ),
    "mirror": Row(
        kind="ReplicationPolicy",
        inputs={
            "name": "mirror",
            "direction": "pull",
            "endpoint": "up",
            "repositories": "org/{app,tool}",
            "tags": "v*",
            "into": "apps/sub",
            "trigger": "scheduled",
            "cron": "0 0 */6 * * *",
        },
        listed=f"/replication/policies{_ALL}",
        is_it=named("mirror"),
        by_hand=put("/replication/policies/{id}", enabled=False),
        seen="enabled",
    ),
    "garbage-collection": Row(
        kind="Schedule",
        inputs={
            "what": "garbageCollection",
            "cron": "0 0 3 * * 0",
            "parameters": {"delete_untagged": True, "workers": 2},
        },
        listed="/system/gc/schedule",
        by_hand=ask(
            "PUT",
            "/system/gc/schedule",
            {
                "schedule": {"type": "Custom", "cron": "0 0 3 * * 0"},
                "parameters": {"delete_untagged": True, "workers": 9},
            },
        ),
        seen="parameters",
    ),
    "audit-purge": Row(
        kind="Schedule",
        inputs={
            "what": "auditPurge",
            "cron": "0 30 3 * * 0",
            "parameters": {"audit_retention_hour": 168, "include_event_types": "create_artifact"},
        },
        listed="/system/purgeaudit/schedule",
        by_hand=ask(
            "PUT",
            "/system/purgeaudit/schedule",
            {
                "schedule": {"type": "Custom", "cron": "0 0 4 * * *"},
                "parameters": {
                    "audit_retention_hour": 168,
                    "include_event_types": "create_artifact",
                },
            },
        ),
        seen="cron",
    ),
    "scan-all": Row(
        kind="Schedule",
        inputs={"what": "scanAll", "cron": "0 0 0 * * *"},
        listed="/system/scanAll/schedule",
        by_hand=ask(
            "PUT",
            "/system/scanAll/schedule",
            {"schedule": {"type": "Hourly", "cron": "0 0 * * * *"}},
        ),
        seen="cron",
    ),
    "allowlist": Row(
        kind="CveAllowlist",
        inputs={"items": ["CVE-2024-3094", "CVE-2023-1"], "expires": 1893456000},
        listed="/system/CVEAllowlist",
        by_hand=ask(
            "PUT",
            "/system/CVEAllowlist",
            {"items": [{"cve_id": "CVE-2024-3094"}], "expires_at": 1893456000},
        ),
        seen="items",
    ),
}


def is_gone(row: Row, person: Client) -> bool:
    """Whether Harbor has it no more, or as a new Harbor has it."""
    shown = row.shown(person) or {}
    if row.kind == "Schedule":
        return not shown.get("schedule")
    if row.kind == "CveAllowlist":
        return not shown.get("items")
    return not shown


def _is_within(row: Row) -> bool:
    """Whether it belongs to project apps, so that it cannot even be asked for without that."""
    return row.inputs.get("project") == "apps"


_PROGRAM = f"""
import json
import re
from pathlib import Path

import pulumi
from components.registry import resources as registry

declared = json.loads(Path("declared.json").read_text())
provider = registry.Provider("registry", **declared["provider"])
account = registry.Account(
    "account", name={ACCOUNT!r}, revision="1", opts=pulumi.ResourceOptions(provider=provider)
)
before, level = [account], [account]
last = None
for name, of in declared["objects"].items():
    if of["level"] != last:
        before, level, last = [*before, *level], [], of["level"]
    inputs = {{
        re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), key): value
        for key, value in of["inputs"].items()
    }}
    options = pulumi.ResourceOptions(provider=provider, depends_on=before)
    level.append(getattr(registry, of["kind"])(name, opts=options, **inputs))
"""

_LEVELS = {"read-only": 0, "system": 1, "login": 1, "admin": 1, "up": 2}
"""What waits for what: the number of a level; others belong to 3 (projects) or 4."""


def objects(admin_password: str, *, without: frozenset[str] = frozenset()) -> Thing:
    """The rows as the program reads them."""

    def level(name: str) -> int:
        return _LEVELS.get(name, 3 if ROWS[name].kind == "Project" else 4)

    text = json.dumps(
        {
            name: {"kind": ROWS[name].kind, "level": level(name), "inputs": ROWS[name].inputs}
            for name in sorted(ROWS.keys() - without - {"account"}, key=level)
        }
    )
    return json.loads(text.replace("{admin}", admin_password))


@dataclass
class Place:
    """A Harbor to try it on. `push`: makes an image in a project, so that it holds something."""

    url: str
    admin_password: str
    push: Callable[[str], None]
    calls: Callable[[], list[str]]
    """The calls since it was asked last; none of a real Harbor are known."""

    @property
    def person(self) -> Client:
        return Client(self.url, ("admin", self.admin_password))


def _places() -> list[str]:
    return ["fake", "real"] if os.environ.get(ADDRESS) else ["fake"]


@pytest.fixture(scope="module", params=_places())
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "fake":
        with FakeHarbor(admin_password=ADMIN_PASSWORD) as fake:

            def image(project: str) -> None:
                fake.put_image(project, f"{project}/kept", "sha256:" + "0" * 64, ["v1"])

            def calls() -> list[str]:
                return [f"{seen.method} {seen.path}" for seen in fake.calls(forget=True)]

            yield Place(fake.url, ADMIN_PASSWORD, image, calls)
        return
    place = Place(os.environ[ADDRESS].rstrip("/"), os.environ[PASSWORD], lambda _: None, lambda: [])
    place.push = lambda project: push(place.person, project)
    _refuse_a_harbor_in_use(place.person)
    yield place


def _refuse_a_harbor_in_use(person: Client) -> None:
    """The suite changes settings and schedules, which stay so."""
    assert person.ask("GET", "/users/current").status == 200, f"{PASSWORD} is not admin's"
    projects = [project["name"] for project in person.ask("GET", f"/projects{_ALL}").body]
    robots = person.ask("GET", f"/robots{_ALL}").body
    assert projects == ["library"] and not robots, (
        f"{person.address} is in use; the suite changes a Harbor as a whole: give it an empty one"
    )


def push(person: Client, project: str) -> None:
    """An image of one small layer, by the registry's own API."""
    base, layer = f"//v2/{project}/kept", b"kept"
    digests: list[str] = []
    configuration = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {}}).encode()
    for blob in (configuration, layer):
        begun = person.ask("POST", f"{base}/blobs/uploads/")
        assert begun.status == 202, begun.content
        location = {k.lower(): v for k, v in begun.headers.items()}["location"]
        path = "/" + location[location.index("/v2/") :]
        digests.append("sha256:" + hashlib.sha256(blob).hexdigest())
        written = person.ask(
            "PUT",
            f"{path}{'&' if '?' in path else '?'}digest={digests[-1]}",
            content=blob,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert written.status == 201, written.content
    kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
    config, first = (
        {"mediaType": kind, "size": len(blob), "digest": digest}
        for kind, blob, digest in zip(kinds, (configuration, layer), digests, strict=True)
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [first],
    }
    sent = person.ask(
        "PUT",
        f"{base}/manifests/v1",
        content=json.dumps(manifest).encode(),
        headers={"Content-Type": manifest["mediaType"]},
    )
    assert sent.status == 201, sent.content


@dataclass
class Life:
    """What was seen of the stack, by the name of a row."""

    place: Place
    again: list[str] = field(default_factory=list[str])
    mended: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Row → properties that the preview after a refresh shows as changed."""

    refreshed: Result | None = None
    removed: Result | None = None
    gone: dict[str, bool] = field(default_factory=dict[str, bool])
    back: dict[str, bool] = field(default_factory=dict[str, bool])
    """Row → whether it is there after it was declared again."""

    refused: Result | None = None
    adopted: dict[str, bool] = field(default_factory=dict[str, bool])
    """Row → whether it is again as it was before a person changed it and the state was lost."""

    after_adoption: Result | None = None
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """Where a secret could stand."""

    destroyed: Result | None = None
    left: dict[str, bool] = field(default_factory=dict[str, bool])


@pytest.fixture(scope="module")
def life(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder, person = tmp_path_factory.mktemp("trial"), place.person
    people = {"username": "dora", "realname": "Dora", "email": "d@x.test", "password": "Dora12345"}
    _done(person, "POST", "/users", people)
    _done(person, "POST", "/usergroups", {"group_name": "/dsi/team", "group_type": 3})
    try:
        with registry_trial.trial(
            folder, _PROGRAM, url=place.url, admin_password=place.admin_password
        ) as trial:
            yield live(trial, place)
    finally:
        _clean(person)


def _clean(person: Client) -> None:
    """Takes back what a person did, so that a real Harbor can be tried again."""
    person.ask("PUT", _SYSTEM, {"read_only": False})
    person.ask("DELETE", "/projects/held/repositories/kept")
    person.ask("DELETE", "/projects/held")
    for user in person.ask("GET", f"/users{_ALL}").body:
        if user["username"] == "dora":
            person.ask("DELETE", f"/users/{user['user_id']}")
    for group in person.ask("GET", f"/usergroups{_ALL}").body:
        if group["group_name"] == "/dsi/team":
            person.ask("DELETE", f"/usergroups/{group['id']}")


def live(trial: Trial, place: Place) -> Life:
    stack, person, life = trial.stack, place.person, Life(place)
    everything = objects(place.admin_password)
    trial.declare(everything)
    life.texts["first preview"] = trial.preview("--diff", "--show-sames").text
    life.texts["preview as JSON"] = trial.preview("--json").text
    events: list[str] = []
    with processes_watched() as arguments:
        # Its events, and with them the engine's and the plugin's lines for a person who debugs.
        life.texts["output"] = stack.up(watch=lambda event: events.append(json.dumps(event))).text
    life.texts["events"] = "\n".join(events)
    life.texts["arguments of processes"] = "\n".join(sorted(arguments))
    place.push("held")
    rows = _rows(person)

    place.calls()
    stack.up(expect_no_changes=True)
    life.again = place.calls()
    _refresh(trial, "--expect-no-changes")

    before = {name: _constant(row.shown(person)) for name, row in rows.items()}
    _change(rows, person, without="read-only")
    life.refreshed = _refresh(trial, "--diff")
    life.mended = _changes(trial)
    life.texts["preview"] = trial.preview("--diff", "--show-sames").text
    stack.up()
    _refresh(trial, "--expect-no-changes")

    within = frozenset(name for name, row in rows.items() if _is_within(row))
    trial.declare(objects(place.admin_password, without=within))
    stack.up()
    life.gone = {name: is_gone(rows[name], person) for name in within}
    trial.declare({})
    life.removed = stack.up()
    life.gone |= {name: is_gone(row, person) for name, row in rows.items() if name not in within}
    trial.declare(everything)
    stack.up()
    rows = _rows(person)
    life.back = {name: not is_gone(row, person) for name, row in rows.items()}
    life.texts["state"] = trial.state()

    _change(rows, person, without="account")
    stack.run("stack", "rm", STACK, "--yes", "--force", "--preserve-config")
    stack.ensure()
    life.refused = trial.preview()
    trial.declare(everything, adopt=True, delete_contents=["held"])
    life.texts["adoption"] = stack.up().text
    after = {name: _constant(row.shown(person)) for name, row in rows.items()}
    life.adopted = {name: after[name] == before[name] for name in rows}
    life.after_adoption = stack.up(expect_no_changes=True)
    _refresh(trial, "--expect-no-changes")

    life.destroyed = stack.run("destroy", "-s", STACK, "--yes", "--skip-preview")
    life.left = {n: not is_gone(row, person) for n, row in rows.items() if n not in within}
    return life


@contextmanager
def processes_watched() -> Iterator[set[str]]:
    """The command lines of all processes that run while it is entered, as far as they are seen."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    line = (folder / "cmdline").read_bytes()
                    seen.add(line.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _rows(person: Client) -> dict[str, Row]:
    """The rows with the number that project apps has now."""
    number = str(person.ask("GET", "/projects/apps").body["project_id"])
    return {
        name: replace(row, listed=row.listed.replace("{apps}", number))
        for name, row in ROWS.items()
    }


def _change(rows: dict[str, Row], person: Client, *, without: str) -> None:
    """A person changes everything; read-only last, which refuses all else."""
    for name in sorted(rows.keys() - {without}, key=lambda name: name == "read-only"):
        row = rows[name]
        if row.by_hand is not None:
            shown = row.shown(person)
            assert shown is not None, name
            row.by_hand(person, shown)


def _refresh(trial: Trial, *options: str) -> Result:
    return trial.stack.run("refresh", "-s", STACK, "--yes", "--skip-preview", *options)


def _changes(trial: Trial) -> dict[str, list[str]]:
    """Resource → properties that a preview shows as changed."""
    shown = trial.preview("--json")
    assert shown.code == 0, shown.text
    steps = json.loads(shown.text[shown.text.index("{") :])["steps"]
    return {
        step["urn"].rpartition("::")[2]: sorted(
            {path.partition(".")[0].partition("[")[0] for path in step.get("detailedDiff") or {}}
        )
        for step in steps
        if step["op"] not in ("same", "read")
    }


_MOVING = (
    "id", "creation_time", "update_time", "creator_ref", "expires_at", "project_id", "chart_count",
    "repo_count", "retention_id", "next_scheduled_time", "scope_id", "ref", "status", "robot_id",
    "registry_id", "entity_id", "secret", "sysadmin_flag", "current_user_role_id",
)  # fmt: skip


def _constant(value: Any) -> Any:
    """An object without what differs each time that it is made."""
    if isinstance(value, dict):
        return {k: _constant(v) for k, v in value.items() if k not in _MOVING}
    if isinstance(value, list):
        return [_constant(item) for item in value]
    return value


every_row = pytest.mark.parametrize("name", ROWS)


def test_every_kind_has_a_row() -> None:
    assert {row.kind for row in ROWS.values()} == KINDS.keys()


def test_a_run_without_changes_asks_harbor_nothing(life: Life) -> None:
    assert life.again == []


@every_row
def test_a_change_by_hand_is_seen_after_a_refresh_and_mended(life: Life, name: str) -> None:
    row = ROWS[name]
    if row.by_hand is None or name == "read-only":
        assert name not in life.mended
        return
    assert life.mended[name] == [row.seen]


@every_row
def test_what_is_taken_out_of_the_program_is_gone_unless_it_holds_something(
    life: Life, name: str
) -> None:
    assert life.gone[name] is not ROWS[name].stays
    assert life.removed is not None
    stays = "project held stays in Harbor, with its repositories"
    assert stays in life.removed.text


@every_row
def test_what_is_declared_again_is_there_again(life: Life, name: str) -> None:
    assert life.back[name]


@every_row
def test_what_a_person_changed_is_adopted_by_a_stack_that_lost_its_state(
    life: Life, name: str
) -> None:
    assert life.refused is not None and life.refused.code != 0
    assert "registry.adopt" in life.refused.text
    assert life.adopted[name]


@every_row
def test_destroy_leaves_settings_of_harbor_and_nothing_else(life: Life, name: str) -> None:
    is_setting = ROWS[name].kind in ("Configuration", "AdminPassword")
    assert life.left.get(name, False) is is_setting


def test_no_secret_is_in_state_previews_events_or_arguments(life: Life) -> None:
    assert "components.registry.plugin" in life.texts["arguments of processes"]
    assert "sovereign-registry:index:Robot" in life.texts["events"]
    secrets = {**SECRETS, "account": ACCOUNT_PASSWORD, "admin": life.place.admin_password}
    for place, text in life.texts.items():
        assert text, place
        for name, secret in secrets.items():
            encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
            assert secret not in text, f"the secret of {name} is in {place}"
            assert encoded not in text, f"the secret of {name} is in {place} as base64"
