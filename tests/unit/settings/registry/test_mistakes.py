"""What a tired engineer writes into the section `registry`, and what the program says about it.

Each snippet goes through the parser of stack files and the reader of settings, and through the
program's own reading in a preview. The command that is printed is followed: then its key is no
longer refused, unless the command has a placeholder for what only a person knows.
"""

from __future__ import annotations

import re
from typing import Any

import pulumi
import pytest

from components.settings.reading import refusals, stack_file
from components.settings.reading.refusals import Refusal
from tests.support.loading import Stack
from tests.support.printed_fixes import followed, is_for_a_machine
from tests.support.raw_settings import GOOD

LONG = "a" * 256


def project(text: str) -> str:
    return f"projects: {{p: {{{text}}}}}"


def keep(text: str) -> str:
    return project(f"retention: {{keep: [{{{text}}}]}}")


def upstream(text: str) -> str:
    return f"proxyCaches: {{c: {{upstream: {{{text}}}}}}}"


def mirror(text: str, source: str = "{type: harbor, url: 'https://o.test'}") -> str:
    return f"projects: {{p: {{}}}}\nmirrors: {{m: {{from: {source}, {text}}}}}"


def robot(text: str) -> str:
    return project(f"robots: {{ci: {{{text}}}}}")


def collection(schedule: str) -> str:
    return f"schedules: {{garbageCollection: {{schedule: {schedule}}}}}"


def login(text: str) -> str:
    return (
        "login: {issuer: 'https://sso.test', clientId: harbor, clientSecret: {secret: oidcSecret}, "
        f"adminGroup: /admin, {text}}}"
    )


P, C, M = "registry.projects.p", "registry.proxyCaches.c", "registry.mirrors.m"
K, CI = f"{P}.retention.keep[0]", f"{P}.robots.ci"
GC = "registry.schedules.garbageCollection.schedule"

