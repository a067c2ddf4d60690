"""The sandbox's passphrase, which everybody knows, and what it must not encrypt. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
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

# sdk/go/common/resource/config/crypt.go of pulumi 3.250: the key of AES-256-GCM from a passphrase.
_ITERATIONS = 1_000_000
_KEY_BYTES = 32


@cache
def is_public_salt(salt: str) -> bool:
    """Whether `encryptionsalt` of a stack's file was made with the public passphrase.

    The form is v1:<salt>:v1:<nonce>:<ciphertext>, each base64. The ciphertext is that of a known
    word, by which the engine recognises a wrong passphrase. Takes 0.3 s for each salt.
    """
    version, _, rest = salt.partition(":")
    parts = rest.split(":")
    if version != "v1" or len(parts) != 4:
        return False
    try:
        bare, nonce, ciphertext = (base64.b64decode(parts[i], validate=True) for i in (0, 2, 3))
        key = hashlib.pbkdf2_hmac(
            "sha256", PUBLIC_PASSPHRASE.encode(), bare, _ITERATIONS, _KEY_BYTES
        )
        AESGCM(key).decrypt(nonce, ciphertext, None)
    except (binascii.Error, ValueError, InvalidTag):
        return False
    return True


def is_public_environment(environ: Mapping[str, str]) -> bool:
    """Whether the engine of this environment encrypts with the public passphrase."""
    if (passphrase := environ.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return passphrase == PUBLIC_PASSPHRASE
    try:
        text = Path(environ.get("PULUMI_CONFIG_PASSPHRASE_FILE") or "/nonexistent").read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return text.strip() == PUBLIC_PASSPHRASE


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
