"""Which objects are taken, refused, kept and deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.registry.api import Harbor, Who
from components.registry.connection import Answer
from components.registry.errors import HarborError, Refused
from components.registry.kinds.base import UNKNOWN, HalfCreated
from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.kinds import repositories
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, Registry

PULL = [{"kind": "project", "namespace": "apps", "access": ["repository:pull"]}]


def project(registry: Registry, name: str = "apps", **metadata: str) -> None:
    """As a person makes one."""
    registry.ask("POST", "/projects", {"project_name": name, "metadata": metadata})


def test_a_project_as_harbor_makes_it_is_taken_without_a_word(registry: Registry) -> None:
    project(registry)
    outputs = registry.create("Project", name="apps", scanOnPush=True, blockSeverity="critical")
    assert outputs["scanOnPush"] and outputs["blockSeverity"] == "critical"


def test_what_a_person_set_is_not_overwritten(registry: Registry) -> None:
    project(registry, public="true", auto_scan="true")
    for attempt in (registry.create, registry.preview):
        with pytest.raises(Refused, match=r"project apps exists .*: public is True\. .*adopt"):
            attempt("Project", name="apps", scanOnPush=True)
    assert registry.ask("GET", "/projects/apps")["metadata"]["public"] == "true"


def test_adopt_changes_what_differs(fake: FakeHarbor, registry: Registry) -> None:
    project(registry, public="true")
    outputs = Registry(fake, adopt="true").create("Project", name="apps")
    assert not outputs["public"]


def test_a_robot_of_a_person_keeps_its_secret(fake: FakeHarbor, registry: Registry) -> None:
    project(registry)
    body = {
        "name": "ci",
        "level": "project",
        "duration": -1,
        "permissions": [
            {
                "kind": "project",
                "namespace": "apps",
                "access": [{"resource": "repository", "action": "pull"}],
            }
        ],
    }
    secret = registry.ask("POST", "/robots", body)["secret"]
    inputs: dict[str, Any] = {
        "name": "ci",
        "project": "apps",
        "permissions": PULL,
        "secret": "Secret12345",
    }
    with pytest.raises(Refused, match=r"robot apps\+ci exists .*its secret would change"):
        registry.create("Robot", **inputs)
    assert registry.api.accepts("robot$apps+ci", secret)

    Registry(fake, adopt=True).create("Robot", **inputs)
    assert registry.api.accepts("robot$apps+ci", "Secret12345")


def test_a_proxy_cache_never_becomes_a_project(fake: FakeHarbor, registry: Registry) -> None:
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    outputs = registry.create("Project", name="cache", endpoint="up")

    with pytest.raises(Refused, match="endpoint cannot change from 'up' to ''"):
        registry.changed("Project", outputs, name="cache", endpoint="")
    with pytest.raises(Refused, match=r"exists in Harbor as a proxy cache of endpoint up"):
        Registry(fake, adopt=True).create("Project", name="cache")


def test_an_endpoint_that_is_missing_is_named(registry: Registry) -> None:
    """Harbor answers 500 to a number that it does not know."""
    with pytest.raises(Refused, match="Harbor has no endpoint nowhere"):
        registry.create("Project", name="cache", endpoint="nowhere")


def test_a_project_with_repositories_stays_and_says_so(
    fake: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("Project", name="apps")
    repositories.put(fake.world, "apps", "deep/er", "sha256:0", ["v1"])

    registry.delete("Project", outputs)

    assert registry.ask("GET", "/projects/apps") is not None
    (warning,) = registry.warnings
    assert "project apps stays in Harbor" in warning and "deleteContents" in warning


def test_a_project_that_is_named_is_deleted_with_its_repositories(
    fake: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("Project", name="apps")
    repositories.put(fake.world, "apps", "deep/er", "sha256:0", ["v1"])
    repositories.put(fake.world, "apps", "app", "sha256:0", ["v1"])

    named = Registry(fake, deleteContents='["apps"]')
    named.delete("Project", outputs)

    assert registry.ask("GET", "/projects/apps") is None
    assert named.warnings == []
    # Harbor's documentation wants a slash encoded twice; the fake takes it once, too.
    paths = [call.path for call in fake.calls() if "/repositories/" in call.path]
    assert any(path.endswith("/repositories/deep%252Fer") for path in paths)


def test_an_endpoint_of_a_cache_stays_and_says_so(registry: Registry) -> None:
    anonymous = {"name": "up", "type": "docker-registry", "url": "https://up.test"}
    for login in ({}, {"username": "u", "password": "Secret12345"}):
        endpoint = registry.create("Endpoint", **{**anonymous, **login, "name": f"up{len(login)}"})
        registry.create("Project", name=f"cache{len(login)}", endpoint=endpoint["name"])
        registry.delete("Endpoint", endpoint)
        assert registry.read("Endpoint", endpoint["name"], endpoint) is not None
    first, second = registry.warnings
    assert first.startswith("endpoint up0 stays in Harbor, since a proxy cache")
    assert second.startswith("endpoint up2 stays in Harbor with its password, since")


def test_an_endpoint_of_a_persons_policy_is_not_deleted(registry: Registry) -> None:
    endpoint = registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    policy = {"name": "by-hand", "src_registry": {"id": endpoint["harborId"]}}
    registry.ask("POST", "/replication/policies", policy)
    with pytest.raises(HarborError, match=r"412 .*referenced by replication policies"):
        registry.delete("Endpoint", endpoint)


def test_an_endpoint_that_harbor_does_not_reach_is_named(
    fake: FakeHarbor, registry: Registry
) -> None:
    fake.settings.reachable = ["https://up.test"]
    inputs = {"name": "up", "type": "docker-registry", "url": "https://up.test"}
    outputs = registry.create("Endpoint", **inputs)
    for attempt in (
        lambda: registry.create("Endpoint", **{**inputs, "name": "b", "url": "https://b.test"}),
        lambda: registry.update("Endpoint", outputs, **{**inputs, "url": "https://b.test"}),
    ):
        with pytest.raises(Refused, match=r"Harbor does not reach https://b\.test"):
            attempt()


@pytest.mark.parametrize("fault", ["502", "500"])
@pytest.mark.parametrize("kind", ["docker-registry", "harbor"])
def test_an_outage_of_harbor_is_not_taken_for_one_of_the_endpoint(
    kind: str, fault: str, fake: FakeHarbor, registry: Registry
) -> None:
    """Harbor says "unhealthy" of its own parts too."""
    inputs = {"name": "up", "type": kind, "url": "https://up.test"}
    outputs = registry.create("Endpoint", **inputs)
    hurried = Registry(fake, patience=0.1)
    hurried.api.listed("/registries")  # it is logged in
    fake.plan(Fault(fault, method="POST|PUT", path="/registries.*", times=99))
    fake.settings.down = {"redis"}
    for attempt in (
        lambda: hurried.create("Endpoint", **{**inputs, "name": "b"}),
        lambda: hurried.update("Endpoint", outputs, **{**inputs, "description": "ours"}),
    ):
        with pytest.raises(HarborError) as raised:
            attempt()
        assert raised.value.may_pass


def test_an_outage_that_ends_is_waited_for(fake: FakeHarbor, registry: Registry) -> None:
    inputs = {"name": "up", "type": "harbor", "url": "https://up.test"}
    outputs = registry.create("Endpoint", **inputs)
    fake.plan(Fault("502", method="PUT", path="/registries.*", times=2))
    assert registry.update("Endpoint", outputs, **inputs, description="ours")["description"]


def test_an_endpoint_keeps_its_type_as_harbor_never_changes_it(
    fake: FakeHarbor, registry: Registry
) -> None:
    """Its deletion is refused while a cache or a mirror uses it, so it cannot be made anew."""
    inputs = {"name": "up", "type": "docker-registry", "url": "https://up.test"}
    outputs = registry.create("Endpoint", **inputs)
    other = {**inputs, "type": "harbor"}
    with pytest.raises(Refused, match=r"type cannot change .*another name"):
        registry.changed("Endpoint", outputs, **other)
    taking = Registry(fake, adopt=True)
    for attempt in (taking.preview, taking.create):
        with pytest.raises(Refused, match="exists in Harbor with type docker-registry"):
            attempt("Endpoint", **other)


# ---- Answers that mean less than they seem -------------------------------------------------------


def answers(registry: Registry, method: str, path: str, status: int, message: str) -> None:
    """Lets Harbor answer so to a call from now on. `path`: a part of it."""
    send = registry.connection.send

    def answer(verb: str, target: str, *rest: Any, **options: Any) -> Answer:
        if verb == method and path in target:
            text = json.dumps({"errors": [{"code": "UNKNOWN", "message": message}]})
            return Answer(status=status, headers={}, body=text.encode())
        return send(verb, target, *rest, **options)

    registry.connection.send = answer  # type: ignore[method-assign]


def test_an_object_whose_name_is_a_part_of_another_is_another(registry: Registry) -> None:
    """Lists of labels and members are asked for names that contain one."""
    registry.create("Project", name="apps")
    member = {"project": "apps", "kind": "group", "role": "guest"}
    registry.ask("POST", "/usergroups", {"group_name": "devs", "group_type": 3})
    registry.create("Member", **member, name="devs")
    registry.create("Label", name="approved")
    assert registry.read("Member", "apps/group/dev", {**member, "name": "dev"}) is None
    assert registry.read("Label", "/approve", {"project": "", "name": "approve"}) is None


def test_a_list_that_is_withheld_does_not_mean_gone(registry: Registry) -> None:
    """Harbor answers 403 for a project that is missing, too."""
    registry.create("Project", name="apps")
    outputs = registry.create("ImmutableTags", project="apps", rules=[{"tags": "v*"}])
    answers(registry, "GET", "/immutabletagrules", 403, "forbidden")
    with pytest.raises(HarborError, match="403"):
        registry.read("ImmutableTags", "apps", outputs)


def test_a_project_that_is_not_deleted_for_another_reason_is_an_error(registry: Registry) -> None:
    outputs = registry.create("Project", name="apps")
    answers(registry, "DELETE", "/projects/apps", 403, "forbidden")
    with pytest.raises(HarborError, match="403"):
        registry.delete("Project", outputs)
    assert registry.warnings == []


def test_a_robot_whose_secret_is_refused_is_half_made_and_the_secret_not_told(
    registry: Registry,
) -> None:
    registry.create("Project", name="apps")
    answers(registry, "PATCH", "/robots/", 400, "the secret Secret12345 is weak")
    with pytest.raises(HalfCreated, match="the secret <secret> is weak") as half:
        registry.create("Robot", **CI)
    assert half.value.id == "apps+ci"
    assert half.value.outputs["name"] == "ci" and half.value.outputs["harborId"] > 0
    assert "secretDigest" not in half.value.outputs


# ---- Another object under the same number or name ------------------------------------------------

CI: dict[str, Any] = {
    "name": "ci",
    "project": "apps",
    "permissions": PULL,
    "secret": "Secret12345",
}
UP: dict[str, Any] = {
    "name": "up",
    "type": "docker-registry",
    "url": "https://up.test",
    "username": "u",
    "password": "Secret12345",
}


def test_a_robot_that_has_the_number_of_another_is_left_alone(registry: Registry) -> None:
    """After a restore of an older backup Harbor gives numbers again."""
    registry.create("Project", name="apps")
    for name in ("other", "my-ci"):
        other = registry.create("Robot", **{**CI, "name": name})
        gone = {**other, "name": "ci", "fullName": "robot$apps+ci"}

        assert registry.read("Robot", "apps+ci", gone) is None
        registry.delete("Robot", gone)
        made = registry.update("Robot", gone, **CI, description="ours")

        assert made["harborId"] != other["harborId"]
        assert registry.read("Robot", f"apps+{name}", other) == other
        registry.delete("Robot", made)


def test_an_endpoint_that_has_the_number_of_another_is_left_alone(registry: Registry) -> None:
    other = registry.create("Endpoint", **{**UP, "name": "other", "url": "https://other.test"})
    gone = {**other, "name": "up", "url": "https://up.test"}

    assert registry.read("Endpoint", "up", gone) is None
    registry.delete("Endpoint", gone)
    made = registry.update("Endpoint", gone, **UP, description="ours")

    assert made["harborId"] != other["harborId"]
    assert registry.read("Endpoint", "other", other) == other


def test_an_endpoint_without_a_login_keeps_no_password(registry: Registry) -> None:
    """Harbor keeps the password unless it is emptied as well as the username."""
    outputs = registry.create("Endpoint", **UP)
    anonymous = {key: UP[key] for key in ("name", "type", "url")}
    assert registry.changed("Endpoint", outputs, **anonymous) == ("username",)
    registry.update("Endpoint", outputs, **anonymous)
    assert registry.ask("GET", f"/registries/{outputs['harborId']}")["credential"] == {}


def test_an_endpoint_that_a_person_renamed_gets_its_name_back(registry: Registry) -> None:
    outputs = registry.create("Endpoint", **UP)
    registry.ask("PUT", f"/registries/{outputs['harborId']}", {"name": "theirs"})
    refreshed = registry.read("Endpoint", "up", outputs)
    assert refreshed is not None
    assert registry.changed("Endpoint", refreshed, **UP) == ("name",)
    assert registry.update("Endpoint", refreshed, **UP)["harborId"] == outputs["harborId"]


def test_a_robot_that_was_made_anew_by_hand_gets_the_declared_secret(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Robot", **CI)
    path = f"/robots/{outputs['harborId']}"
    robot = registry.ask("GET", path)
    registry.ask("DELETE", path)
    registry.ask("POST", "/robots", {**robot, "name": "ci"})

    refreshed = registry.read("Robot", "apps+ci", outputs)
    assert refreshed is not None
    assert registry.changed("Robot", refreshed, **CI) == ("secret",)
    registry.update("Robot", refreshed, **CI)
    assert registry.api.accepts("robot$apps+ci", "Secret12345")


def test_a_robot_that_an_update_makes_anew_has_its_secret_after_a_fault_too(
    fake: FakeHarbor, registry: Registry
) -> None:
    """The state keeps the digest of the secret, and the new robot has one of Harbor's."""
    registry.create("Project", name="apps")
    outputs = registry.create("Robot", **CI)
    registry.ask("DELETE", f"/robots/{outputs['harborId']}")
    fake.plan(Fault("503", method="PATCH", path="/robots/.*", times=99))
    with pytest.raises(Exception, match="503"):
        Registry(fake, patience=0.1).update("Robot", outputs, **CI, description="ours")
    fake.plan()

    registry.update("Robot", outputs, **CI, description="ours")
    assert registry.api.accepts("robot$apps+ci", "Secret12345")


