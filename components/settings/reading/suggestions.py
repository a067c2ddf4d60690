"""What a person most likely meant by a refused value or an unknown key. Pure.

A suggestion is shown only if the settings accept it; refusals.py tries them.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from components.settings.reading.stack_file import ODD_CHARACTERS

_DASHES: Final[Mapping[str, str]] = {
    "\u2010": "a hyphen of typesetting (U+2010)",
    "\u2011": "a no-break hyphen (U+2011)",
    "\u2012": "a figure dash (U+2012)",
    "\u2013": "an en dash (U+2013)",
    "\u2014": "an em dash (U+2014)",
    "\u2212": "a minus sign (U+2212)",
}
_QUOTES: Final = "\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_SYNONYMS: Final[Mapping[str, str]] = {
    "redis": "valkey",
    "postgresql": "database",
    "postgres": "database",
    "user": "username",
    "url": "endpoint",
}
"""Words that people use → words of the settings."""


def oddity(text: str) -> str:
    """What is odd about the characters of a text; "" if nothing is."""
    for character, words in (*ODD_CHARACTERS.items(), *_DASHES.items()):
        if character in text:
            where = " instead of '-'" if character in _DASHES else ""
            return f"it has {words}{where}"
    if text != text.strip():
        return f"it {'begins' if text[0].isspace() else 'ends'} with white space"
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        return "the quotes are part of the value"
    unusual = next((character for character in text if not character.isascii()), None)
    if unusual is not None:
        return f"it has the letter {unusual} (U+{ord(unusual):04X})"
    return ""


def cleaned(text: str) -> str:
    """The text without spaces and quotes around it, with plain dashes."""
    for character in ODD_CHARACTERS:
        text = text.replace(character, " ")
    for dash in _DASHES:
        text = text.replace(dash, "-")
    return text.strip().strip(_QUOTES).strip()


def values(
    text: str,
    choices: Sequence[str],
    aliases: Mapping[str, str],
    of_rule: Callable[[str], Iterable[str]] | None,
) -> Iterator[str]:
    """What could be meant by a text, the most likely first; `of_rule`: SettingRule.suggest."""
    clean = cleaned(text)
    yield clean
    if choices:
        folded = {choice.lower(): choice for choice in choices}
        given = clean.lower()
        if given in aliases:
            yield aliases[given]
        if of_rule is not None:
            yield from of_rule(given)
        near = difflib.get_close_matches(given, list(folded), n=1, cutoff=0.75)
        yield from (folded[match] for match in near)
        return
    yield clean.lower()
    if of_rule is not None:
        yield from of_rule(clean.rstrip(",;"))
    yield clean.rstrip(",;").rstrip("/.")
    yield clean.rstrip(",;").rstrip("/.").lower()


def key(word: str, known: Sequence[str], *, cutoff: float = 0.76) -> str | None:
    """The known key that was most likely meant."""
    folded = {_folded(name): name for name in known}
    given = _folded(word)
    if given in folded:
        return folded[given]
    for theirs, ours in _SYNONYMS.items():
        other = given.replace(theirs, ours)
        if other in folded:
            return folded[other]
    near = difflib.get_close_matches(given, list(folded), n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def _folded(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def names(refused: str) -> Iterator[str]:
    """Names that could be meant by a refused one, the most likely first."""
    clean = (
        unicodedata.normalize("NFKD", cleaned(refused)).encode("ascii", "ignore").decode().lower()
    )
    yield clean
    yield re.sub(r"[^a-z0-9]+", "-", clean).strip("-")


def reason_of(value: Any, *, is_text: bool, quotes_mend_it: bool) -> str:
    """Why a value is refused that is of another type than it seems; "" if that is not it."""
    if value is None:
        return "nothing stands behind the colon"
    if is_text and isinstance(value, bool | int | float):
        read = str(value).lower() if isinstance(value, bool) else "a number"
        return f"YAML reads it as {read}" + (": put it in quotes" if quotes_mend_it else "")
    return oddity(value) if isinstance(value, str) else ""
