"""JSON and YAML that come from outside: an answer, a chart, a file of another tool. Pure.

The parsers raise more than ValueError: RecursionError for deep nesting, and PyYAML also IndexError,
KeyError and AttributeError for `!!int ""`, `!!bool x` and `!!timestamp x`. The one over libyaml
composes nodes by recursion in C: 300,000 open brackets end the whole process by a segmentation
fault (PyYAML 6.0.3). A few aliases of YAML stand for more values than a memory holds.
"""

from __future__ import annotations

import json
from typing import Any, Final

import yaml

_MOST_VALUES: Final = 10_000
"""Values of a YAML document beyond one for each of its characters, once aliases are followed."""

_DEEPEST: Final = 100
"""Levels of nesting in YAML."""

_UNTYPED: Any = yaml  # its stubs leave the nodes unknown
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def json_of(content: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError, whatever the text is."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def yaml_of(content: bytes | str) -> Any:
    """The value of a YAML document; None of an empty one. Raises ValueError, whatever it is."""
    values = yaml_documents(content)
    if len(values) > 1:
        raise ValueError("it is more than one document")
    return values[0] if values else None


def yaml_documents(content: bytes | str) -> list[Any]:
    """The values of all YAML documents of a text. Raises ValueError, whatever the text is."""
    values: list[Any] = []
    try:
        _measure(content)
        loader = _LOADER(content)
        try:
            while loader.check_node():
                node = loader.get_node()
                _weigh(node, len(content) + _MOST_VALUES)
                values.append(loader.construct_document(node))
        finally:
            loader.dispose()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:500] or type(error).__name__) from None
    return values


def _measure(content: bytes | str) -> None:
    """Raises ValueError for a text that is nested too deeply: events need no recursion."""
    depth = 0
    for event in _UNTYPED.parse(content, Loader=_LOADER):
        if isinstance(event, _UNTYPED.CollectionStartEvent):
            depth += 1
        elif isinstance(event, _UNTYPED.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")


def _weigh(node: Any, most: int) -> None:
    """Raises ValueError for a document with more values than `most`, aliases followed."""
    weights: dict[int, int] = {}

    def weight(of: Any) -> int:
        known = weights.get(id(of))
        if known == 0:
            raise ValueError("a value that contains itself")
        if known is not None:
            return known
        weights[id(of)] = 0
        total = 1
        if isinstance(of, _UNTYPED.SequenceNode):
            total += sum(weight(each) for each in of.value)
        elif isinstance(of, _UNTYPED.MappingNode):
            total += sum(weight(key) + weight(value) for key, value in of.value)
        if total > most:
            raise ValueError("its aliases stand for too many values")
        weights[id(of)] = total
        return total

    weight(node)
