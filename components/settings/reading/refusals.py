"""Turns a stack's raw config into Settings, or into all reasons against it at once. Pure.

Each section is validated by itself, so that a refused section does not hide problems of others, or
between others. Every refusal names the key, the value, what is allowed and the command that mends
it. Values of secrets, and of settings that look like secrets, are never shown.
"""

import functools
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from components import commands
from components.public_passphrase import ALLOWED, NOT_EMPTY, way_out, way_out_of_empty
from components.settings import profiles
from components.settings.cross.every_rule import problems_between
from components.settings.model import Settings
from components.settings.reading import suggestions
from components.settings.reading.secrets import OF_SECTIONS, SECRETS, is_taken, secrets_of
from components.settings.reading.spec import (
    ABSENT,
    SettingSpec,
    default_at,
    elsewhere,
    is_known,
    is_short_form,
    keys_at,
    kind_by_keys,
    kinds_with,
    lookup,
    names_rule_at,
    narrowed,
    spec_at,
    without_tags,
)
from components.settings.reading.stack_file import PROJECT, resolved
from components.settings.registry import stack_secrets
from components.settings.rotation import RotationSettings
from components.settings.schema import environment
from components.settings.schema.problems import Path
from components.settings.schema.rules import QUOTE, REMOVE, RENAME, is_for_the_shell
from components.settings.schema.secret_rules import SecretRule

EDITS = "SOVEREIGN_HARBOR_FIXES_ARE_EDITS"
"""Environment variable of previews of a stack that is in no backend: `pulumi config` knows no such
stack, so a refusal says what to write into the stack's file."""

_NOT_SET = "(not set)"
_LONGEST_SHOWN = 80
_NO_REFERENCES = "only a sandbox's stack may refer to the environment"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One setting that is refused. `fix` is one command per line."""

    key: str
    value: str
    allowed: str
    fix: str

    def __str__(self) -> str:
        fix = self.fix.replace("\n", "\n           ")
        return f"{PROJECT}:{self.key} = {self.value}\n  allowed: {self.allowed}\n  fix:     {fix}"


class SettingsRefused(Exception):
    """The stack config is refused; the text holds every reason."""

    def __init__(self, *, stack: str, refusals: Sequence[Refusal]) -> None:
        self.stack = stack
        self.refusals = tuple(refusals)
        subject = "1 setting" if len(refusals) == 1 else f"{len(refusals)} settings"
        verb = "is" if len(refusals) == 1 else "are"
        header = f"{subject} of stack {stack} {verb} refused; nothing was touched"
        super().__init__("\n\n".join([header, *map(str, refusals)]))


@dataclass(frozen=True, kw_only=True)
class Fixes:
    """What a person does about a setting of this stack: a command, or an edit of its file."""

    stack: str
    edits: bool = False

    def set(self, path: Path, text: str) -> str:
        text = text.replace("{stack}", self.stack)
        if not self.edits:
            value = text if is_for_the_shell(text) else shlex.quote(text)
            return commands.run(f"config set {_path_option(path)} {value}", self.stack)
        if text.startswith("< "):
            return f"in {self._file} set {dotted(path)} to the content of {text[2:]}"
        if is_for_the_shell(text):
            return f"in {self._file} set {dotted(path)} to what this prints: echo {text}"
        return f"in {self._file} set {dotted(path)}: {_as_yaml(text)}"

    def rename(self, path: Path, name: str = "") -> str:
        """No command of the engine moves what stands below a key."""
        return f"in {self._file} rename {dotted(path)}" + (f" to {name}" if name else "")

    def quote(self, path: Path) -> str:
        """`pulumi config set --path` writes digits without quotes."""
        return f"in {self._file} put {dotted(path)} in quotes"

    def remove(self, path: Path) -> str:
        if self.edits:
            return f"in {self._file} remove {dotted(path)}"
        return commands.run(f"config rm {_path_option(path)}", self.stack)

    def set_secret(self, key: str) -> str:
        first = f"pulumi stack init {self.stack}\n" if self.edits else ""
        return first + set_secret(key, self.stack)

    @property
    def _file(self) -> str:
        return f"Pulumi.{self.stack}.yaml"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The result of reading a raw config: `settings` is None if anything is refused."""

    settings: Settings | None
    refusals: tuple[Refusal, ...]
    sections: Mapping[str, Any]
    """The valid sections, by attribute name."""
    misspelt: frozenset[str] = frozenset()
    """The missing secrets that a refused key was meant to be: that refusal names them."""


