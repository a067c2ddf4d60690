"""Reads a stack's file as the engine reads it.

The engine reads `Pulumi.<stack>.yaml` by gopkg.in/yaml.v3 (pulumi 3.250,
sdk/go/common/encoding/marshal.go). The scanner of yaml.v3 is a port of libyaml, PyYAML's C parser
is libyaml itself. Behind the scanner PyYAML's loaders differ: they follow YAML 1.1, where `on` is a
boolean and 1e3 is a text, and they keep the last of two equal keys, where the engine refuses the
file. So this module uses the parser's events only, and resolves values as resolve.go of yaml.v3.

tests/sandbox/test_stack_files.py compares it with the engine.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.reader import ReaderError

PROJECT: Final = "sovereign-harbor"
"""Name of the project, and the namespace of its keys."""

_TOP_LEVEL: Final = ("config", "encryptionsalt", "encryptedkey", "secretsprovider", "environment")
"""Keys of the engine's ProjectStack. It passes over any other without a word."""

# No stack's file comes near. They end aliases that multiply, and nesting that no reader survives.
_DEEPEST: Final = 32
_LARGEST: Final = 20_000

ODD_CHARACTERS: Final[Mapping[str, str]] = {
    "\u00a0": "a no-break space (U+00A0)",
    "\u2007": "a figure space (U+2007)",
    "\u2009": "a thin space (U+2009)",
    "\u202f": "a narrow no-break space (U+202F)",
    "\u3000": "an ideographic space (U+3000)",
    "\u200b": "a zero-width space (U+200B)",
    "\u2060": "a word joiner (U+2060)",
    "\ufeff": "a byte order mark (U+FEFF)",
}
"""Characters that look like a space or like nothing, as copies from web pages have them."""

_PROBLEMS: Final[Mapping[str, str]] = {
    "mapping values are not allowed": "a key inside a value: this line is indented too far, the "
    "line above has no colon, or the value has a colon and needs quotes",
    "could not find expected ':'": "a key without its colon, or without the space behind the colon",
    "did not find expected key": "this line is indented differently from those beside it",
    "did not find expected '-' indicator": "this line is indented differently from its list",
    "did not find expected ',' or '}'": "a brace { is not closed; a text with { needs quotes",
    "did not find expected ',' or ']'": "a bracket [ is not closed; a text with [ needs quotes",
    "block sequence entries are not allowed": "a list begins on the line below its key",
    "did not find expected node content": "a value is missing; a text with { or [ needs quotes",
    "did not find expected <document start>": "text behind the end of the document",
    "unexpected end of stream": "a quote is not closed",
    "cannot start any token": "a text that begins with this character needs quotes",
    "did not find expected alphabetic": "a text that begins with * or & needs quotes",
    "did not find expected whitespace": "a text that begins with ! or & needs quotes",
    "unknown escape character": "a \\ between double quotes: write it twice, or use single quotes",
    "control characters are not allowed": "a control character",
    "special characters are not allowed": "a control character",
}
"""What libyaml says → what is wrong with the file."""


_UNTYPED: Any = yaml  # its stubs leave the events unknown


class StackFileRefused(Exception):
    """A stack's file does not say what the engine could read. The text has file, line, column."""

    def __init__(self, name: str, line: int, column: int, reason: str) -> None:
        self.name, self.line, self.column, self.reason = name, line, column, reason
        super().__init__(f"{name}:{line}:{column}: {reason}")


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """A stack's file. `config`: its values by full key; secrets are {"secure": ciphertext}."""

    config: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The project's own values by their keys, with the secrets."""
        prefix = f"{PROJECT}:"
        return {
            key.removeprefix(prefix): value
            for key, value in self.config.items()
            if key.startswith(prefix)
        }

    @property
    def is_sandbox(self) -> bool:
        """Whether the file says that the stack is the sandbox's."""
        return self.settings.get("sandbox") in (True, "true")


def read(file: Path) -> StackFile:
    """The stack's file. Raises FileNotFoundError and StackFileRefused."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StackFileRefused(file.name, 1, 1, error.strerror or "unreadable") from None
    return parse(content, file.name)


def parse(content: bytes, name: str) -> StackFile:
    """The content of a stack's file of that name. Raises StackFileRefused."""
    return _Reader(_decoded(content, name), name).read()


def written(config: Mapping[str, Any]) -> str:
    """A stack's file with this config: as JSON, which all readers of YAML read alike."""
    return _json({"config": config}, indent=1) + "\n"


def quoted(text: str) -> str:
    """A text as it stands behind a colon: in quotes where the engine would read something else."""
    is_plain = re.fullmatch(r"[A-Za-z0-9</.][\w<>./:@+=-]*", text, re.ASCII) is not None
    is_text = isinstance(resolved(text or "~"), str) and not _is_date(text)
    return text if is_plain and is_text and not text.endswith(":") else _json(text)


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)  # YAML knows no surrogate pairs
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


