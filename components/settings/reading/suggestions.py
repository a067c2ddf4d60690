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
_WORDS_OF_SECRETS: Final[Mapping[str, str]] = {
    "db": "database",
    "pg": "database",
    "postgres": "database",
    "postgresql": "database",
    "pass": "password",
    "passwd": "password",
    "pw": "password",
    "pwd": "password",
}
_GENERAL: Final = frozenset(
    ("access", "account", "api", "data", "file", "id", "key", "keys", "password", "secret", "token")
)
"""Words of secrets that say nothing of whose they are."""
_TYPOS: Final = 2
"""Letters that may be wrong, missing or one too many in the name of a secret."""


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


def secret(name: str, known: Iterable[str]) -> str | None:
    """The known secret that was most likely meant; None where it could be none or several.

    Names of secrets end alike, so those with another beginning look alike: hubToken is not
    dnsToken. A known one is meant if the name has at most two wrong letters, has all its words, or
    has of those that say whose it is no other ones.
    """
    scores = sorted(
        (score, other) for other in known if (score := _distance(name, other)) is not None
    )
    is_general = all(word in _GENERAL for word in _words(name))
    if len(scores) > 1 and (scores[0][0] == scores[1][0] or (is_general and scores[0][0] > 0)):
        return None
    return scores[0][1] if scores else None


def _distance(name: str, known: str) -> float | None:
    """How far a name is from a known secret: words that only one of them has, or 0 and less for
    one with wrong letters. None if it is not meant."""
    if (wrong := _edits(_folded(name), _folded(known))) == 0:
        return -1
    ours, theirs = _words(known), _words(name)
    is_general = all(word in _GENERAL for word in theirs)
    if wrong <= _TYPOS and not is_general:
        return wrong / (_TYPOS + 1) - 1
    only_ours = [word for word in ours if not _is_among(word, theirs)]
    only_theirs = [word for word in theirs if not _is_among(word, ours)]
    is_foreign = is_general or any(word not in _GENERAL for word in only_theirs)
    if only_ours and only_theirs and is_foreign:
        return None
    return len(only_ours) + len(only_theirs)


def _words(name: str) -> list[str]:
    """The words of a name: of s3AccessKeyId s3, access, key. One of S3's own names is shortened."""
    parts: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*|\d+", name)
    words = [_WORDS_OF_SECRETS.get(part.lower(), part.lower()) for part in parts]
    text = " ".join(words).replace("secret access key", "secret key")
    return text.replace("access key id", "access key").split()


def _is_among(word: str, words: Sequence[str]) -> bool:
    return bool(difflib.get_close_matches(word, words, n=1, cutoff=0.75))


def _edits(left: str, right: str) -> int:
    """How many letters are to be changed, put in or taken out (Levenshtein's distance)."""
    row = [*range(len(right) + 1)]
    for count, letter in enumerate(left, 1):
        before, row[0] = row[0], count
        for index, other in enumerate(right, 1):
            changed = before + (letter != other)
            before, row[index] = row[index], min(changed, row[index] + 1, row[index - 1] + 1)
    return row[-1]


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
