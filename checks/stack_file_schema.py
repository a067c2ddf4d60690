"""Writes docs/reference/stack-file.schema.json from the models in components/settings.

    python -m checks.stack_file_schema [--write]

Editors complete and check a stack's file by it. It knows keys, types and choices; what else is
allowed it says in words, which the program checks.

Exit codes: 0 the file is current, or was written; 1 it is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from checks import generated
from checks.settings_reference import about, descriptions
from components.settings.model import Settings
from components.settings.reading import spec
from components.settings.reading.secrets import SECRETS
from components.settings.reading.stack_file import PROJECT
from components.settings.schema.rules import Section
from toolchain import closed_pipe

SCHEMA: Final = Path(__file__).parent.parent / "docs" / "reference" / "stack-file.schema.json"
COMMAND: Final = "python -m checks.stack_file_schema --write"
MODELINE: Final = "# yaml-language-server: $schema=docs/reference/stack-file.schema.json"
"""First line of a stack's file, by which editors find the schema."""

Schema = dict[str, Any]

# As the settings read them: the engine writes numbers and booleans as texts where a command set
# them, and a number for a text is that text.
_BOOLEAN: Final[Schema] = {"enum": [True, False, "true", "false"]}
_NUMBER: Final[Schema] = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}
_TEXT: Final[Schema] = {"type": ["string", "number"]}
_ENCRYPTED: Final[Schema] = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
_REFERENCE: Final[Schema] = {"type": "string", "pattern": "^\\$\\{SANDBOX_[A-Z0-9_]+\\}$"}


def schema() -> Schema:
    """The whole document."""
    sections = {
        spec.key_of(field, name): _setting(spec.hint_of(field), descriptions(Settings)[name])
        for name, field in Settings.model_fields.items()
    }
    secrets = {
        key: {
            "description": f"{rule.description}. {rule.shape.allowed}, encrypted.",
            "anyOf": [_ENCRYPTED, _REFERENCE],
        }
        for key, rule in SECRETS.items()
    }
    settings = {**sections, **secrets}
    refs = {key: {"$ref": f"#/$defs/{key}"} for key in settings}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"Written by `{COMMAND}` from components/settings.",
        "title": "A stack's file of Sovereign Harbor",
        "type": "object",
        "properties": {
            "config": {
                "type": ["object", "null"],
                "properties": {
                    **{f"{PROJECT}:{key}": ref for key, ref in refs.items()},
                    **refs,
                },
                # Keys of other namespaces are the engine's and the providers'.
                "patternProperties": {f"^(?!{PROJECT}:)[^:]+:.+$": {}},
                # Secrets that the section registry refers to, by a person's names.
                "additionalProperties": {"anyOf": [_ENCRYPTED, _REFERENCE]},
            },
            **{key: {"type": "string"} for key in _ENGINES},
            "environment": {},
        },
        "additionalProperties": False,
        "$defs": settings,
    }


_ENGINES: Final = ("secretsprovider", "encryptedkey", "encryptionsalt")


def _setting(hint: Any, description: str) -> Schema:
    bare, _ = spec.parts_of(hint)
    models = spec.models_of(hint)
    said = " ".join(description.split())
    allowed = spec.describe(hint).allowed
    if models:
        below: Schema = _section(models[0]) if len(models) == 1 else _kinds(models)
        if any(issubclass(model, Section) and model.short_form for model in models):
            below = {"anyOf": [dict(_TEXT), below]}
        if "properties" in below and _has_default(hint):
            below.pop("required", None)  # `core: {cpu: 2}` keeps the default of memory
    elif bare is bool:
        below = dict(_BOOLEAN)
    elif bare is int:
        below = dict(_NUMBER)
        said = f"{said} Allowed: {allowed}."
    elif get_origin(bare) is Literal:
        choices = [str(choice) for choice in get_args(bare)]
        below = {"enum": [*dict.fromkeys([*choices, *spec.other_words(hint)])]}
    elif get_origin(bare) is tuple:
        below = {"type": "array", "items": _setting(get_args(bare)[0], "")}
    elif get_origin(bare) is dict:
        value = get_args(bare)[1]
        each = dict(_TEXT) if value is str else _setting(value, "")
        below = {"type": "object", "additionalProperties": each}
        said = f"{said} Allowed: {allowed}."
    else:
        below = dict(_TEXT)
        said = f"{said} Allowed: {allowed}."
    if _is_optional(hint):
        below = {"anyOf": [below, {"type": "null"}]}
    return {"description": said.strip(), **below} if said.strip() else below


def _has_default(hint: Any) -> bool:
    fields = [item for item in spec.parts_of(hint)[1] if isinstance(item, FieldInfo)]
    return any(isinstance(field.default, BaseModel) for field in fields)


def _is_optional(hint: Any) -> bool:
    while hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    return type(None) in get_args(hint)


def _section(model: type[BaseModel], tag: str = "") -> Schema:
    properties: Schema = {}
    required: list[str] = []
    follows: Mapping[str, str] = getattr(model, "follows", {})
    for name, field in model.model_fields.items():
        key = spec.key_of(field, name)
        properties[key] = _setting(
            spec.hint_of(field), descriptions(model)[name] if name != tag else ""
        )
        if field.is_required() and name != tag and name not in follows:
            required.append(key)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _kinds(models: list[type[BaseModel]]) -> Schema:
    """A union: the keys of one member. `tag` may be left out where a member is the default."""
    tag = spec.discriminator_of(models)
    return {"anyOf": [{"title": about(model), **_section(model, tag)} for model in models]}


def text() -> str:
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    return generated.main(
        arguments,
        description="The schema of stack files.",
        text=text(),
        file=SCHEMA,
        of="the settings",
        command=COMMAND,
    )


if __name__ == "__main__":
    closed_pipe.run(main)
