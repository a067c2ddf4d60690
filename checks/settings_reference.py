"""Writes docs/reference/settings.md from the models in components/settings.

    python -m checks.settings_reference [--write]

Keys, types, defaults and what is allowed come from the models; descriptions are the docstrings of
the models and those below their attributes. Python does not keep the latter. To have them, pydantic
would parse the source of every model at each start of the program, so they are parsed here.

Exit codes: 0 the file is current, or was written; 1 it is not.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from checks import generated
from components.settings import profiles
from components.settings.model import Settings
from components.settings.reading import spec
from components.settings.reading.refusals import set_secret
from components.settings.reading.secrets import SECRETS
from components.settings.schema.secret_rules import AsksForSecrets
from toolchain import closed_pipe

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
COMMAND = "python -m checks.settings_reference --write"

INTRODUCTION = f"""\
# Settings

<!-- Written by `{COMMAND}` from the docstrings in components/settings. -->

Every key of a stack's file `Pulumi.<stack>.yaml`. There it stands below `config:`, with the prefix
`sovereign-harbor:`. The command that sets a single key is, for example,

    pulumi config set --path 'storage.region' fsn1 -s <stack>

Refused settings are listed all at once, each with the command that mends it.

"required" means required where the object that holds the key is set.
"""
SECRETS_INTRODUCTION = """\
## Secrets

Top-level keys, encrypted in the stack's file. The command asks for the value, so that no shell
history keeps it. A sandbox may give `${SANDBOX_…}` instead of a value. Besides these, the section
`registry` refers to secrets by names that you choose, e.g. `password: {secret: hubToken}`; a key of
that name holds the value.
"""

PROFILES_INTRODUCTION = """\
## Profiles

The defaults that `profile` changes. A stack without a profile has those of `standard`. Each is
filled in where the file says nothing; every other default is the same in all profiles.
"""

_REQUIRED = object()
"""In place of a default."""


def reference() -> str:
    """The whole document."""
    fields = Settings.model_fields
    sections = {name: spec.models_of(spec.hint_of(field)) for name, field in fields.items()}
    plain = [name for name, models in sections.items() if not models]
    parts = [INTRODUCTION, "## Top level\n", _table(_rows(Settings, "", _REQUIRED, only=plain))]
    parts += [PROFILES_INTRODUCTION, _profiles()]
    for name, models in sections.items():
        if models:
            parts += _section(name, models)
    return "\n".join([*parts, SECRETS_INTRODUCTION, _secrets(sections)])


def _section(name: str, models: list[type[BaseModel]]) -> Iterator[str]:
    field = Settings.model_fields[name]
    key, default = spec.key_of(field, name), _default(field)
    yield f"## {key}\n"
    yield f"{_text(descriptions(Settings)[name])}\n"
    if len(models) == 1:
        yield _table(_rows(models[0], key, default))
        return
    tag = spec.discriminator_of(models)
    if default is not _REQUIRED:
        yield f"`{tag}: {getattr(default, tag)}` when the section is unset.\n"
    words = f"Which of the {len(models)} tables below applies."
    yield _table([_tag_row(Settings, name, key, words)])
    for model in models:
        yield f"### {key}, {tag} {_tag_of(model, tag)}\n"
        yield f"{about(model)}\n"
        yield _table(_rows(model, key, default, but=tag))


def _rows(
    model: type[BaseModel],
    path: str,
    default: Any,
    *,
    only: Iterable[str] = (),
    but: str = "",
    condition: str = "",
) -> Iterator[str]:
    """The rows of the section at `path`, whose own default is `default`.

    `only`, `but`: fields to restrict them to, or to leave out. `condition`: when they apply.
    """
    for name in only or model.model_fields:
        if name == but:
            continue
        field = model.model_fields[name]
        given = getattr(default, name) if isinstance(default, model) else _default(field)
        hint = spec.hint_of(field)
        bare, _ = spec.parts_of(hint)
        models = spec.models_of(hint)
        key = f"{path}.{spec.key_of(field, name)}".lstrip(".")
        is_list = get_origin(bare) is tuple
        items = spec.models_of(get_args(bare)[0]) if is_list else []
        named = spec.models_of(get_args(bare)[1]) if get_origin(bare) is dict else []
        yield _line(
            f"`{key}`",
            _type(bare),
            _shown(given),
            "" if models or items else _text(_allowed(hint)),
            condition + _text(descriptions(model)[name]),
        )
        if len(models) > 1:
            tag = spec.discriminator_of(models)
            members = [f"`{_tag_of(member, tag)}`: {about(member)}" for member in models]
            yield _tag_row(model, name, key, " ".join(members))
            for member in models:
                only_with = f"With {tag} `{_tag_of(member, tag)}`: "
                yield from _rows(member, key, given, but=tag, condition=only_with)
        else:
            below = f"{key}[]" if is_list else f"{key}.<name>" if named else key
            for member in (*models, *items, *named):
                yield from _rows(member, below, given)


def _allowed(hint: Any) -> str:
    """What is allowed, and the words that are taken for a value: `ghcr` for github-ghcr."""
    words: dict[str, list[str]] = {}
    for word, value in spec.other_words(hint).items():
        words.setdefault(value, []).append(f"`{word}`")
    taken = "; ".join(f"{', '.join(each)} for {value}" for value, each in words.items())
    return ". Taken too: ".join(filter(None, (spec.describe(hint).allowed, taken)))


def _profiles() -> str:
    """The table of the settings that a profile sets, by profile."""
    lines = [
        f"| Key | {' | '.join(profiles.PROFILES)} |",
        f"|{'---|' * (len(profiles.PROFILES) + 1)}",
    ]
    for path in profiles.paths():
        defaults = [spec.default_at(path, {"profile": profile}) for profile in profiles.PROFILES]
        lines.append(_line(f"`{'.'.join(path)}`", *map(_shown, defaults)))
    return "\n".join([*lines, ""])


def _tag_row(model: type[BaseModel], name: str, path: str, description: str) -> str:
    """The row of the key that chooses a member of a union, which is the model's field `name`."""
    field = model.model_fields[name]
    models = spec.models_of(spec.hint_of(field))
    tag = spec.discriminator_of(models)
    kinds = [_tag_of(member, tag) for member in models]
    key = spec.key_of(field, name)
    try:
        model.model_validate({key: {}})
    except ValidationError as error:
        errors = error.errors()
    else:
        errors = []
    is_required = any(e["loc"] == (key,) and e["type"].startswith("union_tag") for e in errors)
    default = "required" if is_required else f"`{kinds[0]}`"
    return _line(f"`{path}.{tag}`", "text", default, f"one of {', '.join(kinds)}", description)