MISTAKES: list[tuple[str, str, str, str]] = [
    # The snippet, the key that is refused, words of the refusal, the end of the way out
    # --- units and numbers
    (project("quota: 50"), f"{P}.quota", "less than one mebibyte", "50Gi"),
    (project("quota: 120"), f"{P}.quota", "less than one mebibyte", "120Gi"),
    (project("quota: 10GB"), f"{P}.quota", "at most 1Pi", "10G"),
    (project("quota: 10 GiB"), f"{P}.quota", "a Kubernetes quantity", "10Gi"),
    (project("quota: -1"), f"{P}.quota", "Harbor's -1 is called unlimited here", "unlimited"),
    (project("quota: none"), f"{P}.quota", "or unlimited", "unlimited"),
    ("system: {defaultQuota: -1}", "registry.system.defaultQuota", "unlimited", "unlimited"),
    (project("quota: 2Ei"), f"{P}.quota", "more than 1Pi", "50Gi"),
    (keep("lastPushed: true"), f"{K}.lastPushed", "true and false are no numbers", "10"),
    (keep("daysSincePush: 30d"), f"{K}.daysSincePush", "a whole number from 1 to 36500", "30"),
    (keep("daysSincePull: 90 days"), f"{K}.daysSincePull", "a whole number", "90"),
    (keep("lastPushed: -1"), f"{K}.lastPushed", "from 1 to 100000", "10"),
    (robot("permissions: [pull], days: true"), f"{CI}.days", "no numbers", "180"),
    (robot("permissions: [pull], days: 180d"), f"{CI}.days", "from 1 to 36500", "180"),
    (robot("permissions: [pull], days: 100000"), f"{CI}.days", "from 1 to 36500", "180"),
    ("schedules: {garbageCollection: {workers: true}}",
     "registry.schedules.garbageCollection.workers", "no numbers", "1"),
    ("system: {sessionMinutes: 90 min}", "registry.system.sessionMinutes", "a whole number", "60"),
    ("system: {sessionMinutes: 90 minutes}", "registry.system.sessionMinutes", "a whole", "90"),
    ("proxyCaches: {c: {upstream: {type: ghcr}, speedLimit: -1}}", f"{C}.speedLimit",
     "from 1 to 2147483647", "1024"),
    # --- what YAML reads otherwise
    (keep("always: true, tags: [1.10]"), f"{K}.tags[0]", "1.10 as 1.1 and 2.0 as 2",
     f"in Pulumi.omantel.yaml put {K}.tags[0] in quotes"),
    (keep("always: true, tags: [2.0]"), f"{K}.tags[0]", "put it in quotes", "in quotes"),
    (project("immutableTags: [{tags: [1.20]}]"), f"{P}.immutableTags[0].tags[0]",
     "put it in quotes", "in quotes"),
    (mirror("repositories: [a/b], into: p, tags: [3]"), f"{M}.tags[0]", "in quotes", "in quotes"),
    (login("redirectParameters: {prompt: true}"), "registry.login.redirectParameters.prompt",
     "YAML reads it as true: put it in quotes", "in quotes"),
    (project("blockSeverity: false"), f"{P}.blockSeverity", "(YAML reads it as false)", "off"),
    (project("members: {groups: {devs: 2}}"), f"{P}.members.groups.devs",
     "(YAML reads it as a number)", "developer"),
    (project("members: {groups: {devs: }}"), f"{P}.members.groups.devs", "nothing stands",
     "'<role>'"),
    (project("members: {groups: {devs: limited_guest}}"), f"{P}.members.groups.devs", "one of",
     "limitedGuest"),
    # --- names
    ("projects: {Team-A: {}}", "registry.projects.Team-A", "upper-case letters are not allowed",
     "in Pulumi.omantel.yaml rename registry.projects.Team-A to team-a"),
    ("projects: {a__b: {}}", "registry.projects.a__b", "joined by one", "to a-b"),
    ("projects: {équipe: {}}", 'registry.projects["\\u00e9quipe"]', "the letter é", "to equipe"),
    ("projects: {team/app: {}}", 'registry.projects["team/app"]', "groups joined", "to team-app"),
    ("projects: {v1.: {}}", 'registry.projects["v1."]', "groups joined", "to v1"),
    (f"projects: {{{LONG}: {{}}}}", f"registry.projects.{LONG}", "at most 255", LONG),
    ("robots: {robot$ci: {system: ['project:list']}}", 'registry.robots["robot$ci"]',
     "Harbor puts the prefix and the project in front", "to ci"),
    ("robots: {p+ci: {system: ['project:list']}}", 'registry.robots["p+ci"]', "the short name",
     "to ci"),
    (f"robots: {{{'r' * 254}: {{system: ['project:list'], rotation: 2}}}}",
     f"registry.robots.{'r' * 254}", "at most 255 characters, and this has 256", "r" * 254),
    (project(f"robots: {{{'r' * 252}: {{permissions: [pull], rotation: 10}}}}"),
     f"{P}.robots.{'r' * 252}", "<project>+<robot>-<rotation>", "r" * 252),
    (f"labels: {{{'l' * 129}: {{}}}}", f"registry.labels.{'l' * 129}", "1 to 128", "l" * 129),
    (project(f"members: {{users: {{{LONG}: guest}}}}"), f"{P}.members.users.{LONG}",
     "1 to 255 characters", LONG),
    ("projects: {c: {}}\n" + upstream("type: ghcr"), C, "a cache is a project too",
     f"in Pulumi.omantel.yaml rename {C}"),
    # --- the same thing twice
    (project("retention: {keep: [{lastPushed: 3}, {lastPushed: 3, tags: ['**']}]}"),
     f"{P}.retention.keep[1]", "the same as rule 0, to which Harbor answers 409", "-s omantel"),
    (project("retention: {keep: [{always: true, tags: [a, b]}, {always: true, tags: ['{a,b}']}]}"),
     f"{P}.retention.keep[1]", "409", "-s omantel"),
    (project("immutableTags: [{}, {repositories: ['**'], enabled: false}]"),
     f"{P}.immutableTags[1]", "the same tags as rule 0", "-s omantel"),
    (robot("permissions: [pull], pullSecret: {namespaces: [a, b, a]}"),
     f"{CI}.pullSecret.namespaces[2]", "the same one twice", "-s omantel"),
    ("cveAllowlist: {items: [CVE-2024-3094, CVE-2024-3094]}", "registry.cveAllowlist.items[1]",
     "Harbor answers 500", "-s omantel"),
    (login("scopes: [openid, email, openid]"), "registry.login.scopes[2]", "twice", "-s omantel"),
    # --- schedules
    (collection("Weekly"), GC, "no schedule is called Weekly", "weekly"),
    (collection("'@monthly'"), GC, "Harbor takes no descriptors", "'0 0 1 * *'"),
    (collection("'@every 6h'"), GC, "no descriptors", "'every 6h'"),
    (collection("every 6 hours"), GC, "every is followed by", "'every 6h'"),
    (collection("15m"), GC, "no schedule is called 15m", "'every 15m'"),
    (collection("off"), GC, "no schedule is called off", "none"),
    (collection("'0 0 3 ? * SUN *'"), GC, "this has 7", "'0 0 3 ? * SUN'"),
    (collection("'0 3 * * 7'"), GC, "Sunday is 0", "'0 3 * * 0'"),
    (collection("'30 0 3 * * *'"), GC, "are 0 in Harbor, not 30", "'0 3 * * *'"),
    (collection("'CRON_TZ=Asia/Muscat 0 3 * * *'"), GC, "Harbor's clock is UTC", "weekly"),
    (collection("'0 0 30 2 *'"), GC, "a date that never comes", "weekly"),
    (mirror("repositories: [a/b], into: p, schedule: '* * * * *'"), f"{M}.schedule",
     "Harbor refuses * as the minutes", "'*/1 * * * *'"),
    # --- addresses and types
    (upstream("type: docker-registry, url: 'r.test:5000'"), f"{C}.upstream.url", "a URL https",
     "https://r.test:5000"),
    (upstream("type: docker-registry, url: 'https://bob:hunter2@r.test'"), f"{C}.upstream.url",
     "username, and password: {secret: NAME}", "'https://<registry>'"),
    (upstream(f"type: docker-registry, url: 'https://r.test/{LONG}'"), f"{C}.upstream.url",
     "at most 256 characters", "'https://<registry>'"),
    (upstream("type: gitlab, url: 'https://g.test'"), f"{C}.upstream.type", "one of", "'<type>'"),
    (upstream("url: 'https://r.test'"), f"{C}.upstream.type", "one of docker", "'<type>'"),
    (mirror("repositories: [a/b], into: p", "ghcr.io"), f"{M}.from",
     "a registry itself is an object: {type: …, url: …}", "'<name>'"),
    (mirror("repositories: [a/b], into: p", "hub"), f"{M}.from",
     "none is declared; a registry of its own is an object", "'<name>'"),
    (project("webhooks: {w: {url: 'https://bob:hunter2@h.test', events: [PUSH_ARTIFACT]}}"),
     f"{P}.webhooks.w.url", "authorization: {secret: NAME}", "'https://<service>'"),
    (project("webhooks: {w: {url: h.test/x, events: [PUSH_ARTIFACT]}}"), f"{P}.webhooks.w.url",
     "a URL https://", "https://h.test/x"),
    ("system: {auditForward: 'tcp://h.test:514'}", "registry.system.auditForward", "HOST:PORT",
     "h.test:514"),
    ("system: {auditForward: 'h.test:99999'}", "registry.system.auditForward", "HOST:PORT",
     "'<host>:514'"),
    # --- patterns and copies
    (keep("always: true, tags: ['{v1,v2']"), f"{K}.tags[0]", "a brace is not closed",
     "'<pattern>'"),
    (keep("always: true, tags: ['^v.*$']"), f"{K}.tags[0]", "** for any path", "'<pattern>'"),
    (keep("always: true, repositories: [app/]"), f"{K}.repositories[0]", "matches nothing", "app"),
    (keep("always: true, repositories: [App]"), f"{K}.repositories[0]", "upper-case", "app"),
    (mirror("repositories: ['https://o.test/a/b'], into: p"), f"{M}.repositories[0]",
     "without scheme and host", "a/b"),
    (mirror("repositories: ['o.test:8443/a/b'], into: p"), f"{M}.repositories[0]",
     "without scheme and host", "a/b"),
    (mirror("repositories: ['OpenOva-io/App'], into: p", "{type: ghcr}"), f"{M}.repositories[0]",
     "upper-case letters", "openova-io/app"),
    (mirror("repositories: ['*/x'], into: p, keepPath: false"), f"{M}.repositories[0]",
     "images of two folders would get one name", "'<folder>/x'"),
    (mirror("repositories: ['*/x/y'], into: p, dropParts: 1"), f"{M}.repositories[0]",
     "without * in the part of the path that is dropped", "'<folder>/x/y'"),
    # --- rights and secrets
    (robot("permissions: [Push]"), f"{CI}.permissions[0]", "knows no resource Push", "push"),
    (robot("permissions: ['repository:write']"), f"{CI}.permissions[0]", "has the actions", "pull"),
    (robot("permissions: [pull], disabled: true"), f"{CI}.disabled", "the other way round",
     "-s omantel"),
    (robot("permissions: [pull], expires_at: 1700000000"), f"{CI}.expires_at",
     "days says how long", "-s omantel"),
    (robot("permissions: [pull], secret: Harbor12345"), f"{CI}.secret", "an object with the keys",
     "'<nameOfTheSecret>'"),
    (robot("permissions: [pull], pullSecret: {namespaces: [harbor], name: harbor-core}"),
     f"{CI}.pullSecret.name", "where such Secrets are Harbor's own", "registry-p-ci"),
    (upstream("type: ghcr, username: bot, token: Harbor12345"), f"{C}.upstream.token",
     "it is called registry.proxyCaches.c.upstream.password here", "-s omantel"),
    # --- login
    (login("scopes: [profile, email]"), "registry.login.scopes[2]", "openid among them", "openid"),
    (login("groupFilter: ['^harbor-.*$']"), "registry.login.groupFilter[0]",
     "no regular expression", "'harbor-*'"),
    (login("groupFilter: ['(a|b']"), "registry.login.groupFilter[0]", "no regular", "'<group>'"),
    (login("userClaim: preferred username"), "registry.login.userClaim", "without spaces",
     "preferred_username"),
    (login("").replace("https://sso", "sso"), "registry.login.issuer", "the issuer https",
     "https://sso.test"),
    (login("").replace("clientId: harbor", f"clientId: {LONG}"), "registry.login.clientId",
     "at most 253 characters", "'<value>'"),
    # --- allowlists and dates
    ("cveAllowlist: {items: [cve-2024-3094]}", "registry.cveAllowlist.items[0]",
     "in capital letters", "CVE-2024-3094"),
    ("cveAllowlist: {items: [CVE-2024-3094], expires: 31.12.2027}",
     "registry.cveAllowlist.expires", "a day YEAR-MONTH-DAY", "'<year>-<month>-<day>'"),
    ("cveAllowlist: {items: [CVE-2024-3094], expires: 2027/1/31}",
     "registry.cveAllowlist.expires", "a day YEAR-MONTH-DAY", "2027-01-31"),
    # --- the other tools' words, empty sections
    ("replications: {r: {registry: {type: harbor, url: 'https://o.test'}, trigger: event_based}}",
     "registry.replications.r.trigger", "one of manual, onPush", "onPush"),
    ("projects:", "registry.projects", "nothing stands behind the colon", "false -s omantel"),
    ("projects: [p]", "registry.projects", "an object of name to a project", "false -s omantel"),
    ("robots: {ci: }", "registry.robots.ci", "nothing stands behind the colon", "pull -s omantel"),
    (project("immutableTags: ['v*']"), f"{P}.immutableTags[0]", "an object with the keys",
     "'<pattern>'"),
    (project("labels: {a: {color: '#0b5'}}"), f"{P}.labels.a.color", "#rrggbb", "'#00bb55'"),
]  # fmt: skip

