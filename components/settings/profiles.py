"""Profiles: what one word makes the defaults of. Pure.

`standard` has no table. Its defaults are those of the models, and a stack without a profile has
them: cpu and memory of core, registry, database and scanner are those of the estate's capacity
table. `dev` asks for less and gives up what a person alone does not miss. `ha` runs every part
twice that can run twice, and PostgreSQL three times, so that a failover still has a standby.
Valkey stays one pod, as Harbor knows no failover of a plain one.

A default of a profile is filled in before the settings are validated, where the stack's file says
nothing, so all rules hold for it and every single setting wins.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, cast, get_args

Profile = Literal["dev", "standard", "ha"]
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)
DEFAULT: Final[Profile] = "standard"

Path = tuple[str, ...]

_TABLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "dev": {
        "harbor": {
            "resources": {
                "core": {"cpu": "100m", "memory": "256Mi"},
                "registry": {"cpu": "100m", "memory": "256Mi"},
                "registryctl": {"cpu": "50m", "memory": "64Mi"},
                "jobservice": {"cpu": "50m", "memory": "128Mi"},
                "portal": {"cpu": "10m", "memory": "32Mi"},
                "exporter": {"cpu": "10m", "memory": "32Mi"},
                # Its memory stays: with less, a scan of a usual image is killed.
                "trivy": {"cpu": "100m"},
            },
        },
        "database": {"cpu": "100m", "memory": "384Mi"},
        "valkey": {"cpu": "50m", "memory": "128Mi"},
    },
    "standard": {},
    "ha": {
        "harbor": {
            "replicas": {"core": 2, "portal": 2, "jobservice": 2, "registry": 2, "trivy": 2},
            "disruptionBudgets": True,
            "spreadOver": ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
        },
        "database": {"instances": 3, "spreadOver": ["topology.kubernetes.io/zone"]},
    },
}
"""Profile → section → defaults, by the keys of a stack's file."""

SECTIONS: Final = tuple(dict.fromkeys(key for table in _TABLES.values() for key in table))
"""The sections that a profile has defaults of."""


def of(raw: Mapping[str, Any]) -> Profile:
    """The profile that a raw config names; the default where it names none that exists."""
    named = raw.get("profile")
    return named if named in PROFILES else DEFAULT


def with_defaults(profile: Profile, section: str, value: Any) -> Any:
    """The raw value of a section, with the profile's defaults where it says nothing.

    `value`: None where the section is not set. What is no object, or is a service of somebody
    else's (mode shared), stays as it is.
    """
    defaults = _TABLES[profile].get(section)
    if defaults is None or not isinstance(value, dict | None):
        return value  # pyright: ignore[reportUnknownVariableType]
    given = cast("dict[str, Any]", value or {})
    return _merged(defaults, given) if given.get("mode", "dedicated") == "dedicated" else given


def default_at(raw: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
    """What the config's profile sets at a path, by keys; None where it sets nothing."""
    return _at(_TABLES[of(raw)], path)


def paths() -> Iterator[Path]:
    """Every setting that a profile sets, in the order of the tables."""
    every = (path for table in _TABLES.values() for path, _ in _leaves(table))
    yield from dict.fromkeys(every)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[Path, Any, Any]]:
    """What a change of profile changes that no file sets by itself: path, both values.

    None stands for the model's own default. `before`, `after`: raw configs.
    """
    for path in paths():
        if _is_set(before, path) or _is_set(after, path):
            continue
        values = default_at(before, path), default_at(after, path)
        if values[0] != values[1]:
            yield path, *values


def _is_set(raw: Mapping[str, Any], path: Path) -> bool:
    return _at(raw, path) is not None or _at(raw, (path[0], "mode")) not in (None, "dedicated")


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **given}
    for key, default in defaults.items():
        if isinstance(default, Mapping):
            value = given.get(key, {})
            if isinstance(value, dict):
                inner = cast("dict[str, Any]", value)
                merged[key] = _merged(cast("Mapping[str, Any]", default), inner)
    return merged


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str | int, Any]", value).get(key)
    return value


def _leaves(table: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(cast("Mapping[str, Any]", value), (*above, key))
        else:
            yield (*above, key), value
