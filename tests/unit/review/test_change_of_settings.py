"""What a page says of a change of one setting: the program itself, offline, before and after."""

from __future__ import annotations

from typing import Any

import pytest

from components.credentials import CREDENTIALS
from review import comparison, rules, summary
from review.plan import Plan
from tests.support.mocks import Engine, Registered, plain
from tests.unit.review.test_summary import UNKNOWN_TEXT
from tests.unit.review.test_summary import read as read_steps
from tests.unit.test_program import Program

READERS = {name: credential.readers for name, credential in CREDENTIALS.items()}


@pytest.fixture(scope="module")
def program(sealing_certificate: str, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(sealing_certificate, tmp_path_factory.mktemp("sandbox"))


def preview_of(engine: Engine) -> Plan:
    return read_steps(*map(_step, engine.resources))


def _step(resource: Registered) -> dict[str, Any]:
    inputs = {key: _told(plain(value)) for key, value in resource.inputs.items()}
    state = {
        "urn": _urn(resource.urn),
        "type": resource.typ,
        "custom": resource.custom,
        "parent": _urn(resource.parent),
        "inputs": inputs,
        "protect": resource.protect,
        "retainOnDelete": resource.retain,
        "propertyDependencies": {key: [*map(_urn, resource.dependencies)] for key in inputs},
    }
    return {"op": "create", "urn": state["urn"], "newState": state}


def _urn(urn: str) -> str:
    """Each of the tests' engines has a project of its own."""
    return "::".join(["urn:pulumi:otech", "sovereign-harbor", *urn.split("::")[2:]])


def _told(value: Any) -> Any:
    """As the engine's digest has it."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # protobuf knows no other numbers
    return value if isinstance(value, str | int | float | bool | None) else UNKNOWN_TEXT


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "replicas": (
        {"harbor": {"replicas": {"core": 3}}},
        ["`values.core.replicas`: `1` → `3`", "core 1 → 3", "may open"],
    ),
    "chart": (
        {"harbor": {"chart": {"version": "1.19.1"}}},
        ["The chart changes from `1.18.3` to `1.19.1`", "2.14.3 becomes 2.15.1", "goes one way"],
    ),
    "profile": (
        {"profile": "ha"},
        [
            "- `profile`: set to `ha`",
            "- `harbor.replicas.core, by the profile`: `1` → `2`",
            "- `harbor.disruptionBudgets, by the profile`: `false` → `true`",
            "core 1 → 2",
            "database-cluster 1 → 3",
            "PodDisruptionBudget: `disruption-budgets-core`",
        ],
    ),
    "rotation": (
        {"rotation": {"valkeyPassword": 2}},
        ["`keepers.epoch`: `1` → `2`", "if their credentials change: harbor-valkey, core"],
    ),
    "Enforce": (
        {"imagePolicy": {"enforcement": "Enforce"}},
        ["the policy `require-harbor-images` refuses pods", "`Audit` → `Deny`"],
    ),
    "another bucket": (
        {"storage": {"kind": "hetzner", "region": "fsn1", "bucket": "another-harbor"}},
        ["**data-stays** — `object-storage-bucket`", "→ `another-harbor`"],
    ),
    "sandbox": ({"sandbox": "true"}, ["**`sandbox: true`**"]),
    "retainData": (
        {"retainData": "false"},
        ["**`retainData: false`**", "`(option) retainOnDelete`: `true` → `false`"],
    ),
    "protect": (
        {"protect": "false"},
        ["**`protect: false`**", "`(option) protect`: `true` → `false`"],
    ),
    "fqdn": (
        {"fqdn": "other.omani.works"},
        ["from `registry.otech.omani.works` to `registry.other.omani.works`", "breaks"],
    ),
}


def test_fewer_instances_are_told_with_what_is_deleted(program: Program) -> None:
    base = preview_of(program.preview_offline("otech", profile="ha"))
    head = preview_of(program.preview_offline("otech"))
    text = summary.markdown(comparison.compare(base, head, READERS))
    assert "**PostgreSQL goes from 3 instances to 1.**" in text
    assert "No standby is left." in text


@pytest.mark.parametrize("change", CHANGES)
def test_without_a_backend_the_page_shows_the_change(change: str, program: Program) -> None:
    sections, expected = CHANGES[change]
    base = preview_of(program.preview_offline("otech"))
    head = preview_of(program.preview_offline("otech", **sections))
    plan = comparison.compare(base, head, READERS)
    config = {f"sovereign-harbor:{key}": value for key, value in sections.items()}
    text = summary.markdown(
        plan,
        tuple(rules.violations(plan, sandbox=False)),
        guards=tuple(rules.guards_that_are_off(config)),
        settings=comparison.settings({}, config),
    )
    for words in expected:
        assert words in text, text
    assert (" to create" in text.splitlines()[0]) is (change == "profile")
    assert ("data-stays" in text) is (change == "another bucket")