@pytest.mark.parametrize("adopt", [False, True])
def test_an_object_that_somebody_makes_meanwhile_is_not_taken_for_ones_own(
    fake: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch, *, adopt: bool
) -> None:
    """It is made after the look for it and before the POST, which is answered by 409."""
    registry.create("Project", name="apps")
    mine = Registry(fake, adopt=adopt)
    post, rights = Harbor.post, [{"resource": "repository", "action": "pull"}]
    permissions = [{"kind": "project", "namespace": "apps", "access": rights}]
    theirs = {"name": "ci", "level": "project", "duration": -1, "permissions": permissions}

    def late(self: Harbor, path: str, body: Any, *, who: Who = "account") -> Any:
        post(self, path, theirs, who="admin")
        return post(self, path, body, who=who)

    monkeypatch.setattr(Harbor, "post", late)
    if adopt:
        mine.create("Robot", **CI)
        assert registry.api.accepts("robot$apps+ci", "Secret12345")
        return
    with pytest.raises(Refused, match="somebody else made it"):
        mine.create("Robot", **CI)
    assert not registry.api.accepts("robot$apps+ci", "Secret12345")


def test_a_value_that_harbor_ignores_is_told(registry: Registry) -> None:
    """2.14 does not know the key, and answers 201."""
    with pytest.raises(Exception, match="does not show it: caCertificate is ''"):
        registry.create(
            "Endpoint",
            name="up",
            type="docker-registry",
            url="https://up.test",
            caCertificate="-----BEGIN CERTIFICATE-----",
        )


