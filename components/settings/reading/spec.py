"""What the models say about the setting at a path: its keys, what is allowed, an example. Pure.

A path is a sequence of config keys. Everything is derived from the models, so nothing is listed
twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.settings import profiles
from components.settings.model import Settings
from components.settings.schema.problems import Path
from components.settings.schema.rules import NamesRule, OtherWords, Section, SettingRule


class Absent:
    """Stands for a value that is not in the config."""


ABSENT = Absent()


@dataclass(frozen=True, kw_only=True)
class SettingSpec:
    """What is allowed at a path of the config; as examples, pairs of a path below and its value."""

    allowed: str
    examples: list[tuple[Path, str]]
    rule: SettingRule | None = None
    is_section: bool = False
    is_text: bool = False
    choices: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclass_field(default_factory=dict[str, str])
    """Names that people use for the choices, in lower case."""

    @property
    def conceal(self) -> bool:
        """Whether the value must not be shown."""
        return self.rule is not None and self.rule.conceal

    def fits(self, text: str) -> bool:
        """Whether the rule of a text accepts it."""
        return self.rule is None or self.rule.fits(text)


def spec_at(path: Path, raw: Mapping[str, Any]) -> SettingSpec:
    """What is allowed at `path`; `raw` decides which member of a union is meant."""
    spec = describe(_hint(path, raw))
    default = default_at(path, raw)
    if spec.rule is not None and isinstance(default, str | int) and default != "":
        text = str(default).lower() if isinstance(default, bool) else str(default)
        spec = replace(spec, examples=[((), text)])
    models = models_of(_hint(path[:-1], raw)) if path else []
    if len(models) > 1 and path[-1] == discriminator_of(models):
        spec = replace(spec, aliases=_aliases(models, discriminator_of(models)))
        if default_at(path[:-1], raw) is None:
            spec = replace(spec, examples=[((), f"<{path[-1]}>")])
    return spec


def default_at(path: Path, raw: Mapping[str, Any]) -> Any:
    """The value of a setting that is left out, by the config's profile; None without one."""
    hint: Any = Settings
    default: Any = None
    value: Any = raw
    for segment in path:
        models = models_of(hint)
        if not models:
            try:
                hint, value, default = _child(hint, segment, value), _get(value, segment), None
            except (KeyError, IndexError):
                return None
            continue
        if len(models) > 1:
            models = [_chosen(models, discriminator_of(models), value)]
        fields = {
            key_of(field, name): (name, field) for name, field in models[0].model_fields.items()
        }
        if segment not in fields:
            return None
        name, about = fields[segment]
        own = None if about.is_required() else about.get_default(call_default_factory=True)
        default = getattr(default, name) if type(default) is models[0] else own
        hint, value = hint_of(about), _get(value, segment)
    of_profile = profiles.default_at(raw, path)
    return default if isinstance(of_profile, dict | None) else of_profile


def kinds_with(path: Path, raw: Mapping[str, Any]) -> tuple[str, str, list[str]] | None:
    """For an unknown key of one member of a union: the discriminator, that member, and the members
    that have the key. None where no member has it."""
    *parent, key = path
    models = models_of(_hint(tuple(parent), raw))
    if len(models) < 2:
        return None
    tag = discriminator_of(models)
    chosen = _chosen(models, tag, lookup(raw, tuple(parent)))
    having = [
        model
        for model in models
        if key in [key_of(field, name) for name, field in model.model_fields.items()]
    ]
    return (tag, _tags([chosen], tag)[0], _tags(having, tag)) if having else None


def kind_by_keys(path: Path, raw: Mapping[str, Any]) -> str | None:
    """The only member of a union that has every key of the section at `path`; None if there are
    several, or none."""
    models, section = models_of(_hint(path, raw)), lookup(raw, path)
    given = set(cast("dict[str, Any]", section)) if isinstance(section, dict) else set[str]()
    having = [
        model
        for model in models
        if given <= {key_of(field, name) for name, field in model.model_fields.items()}
    ]
    return _tags(having, discriminator_of(models))[0] if given and len(having) == 1 else None


