"""Passphrases that everybody knows, the sandbox's and an empty one, and what they must not encrypt.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PUBLIC_PASSPHRASE: Final = "sandbox"
"""Encrypts the sandbox's state. Public: a random one would lie in the same folder as the state.
Its salt is in Pulumi.local.yaml, so that no run changes a committed file."""

ALLOWED: Final = (
    "a passphrase or a key service of the estate (docs/howto/state-backends.md): everybody who can "
    "read this project knows the sandbox's passphrase"
)

NOT_EMPTY: Final = (
    "a passphrase of the estate, or a key service (docs/howto/state-backends.md): with an empty "
    "one whoever has the stack's file, or its state, has its secrets"
)

_KNOWN: Final = (PUBLIC_PASSPHRASE, "")

# sdk/go/common/resource/config/crypt.go of pulumi 3.250: the key of AES-256-GCM from a passphrase.
_ITERATIONS = 1_000_000
_KEY_BYTES = 32


@cache
def known_passphrase(salt: str) -> str | None:
    """The passphrase with which `encryptionsalt` of a stack's file was made, if everybody knows it.

    The form is v1:<salt>:v1:<nonce>:<ciphertext>, each base64. The ciphertext is that of a known
    word, by which the engine recognises a wrong passphrase. Each salt takes up to 0.6 s.
    """
    version, _, rest = salt.partition(":")
    parts = rest.split(":")
    if version != "v1" or len(parts) != 4:
        return None
    try:
        bare, nonce, ciphertext = (base64.b64decode(parts[i], validate=True) for i in (0, 2, 3))
    except (binascii.Error, ValueError):
        return None
    return next((each for each in _KNOWN if _decrypts(each, bare, nonce, ciphertext)), None)


def is_public_salt(salt: str) -> bool:
    """Whether everybody can decrypt what was encrypted with that salt."""
    return known_passphrase(salt) is not None


def _decrypts(passphrase: str, salt: bytes, nonce: bytes, ciphertext: bytes) -> bool:
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, _ITERATIONS, _KEY_BYTES)
    try:
        AESGCM(key).decrypt(nonce, ciphertext, None)
    except (ValueError, InvalidTag):
        return False
    return True


def is_public_environment(environ: Mapping[str, str]) -> bool:
    """Whether the engine of this environment encrypts with the sandbox's passphrase."""
    return _passphrase(environ) == PUBLIC_PASSPHRASE


def is_empty_passphrase(environ: Mapping[str, str], stack_file: Path) -> bool:
    """Whether the engine of this environment encrypts that stack with an empty passphrase.

    A stack of a key service or of Pulumi Cloud has no salt in its file and needs no passphrase; CI
    sets the variable to nothing then.
    """
    if _passphrase(environ) != "":
        return False
    try:
        text = stack_file.read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^encryptionsalt: *\S", text, re.MULTILINE) is not None


def _passphrase(environ: Mapping[str, str]) -> str | None:
    """The passphrase as the engine reads it (pkg/secrets/passphrase, readPassphrase); None if none.

    The variable counts before the file, an empty one too.
    """
    if (passphrase := environ.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return passphrase
    try:
        text = Path(environ.get("PULUMI_CONFIG_PASSPHRASE_FILE") or "/nonexistent").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return text.strip()


def way_out(stack: str) -> str:
    """What to do with a stack that is encrypted so, one step a line."""
    return (
        "a new shell, without `make env`, and there PULUMI_BACKEND_URL and a passphrase of the "
        "estate's\n"
        f"remove `encryptionsalt:` and every `secure:` value from Pulumi.{stack}.yaml, if it has "
        "any\n"
        f"pulumi stack init {stack}   # then set the secrets again; new ones, if the file was "
        "shared"
    )


def way_out_of_empty(stack: str) -> str:
    """What to do with a stack that is encrypted with an empty passphrase, one step a line."""
    return (
        f"pulumi stack change-secrets-provider passphrase -s {stack}   # asks for another one\n"
        "set PULUMI_CONFIG_PASSPHRASE to it, and the secrets to new ones, if the file or the state "
        "was shared"
    )
