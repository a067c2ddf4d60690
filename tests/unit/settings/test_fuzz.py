"""Random whole stack files: valid ones become Settings, and one fault is refused by its key."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from components.settings.model import Settings
from components.settings.reading import refusals, spec, stack_file
from components.settings.reading.refusals import Reading, dotted
from tests.support.stack_files import leaves, objects, stack_files

BOUNDED = settings(
    max_examples=25,
    deadline=None,
    phases=(
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ),  # to make a whole file small takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def read(raw: dict[str, Any]) -> Reading:
    return refusals.read(raw, stack="nizwa")


def without(raw: Any, path: spec.Path) -> Any:
    """The raw config without what is at a path."""
    segment, *rest = path
    if rest:
        return refusals.replaced(
            raw, (segment,), without(spec.lookup(raw, (segment,)), tuple(rest))
        )
    if isinstance(segment, int):
        return [*raw[:segment], *raw[segment + 1 :]]
    return {key: value for key, value in raw.items() if key != segment}


def path_of(key: str) -> spec.Path:
    parts = re.findall(r'\[(\d+)\]|\["([^"]*)"\]|([^.\[\]]+)', key)
    return tuple(int(index) if index else quoted or name for index, quoted, name in parts)


def repaired(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw config after what a person does about refusals between settings: take things away."""
    for _ in range(40):
        refused = read(raw).refusals
        if not refused:
            return raw
        path = path_of(refused[0].key)
        while path and spec.lookup(raw, path) is spec.ABSENT:
            path = path[:-1]
        assume(path)
        top = str(path[0]) if path else ""
        raw = without(raw, path) if len(path) > 1 else {**raw, top: BASE.get(top, {})}
        raw = {key: value for key, value in raw.items() if value != {} or key in BASE}
    assume(False)
    return raw


BASE: dict[str, Any] = {
    "fqdn": "nizwa.omani.works",
    "cluster": {"name": "nizwa"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "nizwa-harbor"},
}


@BOUNDED
@given(stack_files())
def test_a_random_stack_file_is_settings_or_refusals_with_a_way_out(raw: dict[str, Any]) -> None:
    reading = read(raw)
    assert (reading.settings is None) == bool(reading.refusals)
    for edits in (False, True):
        for refusal in refusals.read(raw, stack="nizwa", edits=edits).refusals:
            assert refusal.fix
            assert refusal.allowed
            assert "omantel" not in refusal.fix


@BOUNDED
@given(stack_files())
def test_a_valid_stack_file_is_written_read_and_built(raw: dict[str, Any]) -> None:
    valid = repaired(raw)
    config = {f"sovereign-harbor:{key}": value for key, value in valid.items()}
    again = stack_file.parse(stack_file.written(config).encode(), "Pulumi.nizwa.yaml").settings
    assert again == valid
    built = read(again).settings
    assert isinstance(built, Settings)
    # What the settings hold is itself a valid file with the same meaning.
    assert read(built.model_dump(mode="json", by_alias=True, exclude_none=True)).settings == built


CORRUPT: list[Any] = [{"zzz": 1}, [["zzz"]], "a\x00b", "\u00a0", "zzz zzz\n", "<x>"]
"""No setting is any of these: placeholders neither, which fixes leave to people."""


@BOUNDED
@given(stack_files(), st.data())
def test_one_value_that_is_none_is_refused_by_its_key(raw: dict[str, Any], data: Any) -> None:
    valid = repaired(raw)
    path = data.draw(st.sampled_from(leaves(valid)))
    corrupt = data.draw(st.sampled_from(CORRUPT))
    is_free = spec.lookup(valid, path[:-1]) is not spec.ABSENT and "annotations" in path
    assume(not is_free)  # whatever an annotation says
    reading = read(refusals.replaced(valid, path, corrupt))
    key = dotted(path)
    told = [refusal.key for refusal in reading.refusals]
    assert any(
        each == key
        or each.startswith((f"{key}.", f"{key}["))
        or key.startswith((f"{each}.", f"{each}["))
        for each in told
    ), (key, corrupt, told)


@BOUNDED
@given(stack_files(), st.data())
def test_one_unknown_key_is_refused_by_its_name(raw: dict[str, Any], data: Any) -> None:
    valid = repaired(raw)
    path = data.draw(st.sampled_from(objects(valid)))
    reading = read(refusals.replaced(valid, (*path, "zzzUnknown"), "x"))
    assert [refusal.key for refusal in reading.refusals] == [dotted((*path, "zzzUnknown"))]


@pytest.mark.parametrize("value", [None, "null", "", "{}"])
def test_nothing_behind_a_colon_is_told(value: Any) -> None:
    (refusal,) = read(BASE | {"fqdn": value}).refusals
    assert refusal.key == "fqdn"