def _secrets(sections: Mapping[str, list[type[BaseModel]]]) -> str:
    asking: dict[str, list[str]] = {}
    for name, models in sections.items():
        for model in models:
            if issubclass(model, AsksForSecrets):
                for key in model.secrets:
                    tag = spec.discriminator_of(models) if len(models) > 1 else None
                    kind = f" {_tag_of(model, tag)}" if tag else ""
                    where = f"`{spec.key_of(Settings.model_fields[name], name)}`{kind}"
                    asking.setdefault(key, []).append(where)
    lines = ["| Key | For | Allowed | In a sandbox | Description | Command |", f"|{'---|' * 6}"]
    for key, rule in SECRETS.items():
        in_sandbox = rule.in_sandbox.allowed if rule.in_sandbox else "the same"
        lines.append(
            _line(
                f"`{key}`",
                ", ".join(asking[key]),
                _text(rule.shape.allowed),
                _text(in_sandbox),
                _text(f"{rule.description}."),
                f"`{set_secret(key, '<stack>')}`",
            )
        )
    return "\n".join([*lines, ""])


def about(model: type[BaseModel]) -> str:
    """What a section is, on one line."""
    return _text(inspect.getdoc(model) or "")


@functools.cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """Attribute → the docstring below it, of the model and of those that it inherits from."""
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            texts |= _docstrings(Path(inspect.getfile(owner))).get(owner.__name__, {})
    return texts


@functools.cache
def _docstrings(file: Path) -> Mapping[str, Mapping[str, str]]:
    """Class → attribute → the docstring below it."""
    classes = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    return {
        node.name: {
            attribute.target.id: text.value.value
            for attribute, text in zip(node.body, node.body[1:], strict=False)
            if isinstance(attribute, ast.AnnAssign)
            and isinstance(attribute.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
        for node in classes
    }


def _type(bare: Any) -> str:
    origin = get_origin(bare)
    if origin is tuple:
        inner, _ = spec.parts_of(get_args(bare)[0])
        return f"list of {_type(inner)}s"
    if spec.models_of(bare) or origin is dict:
        return "object"
    return {bool: "boolean", int: "number"}.get(bare, "text")


def _default(field: FieldInfo) -> Any:
    return _REQUIRED if field.is_required() else field.get_default(call_default_factory=True)


def _shown(default: Any) -> str:
    """A default as a cell; empty for a section, whose keys have their own."""
    if default is _REQUIRED:
        return "required"
    if default is None:
        return "unset"
    if isinstance(default, BaseModel):
        return ""
    if isinstance(default, str) and default:
        return f"`{default}`"
    return f"`{json.dumps(default, default=_plain)}`"


def _plain(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(by_alias=True, exclude_none=True)


def _tag_of(model: type[BaseModel], tag: str) -> str:
    return str(get_args(model.model_fields[tag].annotation)[0])


def _text(words: str) -> str:
    """Words on one line. Markdown would take <…> for a tag of HTML."""
    return " ".join(words.split()).replace("<", r"\<")


def _line(*cells: str) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _table(rows: Iterable[str]) -> str:
    header = "| Key | Type | Default | Allowed | Description |\n|---|---|---|---|---|"
    return "\n".join([header, *rows, ""])


def main(arguments: list[str] | None = None) -> int:
    return generated.main(
        arguments,
        description="The reference of the settings.",
        text=reference(),
        file=REFERENCE,
        of="the settings' docstrings",
        command=COMMAND,
    )


if __name__ == "__main__":
    closed_pipe.run(main)
