"""From what the engine writes to what a reviewer reads."""

from __future__ import annotations

import re
from typing import Any

import pytest

from policy.resource import UNKNOWN
from review import diagram, plan, rules, summary
from review.plan import Plan

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
STACK = "urn:pulumi:omantel::sovereign-harbor::pulumi:pulumi:Stack::sovereign-harbor-omantel"
BUCKET = "pulumi-python:dynamic/storage:S3Bucket"
PASSWORD = "random:index/randomPassword:RandomPassword"
SEAL = "pulumi-python:dynamic/sealing:Seal"
SERVICE = "kubernetes:core/v1:Service"


def urn(typ: str, name: str) -> str:
    return f"urn:pulumi:omantel::sovereign-harbor::{typ}::{name}"


def state(typ: str, name: str, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "urn": urn(typ, name),
        "type": typ,
        "custom": not typ.startswith("sovereign-harbor:"),
        "parent": STACK,
        "inputs": inputs or {},
        **more,
    }


def step(
    op: str,
    typ: str,
    name: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    *,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    made: dict[str, Any] = {"op": op, "urn": urn(typ, name), **more}
    if op != "create":
        made["oldState"] = state(typ, name, before, **(old or {}))
    if op != "delete":
        made["newState"] = state(typ, name, before if after is None else after, **(new or {}))
    return made


ROOT = {"op": "same", "urn": STACK, "newState": {"urn": STACK, "type": "pulumi:pulumi:Stack"}}


def read(*steps: dict[str, Any], **digest: Any) -> Plan:
    return plan.read("omantel", {"steps": [ROOT, *steps], **digest})


def section(text: str, title: str) -> str:
    """The text below a heading, up to the next."""
    body = re.search(rf"^#+ {title}.*?\n\n(.*?)(?=\n\n#|\n\n<details|\Z)", text, re.S | re.M)
    assert body, f"no {title} in:\n{text}"
    return body[1]


# --- Reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "act"),
    [
        ("create", "create"),
        ("import", "create"),
        ("update", "update"),
        ("replace", "replace"),
        ("create-replacement", "replace"),
        ("delete-replaced", "replace"),
        ("delete", "delete"),
        ("same", "same"),
        ("read", "same"),
        ("refresh", "same"),
    ],
)
def test_every_operation_of_the_engine_has_its_word(op: str, act: str) -> None:
    [_, change] = read(step(op, SERVICE, "it")).changes
    assert change.act == act


def test_the_steps_of_a_replacement_are_one_change() -> None:
    replacement = read(
        step("create-replacement", SERVICE, "it"),
        step("replace", SERVICE, "it", replaceReasons=["metadata.name"]),
        step("delete-replaced", SERVICE, "it"),
    )
    assert replacement.count("replace") == 1
    assert len(replacement.changes) == 2


def test_differences_are_those_of_the_leaves() -> None:
    before = {"spec": {"ports": [{"port": 80}, {"port": 81}]}, "same": 1, "__provider": "a"}
    after = {"spec": {"ports": [{"port": 80}, {"port": 82}]}, "same": 1, "__provider": "b"}
    [_, change] = read(step("update", SERVICE, "it", before, after)).changes
    assert [(d.path, d.before, d.after) for d in change.differences] == [
        ("spec.ports[1].port", 81, 82)
    ]


def test_what_becomes_unknown_is_one_difference() -> None:
    [_, change] = read(
        step("update", SERVICE, "it", {"spec": {"a": 1, "b": 2}}, {"spec": UNKNOWN_TEXT})
    ).changes
    assert [(d.path, d.after) for d in change.differences] == [("spec", UNKNOWN)]


def test_the_policy_s_findings_come_from_the_event_log() -> None:
    event = {
        "policyEvent": {
            "policyName": "no-plaintext-secret",
            "resourceUrn": urn(SERVICE, "it"),
            "message": "What the rule is for.\nvalues.x holds a secret in plain text\n",
            "enforcementLevel": "mandatory",
        }
    }
    [violation] = plan.read("omantel", {}, [event, {"summaryEvent": {}}]).violations
    assert (violation.rule, violation.resource) == ("no-plaintext-secret", "it")
    assert violation.message == "values.x holds a secret in plain text"


# --- Text ---------------------------------------------------------------------------------------


def test_no_change_says_so_in_the_headline() -> None:
    text = summary.markdown(read(step("same", SERVICE, "it")))
    assert text.startswith("## omantel: no changes\n")