def _aliases(models: list[type[BaseModel]], tag: str) -> dict[str, str]:
    return {
        alias: _tags([model], tag)[0]
        for model in models
        if issubclass(model, Section)
        for alias in model.also_called
    }


def elsewhere(path: Path, raw: Mapping[str, Any]) -> tuple[str, str]:
    """For an unknown key that other tools have: what it is called here, or why it is not here; ""
    for each that is not said."""
    *parent, key = path
    word = _folded(str(key))
    called = reason = ""
    for model in models_of(_hint(tuple(parent), raw)):
        if issubclass(model, Section):
            ours = {_folded(theirs): name for theirs, name in model.called_here.items()}
            whys = {_folded(theirs): why for theirs, why in model.not_here.items()}
            called, reason = called or ours.get(word, ""), reason or whys.get(word, "")
    return called, reason


def _folded(word: str) -> str:
    """Of max_upstream_conn and maxUpstreamConn the same text."""
    return word.replace("_", "").lower()


def other_words(hint: Any) -> Mapping[str, str]:
    """Word → the value that it is taken for, of a setting or of each value in an object. Another
    case of the same word is left out."""
    bare, metadata = parts_of(hint)
    if get_origin(bare) is dict:
        return other_words(get_args(bare)[1])
    return {
        word: value
        for item in metadata
        if isinstance(item, OtherWords)
        for word, value in item.meanings.items()
        if word.lower() != value.lower()
    }


def names_rule_at(path: Path, raw: Mapping[str, Any]) -> SettingRule:
    """The rule of the names that people choose in the object at `path`."""
    _, metadata = parts_of(_hint(path, raw))
    return next(item.names for item in metadata if isinstance(item, NamesRule))


def is_short_form(path: Path, raw: Mapping[str, Any]) -> bool:
    """Whether a text stands for the section above `path`, and sets the key at `path`."""
    if len(path) < 2 or not isinstance(lookup(raw, path[:-1]), str):
        return False
    models = models_of(_hint(path[:-1], raw))
    return any(issubclass(m, Section) and m.short_form == path[-1] for m in models)


def is_known(path: Path, raw: Mapping[str, Any]) -> bool:
    """Whether there is such a setting."""
    try:
        _hint(path, raw)
    except (KeyError, IndexError):
        return False
    return True


def keys_at(path: Path, raw: Mapping[str, Any]) -> list[str]:
    """The keys of the section at `path`."""
    models = models_of(_hint(path, raw))
    if len(models) > 1:
        models = [_chosen(models, discriminator_of(models), lookup(raw, path))]
    return [key_of(field, name) for name, field in models[0].model_fields.items()]


def lookup(raw: Any, path: Path) -> Any:
    """The value at `path`, or ABSENT."""
    for segment in path:
        raw = _get(raw, segment)
    return raw