UNUSUAL: list[str] = [
    # Harbor takes all of it.
    project("quota: unlimited") + "\nsystem: {defaultQuota: 10Gi}",
    project("quota: 1.5Gi"),
    project("quota: 10737418240"),
    project("public: yes"),
    project("blockSeverity: Critical"),
    "projects: {'12345': {}, a.b_c-d: {}}",
    f"projects: {{{'p' * 255}: {{}}}}",
    project("members: {groups: {'/clinic/équipe A': projectAdmin, 'Domain Users': guest}}"),
    project("labels: {'production (eu)': {}, Production: {}}"),
    project(
        "webhooks: {'to Jenkins': {url: 'https://ci.test/hook/?token=x#a', "
        "events: [PUSH_ARTIFACT]}}"
    ),
    project("webhooks: {w: {url: 'http://10.0.0.7:8080/', events: [REPLICATION], tlsVerify: no}}"),
    keep("always: true, tags: ['[0-9]*', 'v?.{1,2}', '1.10', 'LATEST']"),
    project("retention: {keep: [{lastPushed: '10'}, {lastPushed: 10, untagged: false}]}"),
    project("immutableTags: [{tags: [a, b]}, {tags: [b, a]}]"),
    f"projects: {{p: {{robots: {{{'r' * 253}: {{permissions: [pull]}}}}}}}}",
    robot("permissions: [pull, pull, 'artifact:read'], days: 36500, rotation: 3, graceDays: 0"),
    "projects: {p: {}}\nrobots: {all: {permissions: {'*': [pull], p: [push]}}}",
    collection("0 3 29 2 *"),
    collection("0 0 31 4 MON"),
    collection("'0-30/10 8,20 1 JAN ?'"),
    mirror("repositories: ['{a,b}/x/**'], into: p/sub-path, dropParts: 1, schedule: every 1m"),
    mirror("repositories: [nginx, bitnami/nginx], into: p", "{type: dockerhub}"),
    upstream("type: docker-registry, url: 'https://[2001:db8::1]:5000/v2-mirror'"),
    upstream("type: GHCR.io"),
    upstream("type: harbor, url: 'http://r.test', tlsVerify: false"),
    login("groupFilter: ['/harbor/**', 'Domain Users', 'team (a)']"),
    login("preset: gitlab, scopes: [openid, email]").replace("/admin", "clinic"),
    "system: {auditForward: '[2001:db8::1]:514', robotPrefix: 'robot~eu.'}",
    "cveAllowlist: {items: [CVE-2024-3094, GHSA-9cwx-2883-4wfx], expires: '2020-01-01'}",
]


