"""Changes of Harbor's own objects, in a reviewer's words."""

from __future__ import annotations

from typing import Any

import pytest

from policy.resource import RELEASE
from review import consequences, registry
from tests.unit.review.test_summary import read, step

KIND = registry.PREFIX
PULL, PUSH = "repository:pull", "repository:push"

Inputs = dict[str, Any]


def said(kind: str, before: Inputs | None, after: Inputs | None, **more: Any) -> list[str]:
    """What a reviewer is told of one change; None where the object is not there."""
    op = "create" if before is None else "delete" if after is None else "update"
    made = step(op, KIND + kind, "it", before, after, **more)
    return list(registry.consequences(read(made)))


def mirror(**changed: Any) -> Inputs:
    return {
        "name": "from-ghcr",
        "endpoint": "ghcr",
        "direction": "pull",
        "repositories": "org/{app,tool}",
        "cron": "0 0 */6 * * *",
        "trigger": "scheduled",
        "into": "apps",
        "enabled": True,
        **changed,
    }


def robot(*access: str, project: str = "apps", **changed: Any) -> Inputs:
    return {
        "name": "ci",
        "permissions": [{"kind": "project", "namespace": project, "access": list(access)}],
        "secret": "[secret]",
        **changed,
    }


def project(**changed: Any) -> Inputs:
    return {"name": "apps", "blockSeverity": "critical", "public": False, "quota": -1, **changed}


def retention(**changed: Any) -> Inputs:
    rule = {"template": "latestPushedK", "number": 10, "repositories": "**", "tags": "**"}
    return {"project": "apps", "cron": "0 0 0 * * *", "rules": [rule], **changed}


def immutable(**changed: Any) -> Inputs:
    return {"project": "apps", "rules": [{"repositories": "**", "tags": "v*", **changed}]}


def login(secrets: str = "[secret]", **changed: Any) -> Inputs:
    values = {"oidc_endpoint": "https://old.test", "oidc_admin_group": "admins", **changed}
    return {"part": "login", "values": values, "secrets": secrets}


def system(**values: Any) -> Inputs:
    return {"part": "system", "values": values}


def read_only(value: bool) -> Inputs:
    return {"part": "readOnly", "values": {"read_only": value}}


def schedule(cron: str, what: str = "garbageCollection", **parameters: Any) -> Inputs:
    return {"what": what, "cron": cron, "parameters": parameters}


