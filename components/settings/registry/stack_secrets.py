"""Secrets of the section `registry`: a section names a top-level secret of the stack. Pure.

A person chooses the names of these secrets. Each is demanded as an encrypted top-level key; what no
section refers to stays refused.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, cast

from components.settings.schema.problems import Path
from components.settings.schema.rules import Section, SettingRule
from components.settings.schema.secret_rules import WHITE_SPACE, SecretRule, Shape

_NAME = re.compile(r"[a-z][A-Za-z0-9]{0,62}")

SECRET_NAME: Final = SettingRule(
    allowed="the name of a secret of this stack, chosen by you: letters and digits, beginning with "
    "a lower-case letter. The value is set by: pulumi config set --secret NAME -s <stack>",
    example="<nameOfTheSecret>",
    check=lambda name: None if _NAME.fullmatch(name) else "",
    conceal=True,
)


class StackSecret(Section):
    """A top-level secret of the stack, by its name."""

    secret: Annotated[str, SECRET_NAME]
    """Name of the secret, e.g. hubToken. Its value: pulumi config set --secret hubToken"""


def _password(plain: str) -> str | None:
    if not 1 <= len(plain.encode()) <= _LONGEST_PASSWORD:
        return ""
    if not re.search(r"\s", plain):
        return None
    return None if plain.lstrip().startswith("{") else WHITE_SPACE


def _header(plain: str) -> str | None:
    if not 1 <= len(plain) <= 1024:
        return ""
    return None if plain.isprintable() and plain == plain.strip() else "it is not one line"


def _robot(plain: str) -> str | None:
    if not 8 <= len(plain) <= 128:
        return ""
    kinds = (r"[A-Z]", r"[a-z]", r"[0-9]")
    return None if all(re.search(kind, plain) for kind in kinds) else ""


_LONGEST_PASSWORD: Final = 3050
"""Bytes. Harbor keeps `<enc-v1>` and base64 of 16 bytes more in 4096 characters, and answers 500
to a longer one (migration 0004_1.8.0, src/common/utils/encrypt.go)."""
_PASSWORD: Final = SecretRule(
    description="Password of an upstream registry, or secret of the login's client",
    shape=Shape(
        allowed=f"1 to {_LONGEST_PASSWORD} characters without spaces, or a key file in JSON",
        check=_password,
    ),
)
_AUTHORIZATION: Final = SecretRule(
    description="Value of the header Authorization that a webhook sends",
    shape=Shape(allowed="one line of 1 to 1024 characters", check=_header),
)
_ROBOT: Final = SecretRule(
    description="Secret of a robot",
    shape=Shape(
        allowed="8 to 128 characters with an upper-case letter, a lower-case letter and a digit, "
        "as Harbor demands",
        check=_robot,
    ),
)
_RULES: Final[Mapping[str, SecretRule]] = {"secret": _ROBOT, "authorization": _AUTHORIZATION}
"""By the key of the section that refers to the secret; any other key is of a password."""


def references(registry: Any) -> dict[str, SecretRule]:
    """The secrets that a raw section `registry` refers to, valid or not: name → shape."""
    rules: dict[str, SecretRule] = {}
    for path, name in places(registry):
        rule = _RULES.get(str(path[-2]), _PASSWORD)
        if name not in rules or rule is _ROBOT:
            rules[name] = rule
    return rules


def places(registry: Any, path: Path = ("registry",)) -> Iterator[tuple[Path, str]]:
    """Path and name of each reference to a secret in a raw section `registry`."""
    if isinstance(registry, dict):
        items = cast("dict[str, Any]", registry)
        name = items.get("secret")
        if len(items) == 1 and isinstance(name, str) and _NAME.fullmatch(name):
            yield (*path, "secret"), name
            return
        for key, item in items.items():
            yield from places(item, (*path, key))
    elif isinstance(registry, list):
        for index, item in enumerate(cast("list[Any]", registry)):
            yield from places(item, (*path, index))