def raw(text: str) -> dict[str, Any]:
    """The section as the parser of stack files reads it."""
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    file = f"config:\n  sovereign-harbor:registry:\n{indented}\n"
    return stack_file.parse(file.encode(), "Pulumi.omantel.yaml").settings["registry"]


def read(registry: dict[str, Any]) -> tuple[Refusal, ...]:
    return refusals.read({**GOOD, "registry": registry}, stack="omantel").refusals


@pytest.mark.parametrize(
    ("text", "key", "words", "way_out"), MISTAKES, ids=[f"{row[0][:60]}" for row in MISTAKES]
)
def test_a_mistake_is_refused_with_the_way_out(
    text: str, key: str, words: str, way_out: str
) -> None:
    section = raw(text)
    (refusal,) = read(section)
    assert refusal.key == key
    assert words in refusal.allowed
    assert refusal.fix.endswith(way_out) or refusal.fix.endswith(f"{way_out} -s omantel")
    assert not re.search("hunter2|Harbor12345", str(refusal))
    if is_for_a_machine(refusal):
        mended = followed({"registry": section}, refusal)
        assert key not in [other.key for other in read(mended["registry"])]


def test_there_are_enough_mistakes() -> None:
    assert len(MISTAKES) >= 60
    assert len(UNUSUAL) >= 25


@pytest.mark.parametrize("text", UNUSUAL, ids=[text[:60] for text in UNUSUAL])
def test_what_harbor_takes_is_not_refused(text: str) -> None:
    assert read(raw(text)) == ()


# --- The program's preview ---------------------------------------------------------------------


def test_a_preview_says_the_same_of_every_mistake(stack: Stack) -> None:
    for text, key, words, _ in MISTAKES:
        with pytest.raises(pulumi.RunError) as raised:
            stack.load({**GOOD, "registry": raw(text)}, preview=True)
        said = str(raised.value)
        assert f"sovereign-harbor:{key} = " in said
        assert words in said
        assert not re.search("hunter2|Harbor12345|Traceback", said)


def test_a_preview_takes_whatever_is_unusual_and_right(stack: Stack) -> None:
    for text in UNUSUAL:
        stack.load({**GOOD, "registry": raw(text)}, preview=True)
