"""Stand-in for pulumi-random: passwords, strings, ids and bytes, really random.

Names, defaults and alphabets are those of pulumi-random 4.21. Every change makes a new value.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import bcrypt

from offline.plugins.provider import StandInProvider, serve
from offline.plugins.resources import ResourceKind, from_table

_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_ALPHABETS = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "numeric": "0123456789",
    "special": _SPECIAL,
}
_BCRYPT_COST = 10
# bcrypt reads no further; pulumi-random cuts there as well.
_BCRYPT_BYTES = 72


class RandomString(ResourceKind):
    defaults: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(_ALPHABETS, True),
        **{f"min{name.capitalize()}": 0 for name in _ALPHABETS},
    }
    computed: ClassVar[tuple[str, ...]] = ("result",)

    def normalise(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        # `number` is the deprecated name of `numeric`; the state carries both.
        numeric = inputs.get("numeric")
        if numeric is None:
            numeric = inputs.get("number")
        numeric = True if numeric is None else numeric
        return super().normalise({**inputs, "numeric": numeric, "number": numeric})

    def problems(self, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        problems: list[tuple[str, str]] = []
        length = inputs.get("length")
        least = sum(inputs[f"min{name.capitalize()}"] for name in _ALPHABETS)
        if not isinstance(length, int) or length < 1:
            problems.append(("length", f"is {length!r}; it must be a whole number of at least 1"))
        elif length < least:
            problems.append(("length", f"is {length}; the demanded minimums add up to {least}"))
        if not any(inputs[name] for name in _ALPHABETS):
            problems.append(("lower", "one of lower, upper, numeric and special must be true"))
        return problems

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        result = random_string(inputs)
        return result, {"result": result}

    def adopt(self, identifier: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        return identifier, {"length": len(identifier)}, {"result": identifier}


class RandomPassword(RandomString):
    computed: ClassVar[tuple[str, ...]] = ("result", "bcryptHash")
    secret: ClassVar[frozenset[str]] = frozenset(computed)

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        result = random_string(inputs)
        return "none", {"result": result, "bcryptHash": _bcrypt(result)}

    def adopt(self, identifier: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        outputs = {"result": identifier, "bcryptHash": _bcrypt(identifier)}
        return "none", {"length": len(identifier)}, outputs


class RandomId(ResourceKind):
    computed: ClassVar[tuple[str, ...]] = ("b64Std", "b64Url", "dec", "hex")

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        value = secrets.token_bytes(inputs["byteLength"])
        identifier = base64.urlsafe_b64encode(value).decode().rstrip("=")
        forms = {
            "b64Std": base64.b64encode(value).decode(),
            "b64Url": identifier,
            "dec": str(int.from_bytes(value, "big")),
            "hex": value.hex(),
        }
        prefix = inputs.get("prefix", "")
        return identifier, {form: prefix + text for form, text in forms.items()}


class RandomBytes(ResourceKind):
    computed: ClassVar[tuple[str, ...]] = ("base64", "hex")
    secret: ClassVar[frozenset[str]] = frozenset(computed)

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        value = secrets.token_bytes(inputs["length"])
        return "none", {"base64": base64.b64encode(value).decode(), "hex": value.hex()}


KINDS: Mapping[str, ResourceKind] = {
    "random:index/randomPassword:RandomPassword": RandomPassword(),
    "random:index/randomString:RandomString": RandomString(),
    "random:index/randomId:RandomId": RandomId(),
    "random:index/randomBytes:RandomBytes": RandomBytes(),
}


def random_string(inputs: Mapping[str, Any]) -> str:
    """The demanded minimum of each kind of character, filled up from all allowed, shuffled."""
    alphabets = {**_ALPHABETS, "special": inputs.get("overrideSpecial") or _SPECIAL}
    characters = [
        secrets.choice(alphabet)
        for name, alphabet in alphabets.items()
        for _ in range(inputs[f"min{name.capitalize()}"])
    ]
    allowed = "".join(alphabet for name, alphabet in alphabets.items() if inputs[name])
    characters += [secrets.choice(allowed) for _ in range(inputs["length"] - len(characters))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)


def provider(engine_address: str = "") -> StandInProvider:
    return StandInProvider("random", from_table(KINDS), engine_address=engine_address)


def main(arguments: list[str]) -> None:
    serve(provider(arguments[-1] if arguments else ""))


def _bcrypt(text: str) -> str:
    salt = bcrypt.gensalt(_BCRYPT_COST, prefix=b"2a")
    return bcrypt.hashpw(text.encode()[:_BCRYPT_BYTES], salt).decode()