def test_a_quota_is_changed_where_harbor_looks_for_it(registry: Registry) -> None:
    """storage_limit in PUT of a project is ignored with 200."""
    outputs = registry.create("Project", name="apps", quota=1024)
    outputs = registry.update("Project", outputs, name="apps", quota=2048)
    assert outputs["quota"] == 2048


def test_a_renewed_robot_lives_as_long_as_declared_from_now_on(
    fake: FakeHarbor, registry: Registry
) -> None:
    """Harbor counts days from the creation, and the same number moves no date."""
    registry.create("Project", name="apps")
    inputs: dict[str, Any] = {"name": "ci", "project": "apps", "permissions": PULL, "days": 30}
    outputs = registry.create("Robot", **inputs, secret="Secret12345")
    robot = next(r for r in fake.world.table("robots").values() if r["name"] == "apps+ci")
    robot["creation_time"] = "2020-01-01T00:00:00.000Z"

    assert registry.changed("Robot", outputs, **inputs, secret="Fresh12345") == ("secret",)
    outputs = registry.update("Robot", outputs, **inputs, secret="Fresh12345")

    assert outputs["days"] == 30 and outputs["duration"] > 2000
    assert registry.changed("Robot", outputs, **inputs, secret="Fresh12345") == ()
    assert registry.read("Robot", "apps+ci", outputs) == outputs