# JSON leaves them as they are, YAML takes them only escaped.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def is_encrypted(value: Any) -> bool:
    """Whether a value of the config is encrypted as a whole."""
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() == {"secure"}


# --- Values ------------------------------------------------------------------------------------


def resolved(text: str) -> Any:
    """The value of a text without quotes, as resolve.go of yaml.v3 has it, apart from dates.

    The engine hands values on as Go's JSON, in which a float without fraction is a whole number.
    """
    if text in _WORDS:
        return _WORDS[text]
    plain = text.replace("_", "")
    if text[0] in "+-0123456789":
        if (match := _WHOLE.fullmatch(plain)) is not None:
            number = int(match["digits"], 8 if match["octal"] else 0)
            number = -number if plain[0] == "-" else number
            if -(2**63) <= number < 2**64:
                return number
        if _FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
            return _as_json(float(plain))
    elif _FRACTION.fullmatch(text):
        return _as_json(float(text))
    return text


_WORDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_WHOLE: Final = re.compile(
    r"[-+]?(?P<digits>0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|(?P<octal>0[0-7]+)|0|[1-9][0-9]*)"
)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_FRACTION: Final = re.compile(r"\.[0-9]+([eE][-+]?[0-9]+)?")
_DATE: Final = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)([Tt ](\d\d?):(\d\d?):(\d\d?)(\.\d+)?(Z|[-+]\d\d:\d\d)?)?", re.ASCII
)


def _as_json(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(n or 0) for n in match.group(1, 2, 3, 5, 6, 7))
    try:
        dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:
        return False
    return True


def _decoded(content: bytes, name: str) -> str:
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        reason = f"not UTF-8 text; if it is UTF-16: iconv -f UTF-16 -t UTF-8 {name}"
        raise StackFileRefused(name, 1, 1, reason)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode())
        raise StackFileRefused(name, line, column, "a byte that is not UTF-8 text") from None


def _position(before: str) -> tuple[int, int]:
    """Line and column of what follows this text."""
    return before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def _extent(value: Any) -> tuple[int, int]:
    """How many values a value holds, and how deep."""
    below: list[Any] = []
    if isinstance(value, dict):
        below = list(cast("dict[str, Any]", value).values())
    elif isinstance(value, list):
        below = cast("list[Any]", value)
    extents = [_extent(item) for item in below]
    return 1 + sum(size for size, _ in extents), 1 + max((depth for _, depth in extents), default=0)


# --- The reader --------------------------------------------------------------------------------