def read(
    raw: Mapping[str, Any],
    *,
    stack: str,
    encrypted: Iterable[str] = (),
    missing: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    edits: bool = False,
) -> Reading:
    """Validate a raw config (by config key, without the secrets of secrets.SECRETS).

    `encrypted` names the keys that were given as secrets, `missing` the secrets that are not set;
    `environ` is for ${SANDBOX_…}. With `edits` refusals say what to write into the stack's file, as
    the stack is in no backend.
    """
    fixes = Fixes(stack=stack, edits=edits)
    return _Reader(fixes, environ or {}).read(dict(raw), frozenset(encrypted), sorted(missing))


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(Settings, include_extras=True)[name])


class _Reader:
    def __init__(self, fixes: Fixes, environ: Mapping[str, str], *, suggests: bool = True) -> None:
        self._fixes = fixes
        self._environ = environ
        self._suggests = suggests
        self._names = {field.alias or name: name for name, field in Settings.model_fields.items()}

    def read(
        self, raw: dict[str, Any], encrypted: frozenset[str], missing: Sequence[str] = ()
    ) -> Reading:
        refusals: list[Refusal] = []
        named = {name: path for path, name in stack_secrets.places(raw.get("registry"))}
        absent = [name for name in missing if name in named]
        misspelt: set[str] = set()
        sections: dict[str, Any] = {}
        # First `sandbox`, on which references in the other sections depend.
        for key in sorted(self._names, key=lambda key: key != "sandbox"):
            if key in encrypted:
                refusals.append(self._encrypted(key, raw.get(key)))
            else:
                refusals += self._section(key, raw, sections)
        for key in raw:
            if key in self._names:
                continue
            meant = suggestions.key(key, absent) if key in encrypted else None
            if meant is None:
                refusals.append(self._unknown((key,), raw, hidden=key in encrypted))
            else:
                misspelt.add(meant)
                refusals.append(self._misspelt(key, raw[key], meant, named[meant]))
        refusals += [
            self._at(problem.path, raw, reason=problem.reason, example=problem.example)
            for problem in problems_between(sections)
        ]
        refusals += [
            self._at(path, raw, reason=f"{name} is a setting or secret of the program's own")
            for path, name in stack_secrets.places(raw.get("registry"))
            if is_taken(name) and is_known(path, raw)
        ]
        complete = not refusals
        settings = Settings(**sections) if complete else None
        return Reading(
            settings=settings,
            refusals=tuple(refusals),
            sections=sections,
            misspelt=frozenset(misspelt),
        )

    def refused_in(self, key: str, raw: Mapping[str, Any]) -> list[Refusal]:
        """The refusals of one section by itself."""
        return self._section(key, raw, {"sandbox": raw.get("sandbox") in (True, "true")})

    def _section(self, key: str, raw: Mapping[str, Any], sections: dict[str, Any]) -> list[Refusal]:
        name = self._names[key]
        field = Settings.model_fields[name]
        value = profiles.with_defaults(profiles.of(raw), key, raw.get(key))
        if key not in raw and value is None:
            if field.is_required():
                return [self._at((key,), raw)]
            sections[name] = field.get_default(call_default_factory=True)
            return []
        unset = self._references(key, value, sections)
        expanded = environment.expand_all(value, self._environ)
        try:
            section = _adapter(name).validate_python(expanded, by_alias=True, by_name=False)
        except ValidationError as error:
            # Refusals show the raw value: the value of a reference may be a secret.
            refusals = [self._explain(detail, key, raw) for detail in error.errors()]
            skip = {refusal.key for refusal in unset}
            return unset + [refusal for refusal in refusals if refusal.key not in skip]
        if not unset:
            sections[name] = section
        return unset

    def _references(self, key: str, value: Any, sections: Mapping[str, Any]) -> list[Refusal]:
        """${SANDBOX_…} outside a sandbox, or not set."""
        refusals: list[Refusal] = []
        for path, text in environment.walk(value, (key,)):
            if not is_known(path, {key: value}):
                continue
            if sections.get("sandbox") is not True:
                refusals.append(self._at(path, {key: value}, reason=_NO_REFERENCES))
            elif environment.missing(text, self._environ):
                refusals.append(_unset_reference(path, text, self._environ))
        return refusals

    # --- One pydantic error ----------------------------------------------------------------

    def _explain(self, error: ErrorDetails, key: str, raw: Mapping[str, Any]) -> Refusal:
        here = without_tags((key, *error["loc"]))
        if here[-1] == "[key]":  # pydantic's place of the name of an entry
            here = here[:-1]
        context = error.get("ctx") or {}
        match error["type"]:
            case "extra_forbidden":
                return self._unknown(here, raw, hidden=False)
            case "union_tag_invalid" | "union_tag_not_found":
                discriminator = str(context["discriminator"]).strip("'")
                if isinstance(error["input"], Mapping):
                    meant = None
                    if error["type"] == "union_tag_not_found":
                        meant = kind_by_keys(here, raw)
                    return self._at((*here, discriminator), raw, example=meant)
                return self._at(here, raw)
            case "refused":
                below = cast("tuple[str, ...]", context["at"])
                return self._at(
                    (*here, *below),
                    raw,
                    reason=context["reason"],
                    example=context["example"],
                )
            case "refused_name":
                return self._of_name(here, raw, reason=context["reason"])
            case _:
                return self._at(here, raw)

    def _of_name(self, path: Path, raw: Mapping[str, Any], *, reason: str) -> Refusal:
        """A refusal of the name that a person chose for the entry at `path`."""
        name, rule = str(path[-1]), names_rule_at(path[:-1], raw)
        reason = reason or suggestions.oddity(name)
        candidates = (*(rule.suggest(name) if rule.suggest else ()), *suggestions.names(name))
        meant = (text for text in candidates if rule.fits(text))
        return Refusal(
            key=dotted(path),
            value=f"(the name {_shown(name, hidden=False)})",
            allowed=f"{rule.allowed} ({reason})" if reason else rule.allowed,
            fix=self._fixes.rename(path, next(meant, "")),
        )

    def _at(
        self,
        path: Path,
        raw: Mapping[str, Any],
        *,
        reason: str = "",
        example: str | None = None,
    ) -> Refusal:
        """A refusal of the known setting at `path`."""
        spec = spec_at(path, raw)
        if is_short_form(path, raw):
            path = path[:-1]
        value = lookup(raw, path)
        hidden = spec.conceal or (spec.is_section and _looks_secret(str(path[-1])))
        shown = _NOT_SET if value is ABSENT else _shown(value, hidden=hidden)
        if not reason and value is not ABSENT:
            is_other = spec.is_text and isinstance(value, bool | int | float)
            quotes_mend_it = is_other and self._accepts(path, _scalar(value), raw)
            reason = suggestions.reason_of(
                value, is_text=spec.is_text, quotes_mend_it=quotes_mend_it
            )
            example = QUOTE if quotes_mend_it else example
        if not reason and value is ABSENT and spec.is_section:
            reason = _needed_by(path, raw)
        allowed = f"{spec.allowed} ({reason})" if reason else spec.allowed
        if example == REMOVE:
            commands = [self._fixes.remove(path)]
        elif example == QUOTE:
            commands = [self._fixes.quote(path)]
        elif example == RENAME:
            commands = [self._fixes.rename(path)]
        elif example is not None:
            commands = [self._fixes.set(path, example)]
        elif (meant := self._meant(path, value, raw, spec, hidden=hidden)) is not None:
            commands = [self._fixes.set(path, meant)]
        else:
            examples = self._examples(path, raw, spec)
            commands = [self._fixes.set((*path, *rest), text) for rest, text in examples]
            if value is not ABSENT and any(rest for rest, _ in spec.examples):
                # `config set --path` does not replace a text by an object.
                commands.insert(0, self._fixes.remove(path))
        return Refusal(key=dotted(path), value=shown, allowed=allowed, fix="\n".join(commands))

    def _examples(
        self, path: Path, raw: Mapping[str, Any], spec: SettingSpec
    ) -> list[tuple[Path, str]]:
        """Those of the setting. Where it does not allow the stack's name, people choose one."""
        examples: list[tuple[Path, str]] = []
        for rest, text in spec.examples:
            named = text.replace("{stack}", self._fixes.stack)
            if named != text and not spec_at((*path, *rest), raw).fits(named):
                named = f"<{(*path, *rest)[-1]}>"
            examples.append((rest, named))
        return examples

    def _meant(
        self, path: Path, value: Any, raw: Mapping[str, Any], spec: SettingSpec, *, hidden: bool
    ) -> str | None:
        """What a person meant by the refused text at `path`, if the settings accept that."""
        if isinstance(value, int) and spec.is_text and not isinstance(value, bool):
            value = str(value)
        if not self._suggests or hidden or not isinstance(value, str) or spec.is_section:
            return None
        if "PRIVATE KEY" in value or environment.references(value) or len(value) > _LONGEST_SHOWN:
            return None
        of_rule = None if spec.rule is None else spec.rule.suggest
        candidates = suggestions.values(value, spec.choices, spec.aliases, of_rule)
        return next(
            (text for text in candidates if text != value and self._accepts(path, text, raw)), None
        )

    def _accepts(self, path: Path, value: Any, raw: Mapping[str, Any]) -> bool:
        """Whether the section at the first key accepts this value at `path`."""
        trial = replaced(narrowed(raw, path), path, value)
        reader = _Reader(self._fixes, self._environ, suggests=False)
        key, first = dotted(path), str(path[0])
        if first not in self._names:
            return False
        return not any(
            refusal.key == key or refusal.key.startswith((f"{key}.", f"{key}["))
            for refusal in reader.refused_in(first, trial)
        )

    def _unknown(self, path: Path, raw: Mapping[str, Any], *, hidden: bool) -> Refusal:
        *parent, last = path
        leaf, value = str(last), lookup(raw, path)
        remove = self._fixes.remove(path)
        hidden = hidden or _looks_secret(leaf)
        shown = _shown(value, hidden=hidden)
        known = keys_at(tuple(parent), raw)
        if (kinds := kinds_with(path, raw)) is not None:
            tag, chosen, others = kinds
            return Refusal(
                key=dotted(path),
                value=shown,
                allowed=f"no such setting of {tag} {chosen}; {tag} {' or '.join(others)} has it",
                fix=remove,
            )
        called, reason = elsewhere(path, raw)
        if reason or "." in called:
            reason = reason or f"it is called {called} here"
            return Refusal(
                key=dotted(path), value=shown, allowed=f"no such setting: {reason}", fix=remove
            )
        # People often write a key pair into the section of the bucket, a token into that of the
        # zone.
        secrets = list(self._secrets_for(parent, raw))
        if _looks_secret(leaf):
            meant_secret = suggestions.secret(leaf, secrets)
            near = called or meant_secret or suggestions.key(leaf, known)
        else:
            near = called or suggestions.key(leaf, known + secrets)
        if near is None and not parent and hidden:
            return Refusal(
                key=dotted(path),
                value=shown,
                allowed="no such setting or secret; the section registry refers to none of this "
                f"name, and the secrets besides are {', '.join(SECRETS)}",
                fix=remove,
            )
        if near is None:
            return Refusal(
                key=dotted(path),
                value=shown,
                allowed=f"no such setting; known here: {', '.join(sorted(known))}",
                fix=remove,
            )
        if near in secrets:
            return Refusal(
                key=dotted(path),
                value=_shown(value, hidden=True),
                allowed=f"no such setting; did you mean the top-level secret {near}?",
                fix=f"{self._fixes.set_secret(near)}\n{remove}",
            )
        hidden = hidden or (bool(called) and _looks_secret(near))
        meant: Path = (*parent, near)
        commands = [remove]
        spec = spec_at(meant, raw)
        if isinstance(value, int) and not spec.is_text and not spec.is_section:
            hidden = False  # a number for a number, as below `rotation`
        if lookup(raw, meant) is ABSENT:
            is_scalar = isinstance(value, str | int | float) and not hidden
            reuse = is_scalar and self._suggests and self._accepts(meant, value, raw)
            examples = [((), _scalar(value))] if reuse else self._examples(meant, raw, spec)
            commands = [
                self._fixes.set((*meant, *rest), text) for rest, text in examples
            ] + commands
        return Refusal(
            key=dotted(path),
            value=_shown(value, hidden=hidden),
            allowed=f"no such setting; it is called {dotted(meant)} here"
            if called
            else f"no such setting; did you mean {dotted(meant)}?",
            fix="\n".join(commands),
        )

    def _secrets_for(self, parent: Sequence[Any], raw: Mapping[str, Any]) -> Iterable[str]:
        """Those that a key could stand for which is written into a section, or beside them all."""
        if not parent:
            return secrets_of(raw)
        return OF_SECTIONS.get(str(parent[0]), {})

    def _misspelt(self, key: str, value: Any, meant: str, path: Path) -> Refusal:
        """An encrypted key with nearly the name of a secret that the file refers to."""
        return Refusal(
            key=key,
            value=_shown(value, hidden=True),
            allowed=f"no such secret; {dotted(path)} refers to {meant}, which is not set: did you "
            "mean that?",
            fix=f"{self._fixes.set_secret(meant)}\n{self._fixes.remove((key,))}",
        )

    def _encrypted(self, key: str, value: Any) -> Refusal:
        spec = spec_at((key,), {})
        examples = self._examples((key,), {}, spec)
        commands = [self._fixes.set((key, *rest), text) for rest, text in examples]
        return Refusal(
            key=key,
            value=_shown(value, hidden=True),
            allowed=f"plain text: the only secrets are {', '.join(SECRETS)}, and this would be "
            "written readably into other places",
            fix="\n".join([self._fixes.remove((key,)), *commands]),
        )