def test_a_preview_of_a_renewal_does_not_know_the_new_end(registry: Registry) -> None:
    project(registry)
    robot: dict[str, Any] = {"name": "ci", "project": "apps", "permissions": PULL, "days": 30}
    outputs = registry.create("Robot", **robot, secret="Secret12345")

    def end(**changed: Any) -> Any:
        inputs = {**robot, "secret": "Secret12345", **changed}
        return registry.provider.update("urn", "Robot", outputs, inputs, preview=True)["expiresAt"]

    assert end(description="of the build") == outputs["expiresAt"]
    assert end(days=60) is UNKNOWN
    assert end(secret="Secret67890") is UNKNOWN


def test_a_disabled_robot_is_disabled(registry: Registry) -> None:
    """`disable` in POST is ignored, and a PUT without it enables."""
    registry.create("Project", name="apps")
    inputs: dict[str, Any] = {
        "name": "ci",
        "project": "apps",
        "permissions": PULL,
        "secret": "Secret12345",
    }
    outputs = registry.create("Robot", **inputs, enabled=False)
    assert outputs["enabled"] is False
    outputs = registry.update("Robot", outputs, **inputs, enabled=False, description="still")
    assert outputs["enabled"] is False


def test_a_project_named_by_digits_is_found_by_its_name(registry: Registry) -> None:
    outputs = registry.create("Project", name="12345")
    assert registry.read("Project", "12345", outputs) == outputs
    registry.delete("Project", outputs)
    assert registry.read("Project", "12345", outputs) is None