class _Reader:
    """Composes the events of one document."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._events = self._parsed()
        self._anchored: dict[str, Any] = {}
        self._open: set[str] = set()
        self._size = 0
        self._keys: dict[int, dict[str, Event]] = {}
        """By the identity of an object: where its keys stand."""

    def read(self) -> StackFile:
        next(self._events)  # the stream's start
        if not isinstance(next(self._events), DocumentStartEvent):
            return StackFile(config={})
        start = next(self._events)
        top = self._value(start, 0)
        next(self._events)  # the document's end
        following = next(self._events)
        if isinstance(following, DocumentStartEvent):
            self._refuse(following, "a second document: the engine reads nothing behind this ---")
        if top is None:
            return StackFile(config={})
        if not isinstance(top, dict):
            self._refuse(start, "no object; a stack's file begins with config:")
        return self._file(cast("dict[str, Any]", top))

    def _file(self, top: dict[str, Any]) -> StackFile:
        for key in top:
            if key not in _TOP_LEVEL:
                self._unknown_at_the_top(key, self._keys[id(top)][key])
        given: Any = top.get("config")
        if given is None:
            return StackFile(config={})
        if not isinstance(given, dict):
            self._refuse(self._keys[id(top)]["config"], "config is no object")
        config: dict[str, Any] = {}
        section = cast("dict[str, Any]", given)
        for key, value in section.items():
            event = self._keys[id(section)][key]
            full = self._full_key(key, event)
            if full in config:
                self._refuse(event, f"the key {full} a second time")
            config[full] = value
        return StackFile(config=config)

    def _full_key(self, key: str, event: Event) -> str:
        """As ParseKey of sdk/go/common/resource/config/key.go, with the project's namespace."""
        parts = key.split(":")
        if len(parts) == 3 and parts[1] == "config":
            parts = [parts[0], parts[2]]
        elif len(parts) == 1:
            parts = [PROJECT, key]
        if len(parts) != 2:
            self._refuse(event, f"{key} is no key; a key is {PROJECT}:NAME")
        namespace, name = parts
        if namespace != PROJECT and difflib.SequenceMatcher(None, namespace, PROJECT).ratio() > 0.8:
            self._refuse(event, f"nobody reads {key}; did you mean {PROJECT}:{name}?")
        return f"{namespace}:{name}"

    def _unknown_at_the_top(self, key: str, event: Event) -> NoReturn:
        near = difflib.get_close_matches(key.lower(), _TOP_LEVEL, n=1, cutoff=0.7)
        if near:
            self._refuse(event, f"the engine knows no key {key}; did you mean {near[0]}?")
        self._refuse(event, f"{key} stands beside config; settings are indented below config:")

    def _parsed(self) -> Iterator[Event]:
        try:
            yield from _UNTYPED.parse(self._text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error)
        except ReaderError as error:
            before = self._text[: int(error.position)]
            self._refuse(_position(before), _explained(str(error.reason)))

    def _value(self, event: Event, depth: int) -> Any:
        self._size += 1
        if depth > _DEEPEST or self._size > _LARGEST:
            self._refuse(event, "nested deeper, or larger, than any stack's file; aliases count")
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            tag: str | None = event.tag
            if tag is not None and not re.fullmatch(r"!|tag:yaml\.org,2002:(map|seq)", tag):
                self._refuse(event, f"the tag {tag}: a stack's file needs none")
            anchor = str(event.anchor)
            self._open.add(anchor)
            is_list = isinstance(event, SequenceStartEvent)
            value = self._items(depth) if is_list else self._object(event, depth)
            self._open.discard(anchor)
        else:
            self._refuse(event, "a value is missing")
        if event.anchor is not None:
            self._anchored[str(event.anchor)] = value
        return value

    def _alias(self, event: AliasEvent, depth: int) -> Any:
        anchor = str(event.anchor)
        if anchor in self._open:
            self._refuse(event, f"*{anchor} contains itself")
        if anchor not in self._anchored:
            self._refuse(event, f"no &{anchor} above; a text that begins with * needs quotes")
        value = self._anchored[anchor]
        size, deep = _extent(value)
        self._size += size
        if self._size > _LARGEST or depth + deep > _DEEPEST:
            self._refuse(event, "nested deeper, or larger, than any stack's file; aliases count")
        return value

    def _items(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _object(self, start: Event, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        events: dict[str, Event] = {}
        merged: list[Any] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            value = self._value(next(self._events), depth + 1)
            if key is None:
                merged += cast("list[Any]", value) if isinstance(value, list) else [value]
            elif key in entries:
                first = events[key].start_mark.line + 1
                self._refuse(event, f"the key {key} a second time; the first is in line {first}")
            else:
                entries[key], events[key] = value, event
        for other in merged:
            if not isinstance(other, dict):
                self._refuse(start, "<< takes the keys of objects, and this is no object")
            section = cast("dict[str, Any]", other)
            for key, value in section.items():
                entries.setdefault(key, value)
                events.setdefault(key, self._keys[id(section)][key])
        self._keys[id(entries)] = events
        return entries

    def _key(self, event: Event) -> str | None:
        """The key; None for <<, which merges other objects into this one."""
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "a key that is no text; a text with { or [ needs quotes")
        if event.implicit[0] and event.value == "<<":
            return None
        key = self._scalar(event)
        if not isinstance(key, str):
            self._refuse(event, f"the key {event.value or '(empty)'} is no text: put it in quotes")
        for character, words in ODD_CHARACTERS.items():
            if character in key:
                self._refuse(event, f"{words} in the key {key!r}: type it anew")
        return key

    def _scalar(self, event: ScalarEvent) -> Any:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._refuse(event, f"the tag {event.tag}: a stack's file needs none")
        if not event.implicit[0]:
            return event.value
        if _is_date(event.value):
            self._refuse(event, f"YAML reads {event.value} as a date: put it in quotes")
        value = resolved(event.value)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(event, f"YAML reads {event.value} as no number that a setting can be")
        return value

    def _refuse_syntax(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = error.context_mark
        first = min(context.line + 1 if context else line, line)
        rows = self._text.splitlines()
        for number in range(min(line, len(rows)), first - 1, -1):
            row = rows[number - 1]
            indent = row[: len(row) - len(row.lstrip())]
            if "\t" in indent:
                place = number, indent.index("\t") + 1
                self._refuse(place, "a tab indents this line; YAML indents with spaces only")
            for character, words in ODD_CHARACTERS.items():
                if character in row:
                    place = number, row.index(character) + 1
                    self._refuse(place, f"{words}; only plain spaces separate keys and values")
        if context and _is_left_open(str(error.problem)):
            line, column = context.line + 1, context.column + 1
        self._refuse((line, column), _explained(str(error.problem)))

    def _refuse(self, at: Event | tuple[int, int], reason: str) -> NoReturn:
        if isinstance(at, tuple):
            line, column = at
        else:
            line, column = at.start_mark.line + 1, at.start_mark.column + 1
        raise StackFileRefused(self._name, line, column, reason)


def _is_left_open(problem: str) -> bool:
    """Whether what begins at the context is never closed: the parser notices far below."""
    return "unexpected end of stream" in problem or "expected ',' or" in problem


def _explained(problem: str) -> str:
    return next((words for text, words in _PROBLEMS.items() if text in problem), problem)
