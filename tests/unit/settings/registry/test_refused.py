"""Day-2 settings that are refused in preview, each with Harbor's own limit in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings.reading import refusals, spec
from components.settings.reading.refusals import Refusal
from tests.support.golden import compare
from tests.support.raw_settings import GOOD, PEM
from tests.unit.settings.registry import test_mistakes

HARBOR: dict[str, Any] = {"type": "harbor", "url": "https://other.test"}
LOGIN: dict[str, Any] = {
    "issuer": "https://sso.test/realms/agents",
    "clientId": "harbor",
    "clientSecret": {"secret": "oidcSecret"},
    "adminGroup": "/admin",
}
GITLAB: dict[str, Any] = {**LOGIN, "preset": "gitlab", "adminGroup": "clinic/platform"}


def refusals_of(section: dict[str, Any], **sections: Any) -> list[Refusal]:
    return list(refusals.read({**GOOD, **sections, "registry": section}, stack="omantel").refusals)


def at(path: str, value: Any, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """A section with a value at a path, whose parts are divided by slashes."""
    first, _, rest = path.partition("/")
    below = dict((base or {}).get(first) or {})
    return {**(base or {}), first: at(rest, value, below) if rest else value}


def project(**keys: Any) -> dict[str, Any]:
    return {"projects": {"p": keys}}


def retention(*rules: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return project(retention={"keep": list(rules), **keys})


def cache(**keys: Any) -> dict[str, Any]:
    return {"proxyCaches": {"c": {"upstream": {"type": "github-ghcr"}, **keys}}}


def upstream(**keys: Any) -> dict[str, Any]:
    return {"proxyCaches": {"c": {"upstream": keys}}}


def mirror(**keys: Any) -> dict[str, Any]:
    default = {"from": HARBOR, "repositories": ["a/b"], "into": "p"}
    return {"projects": {"p": {}}, "mirrors": {"m": {**default, **keys}}}


def replication(**keys: Any) -> dict[str, Any]:
    return {"replications": {"r": {"registry": HARBOR, **keys}}}


def robot(**keys: Any) -> dict[str, Any]:
    return {"projects": {"p": {}}, "robots": {"r": {"permissions": {"p": ["pull"]}, **keys}}}


def webhook(**keys: Any) -> dict[str, Any]:
    default = {"url": "https://hook.test", "events": ["PUSH_ARTIFACT"]}
    return project(webhooks={"w": {**default, **keys}})


def schedule(text: str) -> dict[str, Any]:
    return {"schedules": {"garbageCollection": {"schedule": text}}}


GC = "registry.schedules.garbageCollection.schedule"
P = "registry.projects.p"
C = "registry.proxyCaches.c"
M = "registry.mirrors.m"
R = "registry.robots.r"
MANY_RULES = [{"lastPushed": number} for number in range(1, 17)]

ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    # What it is, the section, the key that is refused, words of the refusal
    # --- projects
    ("upper case", {"projects": {"Abc": {}}}, "registry.projects.Abc", "upper-case letters"),
    ("two separators", {"projects": {"a--b": {}}}, "registry.projects.a--b", "joined by one"),
    ("a path", {"projects": {"a/b": {}}}, 'registry.projects["a/b"]', "lower-case letters"),
    ("256 letters", {"projects": {"a" * 256: {}}}, f"registry.projects.{'a' * 256}", "at most 255"),
    ("severity none", project(blockSeverity="none"), f"{P}.blockSeverity", "was not scanned"),
    ("severity unknown", project(blockSeverity="grave"), f"{P}.blockSeverity", "one of off, low"),
    ("blocks what is never scanned", project(blockSeverity="high", scanOnPush=False),
     f"{P}.blockSeverity", "Harbor refuses each image that was not scanned"),
    ("notary", project(enable_content_trust=True), f"{P}.enable_content_trust", "Notary is gone"),
    ("quota 0", project(quota="0"), f"{P}.quota", "less than one mebibyte"),
    ("quota of 2 PiB", project(quota="2Pi"), f"{P}.quota", "more than 1Pi"),
    ("quota in words", project(quota="50 GB"), f"{P}.quota", "a Kubernetes quantity"),
    ("a role", project(members={"groups": {"g": "owner"}}), f"{P}.members.groups.g",
     "one of admin, maintainer, developer, guest, limitedGuest"),
    ("no group", project(members={"groups": {"": "guest"}}), f'{P}.members.groups[""]', "empty"),
    ("the same CVE twice", project(cveAllowlist={"items": ["CVE-2024-3094"] * 2}),
     f"{P}.cveAllowlist.items[1]", "500"),
    ("no CVE", project(cveAllowlist={"items": ["xz"]}), f"{P}.cveAllowlist.items[0]",
     "as the scanner reports it"),
    ("two lists", project(cveAllowlist={"items": ["CVE-2024-3094"], "useSystem": True}),
     f"{P}.cveAllowlist.items", "Harbor reads no list of the project"),
    ("no such day", project(cveAllowlist={"items": ["CVE-2024-3094"], "expires": "2027-02-30"}),
     f"{P}.cveAllowlist.expires", "no such day"),
    ("label colour", project(labels={"l": {"color": "green"}}), f"{P}.labels.l.color", "#rrggbb"),
    ("label of 129 letters", {"labels": {"l" * 129: {}}}, f"registry.labels.{'l' * 129}",
     "1 to 128"),
    ("two equal immutable rules", project(immutableTags=[{"tags": ["v*"]}, {"tags": ["v*"]}]),
     f"{P}.immutableTags[1]", "409"),
    # --- retention
    ("no parameter", retention({"tags": ["v*"]}), f"{P}.retention.keep[0]", "exactly one of"),
    ("two parameters", retention({"lastPushed": 1, "always": True}), f"{P}.retention.keep[0]",
     "not 2"),
    ("0 days", retention({"daysSincePush": 0}), f"{P}.retention.keep[0].daysSincePush", "from 1"),
    ("no rule", retention(), f"{P}.retention.keep", "at least one"),
    ("16 rules", retention(*MANY_RULES), f"{P}.retention.keep", "at most 15"),
    ("two equal rules", retention({"always": True}, {"always": True}), f"{P}.retention.keep[1]",
     "409"),
    ("a comma list", retention({"always": True, "tags": ["a,b"]}),
     f"{P}.retention.keep[0].tags[0]", "a comma outside braces matches nothing"),
    ("an open brace", retention({"always": True, "tags": ["{a,b"]}),
     f"{P}.retention.keep[0].tags[0]", "a brace is not closed"),
    ("an open bracket", retention({"always": True, "repositories": ["org/[a"]}),
     f"{P}.retention.keep[0].repositories[0]", "a bracket is not closed"),
    ("both selectors", retention({"always": True, "tags": ["a"], "exceptTags": ["b"]}),
     f"{P}.retention.keep[0].exceptTags", "a rule of Harbor has one of both"),
    ("Harbor's template", retention({"latestPushedK": 3, "always": True}),
     f"{P}.retention.keep[0].latestPushedK", "is called"),
    # --- webhooks
    ("no scheme", webhook(url="hook.test/x"), f"{P}.webhooks.w.url", "a URL https://"),
    ("ftp", webhook(url="ftp://hook.test"), f"{P}.webhooks.w.url", "http and https only"),
    ("no event", webhook(events=[]), f"{P}.webhooks.w.events", "at least one"),
    ("an event of before 2.0", webhook(events=["pushImage"]), f"{P}.webhooks.w.events[0]",
     "one of PUSH_ARTIFACT"),
    ("slack with a format", webhook(kind="slack", format="Default"), f"{P}.webhooks.w.format",
     "with which Harbor refuses a format"),
    ("a token in the file", webhook(authorization="Bearer 12345"),
     f"{P}.webhooks.w.authorization", "an object with the keys secret"),
    # --- proxy caches and upstreams
    ("quay as cache", upstream(type="quay"), f"{C}.upstream.type",
     "unsupported registry type quay`; registry.mirrors copies"),
    ("huawei as cache", upstream(type="huawei", url="https://swr.test"), f"{C}.upstream.type",
     "unsupported registry type huawei-SWR"),
    ("unknown type", upstream(type="artifact-hub"), f"{C}.upstream.type", "one of docker-registry"),
    ("no url", upstream(type="harbor"), f"{C}.upstream.url", "required for type harbor"),
    ("Docker Hub elsewhere", upstream(type="docker-hub", url="https://hub.test"),
     f"{C}.upstream.url", "Harbor always asks Docker Hub itself"),
    ("a slash at the end", upstream(type="harbor", url="https://a.test/"), f"{C}.upstream.url",
     "which Harbor cuts off"),
    ("credentials in the url", upstream(type="harbor", url="https://u:p@a.test"),
     f"{C}.upstream.url", "credentials do not belong into a URL"),
    ("ECR by another name", upstream(type="aws", url="https://ecr.test"), f"{C}.upstream.url",
     "500 to any other form"),
    ("a user without password", upstream(**HARBOR, username="u"), f"{C}.upstream.password",
     "required beside a username"),
    ("GCR without login", upstream(type="google-gcr", url="https://gcr.io"),
     f"{C}.upstream.password", "required for type google-gcr"),
    ("a password over http", upstream(
        type="harbor", url="http://a.test", username="u", password={"secret": "x"}),
     f"{C}.upstream.url", "https where a password is sent"),
    ("a password in the file", upstream(**HARBOR, username="u", password="hunter2"),
     f"{C}.upstream.password", "an object with the keys secret"),
    ("an authority before 2.15", upstream(**HARBOR, caCertificate=PEM),
     f"{C}.upstream.caCertificate", "harbor.chart.version 1.19.0 or later"),
    ("serveStale before 2.15.1", cache(serveStale=True), f"{C}.serveStale", "Harbor 2.15.1"),
    ("a cache that keeps 0 days", cache(keepDaysSincePull=0), f"{C}.keepDaysSincePull", "from 1"),
    ("retention of a cache", cache(retention={"keep": []}), f"{C}.retention", "keepDaysSincePull"),
    ("cache and project", {**project(), "proxyCaches": {"p": {"upstream": HARBOR}}},
     "registry.proxyCaches.p", "a cache is a project too"),
    ("a name of 65 letters", {"proxyCaches": {"c" * 65: {"upstream": HARBOR}}},
     f"registry.proxyCaches.{'c' * 65}", "at most 64"),
    # --- mirrors
    ("ghcr with a wildcard", mirror(**{"from": {"type": "ghcr"}}, repositories=["org/*"]),
     f"{M}.repositories[0]", "only support specific repository name"),
    ("ghcr without names", mirror(**{"from": {"type": "ghcr"}}, repositories=[]),
     f"{M}.repositories[0]", "lists no repositories"),
    ("the host in a repository", mirror(**{"from": {"type": "ghcr"}},
     repositories=["org/app", "ghcr.io/org/app"]),
     f"{M}.repositories[1]", "without the host: ghcr.io is that of the registry already"),
    ("a tag in a repository", mirror(repositories=["org/app:v1"]),
     f"{M}.repositories[0]", "without `:`: a repository is named without tag"),
    ("a digest in a repository", mirror(repositories=["org/app@sha256:0"]),
     f"{M}.repositories[0]", "without `@`"),
    ("minutes *", mirror(schedule="* * * * *"), f"{M}.schedule", "* as the minutes"),
    ("nobody declares it", mirror(**{"from": "elsewhere"}), f"{M}.from",
     "none is declared"),
    ("a name and a registry", mirror(**{"from": {"sameAs": "x", **HARBOR}}), f"{M}.from.sameAs",
     "not beside the registry's own settings"),
    ("no registry", mirror(**{"from": {}}), f"{M}.from.type", "unless sameAs names a registry"),
    ("into an undeclared project", mirror(into="q"), f"{M}.into", "registry.projects has no q"),
    ("into a cache", {**mirror(into="c"), **cache()}, f"{M}.into",
     "Harbor refuses to push into c"),
    ("no project for the copies", mirror(into=None, repositories=["**"]), f"{M}.into",
     "Harbor makes whichever is missing"),
    ("an undeclared project by its path", mirror(into=None, repositories=["q/x"]),
     f"{M}.repositories[0]", "registry.projects has no q"),
    ("flattened into nothing", mirror(into=None, keepPath=False, repositories=["p/x"]),
     f"{M}.into", "Harbor drops none without it"),
    ("two folders flattened", mirror(keepPath=False, repositories=["org/**"]),
     f"{M}.repositories[0]", "images of two folders would get one name"),
    ("two images with one target", mirror(keepPath=False, repositories=["a/x", "b/x"]),
     f"{M}.keepPath", "p/x is already that of m: a/x"),
    ("more parts than there are", mirror(dropParts=2), f"{M}.dropParts", "at most 1 for a/b"),
    ("labels of a plain registry", mirror(
        **{"from": {"type": "docker-registry", "url": "https://r.test"}}, labels=["ok"]),
     f"{M}.labels", "docker-registry has no labels"),
    ("two filters of tags", mirror(tags=["v*"], excludeTags=["x"]), f"{M}.excludeTags",
     "one filter of tags"),
    ("an upper-case target", mirror(into="P"), f"{M}.into", "upper-case"),
    ("terraform's replace count", mirror(dest_namespace_replace=-1),
     f"{M}.dest_namespace_replace", "keepPath says whether the path stays"),
    ("a mirror named as a replication", {**mirror(), "replications": {"m": {"registry": HARBOR}}},
     "registry.replications.m", "Harbor keeps both in one list"),
    ("a mirror named as a cache", {**mirror(), "proxyCaches": {"m": {"upstream": HARBOR}}}, M,
     "both would make an upstream of that name"),
    # --- replications
    ("a replication that pulls what a mirror copies",
     {**mirror(), "replications": {"r": {
         "registry": HARBOR, "direction": "pull", "repositories": ["a/b"], "into": "p"}}},
     "registry.replications.r.into", "is already that of m"),
    ("pull on push", replication(direction="pull", trigger="onPush"),
     "registry.replications.r.trigger", "never runs"),
    ("one at a time on push", replication(trigger="onPush", oneAtATime=True),
     "registry.replications.r.oneAtATime", "500"),
    ("deletions by a schedule", replication(schedule="daily", propagateDeletes=True),
     "registry.replications.r.propagateDeletes", "as it happens"),
    ("chunks for a plain registry", replication(
        registry={"type": "docker-registry", "url": "https://r.test"}, chunked=True),
     "registry.replications.r.chunked", "only Harbors"),
    ("a schedule that nothing reads", replication(trigger="manual", schedule="daily"),
     "registry.replications.r.schedule", "schedule nothing"),
    ("scheduled without a schedule", replication(trigger="scheduled"),
     "registry.replications.r.schedule", "required with trigger scheduled"),
    # --- robots
    ("the full name", {"robots": {"robot$x": {"system": ["project:list"]}}},
     'registry.robots["robot$x"]', "the short name"),
    ("the program's own", {"robots": {"sovereign-harbor": {"system": ["project:list"]}}},
     "registry.robots.sovereign-harbor", "the program's own robot"),
    ("no right", {"robots": {"r": {}}}, f"{R}.permissions", "Harbor takes no robot without"),
    ("a word that is no right", robot(permissions={"p": ["write"]}), f"{R}.permissions.p[0]",
     "pull, push, scan, admin"),
    ("labels for label", robot(permissions={"p": ["labels:read"]}), f"{R}.permissions.p[0]",
     "label is one"),
    ("a resource of charts", robot(permissions={"p": ["helm-chart:read"]}),
     f"{R}.permissions.p[0]", "knows no resource helm-chart"),
    ("an action that is not there", robot(permissions={"p": ["robot:update"]}),
     f"{R}.permissions.p[0]", "has the actions create, read, list, delete"),
    ("a right of the registry in a project", robot(permissions={"p": ["registry:list"]}),
     f"{R}.permissions.p[0]", "registry is no resource of a project"),
    ("a wildcard", robot(system=["*:*"]), f"{R}.system[0]", "no wildcard"),
    ("users", robot(system=["user:create"]), f"{R}.system[0]", "may make an administrator"),
    ("configurations", robot(system=["configuration:read"]), f"{R}.system[0]", "no resource"),
    ("an undeclared project", robot(permissions={"q": ["pull"]}), f"{R}.permissions.q",
     "neither registry.projects nor"),
    ("all of no project", {"robots": {"r": {"permissions": {"*": ["pull"]}}}},
     f'{R}.permissions["*"]', "no project is declared"),
    ("0 days", robot(days=0), f"{R}.days", "from 1"),
    ("-1 days", robot(days=-1), f"{R}.days", "from 1"),
    ("always about to expire", robot(days=30, rotateBeforeDays=30), f"{R}.rotateBeforeDays",
     "always be about to expire"),
    ("one project's robot", robot(project="p"), f"{R}.project",
     "registry.projects.<project>.robots"),
    ("disable", robot(disable=True), f"{R}.disable", "the other way round"),
    ("the secret itself", robot(secret="Aa345678"), f"{R}.secret", "an object with the keys"),
    ("a secret with a setting's name", robot(secret={"secret": "storage"}), f"{R}.secret.secret",
     "of the program's own"),
    ("a Secret in no namespace", robot(pullSecret={"namespaces": []}),
     f"{R}.pullSecret.namespaces", "at least one"),
    ("a rotation of a secret from the stack", robot(rotation=2, secret={"secret": "robotSecret"}),
     f"{R}.rotation", "changes in place, once robotSecret is set anew"),
    ("a rotation of a secret from the stack in a project", {"projects": {"p": {"robots": {
        "ci": {"permissions": ["pull"], "rotation": 3, "secret": {"secret": "robotSecret"}}}}}},
     f"{P}.robots.ci.rotation", "changes in place, once robotSecret is set anew"),
    ("a rotation that takes a name", {"projects": {"p": {"robots": {
        "ci": {"permissions": ["pull"], "rotation": 2}, "ci-2": {"permissions": ["pull"]}}}}},
     f"{P}.robots.ci.rotation", "makes a robot ci-2, which is declared already"),
    ("a ServiceAccount without the Secret", robot(
        pullSecret={"namespaces": ["apps"], "serviceAccounts": {"web": ["default"]}}),
     f"{R}.pullSecret.serviceAccounts.web", "of a namespace that gets the Secret: apps"),
    ("a ServiceAccount twice", robot(
        pullSecret={"namespaces": ["apps"], "serviceAccounts": {"apps": ["a", "a"]}}),
     f"{R}.pullSecret.serviceAccounts.apps[1]", "the same one twice"),
    ("no name for a Secret", project(robots={"a_b": {
        "permissions": ["pull"], "pullSecret": {"namespaces": ["apps"]}}}),
     f"{P}.robots.a_b.pullSecret.name", "registry-p-a_b is not the name of a Secret"),
    ("project and robot of 256 letters", {"projects": {"p" * 200: {
        "robots": {"r" * 55: {"permissions": ["pull"]}}}}},
     f"registry.projects.{'p' * 200}.robots.{'r' * 55}", "at most 255"),
    # --- schedules
    ("four fields", schedule("0 3 * *"), GC, "this has 4"),
    ("seconds", schedule("5 0 3 * * *"), GC, "are 0 in Harbor, not 5"),
    ("a descriptor", schedule("@daily"), GC, "no descriptors: write daily"),
    ("31 February", schedule("0 0 31 2 *"), GC, "a date that never comes"),
    ("30 February in six fields", schedule("0 0 0 30 2 ?"), GC, "hang until jobservice"),
    ("the last day", schedule("0 0 L * *"), GC, "Harbor knows no L"),
    ("Sunday as 7", schedule("0 0 * * 7"), GC, "Sunday is 0"),
    ("minute 60", schedule("60 0 * * *"), GC, "60 is not one of the minutes"),
    ("a time zone", schedule("TZ=UTC 0 0 0 * * *"), GC, "clock is UTC"),
    ("every 7h", schedule("every 7h"), GC, "does not divide a day"),
    ("Monthly", schedule("Monthly"), GC, "none, hourly, daily, weekly"),
    ("11 workers", {"schedules": {"garbageCollection": {"workers": 11}}},
     "registry.schedules.garbageCollection.workers", "from 1 to 10"),
    ("a dry run", {"schedules": {"garbageCollection": {"dryRun": True}}},
     "registry.schedules.garbageCollection.dryRun", "an action, not a setting"),
    ("10000 days", {"schedules": {"auditPurge": {"keepDays": 10000}}},
     "registry.schedules.auditPurge.keepDays", "to 9999"),
    ("an unknown audit event", {"schedules": {"auditPurge": {"events": ["nonsense"]}}},
     "registry.schedules.auditPurge.events[0]", "one of create_artifact"),
    ("no audit event", {"schedules": {"auditPurge": {"events": []}}},
     "registry.schedules.auditPurge.events", "at least one"),
    # --- login
    ("no administrator", {"login": {**LOGIN, "adminGroup": None}}, "registry.login.adminGroup",
     "one line of text"),
    ("http", {"login": {**LOGIN, "issuer": "http://sso.test"}}, "registry.login.issuer",
     "tokens would cross the network in clear"),
    ("the discovery document", {"login": {
        **LOGIN, "issuer": "https://sso.test/.well-known/openid-configuration"}},
     "registry.login.issuer", "which Harbor puts behind it"),
    ("no openid", {"login": {**LOGIN, "scopes": ["profile"]}}, "registry.login.scopes[1]",
     "nobody can log in"),
    ("GitLab's offline_access", {"login": {**GITLAB, "scopes": ["openid", "offline_access"]}},
     "registry.login.scopes[1]", "answers that the scope is invalid"),
    ("GitLab's groups", {"login": {**GITLAB, "scopes": ["openid", "groups"]}},
     "registry.login.scopes[1]", "answers that the scope is invalid"),
    ("GitLab with a slash", {"login": {**GITLAB, "adminGroup": "/clinic"}},
     "registry.login.adminGroup", "without a slash"),
    ("GitLab's group with a slash", {"login": GITLAB, **project(
        members={"groups": {"/clinic": "guest"}})}, f'{P}.members.groups["/clinic"]',
     "without a slash"),
    ("a broken filter", {"login": {**LOGIN, "groupFilter": ["harbor-("]}},
     "registry.login.groupFilter[0]", "no regular expression"),
    ("the secret itself", {"login": {**LOGIN, "clientSecret": "hunter2"}},
     "registry.login.clientSecret", "an object with the keys secret"),
    ("LDAP", {"login": {**LOGIN, "kind": "ldap"}}, "registry.login.kind", "one of oidc"),
    ("terraform's endpoint", {"login": {**LOGIN, "oidc_endpoint": "https://sso.test"}},
     "registry.login.oidc_endpoint", "it is called registry.login.issuer here"),
    # --- system, api
    ("an empty prefix", {"system": {"robotPrefix": ""}}, "registry.system.robotPrefix",
     "take each person for a robot"),
    ("a prefix that people have", {"system": {"robotPrefix": "robot-"}},
     "registry.system.robotPrefix", "which no user's name has"),
    ("a session of 0 minutes", {"system": {"sessionMinutes": 0}},
     "registry.system.sessionMinutes", "from 1"),
    ("who creates projects", {"system": {"projectCreation": "admins"}},
     "registry.system.projectCreation", "one of adminonly, everyone"),
    ("no log anywhere", {"system": {"auditOnlyForward": True}},
     "registry.system.auditOnlyForward", "send it nowhere"),
    ("a banner that ends before", {"system": {"banner": {
        "message": "x", "firstDay": "2027-02-01", "lastDay": "2027-01-01"}}},
     "registry.system.banner.lastDay", "not before 2027-02-01"),
    ("the API over http", {"api": {"url": "http://registry.test"}}, "registry.api.url",
     "https outside the sandbox"),
    ("an authority of nothing", {"api": {"caBundle": PEM}}, "registry.api.caBundle",
     "only beside registry.api.url"),
    ("deleteContents of a name", {"deleteContents": ["A"]}, "registry.deleteContents[0]",
     "upper-case"),
    ("deleteContents of a declared project", {"projects": {"p": {}}, "deleteContents": ["p"]},
     "registry.deleteContents[0]", "Take registry.projects.p out in the same change"),
    ("deleteContents of a declared cache", {
        "proxyCaches": {"c": {"upstream": {"type": "ghcr"}}}, "deleteContents": ["old", "c"]},
     "registry.deleteContents[1]", "Take registry.proxyCaches.c out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_refused(section: dict[str, Any], key: str, words: str) -> None:
    (refusal,) = refusals_of(section)
    assert refusal.key == key
    assert words in refusal.allowed
    assert refusal.fix
    assert "hunter2" not in str(refusal) and "Bearer" not in str(refusal)


def test_there_are_enough_kinds_of_bad_config() -> None:
    assert len({words for _, _, _, words in ROWS}) >= 40


CALLED_HERE: list[tuple[str, dict[str, Any], str]] = [
    # The key as the Terraform provider or another tool has it, the section, what it is called here
    ("vulnerability_scanning", project(vulnerability_scanning=True), f"{P}.scanOnPush"),
    ("deployment_security", project(deployment_security="high"), f"{P}.blockSeverity"),
    ("storage_quota", project(storage_quota=50), f"{P}.quota"),
    ("registry_id", project(registry_id=1), "registry.proxyCaches.<name>"),
    ("enable_content_trust_cosign", project(enable_content_trust_cosign=True),
     f"{P}.requireCosign"),
    ("force_destroy", project(force_destroy=True), "registry.deleteContents"),
    ("autoScan", project(autoScan=True), f"{P}.scanOnPush"),
    ("provider_name", upstream(**HARBOR, provider_name="x"), f"{C}.upstream.type"),
    ("endpoint_url", upstream(**HARBOR, endpoint_url="x"), f"{C}.upstream.url"),
    ("insecure", upstream(**HARBOR, insecure=True), "tlsVerify"),
    ("max_upstream_conn", cache(max_upstream_conn=4), f"{C}.maxConnections"),
    ("dest_namespace", mirror(dest_namespace="p"), f"{M}.into"),
    ("execute_on_changed", mirror(execute_on_changed=True), f"{M}.runNow"),
    ("single_active_replication", mirror(single_active_replication=True), f"{M}.oneAtATime"),
    ("filters", mirror(filters=[]), "repositories, tags"),
    ("deletion", replication(deletion=True), "registry.replications.r.propagateDeletes"),
    ("duration", robot(duration=30), f"{R}.days"),
    ("secret_wo_version", robot(secret_wo_version=2), f"{R}.rotation"),
    ("audit_retention_hour", {"schedules": {"auditPurge": {"audit_retention_hour": 1}}},
     "registry.schedules.auditPurge.keepDays"),
    ("robot_token_expiration", {"system": {"robot_token_expiration": 30}},
     "registry.system.robotDays"),
    ("auth_header", webhook(auth_header="x"), f"{P}.webhooks.w.authorization"),
    ("skip_cert_verify", webhook(skip_cert_verify=True), "tlsVerify"),
    ("untagged_artifacts", retention({"always": True, "untagged_artifacts": True}),
     f"{P}.retention.keep[0].untagged"),
    ("repo_matching", retention({"always": True, "repo_matching": "**"}),
     f"{P}.retention.keep[0].repositories"),
    ("garbage_collection", {"garbage_collection": {}}, "registry.schedules.garbageCollection"),
    ("registries", {"registries": {}}, "registry.proxyCaches.<name>.upstream"),
    ("config_auth", {"config_auth": {}}, "registry.login"),
    ("deletionPolicy", {"deletionPolicy": "Orphan"}, "registry.deleteContents"),
    ("oidc_scope", {"login": {**LOGIN, "oidc_scope": "openid"}}, "registry.login.scopes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "section", "ours"), CALLED_HERE, ids=[c[0] for c in CALLED_HERE]
)
def test_a_name_of_another_tool_is_answered_with_ours(
    theirs: str, section: dict[str, Any], ours: str
) -> None:
    (refusal,) = refusals_of(section)
    assert refusal.key.endswith(theirs)
    assert ours in refusal.allowed


def test_a_secret_under_the_name_of_another_tool_is_never_shown() -> None:
    for section in (
        webhook(auth_header="Bearer 12345"),
        upstream(**HARBOR, access_secret="Bearer 12345"),
        upstream(**HARBOR, credential="Bearer 12345"),
    ):
        (refusal,) = refusals_of(section)
        assert "12345" not in str(refusal)
        assert ".secret'" in refusal.fix


def test_without_a_scanner_nothing_is_scanned_or_blocked() -> None:
    section = {
        **project(scanOnPush=True, blockSeverity="high"),
        "schedules": {"scanAll": {"schedule": "daily"}},
    }
    refused = refusals_of(section, trivy={"enabled": False})
    assert [refusal.key for refusal in refused] == [
        "registry.schedules.scanAll.schedule",
        f"{P}.scanOnPush",
        f"{P}.blockSeverity",
    ]
    assert "412" in refused[0].allowed


def test_what_is_not_reported_is_not_blocked() -> None:
    (refusal,) = refusals_of(
        project(blockSeverity="low"),
        trivy={"severity": ["HIGH", "CRITICAL"]},
    )
    assert "trivy.severity leaves LOW, MEDIUM out of reports" in refusal.allowed


REWRITTEN: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"projects": {"ghcr.io": "proxy-ghcr"}}, {}, 'imagePolicy.rewrite.projects["ghcr.io"]',
     "registry.proxyCaches.proxy-ghcr.upstream.type github-ghcr"),
    ({"projects": {"quay.io": "c"}}, cache(), 'imagePolicy.rewrite.projects["quay.io"]',
     "c caches ghcr.io"),
    ({}, {}, "imagePolicy.rewrite.enabled", "false without registry.proxyCaches"),
]  # fmt: skip


@pytest.mark.parametrize(("rewrite", "section", "key", "words"), REWRITTEN)
def test_images_are_rewritten_to_declared_caches_only(
    rewrite: dict[str, Any], section: dict[str, Any], key: str, words: str
) -> None:
    policy = {"rewrite": {"enabled": True, **rewrite}}
    (refusal,) = refusals_of(section, imagePolicy=policy)
    assert refusal.key == key
    assert words in refusal.allowed
    assert refusals_of({**section, "enabled": False}, imagePolicy=policy) == []


def test_what_is_meant_is_tried_on_the_entry_alone() -> None:
    """With all 300 projects in each trial, this took four minutes."""
    section = {"projects": {f"p{number}": {"quota": "50 GB"} for number in range(300)}}
    path = ("registry", "projects", "p7", "quota")
    assert spec.narrowed({**GOOD, "registry": section}, path) == {
        **GOOD,
        "registry": {"projects": {"p7": {"quota": "50 GB"}}},
    }
    refused = refusals_of(section)
    assert len(refused) == 300
    assert refused[7].fix.endswith("'registry.projects.p7.quota' 50G -s omantel")


def test_what_people_are_told_stays_as_it_is() -> None:
    """Whole: the rows above have the words that matter."""
    told = {name: _told(section) for name, section, _, _ in ROWS}
    told |= {theirs: _told(section) for theirs, section, _ in CALLED_HERE}
    told |= {text: _told(test_mistakes.raw(text)) for text, *_ in test_mistakes.MISTAKES}
    compare(told, Path(__file__).parent / "golden" / "refusals.yaml")


def _told(section: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"key": each.key[:80], "allowed": each.allowed, "fix": each.fix[:200]}
        for each in refusals_of(section)
    ]