def test_an_allowlist_that_was_never_set_has_no_id(registry: Registry) -> None:
    """As on a new 2.14.3."""
    assert "id" not in registry.ask("GET", "/system/CVEAllowlist")
    outputs = registry.create("CveAllowlist")
    assert (outputs["items"], outputs["expires"]) == ([], -1)
    assert registry.read("CveAllowlist", "system", {}) == outputs
    registry.delete("CveAllowlist", outputs)
    outputs = registry.create("CveAllowlist", items=["CVE-1"])
    assert registry.read("CveAllowlist", "system", outputs) == outputs


# ---- Members -------------------------------------------------------------------------------------

DEVS = {"project": "apps", "kind": "group", "name": "devs", "role": "guest"}


def test_a_group_that_no_login_names_is_refused_with_the_way_out(registry: Registry) -> None:
    """With users of its own Harbor makes no group: it answers 404 `not supported`."""
    registry.create("Project", name="apps")
    with pytest.raises(Refused, match=r"group devs, .* no login .*`registry\.login`"):
        registry.create("Member", **DEVS)


def test_a_group_that_exists_is_a_member_without_a_login_too(registry: Registry) -> None:
    registry.create("Project", name="apps")
    registry.ask("POST", "/usergroups", {"group_name": "devs", "group_type": 3})
    assert registry.create("Member", **DEVS)["role"] == "guest"


