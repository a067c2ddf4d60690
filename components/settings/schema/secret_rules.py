"""What a top-level secret must look like, and which sections ask for one. Pure, keeps no value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from components.settings.schema.rules import Check, Section

WHITE_SPACE = "it contains white space, perhaps a line break from copying"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """In words, and as a check, whose reason never contains any of the secret."""

    allowed: str
    check: Check


def characters(shortest: int, longest: int) -> Shape:
    """So many characters without white space."""

    def check(plain: str) -> str | None:
        if not shortest <= len(plain) <= longest:
            return ""
        return WHITE_SPACE if re.search(r"\s", plain) else None

    number = f"{shortest} to {longest}" if shortest < longest else f"exactly {longest}"
    return Shape(allowed=f"{number} characters without spaces", check=check)


@dataclass(frozen=True, kw_only=True)
class SecretRule:
    """A top-level secret: its shape, and the laxer one that a sandbox may use."""

    description: str
    shape: Shape
    in_sandbox: Shape | None = None
    file: str | None = None
    """What the file is called that the vendor hands it out in: longer than a person would type."""

    def allowed(self, *, sandbox: bool) -> str:
        return f"{self._shape(sandbox).allowed}, encrypted"

    def refusal(self, plain: str, *, sandbox: bool) -> str | None:
        """Why not ("" for no further reason), in words that do not contain it."""
        return self._shape(sandbox).check(plain)

    def _shape(self, sandbox: bool) -> Shape:
        return self.in_sandbox if sandbox and self.in_sandbox is not None else self.shape


class AsksForSecrets(Section):
    """A section that may need top-level secrets."""

    secrets: ClassVar[Mapping[str, SecretRule]] = {}
    """All that this kind of section can ask for, by config key."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Those that must be set."""
        return tuple(self.secrets)