def test_the_headline_counts_from_the_gravest() -> None:
    text = summary.markdown(
        read(
            step("create", SERVICE, "a"),
            step("update", SERVICE, "b", {"x": 1}, {"x": 2}),
            step("replace", SERVICE, "c"),
            step("delete", SERVICE, "d"),
        )
    )
    assert text.startswith("## omantel: 1 to delete, 1 to replace, 1 to change, 1 to create\n")


def test_a_replacement_says_why_and_what_becomes_of_it() -> None:
    text = summary.markdown(
        read(
            step(
                "replace",
                BUCKET,
                "bucket",
                {"bucket": "a-harbor", "region": "fsn1"},
                {"bucket": "b-harbor", "region": "fsn1"},
                old={"retainOnDelete": True},
                replaceReasons=["bucket"],
            )
        )
    )
    body = section(text, "Replaced")
    assert body.startswith("- **S3Bucket `bucket`**: because `bucket` changes; the old one itself")
    assert "`bucket`: `a-harbor` → `b-harbor`" in body


@pytest.mark.parametrize("op", ["create", "update", "replace", "delete"])
def test_what_touches_data_is_bold(op: str) -> None:
    text = summary.markdown(
        read(
            step(op, PASSWORD, "credentials-secret-key", {"a": 1}, {"a": 2}),
            step(op, PASSWORD, "credentials-core-secret", {"a": 1}, {"a": 2}),
        )
    )
    assert "RandomPassword `credentials-secret-key`**" in section(text, "Touches data")
    assert "credentials-core-secret" not in section(text, "Touches data")
    assert "**RandomPassword `credentials-secret-key`**" in text
    assert "**RandomPassword `credentials-core-secret`**" not in text


@pytest.mark.parametrize(
    ("typ", "before", "after"),
    [
        ("kubernetes:core/v1:Namespace", {"metadata": {"labels": {"a": "b"}}}, {"metadata": {}}),
        (BUCKET, {"tags": {"team": "a"}}, {"tags": {"team": "b"}}),
    ],
)
def test_labels_and_tags_of_what_holds_data_are_no_data(
    typ: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    text = summary.markdown(read(step("update", typ, "it", before, after)))
    assert "Touches data" not in text
    assert "**" not in section(text, "Changed")


def test_guards_that_are_off_stand_at_the_top() -> None:
    config = {
        "sovereign-harbor:sandbox": "true",
        "sovereign-harbor:protect": False,
        "sovereign-harbor:retainData": "false",
    }
    deletion = read(step("delete", BUCKET, "bucket"))
    text = summary.markdown(
        deletion,
        tuple(rules.violations(deletion, sandbox=False)),
        guards=tuple(rules.guards_that_are_off(config)),
    )
    guards = section(text, "Guards that are off").splitlines()
    named = [re.match(r"- \*\*`(.*?)`\*\*", line) for line in guards]
    assert [match and match[1] for match in named] == [
        "sandbox: true",
        "protect: false",
        "retainData: false",
    ]
    assert text.index("Guards that are off") < text.index("Not allowed")
    assert list(rules.guards_that_are_off({"sovereign-harbor:protect": "true"})) == []


def test_what_the_program_says_for_information_is_on_the_page() -> None:
    hint = {"severity": "info", "message": "info: Traefik needs its own timeouts\n"}
    text = summary.markdown(read(diagnostics=[hint]))
    assert "<summary>1 hint</summary>\n\n- Traefik needs its own timeouts\n" in text


def test_the_page_is_the_same_in_whatever_order_the_engine_works() -> None:
    steps = [
        step("update", SERVICE, name, {"x": name}, {"x": 1}, new={"dependencies": needed})
        for name, needed in (("a", []), ("b", [urn(SERVICE, "a")]), ("c", [urn(SERVICE, "b")]))
    ]
    assert summary.markdown(read(*steps)) == summary.markdown(read(*reversed(steps)))


def test_a_volume_that_the_new_state_no_longer_has_is_data_too() -> None:
    text = summary.markdown(
        read(
            step(
                "update",
                "kubernetes:apps/v1:StatefulSet",
                "cache-server",
                {"spec": {"volumeClaimTemplates": [{"a": 1}]}},
                {"spec": {}},
            )
        )
    )
    assert "cache-server" in section(text, "Touches data")


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "inputs",
    [
        {"password": SECRET},
        {"values": {"core": {"secret": SECRET}}},
        {"s3SecretKey": SECRET},
        {"spec": {"encryptedData": {"anything": SECRET}}},
        {"note": f"first line\n{SECRET}"},
        {"pem": f"-----BEGIN CERTIFICATE-----{SECRET}"},
    ],
)
def test_a_value_that_could_be_a_secret_is_never_shown(inputs: dict[str, Any]) -> None:
    changed = read(
        step("update", SERVICE, "it", {}, inputs),
        step("update", SERVICE, "other", inputs, {}),
        step("update", SERVICE, "third", inputs, _other(inputs)),
    )
    text = summary.markdown(changed)
    assert SECRET not in text
    assert "another value" in text