def _needed_by(path: Path, raw: Mapping[str, Any]) -> str:
    """Which keys of an optional section ask for the object at `path`, and the other way out; "" in
    a section that every stack has, or that has no other key."""
    name, *below = path
    section = lookup(raw, (name,))
    if len(below) != 1 or not isinstance(section, dict) or default_at((name,), raw) is not None:
        return ""
    written = ", ".join(f"{name}.{key}" for key in cast("dict[str, Any]", section))
    return f"required by {written}; without it leave {name} out" if written else ""


def replaced(raw: Any, path: Path, value: Any) -> Any:
    """A copy of a raw config with another value at a path; what is in its way becomes an object."""
    if not path:
        return value
    segment, *rest = path
    inner = replaced(lookup(raw, (segment,)), tuple(rest), value)
    if isinstance(segment, int):
        items = [*cast("list[Any]", raw)] if isinstance(raw, list) else []
        return [*items[:segment], inner, *items[segment + 1 :]]
    return {**(cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}), segment: inner}


# --- Secrets -----------------------------------------------------------------------------------


def set_secret(key: str, stack: str) -> str:
    """The command that sets a secret; no shell history keeps the value.

    It asks for the value, or reads the file that the value comes in.
    """
    file = SECRETS[key].file if key in SECRETS else None
    return commands.set_secret(key, stack) + (f" < {file}" if file else "")