def narrowed(raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The raw config without the neighbours of named entries on the path, such as other projects.

    An entry is valid or not by itself; rules between entries are in settings/cross.
    """
    return _narrowed(dict(raw), Settings, path)


def _narrowed(value: Any, hint: Any, path: Path) -> Any:
    entries = cast("dict[str | int, Any]", value)
    if not path or not isinstance(value, dict) or path[0] not in entries:
        return entries
    try:
        child = _child(hint, path[0], entries)
    except (KeyError, IndexError):
        return entries
    inner = {path[0]: _narrowed(entries[path[0]], child, path[1:])}
    is_named = get_origin(parts_of(hint)[0]) is dict
    return inner if is_named else {**entries, **inner}


def without_tags(loc: Sequence[str | int]) -> Path:
    """A pydantic location without the names of chosen union members, which are no config keys."""
    path: list[str | int] = []
    hint: Any = Settings
    for segment in loc:
        models = models_of(hint)
        if len(models) > 1 and segment in _tags(models, discriminator_of(models)):
            tag = discriminator_of(models)
            hint = next(model for model in models if segment in _tags([model], tag))
            continue
        path.append(segment)
        try:
            hint = _child(hint, segment, None)
        except (KeyError, IndexError):  # an unknown key: nothing below it is known either
            hint = str
    return tuple(path)


def _hint(path: Path, raw: Any) -> Any:
    hint: Any = Settings
    for segment in path:
        hint, raw = _child(hint, segment, raw), _get(raw, segment)
    return hint


def _child(hint: Any, segment: str | int, value: Any) -> Any:
    models = models_of(hint)
    if len(models) > 1:
        tag = discriminator_of(models)
        if segment == tag:
            choices = tuple(_tags(models, tag))
            return Literal[choices]  # pyright: ignore[reportInvalidTypeForm]
        models = [_chosen(models, tag, value)]
    if models:
        for name, field in models[0].model_fields.items():
            if key_of(field, name) == segment:
                return hint_of(field)
        raise KeyError(segment)
    bare, metadata = parts_of(hint)
    if get_origin(bare) is dict and get_args(bare)[1] is not str:
        return get_args(bare)[1]
    if get_origin(bare) is dict:
        example = next(
            (item.example for item in metadata if isinstance(item, SettingRule)), "<value>"
        )
        return Annotated[str, SettingRule(allowed="a text", example=example)]
    return get_args(bare)[0]  # an element of a tuple


def describe(hint: Any) -> SettingSpec:
    """What a type, with all that annotates it, allows."""
    bare, metadata = parts_of(hint)
    rule = next((item for item in metadata if isinstance(item, SettingRule)), None)
    field = next((item for item in metadata if isinstance(item, FieldInfo)), None)
    default = None if field is None or field.is_required() else field.default
    if get_origin(bare) is dict and get_args(bare)[1] is not str:
        inner = describe(get_args(bare)[1])
        return SettingSpec(
            allowed=rule.allowed if rule is not None else f"an object, each {inner.allowed}",
            examples=[(("<name>", *path), text) for path, text in inner.examples],
            is_section=True,
        )
    if rule is not None:
        below: Path = ("<key>",) if get_origin(bare) is dict else ()
        return SettingSpec(
            allowed=rule.allowed,
            examples=[(below, rule.example)],
            rule=rule,
            is_text=bare is str or get_origin(bare) is Literal,
            choices=tuple(map(str, get_args(bare))) if get_origin(bare) is Literal else (),
        )
    if models := models_of(hint):
        return _describe_section(models, default)
    if bare is bool:
        return SettingSpec(allowed="true or false", examples=[((), str(default is True).lower())])
    if get_origin(bare) is Literal:
        return _describe_choice([str(choice) for choice in get_args(bare)], default)
    if get_origin(bare) is tuple:
        inner = describe(get_args(bare)[0])
        return SettingSpec(
            allowed=f"a list, each {inner.allowed}",
            examples=[((0, *path), text) for path, text in inner.examples],
            is_section=True,
        )
    return SettingSpec(allowed="a text", examples=[((), "<value>")], is_text=True)


def _describe_choice(choices: list[str], default: Any) -> SettingSpec:
    allowed = f"one of {', '.join(choices)}"
    example = default if default in choices else choices[0]
    rule = SettingRule(
        allowed=allowed,
        example=example,
        check=lambda value: None if value in choices else "",
    )
    return SettingSpec(
        allowed=allowed, examples=[((), example)], rule=rule, is_text=True, choices=tuple(choices)
    )


def _describe_section(models: list[type[BaseModel]], default: Any) -> SettingSpec:
    fields = {key_of(field, name): field for name, field in models[0].model_fields.items()}
    allowed = f"an object with the keys {', '.join(fields)}"
    examples: list[tuple[Path, str]] = []
    if len(models) > 1:
        tag = discriminator_of(models)
        if _are_told_by_keys(models):
            keys = [
                ", ".join(each for each in _keys_in_order(model) if each != tag) for model in models
            ]
            allowed = f"an object with the keys {', or '.join(keys)}"
            return replace(_describe_section(models[:1], default), allowed=allowed)
        allowed = f"an object with {tag}: {' or '.join(_tags(models, tag))}"
        if len({*_tags(models, tag)}) > 1 and default is None:
            return SettingSpec(allowed=allowed, examples=[((tag,), f"<{tag}>")], is_section=True)
        examples.append(((tag,), _tags(models, tag)[0]))
    required = {key: field for key, field in fields.items() if field.is_required()}
    if not required and not examples:
        chosen = example_key_of(models[0]) or next(iter(fields))
        required = {chosen: fields[chosen]}
    for key, field in required.items():
        examples += [((key, *path), text) for path, text in describe(hint_of(field)).examples]
    return SettingSpec(allowed=allowed, examples=examples, is_section=True)


def example_key_of(model: type[BaseModel]) -> str:
    """Section.example_key; "" where the first key is the example."""
    return model.example_key if issubclass(model, Section) else ""


def key_of(field: FieldInfo, name: str) -> str:
    """The config key of a field that the model calls `name`."""
    return field.alias or name


def hint_of(field: FieldInfo) -> Any:
    """The type of a field, annotated with its metadata and with the field itself."""
    hint: Any = field.annotation
    for item in (*field.metadata, field):
        hint = Annotated[hint, item]
    return hint


def parts_of(hint: Any) -> tuple[Any, list[Any]]:
    """A type without Annotated and without None, and the metadata that annotated it."""
    metadata: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *annotations = get_args(hint)
            metadata += annotations
        elif get_origin(hint) in (Union, UnionType):
            members = [member for member in get_args(hint) if member is not type(None)]
            if len(members) > 1:
                return hint, metadata
            hint = members[0]
        else:
            return hint, metadata


def models_of(hint: Any) -> list[type[BaseModel]]:
    """The section that a type is, or the members of a union of sections; none for other types."""
    bare, _ = parts_of(hint)
    members = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
    return [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]


def discriminator_of(models: list[type[BaseModel]]) -> str:
    """The field whose literal value distinguishes the members of a union: `kind` or `mode`."""

    def tags(model: type[BaseModel], name: str) -> bool:
        field = model.model_fields.get(name)
        return (
            field is not None
            and get_origin(field.annotation) is Literal
            and len(get_args(field.annotation)) == 1
        )

    return next(
        name for name in models[0].model_fields if all(tags(model, name) for model in models)
    )


def _tags(models: list[type[BaseModel]], tag: str) -> list[str]:
    return [str(get_args(model.model_fields[tag].annotation)[0]) for model in models]


def _chosen(models: list[type[BaseModel]], tag: str, value: Any) -> type[BaseModel]:
    given = _get(value, tag)
    chosen = next((model for model in models if given in _tags([model], tag)), None)
    if chosen is None and _are_told_by_keys(models):
        keys = set(cast("dict[str, Any]", value)) if isinstance(value, dict) else set[str]()
        chosen = max(models, key=lambda model: len(keys & _keys(model)))
    return chosen or models[0]


def _are_told_by_keys(models: list[type[BaseModel]]) -> bool:
    return all(issubclass(model, Section) and model.told_by_keys for model in models)


def _keys(model: type[BaseModel]) -> set[str]:
    return set(_keys_in_order(model))


def _keys_in_order(model: type[BaseModel]) -> list[str]:
    return [key_of(field, name) for name, field in model.model_fields.items()]


def _get(value: Any, segment: str | int) -> Any:
    try:
        return value[segment]
    except (KeyError, IndexError, TypeError):
        return ABSENT
