"""Random stack files, built from the models of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.settings.model import Settings
from components.settings.reading import spec
from components.settings.schema.rules import SettingRule
from tests.support.raw_settings import PEM

_PUBLIC_KEY = (
    ec.derive_private_key(1, ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
TEXTS: tuple[str, ...] = (
    *("nizwa", "nizwa-harbor", "harbor-tls", "a.b", "nizwa.omani.works", "omani.works", "Nizwa_1"),
    *("https://s3.nizwa.test", "https://s3.nizwa.test:9000", "oci://registry.nizwa.test/harbor"),
    *(
        "10.0.0.0/8",
        "2001:db8::/32",
        "64:ff9b::/96",
        "203.0.113.7",
        "2001:db8::7",
        "registry.nizwa.test/a/",
    ),
    *("1Gi", "3Gi", "750m", "2", "1h30m", "5242880", "10485760", "1.18.3", "12", "1234567"),
    *("0" * 64, "6f1ed002-ab5f-4b2c-9d1e-0242ac120002", "NEXTACCESSKEY0000001", "111122223333"),
    *("us-east-1", "eu-central-1", "fsn1", "core.windows.net", "none", "session", "nizwaharbor"),
    "arn:aws:kms:eu-central-1:111122223333:key/1234abcd",
    "arn:aws:iam::111122223333:policy/boundary",
    "role=gateway",
    "registry.nizwa.test/a/",
    "registry.nizwa.test:8443/mirror/trivy-db:2",
    "hetzner/fsn1/nizwa-harbor",
    "ghcr.io/cloudnative-pg/postgresql:17.5",
    "sealing-nizwa.pem",
    *("robot$", "syslog.nizwa.test:514"),
    *("30d", "2026-11-25T03:00:00Z"),
    *("pull", "scan:create", "project:list", "CVE-2024-3094", "2027-01-31", "#0065ab", "daily"),
    *("30d", "2026-11-26T02:00:00Z"),
    PEM,
    _PUBLIC_KEY,
)
"""For each setting that is a text there is one that its rule accepts."""


def texts_for(rules: list[SettingRule], default: Any) -> list[str]:
    """Those of TEXTS, and the default, that all rules of a setting accept."""
    candidates = [*TEXTS, *([default] if isinstance(default, str) else [])]
    return [
        text
        for text in candidates
        if all(rule.check is None or rule.check(text) is None for rule in rules)
    ]


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values that the rules of a setting accept, one by one."""
    bare, metadata = spec.parts_of(hint)
    rules = [item for item in metadata if isinstance(item, SettingRule)]
    field = next((item for item in metadata if isinstance(item, FieldInfo)), None)
    if models := spec.models_of(hint):
        return st.one_of([sections(model, models) for model in models])
    if get_origin(bare) is Literal:
        return st.sampled_from(get_args(bare))
    if get_origin(bare) is tuple:
        return st.lists(values(get_args(bare)[0]), max_size=3)
    if get_origin(bare) is dict and get_args(bare)[1] is not str:
        names = st.sampled_from(["nizwa", "a.b"])
        return st.dictionaries(names, values(get_args(bare)[1]), max_size=1)
    if get_origin(bare) is dict:
        pair = st.sampled_from(["nizwa", "a.b", "quay.io"]), st.sampled_from(["nizwa", "proxy-1"])
        return st.dictionaries(*pair, max_size=2)
    if bare is bool:
        return st.sampled_from([True, False, "true", "false"])
    if bare is int:
        bounds = re.match(r"a whole number from (\d+) to (\d+)", rules[0].allowed)
        return st.integers(int(bounds[1]), int(bounds[2])) if bounds else st.just(1)
    assert bare is str, bare
    default = None if field is None or field.is_required() else field.default
    return st.sampled_from(texts_for(rules, default))


def sections(model: type[BaseModel], among: list[type[BaseModel]]) -> st.SearchStrategy[Any]:
    """Objects of a section: what is required, and some of the rest."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    tag = spec.discriminator_of(among) if len(among) > 1 else None
    for name, field in model.model_fields.items():
        key = spec.key_of(field, name)
        needed = field.is_required() or key == tag
        (required if needed else optional)[key] = values(spec.hint_of(field))
    return st.fixed_dictionaries(required, optional=optional)


_WHOLE = sections(Settings, [Settings])


@st.composite
def stack_files(draw: st.DrawFn) -> dict[str, Any]:
    """Configs of a stack, by config key. Rules of several settings may refuse them. (A composite:
    hypothesis would print the strategy of all settings at each failure, which takes it minutes.)"""
    return draw(_WHOLE)


def leaves(value: Any, path: spec.Path = ()) -> list[spec.Path]:
    """The paths of everything that is neither an object nor a list."""
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


FREE = frozenset(
    {
        "annotations",
        "groups",
        "nodeSelector",
        "redirectParameters",
        "permissions",
        "podLabels",
        "tags",
        "users",
    }
)
"""Objects of texts whose keys are a person's own."""
NAMED = frozenset(
    {"labels", "mirrors", "projects", "proxyCaches", "replications", "robots", "webhooks"}
)
"""Objects whose keys are a person's own, and whose values may have settings."""


def objects(value: Any, path: spec.Path = ()) -> list[spec.Path]:
    """The paths of all objects whose keys are those of settings."""
    if path and path[-1] in FREE:
        return []
    if path and path[-1] in NAMED and isinstance(value, Mapping):
        return [each for key, item in value.items() for each in objects(item, (*path, key))]
    if isinstance(value, Mapping):
        below = [each for key, item in value.items() for each in objects(item, (*path, key))]
        return [path, *below]
    if isinstance(value, list):
        return [each for index, item in enumerate(value) for each in objects(item, (*path, index))]
    return []
