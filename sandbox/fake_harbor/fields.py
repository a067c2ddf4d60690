"""What a call's body may hold: JSON types, checked as Harbor's generated code checks them.

Unknown keys and nulls are dropped without a word, as Harbor does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.fake_harbor import answers


@dataclass(frozen=True)
class Struct:
    """A JSON object with the name of its Go type, which Harbor's messages have, and its fields.

    A field's type is "string", "bool", "int64" (or int32, int8), "any", a Struct or a ListOf.
    """

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class ListOf:
    """A JSON array of one type."""

    item: Any


@dataclass(frozen=True)
class MapOf:
    """A JSON object with any keys, and values of one type."""

    item: Any


@dataclass(frozen=True)
class Body:
    """The body of a call: the name of its parameter in Harbor's API description, and its type."""

    parameter: str
    struct: Struct | MapOf


def body(parameter: str, name: str, /, **fields: Any) -> Body:
    return Body(parameter, Struct(name, fields))


def read(expected: Body, content: bytes, content_type: str) -> dict[str, Any]:
    """The body's known fields. Raises Refused with Harbor's 422."""
    if not content:
        raise answers.invalid(f"{expected.parameter} in body is required")
    if content_type.partition(";")[0].strip().lower() not in ("application/json", ""):
        raise answers.invalid(
            f'unsupported media type "{content_type}", only [application/json] are allowed'
        )
    try:
        document = json.loads(content)
    except ValueError:
        raise answers.invalid(
            f'parsing {expected.parameter} body from "" failed, because invalid character'
        ) from None
    if document is None:
        raise answers.invalid(f"{expected.parameter} in body is required")
    if isinstance(expected.struct, MapOf):
        return _value(expected.parameter, "", expected.struct, document, "")
    return _struct(expected.parameter, expected.struct, document, "")


def _struct(parameter: str, struct: Struct, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        where = f"Go struct field {path}" if path else "Go value"
        raise _mismatch(parameter, value, f"{where} of type models.{struct.name}")
    known: dict[str, Any] = {}
    for key, kind in struct.fields.items():
        given = value.get(key)
        if given is not None:
            at = f"{path}.{key}".lstrip(".")
            known[key] = _value(parameter, struct.name, kind, given, at)
    return known


def _value(parameter: str, owner: str, kind: Any, value: Any, path: str) -> Any:
    if isinstance(kind, Struct):
        return _struct(parameter, kind, value, path)
    if isinstance(kind, MapOf):
        keys = dict.fromkeys(value, kind.item) if isinstance(value, dict) else {}
        return _struct(parameter, Struct(owner, keys), value, path)
    if isinstance(kind, ListOf):
        if not isinstance(value, list):
            named = kind.item.name if isinstance(kind.item, Struct) else kind.item
            pointer = "*models." if isinstance(kind.item, Struct) else ""
            raise _mismatch(
                parameter, value, f"Go struct field {owner}.{path} of type []{pointer}{named}"
            )
        return [_value(parameter, owner, kind.item, item, path) for item in value]
    if not _fits(kind, value):
        raise _mismatch(parameter, value, f"Go struct field {owner}.{path} of type {kind}")
    return value


_BITS = {"int8": 7, "int32": 31, "int64": 63}


def _fits(kind: str, value: Any) -> bool:
    if kind == "any":
        return True
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    limit = 2 ** _BITS[kind]
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _mismatch(parameter: str, value: Any, target: str) -> answers.Refused:
    return answers.invalid(
        f'parsing {parameter} body from "" failed, because json: cannot unmarshal '
        f"{_go_kind(value)} into {target}"
    )


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if isinstance(value, float) or abs(value) > 127 else "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]