def missing_secret(
    key: str, *, fixes: Fixes, sandbox: bool, rules: Mapping[str, SecretRule] = SECRETS
) -> Refusal:
    """A secret that is needed and not set. `rules`: all secrets of the stack, by config key."""
    allowed = rules[key].allowed(sandbox=sandbox)
    return Refusal(key=key, value=_NOT_SET, allowed=allowed, fix=fixes.set_secret(key))


def public_passphrase(stack: str) -> Refusal:
    """Refuses the sandbox's environment to a stack that is no sandbox."""
    return _passphrase("the sandbox's", ALLOWED, way_out(stack))


def empty_passphrase(stack: str) -> Refusal:
    """Refuses an empty passphrase to a stack that is no sandbox."""
    return _passphrase("(empty)", NOT_EMPTY, way_out_of_empty(stack))


def _passphrase(value: str, allowed: str, fix: str) -> Refusal:
    return Refusal(key="(PULUMI_CONFIG_PASSPHRASE)", value=value, allowed=allowed, fix=fix)


def given_and_rotated(rotation: RotationSettings, *, fixes: Fixes) -> list[Refusal]:
    """Refuses to rotate a database password that is given: the program does not mint that one."""
    if rotation.database_password == 1:
        return []
    return [
        Refusal(
            key="rotation.databasePassword",
            value=str(rotation.database_password),
            allowed="1 while the secret databasePassword gives the password",
            fix="\n".join(
                fixes.remove(path) for path in (("databasePassword",), ("database", "adopt"))
            ),
        )
    ]


