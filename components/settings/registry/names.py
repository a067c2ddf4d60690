"""Rules of the names in Harbor, with Harbor's own limits. Pure.

Limits as measured on v2.14.3: what Harbor refuses, and what it accepts and later fails on.
"""

import re
from typing import Annotated, Final

from components.settings.schema.rules import NamesRule, SettingRule, length_problem

LONGEST_ENDPOINT: Final = 64
LONGEST_ROBOT: Final = 255
"""With the project's name and + in front of it."""
OWN_ROBOT: Final = "sovereign-harbor"
"""Short name of the robot of the registry as which the program itself works."""
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_ALLOWED = "lower-case letters and digits, in groups joined by one '.', '_' or '-'"


def _like_a_project(longest: int, name: str) -> str | None:
    if (reason := length_problem(name, longest)) is not None:
        return reason
    if name != name.lower():
        return "upper-case letters are not allowed"
    return None if _NAME.fullmatch(name) else ""


def project_problem(name: str) -> str | None:
    """Why Harbor refuses the name of a project, "" where the rule says it all; None if it does
    not."""
    return _like_a_project(255, name)


PROJECT: Final = SettingRule(
    allowed=f"a Harbor project: 1 to 255 characters, {_ALLOWED}",
    example="<project>",
    check=project_problem,
)
ENDPOINT_NAME: Final = SettingRule(
    allowed=f"a name of 1 to {LONGEST_ENDPOINT} characters, as Harbor allows for an upstream: "
    f"{_ALLOWED}",
    example="<name>",
    check=lambda name: _like_a_project(LONGEST_ENDPOINT, name),
)


def _robot(name: str) -> str | None:
    if "$" in name or "+" in name:
        return "the short name: Harbor puts the prefix and the project in front of it"
    return _like_a_project(255, name)


ROBOT: Final = SettingRule(
    allowed=f"a robot: 1 to 255 characters, {_ALLOWED}",
    example="<robot>",
    check=_robot,
    suggest=lambda name: [re.split(r"[$+]", name)[-1]],
)


def one_line_problem(longest: int, text: str) -> str | None:
    """Why a text is not one line of at most so many characters; None if it is. It may be empty."""
    if len(text) > longest:
        return f"{len(text)} characters"
    if re.search(r"<.*>", text):
        return "a placeholder of a fix is still in it"
    return None if not text or (text.isprintable() and text == text.strip()) else ""


def one_line(longest: int) -> SettingRule:
    """A text of one line that a person reads, such as a description. It may be empty."""
    return SettingRule(
        allowed=f"one line of text, at most {longest} characters, without spaces around it",
        example="<text>",
        check=lambda text: one_line_problem(longest, text),
    )


Description = Annotated[str, one_line(1024)]


def _free(longest: int, name: str) -> str | None:
    return one_line_problem(longest, name) if name else "it is empty"


LABEL: Final = SettingRule(
    allowed="a label: one line of 1 to 128 characters",
    example="<label>",
    check=lambda name: _free(128, name),
)
POLICY: Final = SettingRule(
    allowed="a webhook: one line of 1 to 256 characters",
    example="<name>",
    check=lambda name: _free(256, name),
)
ACCOUNT: Final = SettingRule(
    allowed="a user or a group: one line of 1 to 255 characters",
    example="<name>",
    check=lambda name: _free(255, name),
)


def named(names: SettingRule, what: str) -> NamesRule:
    """Annotates an object from names of this rule to `what`."""
    return NamesRule(
        allowed=f"an object of name to {what}; each name is {names.allowed}",
        example="<name>",
        names=names,
    )