def _other(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _other(item) for key, item in value.items()}
    return f"{value} and more"


def test_a_secret_of_the_engine_is_shown_as_another_value() -> None:
    text = summary.markdown(
        read(step("update", SEAL, "it", {"data": "[secret]"}, {"data": UNKNOWN_TEXT}))
    )
    assert "`data`: another value" in text
    assert "[secret]" not in text


def test_what_changes_alike_stands_in_one_line() -> None:
    steps = [
        step(
            "replace",
            SERVICE,
            name,
            {"metadata": {"namespace": "harbor"}},
            {"metadata": {"namespace": "registry"}},
            replaceReasons=["metadata.namespace"],
        )
        for name in ("a", "b", "c")
    ]
    body = section(summary.markdown(read(*steps)), "Replaced")
    assert body.startswith("- Service `a`, `b`, `c`: because `metadata.namespace` changes")
    assert body.count("registry") == 1


def test_a_sealed_secret_is_one_thing() -> None:
    component = "sovereign-harbor:index:SealedSecret"
    parent = {"parent": urn(component, "credentials-core-secret")}
    text = summary.markdown(
        read(
            step("create", component, "credentials-core-secret"),
            step("create", SEAL, "credentials-core-secret-seal", new=parent),
            step("create", SERVICE, "credentials-core-secret-manifest", new=parent),
        )
    )
    assert "- SealedSecret: `credentials-core-secret`" in text
    assert "-seal`" not in text
    assert "2 to create" in text


def test_values_cannot_break_out_of_the_markdown() -> None:
    text = summary.markdown(
        read(step("update", SERVICE, "it", {"a": "x"}, {"a": "`| **bold** <b>" + "y" * 200}))
    )
    [line] = [line for line in text.splitlines() if "`a`" in line]
    assert "`'\\| **bold** <b>y" in line
    assert line.endswith("…`")
    assert len(line) < 120


def test_long_lists_are_folded_away_but_never_replacements() -> None:
    many = [f"s{index}" for index in range(20)]
    created = read(*(step("update", SERVICE, n, {"x": n}, {"x": n * 2}) for n in many))
    assert "<details><summary><b>Changed (20)</b></summary>" in summary.markdown(created)
    replaced = read(*(step("replace", SERVICE, n, {"x": n}, {"x": n * 2}) for n in many))
    assert "### Replaced (20)" in summary.markdown(replaced)


def test_a_warning_s_commands_can_be_copied() -> None:
    warning = "warning: not set: a\nset it:\n  pulumi config set a\n"
    plan = read(diagnostics=[{"severity": "warning", "message": warning}])
    assert "- not set: a<br>set it:<br>`pulumi config set a`\n" in summary.markdown(plan)


def test_errors_and_warnings_of_the_engine_are_told_once() -> None:
    text = summary.markdown(
        read(
            diagnostics=[
                {"severity": "error", "message": "error: 1 setting is refused\n  fix: this\n"},
                {"severity": "error", "message": "error: preview failed"},
                {"severity": "warning", "message": "warning: not set: a\n"},
                {"severity": "warning", "message": "warning: not set: a\n"},
                {"severity": "warning", "message": "using pulumi-x from $PATH at /somewhere"},
            ]
        )
    )
    assert text.startswith("## omantel: the preview failed\n")
    assert text.count("1 setting is refused") == 1
    assert text.count("not set: a") == 1
    assert "$PATH" not in text
    assert "preview failed\n```" not in text


def test_a_broken_rule_stands_first_with_its_name() -> None:
    deletion = read(step("delete", BUCKET, "bucket"))
    text = summary.markdown(deletion, tuple(rules.violations(deletion, sandbox=False)))
    assert text.startswith("## omantel: 1 to delete; 1 rule broken\n")
    assert "**data-stays** — `bucket`: it would be deleted, and with it the images" in text
    assert text.index("Not allowed") < text.index("Touches data") < text.index("Deleted")


# --- Rules over the whole preview ---------------------------------------------------------------


def broken(*steps: dict[str, Any], sandbox: bool = False) -> list[str]:
    return [f"{v.rule} {v.resource}" for v in rules.violations(read(*steps), sandbox=sandbox)]