def read_secret(
    key: str,
    text: str,
    *,
    encrypted: bool,
    sandbox: bool,
    environ: Mapping[str, str],
    fixes: Fixes,
    rules: Mapping[str, SecretRule] = SECRETS,
) -> str | Refusal:
    """The secret's value, or a refusal that does not contain it. `rules`: all secrets of the stack,
    by config key."""
    reference, reason = environment.is_reference(text), None
    if reference and not sandbox:
        reason = _NO_REFERENCES
    elif reference and environment.missing(text, environ):
        return _unset_reference((key,), text, environ)
    else:
        plain = environment.expand(text, environ) if reference else text
        if encrypted or reference:
            reason = rules[key].refusal(plain, sandbox=sandbox)
        else:
            reason = "it stands readable in the stack's file; if that was shared, replace the key"
        if reason is None:
            return plain
    allowed = rules[key].allowed(sandbox=sandbox)
    return Refusal(
        key=key,
        value=json.dumps(text) if reference else f"<secret, {len(text)} characters>",
        allowed=f"{allowed} ({reason})" if reason else allowed,
        fix=fixes.set_secret(key),
    )


def _unset_reference(path: Path, text: str, environ: Mapping[str, str]) -> Refusal:
    names = ", ".join(environment.missing(text, environ))
    return Refusal(
        key=dotted(path),
        value=json.dumps(text),
        allowed=f"the environment of the running sandbox, which sets {names} (run make up first)",
        fix=environment.HOW_TO_SET,
    )


