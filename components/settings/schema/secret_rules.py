"""The shape of a top-level secret, and the sections that need one. Pure; no value is kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from components.settings.schema.rules import Check, Section

WHITE_SPACE = "it contains white space, perhaps a line break from copying"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a secret looks like, in words and as a check. No reason of the check quotes the
    secret."""

    allowed: str
    check: Check


def characters(shortest: int, longest: int) -> Shape:
    """A text of `shortest` to `longest` characters without white space."""

    def check(plain: str) -> str | None:
        if not shortest <= len(plain) <= longest:
            return ""
        return WHITE_SPACE if re.search(r"\s", plain) else None

    number = f"{shortest} to {longest}" if shortest < longest else f"exactly {longest}"
    return Shape(allowed=f"{number} characters without spaces", check=check)


@dataclass(frozen=True, kw_only=True)
class SecretRule:
    """A top-level secret: its shape, and the wider one that is allowed in a sandbox."""

    description: str
    shape: Shape
    in_sandbox: Shape | None = None
    file: str | None = None
    """Name of the file in which the vendor hands the secret out; None where a person types it."""

    def allowed(self, *, sandbox: bool) -> str:
        return f"{self._shape(sandbox).allowed}, encrypted"

    def refusal(self, plain: str, *, sandbox: bool) -> str | None:
        """Why the secret is refused ("" where `allowed` says it all), without quoting it; None if
        it is not."""
        return self._shape(sandbox).check(plain)

    def _shape(self, sandbox: bool) -> Shape:
        return self.in_sandbox if sandbox and self.in_sandbox is not None else self.shape


class AsksForSecrets(Section):
    """A section that may need top-level secrets."""

    secrets: ClassVar[Mapping[str, SecretRule]] = {}
    """All secrets that sections of this class may need, by config key."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """The secrets that must be set for this section."""
        return tuple(self.secrets)
