"""Vulnerabilities that stop no pull. Pure."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from components.settings.schema.rules import (
    REMOVE,
    Section,
    SettingRule,
    matching,
    refuse,
    refuse_repetition,
)

_has_the_form_of_an_id = matching(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9.:]+)+")


def _cve(text: str) -> str | None:
    if text.lower().startswith("cve-") and text != text.upper():
        return "the scanner writes CVE in capital letters, and Harbor compares letter by letter"
    return _has_the_form_of_an_id(text)


_CVE = SettingRule(
    allowed="the id of a vulnerability as the scanner reports it, e.g. CVE-2024-3094",
    example="<CVE-…>",
    check=_cve,
    suggest=lambda text: [text.upper().replace("_", "-"), f"CVE-{text}"],
)


def _date(text: str) -> str | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return ""
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return "there is no such day"
    return None


def _days(text: str) -> Iterator[str]:
    match = re.match(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?![0-9])", text)
    if match is not None:
        year, month, day = map(int, match.groups())
        yield f"{year:04}-{month:02}-{day:02}"


DATE = SettingRule(
    allowed='a day YEAR-MONTH-DAY in quotes, e.g. "2027-01-31"',
    example="<year>-<month>-<day>",
    check=_date,
    suggest=_days,
)


def end_of(day: str) -> int:
    """The end of that day in UTC, in seconds since 1970."""
    start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), tzinfo=dt.UTC)
    return int(start.timestamp()) + 86400


class CveAllowlistSettings(Section):
    """Vulnerabilities that stop no pull."""

    called_here: ClassVar[Mapping[str, str]] = {
        "cve_allowlist": "items",
        "expires_at": "expires",
    }

    items: tuple[Annotated[str, _CVE], ...] = ()
    """Ids of vulnerabilities."""
    expires: Annotated[str, DATE] | None = None
    """Last day on which the list counts, in UTC; for ever when unset. After it nothing on the list
    counts."""

    @property
    def expires_at(self) -> int | None:
        """Seconds since 1970; None for ever. (Harbor takes 0 for: expired at once.)"""
        return None if self.expires is None else end_of(self.expires)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        refuse_repetition(
            self.items, at=("items",), reason="the same one twice, to which Harbor answers 500"
        )
        if self.expires is not None and not self.items:
            refuse("left out with an empty list", at=("expires",), example=REMOVE)
        return self


class ProjectAllowlistSettings(CveAllowlistSettings):
    """Vulnerabilities that stop no pull from this project."""

    called_here: ClassVar[Mapping[str, str]] = {
        **CveAllowlistSettings.called_here,
        "reuse_sys_cve_allowlist": "useSystem",
    }

    use_system: bool = False
    """Use registry.cveAllowlist in the place of a list of its own."""

    @model_validator(mode="after")
    def _has_one_list(self) -> Self:
        if self.use_system and self.items:
            refuse(
                "left out with useSystem: true, with which Harbor reads no list of the project",
                at=("items",),
                example=REMOVE,
            )
        return self
