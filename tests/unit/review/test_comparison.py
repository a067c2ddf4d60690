"""Two commits' offline previews of one stack, compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from policy.resource import UNKNOWN
from review import comparison, registry, rules, summary
from review.consequences import consequences
from review.plan import Plan
from tests.unit.review.test_summary import (
    BUCKET,
    PASSWORD,
    SEAL,
    SERVICE,
    UNKNOWN_TEXT,
    read,
    section,
    step,
    urn,
)

UNSEALED = "pulumi-python:dynamic/sealing:Unsealed"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
RELEASE = "kubernetes:helm.sh/v3:Release"
POLICY = "kubernetes:policies.kyverno.io/v1:ValidatingPolicy"
READERS = {"valkey-password": ("core", "registry"), "core-secret": ("core",)}


def made(typ: str, name: str, inputs: dict[str, Any], **new: Any) -> dict[str, Any]:
    return step("create", typ, name, None, inputs, new=new)


def compared(base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Plan:
    return comparison.compare(read(*base), read(*head), READERS)


def acts(plan: Plan) -> dict[str, str]:
    return {
        change.name: change.act
        for change in plan.changes
        if change.act != "same" and "Stack" not in change.type
    }


def release(**values: Any) -> dict[str, Any]:
    return made(RELEASE, "harbor-release", {"version": "1.18.3", "values": values})


def test_what_is_alike_in_base_and_head_is_no_change() -> None:
    same = [made(SERVICE, "a", {"x": 1, "y": UNKNOWN_TEXT}), made(BUCKET, "b", {"bucket": "b"})]
    plan = compared(same, same)
    assert acts(plan) == {}
    assert summary.markdown(plan).startswith("## omantel: no changes\n")


def test_what_differs_is_told_by_logical_name() -> None:
    plan = compared(
        [made(SERVICE, "changed", {"x": 1}), made(SERVICE, "gone", {})],
        [made(SERVICE, "changed", {"x": 2}), made(SERVICE, "new", {})],
    )
    assert acts(plan) == {"changed": "update", "new": "create", "gone": "delete"}
    assert "`x`: `1` → `2`" in section(summary.markdown(plan), "Changed")


def test_the_inputs_from_before_are_those_of_the_base() -> None:
    """Else what leaves the file has no name, and what changes is told as new."""
    kind = registry.PREFIX + "Project"
    before = [made(kind, "a", {"name": "a", "public": False}), made(kind, "b", {"name": "b"})]
    plan = compared(before, [made(kind, "a", {"name": "a", "public": True})])
    changed, gone = (change for change in plan.changes if change.type == kind)
    assert changed.had == {"name": "a", "public": False}
    assert gone.had == {"name": "b"}
    told = registry.consequences(plan)
    assert [sentence.split("`")[1] for sentence in told] == ["a", "b"]


def test_another_bucket_is_a_replacement_that_the_rules_refuse() -> None:
    plan = compared(
        [made(BUCKET, "bucket", {"bucket": "a"})], [made(BUCKET, "bucket", {"bucket": "b"})]
    )
    assert acts(plan) == {"bucket": "replace"}
    (violation,) = rules.violations(plan, sandbox=False)
    assert violation.message == (
        "it would be replaced because bucket changes, and with it the images"
    )


def test_a_guard_that_is_given_up_is_a_change_of_each_resource() -> None:
    kept = made(BUCKET, "bucket", {"bucket": "a"}, protect=True, retainOnDelete=True)
    plan = compared([kept], [made(BUCKET, "bucket", {"bucket": "a"})])
    (change,) = [change for change in plan.changes if change.name == "bucket"]
    assert [difference.path for difference in change.differences] == [
        "(option) protect",
        "(option) retainOnDelete",
    ]


def rotation(epoch: int) -> list[dict[str, Any]]:
    password = urn(PASSWORD, "credentials-valkey-password")
    seal, unsealed = urn(SEAL, "cache-seal"), urn(UNSEALED, "cache-unsealed")
    other = urn(UNSEALED, "other-unsealed")
    return [
        made(PASSWORD, "credentials-valkey-password", {"keepers": {"epoch": str(epoch)}}),
        made(SEAL, "cache-seal", {"data": "[secret]"}, propertyDependencies={"data": [password]}),
        made(
            UNSEALED,
            "cache-unsealed",
            {"revision": UNKNOWN_TEXT},
            propertyDependencies={"revision": [seal]},
        ),
        made(UNSEALED, "other-unsealed", {"revision": UNKNOWN_TEXT}),
        made(
            STATEFUL_SET,
            "cache-server",
            {
                "metadata": {"name": "harbor-valkey"},
                "spec": {
                    "volumeClaimTemplates": [{"a": 1}],
                    "template": {
                        "metadata": {"annotations": {"sovereign-harbor/secrets": UNKNOWN_TEXT}}
                    },
                },
            },
            propertyDependencies={"spec": [unsealed]},
        ),
        # The Release's provider leaves what is not known out of the inputs.
        made(
            RELEASE,
            "harbor-release",
            {"values": {"core": {"podAnnotations": {}}, "portal": {"podAnnotations": {}}}},
            propertyDependencies={"values": [unsealed, other]},
        ),
    ]


def test_a_rotation_is_followed_to_the_pods_that_read_the_credential_and_no_further() -> None:
    plan = compared(rotation(1), rotation(2))
    assert acts(plan) == {
        "credentials-valkey-password": "replace",
        "cache-seal": "update",
        "cache-unsealed": "update",
        "cache-server": "update",
        "harbor-release": "update",
    }
    assert list(rules.violations(plan, sandbox=False)) == []
    (said,) = consequences(plan)
    assert said.startswith("Pods restart if their credentials change: harbor-valkey, core, regist")
    assert "portal" not in said


def test_another_sealing_certificate_restarts_nothing() -> None:
    base, head = rotation(1), rotation(1)
    base[1]["newState"]["inputs"] = {"data": "[secret]", "certificate": "a"}
    head[1]["newState"]["inputs"] = {"data": "[secret]", "certificate": "b"}
    assert acts(compared(base, head)) == {"cache-seal": "update"}


def test_settings_are_compared_by_key_and_no_secret_is_shown() -> None:
    base = {
        "sovereign-harbor:storage": {"bucket": "a", "region": "fsn1"},
        "sovereign-harbor:s3SecretKey": {"secure": "v1:hunter2"},
        "sovereign-harbor:dnsToken": "hunter3",
        "sovereign-harbor:fqdn": "a.example",
    }
    head = {
        "sovereign-harbor:storage": {"bucket": "b", "region": "fsn1"},
        "sovereign-harbor:s3SecretKey": {"secure": "v1:hunter4"},
        "sovereign-harbor:dnsToken": "hunter5",
        "sovereign-harbor:fqdn": "a.example",
        "sovereign-harbor:retainData": "false",
    }
    differences = comparison.settings(base, head)
    text = section(summary.markdown(read(), settings=differences), "Settings")
    assert "hunter" not in text
    assert text.splitlines() == [
        "- `storage.bucket`: `a` → `b`",
        "- `s3SecretKey`: another value",
        "- `dnsToken`: another value",
        "- `retainData`: set to `false`",
    ]


# --- What it means ------------------------------------------------------------------------------


def said(base: dict[str, Any], head: dict[str, Any], *infos: str) -> str:
    return "\n".join(consequences(replace(compared([base], [head]), infos=infos)))


def test_a_changed_address_breaks_every_image_reference() -> None:
    text = said(
        release(externalURL="https://registry.a.example"),
        release(externalURL="https://registry.b.example"),
    )
    assert "Every image reference that begins with `registry.a.example/` breaks" in text
    assert "`imagePolicy.extraPrefixes`" in text
    assert "Pods restart: core." in text


def test_a_newer_chart_migrates_the_database_one_way() -> None:
    newer = release()
    newer["newState"]["inputs"]["version"] = "1.19.1"
    text = said(release(), newer)
    assert "`1.18.3` to `1.19.1`" in text
    assert "goes one way" in text
    assert "Pods restart: core, jobservice, portal, registry, trivy, exporter." in text


def test_more_pods_share_the_connections_and_none_restarts_for_it() -> None:
    text = said(
        release(core={"replicas": 1}, database={"maxOpenConns": 30}),
        release(core={"replicas": 3}, database={"maxOpenConns": 18}),
    )
    assert "Each pod of core, jobservice and exporter may open 18 connections" in text
    assert "The number of pods changes: core 1 → 3." in text


def policy(action: str, **more: Any) -> dict[str, Any]:
    return made(
        POLICY,
        "image-policy-require",
        {
            "metadata": {"name": "require-harbor-images"},
            "spec": {"validationActions": [action], **more},
        },
    )


def test_enforce_says_what_is_refused_and_on_which_evidence() -> None:
    text = said(policy("Audit"), policy("Deny"))
    assert "From now on the policy `require-harbor-images` refuses pods" in text
    assert "not known here how many reports" in text
    told = "sovereign-harbor:imagePolicy.enforcement = Enforce rests on reports about 7 pods"
    assert told in said(policy("Audit"), policy("Deny"), told)


def test_a_policy_that_refused_already_is_no_news_unless_its_rules_change() -> None:
    assert said(policy("Deny"), policy("Deny")) == ""
    assert "by other rules from now on" in said(policy("Deny"), policy("Deny", variables=[1]))
    assert "refuses no pods any more" in said(policy("Deny"), policy("Audit"))


def test_an_unknown_annotation_that_the_release_s_provider_leaves_out_is_not_removed() -> None:
    annotated = {"core": {"podAnnotations": {"sovereign-harbor/secrets": "abc"}}}
    plan = read(
        step(
            "update",
            RELEASE,
            "harbor-release",
            {"values": annotated},
            {"values": {"core": {"podAnnotations": {}}}},
        )
    )
    (difference,) = plan.changes[1].differences
    assert difference.after is UNKNOWN