def test_a_user_who_never_logged_in_is_named(registry: Registry) -> None:
    registry.create("Project", name="apps")
    with pytest.raises(Refused, match=r"user dora .*has to log in once"):
        registry.create("Member", **{**DEVS, "kind": "user", "name": "dora"})


# ---- Runs of replications ------------------------------------------------------------------------

MIRROR: dict[str, Any] = {
    "name": "m",
    "direction": "pull",
    "endpoint": "up",
    "repositories": "org/app",
    "runNow": True,
}


def runs(registry: Registry) -> int:
    return len(registry.ask("GET", "/replication/executions"))


@pytest.fixture
def mirrored(registry: Registry) -> dict[str, Any]:
    """The outputs of a policy that has run once."""
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    return registry.create("ReplicationPolicy", **MIRROR)


@pytest.mark.usefixtures("mirrored")
def test_a_lost_state_starts_no_second_run(registry: Registry) -> None:
    registry.create("ReplicationPolicy", **MIRROR)
    assert runs(registry) == 1


def test_a_run_that_was_interrupted_before_it_began_is_started(registry: Registry) -> None:
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    registry.create("ReplicationPolicy", **{**MIRROR, "runNow": False})
    registry.create("ReplicationPolicy", **MIRROR)
    assert runs(registry) == 1


def test_a_half_made_policy_that_ran_does_not_run_again(
    registry: Registry, mirrored: dict[str, Any]
) -> None:
    half = {"harborId": mirrored["harborId"], "name": "m"}
    registry.update("ReplicationPolicy", half, **MIRROR)
    assert runs(registry) == 1


def test_a_change_and_a_run_that_is_asked_for_start_one(
    registry: Registry, mirrored: dict[str, Any]
) -> None:
    outputs = registry.update("ReplicationPolicy", mirrored, **MIRROR, tags="v*")
    assert runs(registry) == 2
    outputs = registry.update(
        "ReplicationPolicy", outputs, **{**MIRROR, "runNow": False}, tags="v*"
    )
    assert runs(registry) == 2
    registry.update("ReplicationPolicy", outputs, **MIRROR, tags="v*")
    assert runs(registry) == 3


# ---- The prefix of robots' logins ----------------------------------------------------------------


def test_a_preview_shows_the_login_that_another_prefix_makes(registry: Registry) -> None:
    registry.create("Project", name="apps")
    inputs: dict[str, Any] = {"name": "ci", "project": "apps", "permissions": PULL}
    inputs["secret"] = "Secret12345"
    outputs = registry.create("Robot", **inputs)
    assert (outputs["prefix"], outputs["fullName"]) == ("robot$", "robot$apps+ci")

    renamed = {**inputs, "prefix": "bot$"}
    assert registry.changed("Robot", outputs, **renamed) == ("prefix",)
    shown = registry.provider.update("urn", "Robot", outputs, renamed, preview=True)
    assert (shown["fullName"], shown["harborId"]) == ("bot$apps+ci", outputs["harborId"])
    new = registry.preview("Robot", **{**renamed, "name": "cd"})
    assert new["fullName"] == "bot$apps+cd"