# --- Values and commands -----------------------------------------------------------------------


def _looks_secret(key: str) -> bool:
    return (
        re.search(r"key|secret|pass|pwd|token|credential|pin|authorization", key, re.IGNORECASE)
        is not None
    )


def _shown(value: Any, *, hidden: bool) -> str:
    if isinstance(value, dict | list):  # it may hold a secret anywhere
        return "(an object)" if isinstance(value, dict) else "(a list)"
    text = value if isinstance(value, str) else json.dumps(value)
    if hidden:
        return f"<secret, {len(text)} characters>"
    if "PRIVATE KEY" in text:
        return f"<private key, {len(text)} characters>"
    text = re.sub(r"//[^/@\s]+@", "//<hidden>@", json.dumps(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _scalar(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _as_yaml(text: str) -> str:
    """A text as it may stand behind a colon."""
    is_plain = re.fullmatch(r"[\w<./-][\w<>.:/@+=-]*", text, re.ASCII) and not text.endswith(":")
    return (
        text
        if is_plain and (isinstance(resolved(text), str) or _is_canonical(text))
        else json.dumps(text)
    )


def _is_canonical(text: str) -> bool:
    """Whether YAML reads the text as a number or boolean that is written back as that text."""
    return _scalar(resolved(text)) == text


def dotted(path: Path) -> str:
    """A path as `pulumi config set --path` reads it."""
    text = ""
    for segment in path:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", segment):
            text += f".{segment}" if text else segment
        else:
            text += f"[{json.dumps(segment)}]"
    return text


def _path_option(path: Path) -> str:
    # --path turns true, false and digits into YAML booleans and numbers: not for top-level texts.
    return f"--path '{dotted(path)}'" if len(path) > 1 else shlex.quote(dotted(path))