TOLD: list[tuple[str, Inputs | None, Inputs | None, str]] = [
    # --- copies
    ("ReplicationPolicy", mirror(), None, "**No longer copied from `ghcr`: `org/app`, `org/tool`"),
    ("ReplicationPolicy", mirror(), mirror(repositories="org/app"), "**No longer copied from"),
    ("ReplicationPolicy", mirror(), mirror(enabled=False), "`org/app`, `org/tool`** (`from-ghcr`)"),
    ("ReplicationPolicy", None, mirror(), "Copied from `ghcr` from now on: `org/app`, `org/tool`"),
    ("ReplicationPolicy", None, mirror(), "by the schedule `0 0 */6 * * *`"),
    ("ReplicationPolicy", None, mirror(), "For example `org/app` becomes `apps/org/app`."),
    (
        "ReplicationPolicy",
        mirror(repositories="org/{app,tool}"),
        mirror(repositories="org/{app,more/**}", replaceCount=1.0),
        "For example `org/more/<path>` becomes `apps/more/<path>`.",
    ),
    (
        "ReplicationPolicy",
        mirror(),
        mirror(into="b"),
        "get another name: `org/app` becomes `b/org/app`**, before `apps/org/app`, which stays.",
    ),
    (
        "ReplicationPolicy",
        mirror(),
        mirror(replaceCount=-1),
        "get another name: `org/app` becomes `apps/app`**, before `apps/org/app`, which stays.",
    ),
    (
        "ReplicationPolicy",
        mirror(direction="push"),
        mirror(direction="push", deletions=True),
        "**What is deleted here is deleted in `ghcr` too**",
    ),
    # --- robots and people
    ("Robot", robot(PULL), robot(PULL, PUSH), "**Robot `ci` may push to `apps`, which it could"),
    (
        "Robot",
        None,
        robot(PULL, PUSH),
        "**A new robot `ci` may push to `apps` and pull from",
    ),
    ("Robot", None, robot(PULL), "A new robot `ci` may pull from `apps`."),
    ("Robot", robot(PULL, PUSH), robot(PULL), "**Robot `ci` may no longer push to `apps`.**"),
    ("Robot", robot(PULL), robot(PULL, "scan:create"), "may do `scan:create` in `apps`, which it"),
    ("Robot", robot(PULL), None, "**The login of robot `ci` ends.**"),
    ("Robot", robot(PULL, days=-1), robot(PULL, days=7), "ends 7 days after this update."),
    ("Robot", robot(PULL), robot(PULL, enabled=False), "**Robot `ci` is switched off.**"),
    ("Robot", robot(PULL, project="a"), robot(PULL, project="b"), "may pull from `b`, which it"),
    (
        "Member",
        {"project": "apps", "kind": "group", "name": "dev", "role": "guest"},
        {"project": "apps", "kind": "group", "name": "dev", "role": "maintainer"},
        "Group `dev` is maintainer in project `apps`, before guest.",
    ),
    (
        "Member",
        {"project": "apps", "kind": "user", "name": "dora", "role": "guest"},
        None,
        "User `dora` loses its role in project `apps`.",
    ),
    # --- projects
    ("Project", project(), project(blockSeverity=""), "**Project `apps` blocks no pull any more**"),
    ("Project", project(), project(blockSeverity="low"), "with a vulnerability of severity low or"),
    ("Project", project(blockSeverity=""), project(), "of severity critical or worse from now on"),
    (
        "Project",
        project(blockSeverity="low"),
        project(),
        "only from severity critical on**",
    ),
    ("Project", project(), project(public=True), "**Everybody may pull from project `apps`"),
    ("Project", project(public=True), project(), "**Project `apps` needs a login for pulls"),
    ("Project", project(), project(quota=1024**3), "holds at most 1 GiB: pushes beyond it"),
    ("Project", project(), project(requireCosign=True), "hands out only signed images"),
    ("Project", project(scanOnPush=True), project(), "are no longer scanned at once"),
    ("Project", project(), None, "Project `apps` is no longer managed."),
    (
        "Project",
        project(),
        project(allowlist={"items": ["CVE-1"]}),
        "**`CVE-1` stops no pull from project `apps` any more.**",
    ),
    ("CveAllowlist", {"items": ["CVE-1"]}, None, "`CVE-1` stops pulls again."),
    ("Retention", None, retention(), "the last 10 pushed of tags `**` in repositories `**`"),
    ("Retention", retention(), retention(rules=[]), "but for what a rule keeps**: nothing."),
    ("Retention", retention(), None, "Tags of project `apps` are no longer deleted"),
    ("ImmutableTags", None, immutable(), "**Nobody can move or delete tags `v*` in repositories"),
    ("ImmutableTags", immutable(), None, "can be moved and deleted again.**"),
    ("ImmutableTags", immutable(), immutable(enabled=False), "can be moved and deleted again.**"),
    # --- Harbor as a whole
    ("Configuration", None, login(), "**People log in by OpenID Connect at `https://old.test`"),
    (
        "Configuration",
        login(),
        login(oidc_endpoint="https://new.test"),
        "**The login moves from `https://old.test` to `https://new.test`.**",
    ),
    ("Configuration", login(), login(oidc_admin_group="x"), "**Administrators are the group `x`**"),
    ("Configuration", login(), login(oidc_scope="openid"), "**How people log in changes**: `oidc_"),
    ("Configuration", read_only(False), read_only(True), "**The registry becomes read-only"),
    ("Configuration", read_only(True), read_only(False), "takes pushes and changes again"),
    ("Configuration", system(), system(robot_name_prefix="bot$"), "`robot$…` becomes `bot$…`.**"),
    (
        "Configuration",
        system(),
        system(project_creation_restriction="everyone"),
        "**Everybody who logs in may make projects.**",
    ),
    ("Schedule", schedule("0 0 0 * * 0"), schedule(""), "**Garbage is collected no more.**"),
    (
        "Schedule",
        None,
        schedule("0 0 0 * * *", "scanAll"),
        "All images are scanned by the",
    ),
    (
        "Schedule",
        schedule("0 0 0 * * 0"),
        schedule("0 0 0 * * 0", delete_untagged=True),
        "**Garbage collection deletes images without a tag too.**",
    ),
    (
        "Endpoint",
        {"name": "up", "url": "https://a.test"},
        {"name": "up", "url": "https://b.test"},
        "**`up` is another registry: `https://b.test`, before `https://a.test`.**",
    ),
]


@pytest.mark.parametrize(("kind", "before", "after", "words"), TOLD)
def test_a_change_is_told_in_a_reviewers_words(
    kind: str, before: Inputs | None, after: Inputs | None, words: str
) -> None:
    assert words in "\n".join(said(kind, before, after))