def test_a_prefix_that_harbor_does_not_have_is_no_login(registry: Registry) -> None:
    """Somebody changed it in Harbor, and the state does not know."""
    registry.create("Project", name="apps")
    registry.ask("PUT", "/configurations", {"robot_name_prefix": "theirs$"})
    with pytest.raises(Exception, match=r"robot apps\+ci .*theirs\$.*pulumi refresh"):
        registry.create(
            "Robot",
            name="ci",
            project="apps",
            permissions=PULL,
            secret="Secret12345",
            prefix="robot$",
        )


# ---- Defaults that the stack's file does not state -----------------------------------------------

GC = "/system/gc/schedule"
COLLECTION: dict[str, Any] = {
    "what": "garbageCollection",
    "cron": "0 0 0 * * 0",
    "parameters": {"delete_untagged": False, "workers": 1},
    "unstated": ["cron", "delete_untagged", "workers"],
}


def collects(registry: Registry, cron: str, **parameters: Any) -> None:
    """A person sets the garbage collection; "" removes it."""
    schedule = {"type": "Custom" if cron else "None", "cron": cron}
    registry.ask("PUT", GC, {"schedule": schedule, "parameters": parameters})


def cron_of(registry: Registry) -> str:
    return (registry.ask("GET", GC) or {"schedule": {"cron": ""}})["schedule"]["cron"]


def test_a_default_is_set_where_harbor_has_nothing(registry: Registry) -> None:
    outputs = registry.create("Schedule", **COLLECTION)
    assert cron_of(registry) == COLLECTION["cron"]
    assert registry.told == []
    assert registry.changed("Schedule", outputs, **COLLECTION) == ()


@pytest.mark.parametrize("adopt", [False, True])
def test_a_default_never_changes_nor_refuses_what_a_person_set(
    fake: FakeHarbor, registry: Registry, *, adopt: bool
) -> None:
    collects(registry, "0 0 5 * * *", delete_untagged=True, workers=3)
    stored = registry.ask("GET", GC)
    taking = Registry(fake, adopt=adopt)

    taking.preview("Schedule", **COLLECTION)
    (told,) = taking.told
    assert "garbageCollection stays as somebody set it" in told and "0 0 5 * * *" in told
    outputs = taking.create("Schedule", **COLLECTION)
    assert taking.told == [told, told]  # the preview's, and that of `up`

    assert taking.warnings == []
    assert registry.ask("GET", GC) == stored
    assert taking.changed("Schedule", outputs, **COLLECTION) == ()
    refreshed = registry.read("Schedule", "garbageCollection", outputs)
    assert refreshed == outputs
    registry.delete("Schedule", outputs)
    assert registry.ask("GET", GC) == stored


@pytest.mark.parametrize("cron", ["0 0 5 * * *", ""])
def test_a_default_that_a_person_changes_later_stays_changed(registry: Registry, cron: str) -> None:
    outputs = registry.create("Schedule", **COLLECTION)
    collects(registry, cron, delete_untagged=True, workers=3)
    refreshed = registry.read("Schedule", "garbageCollection", outputs)
    assert refreshed is not None and refreshed["cron"] == cron
    assert registry.changed("Schedule", refreshed, **COLLECTION) == ()
    registry.update("Schedule", refreshed, **COLLECTION)
    assert cron_of(registry) == cron


