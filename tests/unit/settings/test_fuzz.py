"""Random whole stack files: valid ones become Settings and preview, one fault is refused by key.

The percentages are of all cases (tests/support/fuzzing.py) and come to 100.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.settings.model import Settings
from components.settings.reading import refusals, spec, stack_file
from components.settings.reading.refusals import Reading, Refusal, dotted
from tests.support.fuzzing import cases
from tests.support.printed_fixes import followed, is_for_a_machine, path_of, without
from tests.support.stack_files import leaves, objects, stack_files
from tests.unit.test_program import Program

BASE: dict[str, Any] = {
    "fqdn": "nizwa.omani.works",
    "cluster": {"name": "nizwa"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "nizwa-harbor"},
}


def read(raw: dict[str, Any]) -> Reading:
    return refusals.read(raw, stack="nizwa")


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


def is_about(refusal: Refusal, key: str) -> bool:
    """Whether a refusal is of that key, of a part of it, or of the section that it is in."""
    told = refusal.key
    return (
        told == key
        or told.startswith((f"{key}.", f"{key}["))
        or key.startswith((f"{told}.", f"{told}["))
    )


@pytest.mark.fuzz
@cases(16)
@given(stack_files())
def test_a_random_stack_file_is_settings_or_refusals_with_a_way_out(raw: dict[str, Any]) -> None:
    reading = read(raw)
    assert (reading.settings is None) == bool(reading.refusals)
    for edits in (False, True):
        for refusal in refusals.read(raw, stack="nizwa", edits=edits).refusals:
            assert refusal.fix
            assert refusal.allowed
            assert "omantel" not in refusal.fix


@pytest.mark.fuzz
@cases(16)
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


@pytest.fixture(scope="module")
def program(sealing_certificate: str, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(sealing_certificate, tmp_path_factory.mktemp("sandbox"))


@pytest.mark.fuzz
@cases(2)
@given(raw=stack_files())
def test_a_valid_stack_file_previews(raw: dict[str, Any], program: Program) -> None:
    valid = repaired(raw)
    # The certificate is a file's name or a text between the right lines, and here neither is one;
    # nor is there a chart.
    if valid.get("secrets", {}).get("delivery") != "external":
        sealing = {**valid.get("sealing", {}), "certificate": program.certificate}
        valid = {**valid, "sealing": sealing}
    valid["harbor"] = {k: v for k, v in valid.get("harbor", {}).items() if k != "chart"}
    engine = program.preview_of_file("nizwa", valid)
    assert len(engine.resources) > 20


CORRUPT: list[Any] = [
    *({"zzz": 1}, [["zzz"]], "a\x00b", "\u00a0", "zzz zzz\n", "<x>", None),
    *(
        -(10**30),
        "\ud800",
        "z" * 5000,
        {"": {"": []}},
        "\u00ff",
    ),
]
"""No setting is any of these: placeholders neither, which fixes leave to people."""


@pytest.mark.fuzz
@cases(36)
@given(stack_files(), st.data())
def test_one_value_that_is_none_is_refused_by_its_key(raw: dict[str, Any], data: Any) -> None:
    valid = repaired(raw)
    path = data.draw(st.sampled_from(leaves(valid)))
    corrupt = data.draw(st.sampled_from(CORRUPT))
    is_free = spec.lookup(valid, path[:-1]) is not spec.ABSENT and "annotations" in path
    assume(not is_free)  # whatever an annotation says
    broken = refusals.replaced(valid, path, corrupt)
    key = dotted(path)
    refusals_of_all = read(broken).refusals
    refused = [each for each in refusals_of_all if is_about(each, key)]
    if corrupt is None and not refused:  # null is another way not to set what may be left out
        assert refusals_of_all == read(without(valid, path)).refusals, key
        return
    if corrupt in (-(10**30), "\u00ff") and not refused:  # a free text may be a number, as an id is
        words = read(refusals.replaced(valid, path, "any-word")).refusals
        assert not [each for each in words if is_about(each, key)], key
        return
    assert refused, (key, corrupt, refusals_of_all)
    for refusal in refused:
        assert refusal.value
        assert refusal.allowed
        assert refusal.fix
        if is_for_a_machine(refusal):
            after = read(followed(broken, refusal)).refusals
            assert refusal not in after, (key, corrupt)


@pytest.mark.fuzz
@cases(15)
@given(stack_files(), st.data())
def test_one_value_left_out_is_refused_by_its_key_or_not_needed(
    raw: dict[str, Any], data: Any
) -> None:
    valid = repaired(raw)
    path = data.draw(st.sampled_from([path for path in leaves(valid) if path]))
    for refusal in read(without(valid, path)).refusals:
        assert refusal.allowed
        assert refusal.fix


@pytest.mark.fuzz
@cases(15)
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
