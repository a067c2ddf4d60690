"""The traps of Harbor's API: each test fails without what is done about one of them.

`test_the_traps_are_counted` has their number.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any

import pytest

from components.registry import api
from components.registry.errors import HarborError, Refused
from components.registry.kinds import KINDS, replication
from components.registry.kinds.base import HalfCreated
from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import Registry

TRAPS = 57

PULL = {"kind": "project", "namespace": "after", "access": ["repository:pull"]}

REFUSED = (Refused, HarborError, HalfCreated)


def test_the_traps_are_counted() -> None:
    names = [name for name in vars(sys.modules[__name__]) if name.startswith("test_trap_")]
    assert len(names) == TRAPS


def writes(harbor: FakeHarbor, path: str) -> list[str]:
    """The methods that changed something at a path, in their order."""
    return [call.method for call in harbor.calls() if path in call.path and call.method != "GET"]


# ---- schedules ------------------------------------------------------------------------------

GC: dict[str, Any] = {
    "what": "garbageCollection",
    "cron": "0 0 3 * * 0",
    "parameters": {"delete_untagged": True, "workers": 2},
}


def test_trap_an_unset_schedule_has_an_empty_body(registry: Registry) -> None:
    imported = registry.read("Schedule", "garbageCollection", {})
    assert imported == {"what": "garbageCollection", "cron": "", "parameters": {}}


def test_trap_the_type_of_a_schedule_says_nothing(registry: Registry) -> None:
    outputs = registry.create("Schedule", **GC)
    body = {"schedule": {"type": "Hourly", "cron": GC["cron"]}, "parameters": GC["parameters"]}
    registry.ask("PUT", "/system/gc/schedule", body)

    refreshed = registry.read("Schedule", "garbageCollection", outputs)
    assert refreshed is not None
    assert registry.changed("Schedule", refreshed, **GC) == ()


def test_trap_writes_of_schedules_at_once_fail_so_they_queue(
    harbor: FakeHarbor, registry: Registry
) -> None:
    def one(hour: int) -> None:
        # Each writes another time, and may find in Harbor what the next one wrote meanwhile.
        with contextlib.suppress(HalfCreated):
            registry.create("Schedule", **{**GC, "cron": f"0 0 {hour} * * *"})

    registry = Registry(harbor, adopt=True)
    threads = [threading.Thread(target=one, args=(hour,)) for hour in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = {call.status for call in harbor.calls() if "/system/gc/schedule" in call.path}
    assert statuses == {200}


def test_trap_a_schedule_that_somebody_else_writes_meanwhile_is_written_again(
    harbor: FakeHarbor, registry: Registry
) -> None:
    mine = Registry(harbor, adopt=True)
    mine.api.listed("/registries")  # it is logged in
    harbor.settings.seconds_of_a_schedule_write = 2
    body = {"schedule": {"type": "Daily", "cron": "0 0 0 * * *"}, "parameters": GC["parameters"]}
    other = threading.Thread(target=lambda: registry.ask("PUT", "/system/gc/schedule", body))
    other.start()
    while "gc" not in harbor.settings.writing:
        time.sleep(0.01)
    mine.create("Schedule", **GC)
    other.join()
    assert registry.ask("GET", "/system/gc/schedule")["schedule"]["cron"] == GC["cron"]
    assert 404 in {call.status for call in harbor.calls()}


def test_trap_a_purge_is_removed_with_parameters_that_are_valid(registry: Registry) -> None:
    parameters = {"audit_retention_hour": 24, "include_event_types": "create_artifact"}
    outputs = registry.create(
        "Schedule", what="auditPurge", cron="0 0 3 * * *", parameters=parameters
    )
    registry.delete("Schedule", outputs)
    assert registry.ask("GET", "/system/purgeaudit/schedule") is None


def test_trap_a_scan_of_everything_needs_a_scanner_and_one_sentence_says_so(
    registry: Registry,
) -> None:
    (scanner,) = registry.ask("GET", "/scanners")
    registry.ask("DELETE", f"/scanners/{scanner['uuid']}")

    with pytest.raises(REFUSED, match=r"Harbor has no scanner.*`trivy\.enabled: true`"):
        registry.create("Schedule", what="scanAll", cron="0 0 0 * * *")
    unset = registry.create("Schedule", what="scanAll", cron="")
    registry.delete("Schedule", unset)


def test_trap_parameters_of_another_type_are_taken_for_0(registry: Registry) -> None:
    for parameters in (
        {"delete_untagged": "true", "workers": 2},
        {"delete_untagged": True, "workers": "2"},
        {"delete_untagged": True, "workers": 11},
        {"delete_untagged": True},
        {"delete_untagged": True, "workers": 2, "dry_run": True},
    ):
        assert registry.refused("Schedule", **{**GC, "parameters": parameters}), parameters


def test_trap_a_date_that_never_comes_hangs_jobservice(registry: Registry) -> None:
    for cron in ("0 0 0 31 2 *", "0 0 0 30 2 *", "0 0 * * *", "5 0 0 * * *", "@daily"):
        assert registry.refused("Schedule", **{**GC, "cron": cron}), cron


def test_trap_a_jobservice_in_a_loop_does_not_answer_and_one_sentence_says_so(
    harbor: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.settings.looping.add("gc")
    harbor.settings.seconds_of_a_hang = 3
    # What does answer has to answer in time on a busy machine, too.
    monkeypatch.setattr(api, "WRITE_SILENCE", 1.5)
    with pytest.raises(REFUSED, match="restart Deployment harbor-jobservice"):
        Registry(harbor, patience=1).create("Schedule", **GC)


# ---- the CVE allowlist ----------------------------------------------------------------------


def test_trap_an_allowlist_without_an_end_never_ends(registry: Registry) -> None:
    outputs = registry.create("CveAllowlist", items=["CVE-1"])
    assert "expires_at" not in registry.ask("GET", "/system/CVEAllowlist")
    assert registry.refused("CveAllowlist", items=["CVE-1"], expires=0)

    registry.ask("PUT", "/system/CVEAllowlist", {"items": [{"cve_id": "CVE-1"}], "expires_at": 0})
    refreshed = registry.read("CveAllowlist", "system", outputs)
    assert refreshed is not None
    assert registry.changed("CveAllowlist", refreshed, items=["CVE-1"]) == ("expires",)


def test_trap_an_entry_twice_is_a_500(registry: Registry) -> None:
    assert registry.refused("CveAllowlist", items=["CVE-1", "CVE-1"])
    assert registry.refused("CveAllowlist", items=[""])


def test_trap_only_admin_writes_the_allowlist(harbor: FakeHarbor, registry: Registry) -> None:
    registry.create("CveAllowlist", items=["CVE-1"])
    (put,) = [call for call in harbor.calls() if call.method == "PUT"]
    assert put.who == "admin"


# ---- immutable tags -------------------------------------------------------------------------

RULES = "/projects/apps/immutabletagrules"


def immutable(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"project": "apps", "rules": list(rules)}


def test_trap_a_new_immutable_rule_is_in_force_whatever_it_says(registry: Registry) -> None:
    registry.create("Project", name="apps")
    registry.create("ImmutableTags", **immutable({"tags": "v*", "enabled": False}))
    (rule,) = registry.ask("GET", RULES)
    assert rule["disabled"]


def test_trap_a_put_that_changes_disabled_changes_nothing_else(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("ImmutableTags", **immutable({"tags": "v*"}))
    other = immutable({"tags": "w*", "enabled": False})
    registry.update("ImmutableTags", outputs, **other)
    (rule,) = registry.ask("GET", RULES)
    assert rule["disabled"] and rule["tag_selectors"][0]["pattern"] == "w*"

    registry.update("ImmutableTags", outputs, **immutable({"tags": "x*"}))
    (rule,) = registry.ask("GET", RULES)
    assert not rule.get("disabled") and rule["tag_selectors"][0]["pattern"] == "x*"


def test_trap_an_immutable_rule_that_stays_is_not_written(
    harbor: FakeHarbor, registry: Registry
) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("ImmutableTags", **immutable({"tags": "v*"}, {"tags": "w*"}))
    harbor.calls(forget=True)
    registry.update("ImmutableTags", outputs, **immutable({"tags": "w*"}))
    assert writes(harbor, RULES) == ["DELETE"]


def test_trap_immutable_tags_keep_a_project_that_is_named_for_deletion(
    harbor: FakeHarbor, registry: Registry
) -> None:
    outputs = registry.create("Project", name="apps")
    registry.create("ImmutableTags", **immutable({"tags": "v*"}))
    harbor.put_image("apps", "app", "sha256:0", ["v1"])
    with pytest.raises(HarborError, match="configured as immutable"):
        registry.ask("DELETE", "/projects/apps/repositories/app")
    Registry(harbor, deleteContents='["apps"]').delete("Project", outputs)
    assert registry.ask("GET", "/projects/apps") is None


def test_trap_equal_immutable_rules_are_refused(registry: Registry) -> None:
    assert registry.refused("ImmutableTags", **immutable({"tags": "v*"}, {"tags": "v*"}))
    assert registry.refused("ImmutableTags", **immutable({}, {"tags": "**"}))


def test_trap_rules_of_an_interrupted_run_are_taken_and_a_persons_are_not(
    registry: Registry,
) -> None:
    registry.create("Project", name="apps")
    registry.create("ImmutableTags", **immutable({"tags": "v*"}))
    registry.create("ImmutableTags", **immutable({"tags": "v*"}, {"tags": "w*"}))
    assert len(registry.ask("GET", RULES)) == 2
    with pytest.raises(REFUSED, match="w\\*"):
        registry.create("ImmutableTags", **immutable({"tags": "v*"}))


# ---- retention ------------------------------------------------------------------------------

KEEP: dict[str, Any] = {
    "project": "apps",
    "rules": [{"template": "latestPushedK", "number": 10}],
}


def policy(registry: Registry, project: str = "apps") -> dict[str, Any]:
    metadata = registry.ask("GET", f"/projects/{project}")["metadata"]
    return registry.ask("GET", f"/retentions/{metadata['retention_id']}")


def test_trap_a_trigger_without_settings_ends_core_so_they_are_always_sent(
    harbor: FakeHarbor, registry: Registry
) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Retention", **KEEP)
    assert policy(registry)["trigger"]["settings"] == {"cron": ""}
    registry.update("Retention", outputs, **{**KEEP, "cron": "0 0 3 * * *"})
    registry.update("Retention", outputs, **KEEP)
    assert policy(registry)["trigger"]["settings"] == {"cron": ""}
    registry.ask("DELETE", "/projects/apps")
    assert not harbor.is_dead


def test_trap_another_tools_trigger_without_settings_is_told(registry: Registry) -> None:
    registry.create("Project", name="apps")
    body = {
        "algorithm": "or",
        "rules": [],
        "trigger": {"kind": "Schedule"},
        "scope": {"level": "project", "ref": 2},
    }
    registry.ask("POST", "/retentions", body)
    with pytest.raises(REFUSED, match="core ends when the project is deleted"):
        Registry(registry.harbor, adopt=True).create("Retention", **KEEP)
    registry.harbor.put_image("apps", "app", "sha256:0", ["v1"])
    with pytest.raises(REFUSED, match="core ends when the project is deleted"):
        Registry(registry.harbor, deleteContents='["apps"]').delete("Project", {"name": "apps"})
    assert not registry.harbor.is_dead
    assert registry.ask("GET", "/projects/apps/repositories")


def test_trap_a_proxy_cache_has_a_policy_from_the_beginning(
    harbor: FakeHarbor, registry: Registry
) -> None:
    registry.create("Endpoint", name="ghcr", type="github-ghcr", url="https://ghcr.io")
    registry.create("Project", name="cache", endpoint="ghcr")
    harbor.calls(forget=True)
    registry.create(
        "Retention", project="cache", rules=[{"template": "nDaysSinceLastPull", "number": 30}]
    )
    assert writes(harbor, "/retentions") == ["PUT"]
    assert policy(registry, "cache")["rules"][0]["params"] == {"nDaysSinceLastPull": 30}


def test_trap_a_persons_policy_of_a_cache_is_kept(registry: Registry) -> None:
    registry.create("Endpoint", name="ghcr", type="github-ghcr", url="https://ghcr.io")
    registry.create("Project", name="cache", endpoint="ghcr")
    stored = policy(registry, "cache")
    stored["rules"][0]["params"] = {"nDaysSinceLastPull": 99}
    registry.ask("PUT", f"/retentions/{stored['id']}", stored)
    with pytest.raises(REFUSED, match="99"):
        registry.create("Retention", **{**KEEP, "project": "cache"})


def test_trap_a_policy_that_is_gone_is_a_500_or_a_400(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Retention", **KEEP)
    registry.harbor.world.table("retentions").clear()
    assert registry.read("Retention", "apps", outputs) is None

    registry.create("Project", name="other")
    outputs = registry.create("Retention", **{**KEEP, "project": "other"})
    stale = policy(registry, "other")
    registry.ask("DELETE", f"/retentions/{stale['id']}")
    session = registry.provider.session
    assert session is not None
    KINDS["Retention"].remove(session, {**stale, "project": "other"}, outputs)


def test_trap_a_500_of_an_outage_is_not_taken_for_gone(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Retention", **KEEP)
    # The database goes after the first answer, and /health does not know it yet.
    registry.harbor.plan(Fault("500", path=".*/(retentions|projects)/.*", at=2, times=99))
    with pytest.raises(HarborError, match="500"):
        Registry(registry.harbor, patience=1).read("Retention", "apps", outputs)


def test_trap_the_next_time_beside_the_cron_is_no_change(registry: Registry) -> None:
    registry.create("Project", name="apps")
    inputs = {**KEEP, "cron": "0 0 3 * * *"}
    outputs = registry.create("Retention", **inputs)
    assert "next_scheduled_time" in policy(registry)["trigger"]["settings"]
    assert registry.changed("Retention", outputs, **inputs) == ()


def test_trap_harbor_stores_rules_that_fail_when_they_run(registry: Registry) -> None:
    for rule in (
        {"template": "newest", "number": 3},
        {"template": "latestPushedK"},
        {"template": "latestPushedK", "number": "5"},
        {"template": "latestPushedK", "number": 0},
        {"template": "nDaysSinceLastPush", "number": -1},
        {"template": "always", "tags": "v*", "tagsExcluded": "x"},
        {"template": "always", "action": "delete"},
    ):
        assert registry.refused("Retention", project="apps", rules=[rule]), rule
    sixteen = [{"template": "latestPushedK", "number": n + 1} for n in range(16)]
    assert registry.refused("Retention", project="apps", rules=sixteen)
    twice = [{"template": "always"}, {"template": "always", "tags": "**", "number": 3}]
    assert registry.refused("Retention", project="apps", rules=twice)


def test_trap_beside_excluded_tags_untagged_means_the_opposite(registry: Registry) -> None:
    registry.create("Project", name="apps")
    rules = [{"template": "latestPushedK", "number": 3, "tagsExcluded": "tmp-*", "untagged": True}]
    registry.create("Retention", project="apps", rules=rules)
    (selector,) = policy(registry)["rules"][0]["tag_selectors"]
    assert selector["extras"] == '{"untagged":false}'


def test_trap_a_rule_that_was_switched_off_by_hand_is_seen(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Retention", **KEEP)
    stored = policy(registry)
    stored["rules"][0]["disabled"] = True
    registry.ask("PUT", f"/retentions/{stored['id']}", stored)
    refreshed = registry.read("Retention", "apps", outputs)
    assert refreshed is not None
    assert registry.changed("Retention", refreshed, **KEEP) == ("rules",)
    registry.update("Retention", refreshed, **KEEP)
    assert not policy(registry)["rules"][0].get("disabled")


# ---- replication ----------------------------------------------------------------------------

MIRROR: dict[str, Any] = {
    "name": "mirror",
    "direction": "pull",
    "endpoint": "up",
    "repositories": "org/**",
}
POLICIES = "/replication/policies"


def with_endpoint(registry: Registry) -> None:
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")


def mirror(registry: Registry) -> dict[str, Any]:
    (row,) = registry.ask("GET", POLICIES)
    return row


def test_trap_a_policy_is_off_keeps_no_path_and_overwrites_nothing_unless_all_is_sent(
    registry: Registry,
) -> None:
    with_endpoint(registry)
    outputs = registry.create("ReplicationPolicy", **MIRROR)
    for _ in range(2):
        shown = mirror(registry)
        assert shown["enabled"] and shown["override"]
        assert shown["dest_namespace_replace_count"] == 0
        registry.update("ReplicationPolicy", outputs, **MIRROR, tags="v*")


def test_trap_a_put_replaces_everything_so_a_persons_description_is_sent_along(
    registry: Registry,
) -> None:
    with_endpoint(registry)
    outputs = registry.create("ReplicationPolicy", **MIRROR, tags="v*", into="org")
    registry.ask(
        "PUT", f"{POLICIES}/{mirror(registry)['id']}", {**mirror(registry), "description": "ours"}
    )
    registry.update("ReplicationPolicy", outputs, **MIRROR, tags="v*", into="org", speed=10)
    shown = mirror(registry)
    assert shown["description"] == "ours"
    assert shown["dest_namespace"] == "org" and len(shown["filters"]) == 2


def test_trap_a_direction_can_change_and_the_other_side_is_number_0(registry: Registry) -> None:
    with_endpoint(registry)
    outputs = registry.create("ReplicationPolicy", **MIRROR)
    registry.update("ReplicationPolicy", outputs, **{**MIRROR, "direction": "push"})
    assert mirror(registry)["src_registry"]["id"] == 0
    assert mirror(registry)["dest_registry"]["name"] == "up"


def test_trap_a_policy_is_deleted_when_its_run_is_over_at_last(
    harbor: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.settings.seconds_until_final = 3600

    def wait(*_: object) -> None:
        for run in harbor.world.table("executions").values():
            run["final_at"] = 0

    with_endpoint(registry)
    outputs = registry.create("ReplicationPolicy", **MIRROR, runNow=True)
    monkeypatch.setattr(api.Harbor, "_wait", wait)
    registry.delete("ReplicationPolicy", outputs)
    assert registry.ask("GET", POLICIES) == []
    assert 412 in {call.status for call in harbor.calls() if call.method == "DELETE"}


def test_trap_a_run_that_does_not_end_is_named_with_the_way_out(
    harbor: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.settings.seconds_until_final = 60
    monkeypatch.setattr(replication, "_UNTIL_FINAL", 0)
    with_endpoint(registry)
    outputs = registry.create("ReplicationPolicy", **MIRROR, runNow=True)
    with pytest.raises(Refused, match=r"replication mirror: .* Stop that run"):
        registry.delete("ReplicationPolicy", outputs)


def test_trap_run_now_starts_one_run_after_each_change(
    harbor: FakeHarbor, registry: Registry
) -> None:
    with_endpoint(registry)
    inputs = {**MIRROR, "runNow": True}
    outputs = registry.create("ReplicationPolicy", **inputs)
    assert writes(harbor, "/executions") == ["POST"]
    outputs = registry.update("ReplicationPolicy", outputs, **inputs, tags="v*")
    assert writes(harbor, "/executions") == ["POST", "POST"]
    registry.update("ReplicationPolicy", outputs, **MIRROR, tags="v*")
    assert writes(harbor, "/executions") == ["POST", "POST"]


def test_trap_a_run_that_does_not_start_is_no_failed_policy(
    harbor: FakeHarbor, registry: Registry
) -> None:
    with_endpoint(registry)
    harbor.plan(Fault("500", path=".*/replication/executions", times=99))
    outputs = registry.create("ReplicationPolicy", **MIRROR, runNow=True)
    assert registry.changed("ReplicationPolicy", outputs, **MIRROR, runNow=True) == ()
    assert "its run did not start" in registry.warnings[0]

    registry.update("ReplicationPolicy", outputs, **MIRROR, runNow=True, enabled=False)
    assert "runNow starts nothing" in registry.warnings[1]


def test_trap_an_endpoint_that_harbor_does_not_have_is_named(registry: Registry) -> None:
    with pytest.raises(REFUSED, match="Harbor has no endpoint up"):
        registry.create("ReplicationPolicy", **MIRROR)


def test_trap_what_never_runs_is_taken_by_harbor(registry: Registry) -> None:
    for more in (
        {"trigger": "onPush"},
        {"trigger": "scheduled"},
        {"cron": "0 0 0 * * *"},
        {"trigger": "scheduled", "cron": "0 * * * * *"},
        {"trigger": "scheduled", "cron": "0 0 0 31 2 *"},
        {"direction": "push", "trigger": "onPush", "oneAtATime": True},
        {"into": "Mirror"},
        {"speed": -1},
    ):
        assert registry.refused("ReplicationPolicy", **{**MIRROR, **more}), more


def test_trap_a_name_with_a_plus_or_a_comma_is_found(registry: Registry) -> None:
    with_endpoint(registry)
    names = ("a+b", "a,b", "a b/c", "100%", "a%2Fb", "a_b%_", "\u00fc")
    for name in names:
        outputs = registry.create("ReplicationPolicy", **{**MIRROR, "name": name})
        registry.create("ReplicationPolicy", **{**MIRROR, "name": name})
        assert registry.read("ReplicationPolicy", name, outputs) == outputs
        label = registry.create("Label", name=name)
        assert registry.read("Label", f"/{name}", label) == label
    assert len(registry.ask("GET", POLICIES)) == len(names)


# ---- settings of Harbor ---------------------------------------------------------------------

ISSUER = "https://sso.test/realms/agents"
LOGIN: dict[str, Any] = {
    "part": "login",
    "values": {"auth_mode": "oidc_auth", "oidc_endpoint": ISSUER, "oidc_client_id": "harbor"},
    "secrets": {"oidc_client_secret": "clientsecret"},
}


def system(**values: Any) -> dict[str, Any]:
    return {"part": "system", "values": values}


def item(registry: Registry, name: str) -> Any:
    return registry.ask("GET", "/configurations")[name]["value"]


def test_trap_only_items_that_differ_are_sent(harbor: FakeHarbor, registry: Registry) -> None:
    outputs = registry.create("Configuration", **system(session_timeout=60, token_expiration=31))
    registry.update("Configuration", outputs, **system(session_timeout=61, token_expiration=31))
    harbor.calls(forget=True)
    registry.create("Configuration", **system(session_timeout=61, token_expiration=31))
    assert writes(harbor, "/configurations") == []


def test_trap_an_item_that_harbor_does_not_know_is_a_silent_nothing(registry: Registry) -> None:
    assert registry.refused("Configuration", **system(sesion_timeout=60))
    assert registry.refused("Configuration", **system(core_url="https://x.test"))
    assert registry.refused("Configuration", **system(read_only=True))
    assert registry.refused("Configuration", **system(auth_mode="oidc_auth"))
    assert registry.refused("Configuration", **system(session_timeout="60"))
    assert registry.refused("Configuration", **system(notification_enable=1))
    in_clear = {"part": "login", "values": {"oidc_client_secret": "x"}}
    assert registry.refused("Configuration", **in_clear)


def test_trap_a_default_is_set_only_where_nobody_chose(registry: Registry) -> None:
    defaults = {"project_creation_restriction": "adminonly", "session_timeout": 30}
    registry.ask("PUT", "/configurations", {"session_timeout": 99})
    registry.create("Configuration", part="system", values={}, defaults=defaults)
    assert item(registry, "project_creation_restriction") == "adminonly"
    assert item(registry, "session_timeout") == 99


def test_trap_a_setting_that_a_person_chose_is_kept_unless_adopted(registry: Registry) -> None:
    registry.ask("PUT", "/configurations", {"session_timeout": 99})
    with pytest.raises(REFUSED, match=r"session_timeout is 99.*registry\.adopt"):
        registry.create("Configuration", **system(session_timeout=30))
    Registry(registry.harbor, adopt=True).create("Configuration", **system(session_timeout=30))
    assert item(registry, "session_timeout") == 30


def test_trap_an_audit_endpoint_that_harbor_refuses_is_stored_so_it_is_undone(
    registry: Registry,
) -> None:
    registry.harbor.settings.reachable = ["audit.test:514"]
    outputs = registry.create(
        "Configuration", **system(audit_log_forward_endpoint="audit.test:514")
    )
    with pytest.raises(REFUSED, match="could not connect to the audit endpoint"):
        registry.update(
            "Configuration",
            outputs,
            **system(audit_log_forward_endpoint="dead.test:514", session_timeout=30),
        )
    assert item(registry, "audit_log_forward_endpoint") == "audit.test:514"
    assert item(registry, "session_timeout") == 60


def test_trap_config_overwrite_json_locks_everything_and_preview_says_so(
    registry: Registry,
) -> None:
    outputs = registry.create("Configuration", **system(session_timeout=30))
    registry.harbor.settings.config_overwritten = True
    inputs = system(session_timeout=31)
    with pytest.raises(Refused, match="CONFIG_OVERWRITE_JSON"):
        registry.preview("Configuration", **inputs)
    with pytest.raises(Refused, match="CONFIG_OVERWRITE_JSON"):
        registry.provider.update("urn", "Configuration", outputs, inputs, preview=True)
    with pytest.raises(Refused, match="CONFIG_OVERWRITE_JSON"):
        registry.update("Configuration", outputs, **inputs)


def test_trap_auth_mode_never_changes_while_there_are_users_and_preview_says_so(
    registry: Registry,
) -> None:
    registry.harbor.settings.issuers.append(ISSUER)
    user = {"username": "dora", "email": "d@x.test", "realname": "D", "password": "Dora12345"}
    registry.ask("POST", "/users", user)
    for call in (registry.preview, registry.create):
        with pytest.raises(REFUSED, match=r"users besides admin.*leave `registry[.]login` out"):
            call("Configuration", **LOGIN)
    assert item(registry, "oidc_client_id") == ""


def test_trap_an_issuer_that_does_not_answer_is_stored_by_harbor_so_it_is_asked_first(
    registry: Registry,
) -> None:
    registry.harbor.settings.issuers.append(f"{ISSUER}/")
    with pytest.raises(REFUSED, match=r"nothing was changed.*slash"):
        registry.create("Configuration", **LOGIN)
    assert item(registry, "auth_mode") == "db_auth"
    assert "oidc_client_secret" not in registry.harbor.world["secrets"]


def test_trap_a_client_secret_is_written_only_and_again_when_it_changes(
    harbor: FakeHarbor, registry: Registry
) -> None:
    harbor.settings.issuers.append(ISSUER)
    outputs = registry.create("Configuration", **LOGIN)
    assert "clientsecret" not in str(outputs)
    assert registry.changed("Configuration", outputs, **LOGIN) == ()
    other = {**LOGIN, "secrets": {"oidc_client_secret": "othersecret"}}
    assert registry.changed("Configuration", outputs, **other) == ("secrets",)
    registry.update("Configuration", outputs, **other)
    kept = harbor.world["secrets"]["oidc_client_secret"]
    assert kept == harbor.world.digest("othersecret")


def test_a_login_that_cannot_be_put_back_is_told_with_what_was_before(
    harbor: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.settings.issuers.append(ISSUER)
    registry.api.get("/projects")
    put, written = type(registry.api).put, []

    def once(self: Any, path: str, body: Any, **options: Any) -> None:
        written.append(body)
        if len(written) > 1:
            raise HarborError(f"PUT {path}", 500, "no more")
        put(self, path, body, **options)

    def refused(self: Any, login: str, password: str) -> bool:
        return not written

    monkeypatch.setattr(type(registry.api), "put", once)
    monkeypatch.setattr(type(registry.api), "accepts", refused)
    with pytest.raises(REFUSED, match=r"not be put back .*no more.*had .*auth_mode='db_auth'"):
        registry.create("Configuration", **LOGIN)


def test_a_client_secret_that_did_not_change_is_not_sent_again(
    harbor: FakeHarbor, registry: Registry
) -> None:
    harbor.settings.issuers.append(ISSUER)
    outputs = registry.create("Configuration", **LOGIN)
    del harbor.world["secrets"]["oidc_client_secret"]
    values = {**LOGIN["values"], "oidc_client_id": "other"}
    registry.update("Configuration", outputs, **{**LOGIN, "values": values})
    assert item(registry, "oidc_client_id") == "other"
    assert "oidc_client_secret" not in harbor.world["secrets"]


def test_items_that_are_json_are_compared_by_what_they_say(registry: Registry) -> None:
    outputs = registry.create("Configuration", **system(banner_message='{"message":"x","type":1}'))
    same = system(banner_message='{"type": 1, "message": "x"}')
    assert registry.changed("Configuration", outputs, **same) == ()
    assert registry.changed("Configuration", outputs, **system(banner_message='{"type":1}'))
    before = item(registry, "banner_message")
    registry.update(
        "Configuration",
        outputs,
        **system(session_timeout=77, banner_message='{"type": 1, "message": "x"}'),
    )
    assert item(registry, "session_timeout") == 77
    assert item(registry, "banner_message") == before


def test_a_cache_that_is_declared_as_another_kind_of_project_is_told_as_what_it_is(
    registry: Registry,
) -> None:
    registry.create("Endpoint", name="up", type="docker-registry", url="https://up.test")
    cache = registry.create("Project", name="cache", endpoint="up")
    with pytest.raises(REFUSED, match=r"project cache is .*up.* in Harbor"):
        registry.update("Project", cache, name="cache", endpoint="")


def test_trap_a_login_that_shuts_admin_out_is_put_back(
    harbor: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.settings.issuers.append(ISSUER)
    accepts = type(registry.api).accepts
    asked: list[str] = []

    def after_the_change(self: Any, login: str, password: str) -> bool:
        asked.append(login)
        return accepts(self, login, password) and item(registry, "auth_mode") == "db_auth"

    monkeypatch.setattr(type(registry.api), "accepts", after_the_change)
    with pytest.raises(REFUSED, match=r"everything was put back.*auth_mode='db_auth'"):
        registry.create("Configuration", **LOGIN)
    assert len(asked) >= 2
    assert item(registry, "auth_mode") == "db_auth" and item(registry, "oidc_endpoint") == ""


def test_trap_another_prefix_renames_every_robot_at_once(registry: Registry) -> None:
    registry.create("Configuration", **system(robot_name_prefix="bot$"))
    registry.harbor.calls(forget=True)
    registry.create("Project", name="after")
    assert 401 not in {call.status for call in registry.harbor.calls()}
    registry.create("Robot", name="ci", permissions=[PULL], secret="Secret12345")
    assert registry.api.accepts("bot$ci", "Secret12345")


# ---- webhooks -------------------------------------------------------------------------------

HOOK: dict[str, Any] = {
    "project": "apps",
    "name": "build",
    "url": "https://hooks.test/x",
    "events": ["PUSH_ARTIFACT"],
}


def hook(registry: Registry) -> dict[str, Any]:
    (row,) = registry.ask("GET", "/projects/apps/webhook/policies")
    return row


def test_trap_a_webhook_is_off_unless_enabled_is_sent(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Webhook", **HOOK)
    assert hook(registry)["enabled"]
    registry.update("Webhook", outputs, **{**HOOK, "url": "https://hooks.test/y"})
    assert hook(registry)["enabled"]


def test_trap_a_header_that_harbor_shows_is_compared_and_not_kept(registry: Registry) -> None:
    registry.create("Project", name="apps")
    inputs = {**HOOK, "authorization": "Bearer topsecret"}
    outputs = registry.create("Webhook", **inputs)
    row = hook(registry)
    row["targets"][0]["auth_header"] = "Bearer bypassed"
    registry.ask("PUT", f"/projects/apps/webhook/policies/{row['id']}", row)

    refreshed = registry.read("Webhook", "apps/build", outputs)
    assert refreshed is not None
    assert "bypassed" not in str(refreshed) and "topsecret" not in str(refreshed)
    assert registry.changed("Webhook", refreshed, **inputs) == ("authorizationIsDeclared",)
    outputs = registry.update("Webhook", refreshed, **inputs)
    assert hook(registry)["targets"][0]["auth_header"] == "Bearer topsecret"
    assert registry.changed("Webhook", outputs, **inputs) == ()


def test_trap_a_header_that_is_no_longer_declared_goes(registry: Registry) -> None:
    registry.create("Project", name="apps")
    outputs = registry.create("Webhook", **HOOK, authorization="Bearer topsecret")
    assert registry.changed("Webhook", outputs, **HOOK) == ("authorization",)
    registry.update("Webhook", outputs, **HOOK)
    assert "auth_header" not in hook(registry)["targets"][0]


def test_trap_somebody_elses_header_is_never_repeated(registry: Registry) -> None:
    registry.create("Project", name="apps")
    body = {
        "name": "build",
        "enabled": True,
        "event_types": ["PUSH_ARTIFACT"],
        "targets": [
            {"type": "http", "address": "https://hooks.test/x", "auth_header": "Bearer theirs"}
        ],
    }
    registry.ask("POST", "/projects/apps/webhook/policies", body)
    with pytest.raises(REFUSED, match="authorization is another one") as refusal:
        registry.create("Webhook", **HOOK, authorization="Bearer ours")
    assert "theirs" not in str(refusal.value)


def test_trap_slack_takes_no_format(registry: Registry) -> None:
    registry.create("Project", name="apps")
    assert registry.refused("Webhook", **HOOK, kind="slack", format="Default")
    outputs = registry.create("Webhook", **HOOK, kind="slack")
    assert registry.changed("Webhook", outputs, **HOOK, kind="slack") == ()


def test_trap_an_address_without_a_scheme_is_taken(registry: Registry) -> None:
    assert registry.refused("Webhook", **{**HOOK, "url": "hooks.test/x"})


def test_trap_events_come_in_any_order(registry: Registry) -> None:
    registry.create("Project", name="apps")
    events = ["PUSH_ARTIFACT", "PULL_ARTIFACT"]
    outputs = registry.create("Webhook", **{**HOOK, "events": events})
    assert registry.changed("Webhook", outputs, **{**HOOK, "events": events[::-1]}) == ()


def test_trap_read_only_refuses_all_else_and_one_sentence_says_so(registry: Registry) -> None:
    registry.ask("PUT", "/configurations", {"read_only": True})
    with pytest.raises(REFUSED, match=r"read-only mode .*`registry\.system\.readOnly: false`"):
        registry.create("Project", name="apps")