def test_only_what_the_file_states_of_a_schedule_is_compared(
    fake: FakeHarbor, registry: Registry
) -> None:
    stated = {
        **COLLECTION,
        "parameters": {"delete_untagged": False, "workers": 4},
        "unstated": ["cron", "delete_untagged"],
    }
    collects(registry, "0 0 5 * * *", delete_untagged=True, workers=3)
    with pytest.raises(Refused, match=r"parameters is .*'workers': 3.*registry\.adopt"):
        registry.create("Schedule", **stated)
    outputs = Registry(fake, adopt=True).create("Schedule", **stated)
    assert cron_of(registry) == outputs["cron"] == "0 0 5 * * *"
    assert outputs["parameters"] == {"delete_untagged": True, "workers": 4}
    assert registry.changed("Schedule", outputs, **stated) == ()

    # What the file states needs a schedule.
    collects(registry, "")
    refreshed = registry.read("Schedule", "garbageCollection", outputs)
    assert refreshed is not None
    assert "cron" in registry.changed("Schedule", refreshed, **stated)
    registry.update("Schedule", refreshed, **stated)
    assert cron_of(registry) == COLLECTION["cron"]


def test_a_half_set_default_is_set_by_the_next_run(registry: Registry) -> None:
    half = {"harborId": None, "what": "garbageCollection"}
    assert "cron" in registry.changed("Schedule", half, **COLLECTION)
    registry.update("Schedule", half, **COLLECTION)
    assert cron_of(registry) == COLLECTION["cron"]


def test_a_default_of_the_settings_leaves_what_a_person_chose(registry: Registry) -> None:
    inputs = {"part": "system", "values": {}, "defaults": {"session_timeout": 30}}
    registry.ask("PUT", "/configurations", {"session_timeout": 90})
    registry.create("Configuration", **inputs)
    (told,) = registry.told
    assert "session_timeout=90 stays as somebody set it" in told
    assert registry.ask("GET", "/configurations")["session_timeout"]["value"] == 90


def test_a_default_of_the_settings_that_a_person_takes_back_stays_so(registry: Registry) -> None:
    inputs: dict[str, Any] = {
        "part": "system",
        "defaults": {"project_creation_restriction": "adminonly"},
    }
    outputs = registry.create("Configuration", **inputs)
    registry.ask("PUT", "/configurations", {"project_creation_restriction": "everyone"})
    registry.update("Configuration", outputs, **inputs, values={"session_timeout": 30})
    items = registry.ask("GET", "/configurations")
    assert items["session_timeout"]["value"] == 30
    assert items["project_creation_restriction"]["value"] == "everyone"


def test_a_robot_of_the_accounts_name_keeps_its_secret(fake: FakeHarbor) -> None:
    registry = Registry(fake)
    body = {
        "name": ACCOUNT,
        "level": "system",
        "duration": -1,
        "description": "theirs",
        "permissions": [
            {
                "kind": "system",
                "namespace": "/",
                "access": [{"resource": "project", "action": "list"}],
            }
        ],
    }
    secret = registry.ask("POST", "/robots", body)["secret"]
    for attempt in (registry.preview, registry.create):
        with pytest.raises(Refused, match=r"account sovereign exists .*somebody else made it"):
            attempt("Account", name=ACCOUNT)
    assert registry.api.accepts(f"robot${ACCOUNT}", secret)
    assert Registry(fake, adopt=True).create("Account", name=ACCOUNT)["ready"]


def test_a_refresh_without_the_secrets_of_passwords_leaves_the_state_and_says_so(
    fake: FakeHarbor, registry: Registry
) -> None:
    """A refresh is what finds that Secrets are gone, and the next up makes them again."""
    first = registry.create("Project", name="apps")
    second = registry.create("Project", name="tools")
    later = Registry(fake)
    later.connection.secrets.clear()
    for name, outputs in (("apps", first), ("tools", second)):
        assert later.read("Project", name, outputs) == outputs
    (line,) = later.warnings
    assert "what Harbor has was not compared with the state" in line
    with pytest.raises(HarborError, match="admin cannot log in: there is no Secret"):
        later.read("Project", "apps", {})
