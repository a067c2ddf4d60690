"""A profile sets defaults: of what, in which order, and that all rules hold for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from components.kubernetes.quantities import bytes_of
from components.settings import profiles
from components.settings.database import DedicatedDatabase, SharedDatabase
from components.settings.model import Settings
from components.settings.reading import refusals, spec
from components.settings.valkey import DedicatedValkey
from tests.support import builders
from tests.support.project import ROOT
from tests.unit.preflight.test_fixed import SHARED_DATABASE

RAW: dict[str, Any] = {
    "fqdn": builders.FQDN,
    "cluster": {"name": "omantel"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
}
CAPACITY = {"core": ("500m", "512Mi"), "registry": ("500m", "512Mi"), "trivy": ("500m", "1Gi")}
"""Of the estate's capacity table; Valkey has 256Mi and 0.25, the database 512Mi and 0.5 in it."""


def read(**sections: Any) -> Settings:
    reading = refusals.read({**RAW, **sections}, stack="omantel")
    assert reading.settings is not None, [*map(str, reading.refusals)]
    return reading.settings


def refused(**sections: Any) -> list[str]:
    return [*map(str, refusals.read({**RAW, **sections}, stack="omantel").refusals)]


def value_at(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings.model_dump(by_alias=True)
    for key in path:
        value = value[key]
    return list(value) if isinstance(value, tuple) else value


def test_without_a_profile_a_stack_is_as_it_was() -> None:
    without, standard = read(), read(profile="standard")
    assert without == standard
    sizes = {name: (each.cpu, each.memory) for name, each in without.harbor.resources}
    assert sizes.items() >= CAPACITY.items()
    assert isinstance(without.database, DedicatedDatabase)
    assert (without.database.cpu, without.database.memory) == ("500m", "512Mi")
    assert (without.database.instances, without.harbor.disruption_budgets) == (1, False)
    assert set(without.harbor.replicas.model_dump().values()) == {1}


@pytest.mark.parametrize("profile", ["dev", "ha"])
def test_every_default_of_a_profile_takes_effect(profile: str) -> None:
    settings, standard = read(profile=profile), read()
    raw = {"profile": profile}
    for path in profiles.paths():
        default = profiles.default_at(raw, path)
        expected = value_at(standard, path) if default is None else default
        assert value_at(settings, path) == expected, path
        assert spec.default_at(path, raw) == expected or isinstance(expected, list)


def test_nothing_else_differs_between_profiles() -> None:
    def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
        if not isinstance(value, Mapping):
            return {path: value}
        return {k: v for key, item in value.items() for k, v in flat(item, (*path, key)).items()}

    standard = flat(read().model_dump(by_alias=True))
    for profile in ("dev", "ha"):
        other = flat(read(profile=profile).model_dump(by_alias=True))
        differing = {path for path in standard.keys() | other if standard[path] != other[path]}
        assert differing - {("profile",)} <= set(profiles.paths())


@pytest.mark.parametrize(
    ("section", "path", "value"),
    [
        ({"harbor": {"replicas": {"core": 1}}}, ("harbor", "replicas", "core"), 1),
        ({"harbor": {"replicas": {"core": 5}}}, ("harbor", "replicas", "registry"), 2),
        ({"harbor": {"disruptionBudgets": False}}, ("harbor", "disruptionBudgets"), False),
        ({"harbor": {"spreadOver": []}}, ("harbor", "spreadOver"), []),
        ({"database": {"instances": 2}}, ("database", "instances"), 2),
        ({"database": {"storageSize": "20Gi"}}, ("database", "instances"), 3),
        ({"database": {"mode": "dedicated"}}, ("database", "instances"), 3),
    ],
)
def test_a_single_setting_wins_and_its_neighbours_keep_the_profile_s(
    section: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    assert value_at(read(profile="ha", **section), path) == value


def test_of_one_component_s_resources_what_is_not_set_is_the_profile_s() -> None:
    settings = read(profile="dev", harbor={"resources": {"core": {"cpu": "2"}, "trivy": {}}})
    core, trivy = settings.harbor.resources.core, settings.harbor.resources.trivy
    assert (core.cpu, core.memory) == ("2", "256Mi")
    assert (trivy.cpu, trivy.memory) == ("100m", "1Gi")


def test_a_service_of_somebody_else_s_has_no_profile() -> None:
    settings = read(profile="ha", database=SHARED_DATABASE)
    assert isinstance(settings.database, SharedDatabase)
    assert settings.harbor.replicas.core == 2


def test_the_rules_between_sections_hold_for_a_profile_s_defaults() -> None:
    storage = {"kind": "filesystem", "size": "50Gi", "accessMode": "ReadWriteOnce"}
    (words,) = refused(profile="ha", storage=storage)
    assert "harbor.replicas.registry = (not set)" in words
    assert "pulumi config set --path 'harbor.replicas.registry' 1 -s omantel" in words
    settings = read(profile="ha", storage=storage, harbor={"replicas": {"registry": 1}})
    assert settings.harbor.replicas.core == 2


def test_a_command_that_sets_the_default_sets_the_profile_s() -> None:
    (words,) = refused(profile="ha", harbor={"replicas": {"core": 0}})
    assert "pulumi config set --path 'harbor.replicas.core' 2 -s omantel" in words
    (words,) = refused(harbor={"replicas": {"core": 0}})
    assert "pulumi config set --path 'harbor.replicas.core' 1 -s omantel" in words


def test_a_profile_that_does_not_exist_is_refused_once() -> None:
    (words,) = refused(profile="large")
    assert "profile = " in words
    assert "one of dev, standard, ha" in words


def test_python_callers_get_the_profile_s_defaults_too() -> None:
    settings = Settings.model_validate({**RAW, "profile": "ha", "database": {"instances": 2}})
    assert settings == read(profile="ha", database={"instances": 2})


@pytest.mark.parametrize(
    ("before", "after", "path", "values"),
    [
        ({}, {"profile": "ha"}, ("harbor", "replicas", "core"), (None, 2)),
        ({"profile": "dev"}, {"profile": "ha"}, ("valkey", "cpu"), ("50m", None)),
        ({"profile": "ha"}, {}, ("database", "instances"), (3, None)),
    ],
)
def test_a_change_of_profile_is_told_by_key(
    before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...], values: tuple[Any, Any]
) -> None:
    told = {each: (old, new) for each, old, new in profiles.changes(before, after)}
    assert told[path] == values


@pytest.mark.parametrize("section", [{"database": {"instances": 2}}, {"database": SHARED_DATABASE}])
def test_what_a_file_sets_by_itself_is_not_told(section: dict[str, Any]) -> None:
    told = [path for path, _, _ in profiles.changes(section, {**section, "profile": "ha"})]
    assert ("database", "instances") not in told
    assert ("harbor", "replicas", "core") in told


def requested(settings: Settings) -> tuple[float, float]:
    """Processors and GiB of memory that all pods request together, without metrics."""
    replicas: dict[str, int] = settings.harbor.replicas.model_dump()
    containers = [
        (each, replicas["registry" if name == "registryctl" else name])
        for name, each in settings.harbor.resources
        if name != "exporter"
    ]
    database, valkey = settings.database, settings.valkey
    assert isinstance(database, DedicatedDatabase)
    assert isinstance(valkey, DedicatedValkey)
    containers += [(database, database.instances), (valkey, 1)]
    cpu = sum(_cores(each.cpu) * count for each, count in containers)
    memory = sum(bytes_of(each.memory) * count for each, count in containers)
    return cpu, memory / 1024**3


def _cores(cpu: str) -> float:
    return float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_the_guide_says_what_a_profile_asks_for(profile: str) -> None:
    cpu, memory = requested(read(profile=profile))
    page = (ROOT / "docs/howto/profiles.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{profile}` |")]
    assert row.endswith(f"| {cpu:.2f} | {memory:.1f} GiB |")