@pytest.mark.parametrize("op", ["delete", "replace"])
def test_data_and_what_is_protected_stays(op: str) -> None:
    protected = step(op, SERVICE, "it", old={"protect": True})
    assert broken(step(op, BUCKET, "bucket"), protected) == ["data-stays bucket", "data-stays it"]
    assert broken(step(op, BUCKET, "bucket"), protected, sandbox=True) == []
    assert broken(step(op, SERVICE, "it")) == []


@pytest.mark.parametrize("op", ["create", "update", "same"])
def test_data_may_come_and_change(op: str) -> None:
    assert broken(step(op, BUCKET, "bucket", {"a": 1}, {"a": 2})) == []


@pytest.mark.parametrize(
    ("value", "is_fine"),
    [("[secret]", True), (UNKNOWN_TEXT, True), ("", True), ("plain", False), ({"a": "b"}, False)],
)
def test_what_policies_cannot_see_is_checked_to_be_encrypted(value: Any, is_fine: bool) -> None:
    steps = [
        step("create", SEAL, "seal", {"data": value}),
        step("create", "pulumi:providers:hcloud", "dns", {"token": value}),
        step("create", "sovereign-registry:index:Robot", "robot", {"secret": value}),
    ]
    names = ("seal", "dns", "robot")
    reported = [] if is_fine else [f"secrets-are-encrypted {name}" for name in names]
    assert broken(*steps, sandbox=True) == reported


def test_the_name_of_a_secret_need_not_be_encrypted() -> None:
    names = {"adminSecret": "harbor-admin", "accountSecret": "harbor-account"}
    assert broken(step("create", "pulumi:providers:sovereign-registry", "registry", names)) == []


# --- Diagram ------------------------------------------------------------------------------------


def edges(text: str) -> set[tuple[str, str]]:
    names = dict(re.findall(r'^  (\w+)\(?\["?\(?"?([\w-]+)<br/>', text, re.M))
    return {(names[a], names[b]) for a, b in re.findall(r"^  (\w+) --> (\w+)$", text, re.M)}


def test_the_diagram_has_components_and_no_edge_that_a_longer_path_implies() -> None:
    component = "sovereign-harbor:index:Valkey"
    home = urn("kubernetes:core/v1:Namespace", "namespace")
    inside = {"parent": urn(component, "cache")}
    server = {**inside, "dependencies": [home]}
    stack = read(
        step("create", "kubernetes:core/v1:Namespace", "namespace"),
        step("create", component, "cache"),
        step("create", SERVICE, "cache-service", new=inside),
        step("update", SERVICE, "cache-server", {"a": 1}, {"a": 2}, new=server),
        step(
            "create",
            "kubernetes:helm.sh/v3:Release",
            "harbor",
            new={
                "dependencies": [home],
                "propertyDependencies": {"values": [urn(SERVICE, "cache-server")]},
            },
        ),
    )
    text = diagram.mermaid(stack)
    assert edges(text) == {("namespace", "cache"), ("cache", "harbor")}
    assert '(["namespace<br/><small>Namespace +1</small>"]):::create' in text
    assert '["cache<br/><small>Valkey ~1 +1</small>"]:::update' in text
    assert "cache-service" not in text


def chain(*names: str) -> list[dict[str, Any]]:
    """Creations of resources, of which each needs the one before it."""
    urns = [urn(SERVICE, name) for name in names]
    return [
        step("create", SERVICE, name, new={"dependencies": urns[index - 1 : index]})
        for index, name in enumerate(names)
    ]


def test_a_component_more_or_less_changes_no_other_line_of_the_diagram() -> None:
    before = diagram.mermaid(read(*chain("database", "harbor"))).splitlines()
    more = [*chain("database", "harbor"), *chain("a-cache"), *chain("end"), *chain("zone")]
    after = diagram.mermaid(read(*more)).splitlines()
    assert [line for line in after if line in before] == before
    assert len(after) == len(before) + 3


def test_two_components_of_like_names_are_two_nodes_of_the_diagram() -> None:
    alike = [*chain("the-cache"), *chain("the.cache"), step("create", BUCKET, "the-cache")]
    text = diagram.mermaid(read(*alike, *chain("harbor")))
    nodes = re.findall(r"^  (\w+)\(?\[", text, re.M)
    assert len(nodes) == len(set(nodes)) == 4
    assert text == diagram.mermaid(read(*chain("harbor"), *reversed(alike)))


def test_the_colour_is_that_of_the_gravest_change() -> None:
    assert diagram.gravest(["same", "create", "delete", "update"]) == "delete"
    assert diagram.gravest([]) == "same"