SILENT: list[tuple[str, Inputs | None, Inputs | None]] = [
    ("ReplicationPolicy", mirror(), mirror(speed=100)),
    ("Robot", robot(PULL), robot(PULL, description="of the cluster")),
    ("Project", None, project()),
    ("Project", project(quota=1024), project(quota=2048)),
    ("Retention", retention(cron=""), retention(cron="", rules=[])),
    ("Configuration", system(session_timeout=60), system(session_timeout=30)),
    ("Configuration", system(), None),
    ("Account", None, {"name": "sovereign-harbor"}),
    ("Label", {"name": "a", "color": "#000000"}, {"name": "a", "color": "#ffffff"}),
]


@pytest.mark.parametrize(("kind", "before", "after"), SILENT)
def test_what_changes_nothing_for_anybody_is_not_told(
    kind: str, before: Inputs | None, after: Inputs | None
) -> None:
    assert said(kind, before, after) == []


def test_a_changed_secret_is_told_and_not_shown() -> None:
    (sentence,) = said("Robot", robot(PULL), robot(PULL), detailedDiff={"secret": {}})
    assert sentence.startswith("**The secret of robot `ci` changes.**")
    told = said("Configuration", login(), login(), diffReasons=["secrets"])
    assert told == [
        "The secret of the login's client changes: the provider has to know it already."
    ]


def test_of_a_new_sovereign_nothing_is_told() -> None:
    steps = [
        step("create", RELEASE, "harbor"),
        step("create", f"{KIND}Robot", "r", {}, robot(PUSH)),
    ]
    assert registry.consequences(read(*steps)) == ()


def test_what_goes_or_stays_with_its_project_is_told_once() -> None:
    member = {"project": "apps", "kind": "group", "name": "dev", "role": "guest"}
    steps = [
        step("delete", f"{KIND}Project", "p", project()),
        step("delete", f"{KIND}Retention", "r", retention()),
        step("delete", f"{KIND}ImmutableTags", "i", immutable()),
        step("delete", f"{KIND}Member", "m", member),
    ]
    (sentence,) = registry.consequences(read(*steps))
    assert "with images it stays, with its rules and members" in sentence


def test_the_logins_of_a_project_that_stays_end_and_the_page_says_so() -> None:
    """A login that no file declares any more must not go on: nobody would ever rotate it."""
    steps = [
        step("delete", f"{KIND}Project", "p", project()),
        step("delete", f"{KIND}Robot", "ci", {**robot(PULL, PUSH), "project": "apps"}),
    ]
    ends, stays = registry.consequences(read(*steps))
    assert ends == "**The login of robot `apps+ci` ends.** Whoever still uses it is refused."
    assert "with images it stays" in stays and "without the robots that were declared" in stays


def contents(before: str, after: str) -> dict[str, Any]:
    """The change of `registry.deleteContents`, both as JSON."""
    inputs = [{"deleteContents": names} for names in (before, after)]
    return step("update", registry.PROVIDER, "registry", *inputs)


def test_a_project_that_is_deleted_with_its_images_is_told_first() -> None:
    gone = step("delete", f"{KIND}Project", "p", project())
    told = registry.consequences(read(contents("[]", '["apps"]'), gone))
    assert told == ("**Project `apps` is deleted with all its images.**",)


def test_a_name_in_delete_contents_that_deletes_nothing_is_told() -> None:
    (sentence,) = registry.consequences(read(contents("[]", '["aps"]')))
    assert "names `aps`, which this change does not delete" in sentence
    assert registry.consequences(read(contents('["aps"]', '["aps"]'))) == ()


def test_the_gravest_comes_first_and_all_of_it_is_on_the_page() -> None:
    steps = [
        step("update", f"{KIND}Robot", "a", robot(PULL, days=-1), robot(PULL, days=7)),
        step("update", f"{KIND}Project", "b", project(), project(public=True)),
    ]
    told = consequences.consequences(read(*steps))
    assert [sentence[:2] for sentence in told] == ["**", "Th"]


def test_a_registry_that_is_switched_off_loses_nothing_in_harbor() -> None:
    provider = "pulumi:providers:sovereign-registry"
    plan = read(
        step(
            "update", provider, "registry", {"keepEverything": "false"}, {"keepEverything": "true"}
        ),
        step("delete", KIND + "Robot", "ci", robot(PULL), None),
        step("delete", KIND + "Project", "apps", project(), None),
    )
    (sentence,) = registry.consequences(plan)
    assert "stays as it is" in sentence and "registry.enabled" in sentence
