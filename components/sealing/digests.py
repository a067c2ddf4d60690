"""Digests by which changed Secrets are told apart. Pure.

Apart from crypto.py: what only compares digests does not wait for the import of a cryptography
library.
"""

from __future__ import annotations

import hashlib
import hmac
import struct


def revision(data: dict[str, str], *, salt: bytes) -> str:
    """A short keyed digest of `data`: equal exactly when the plaintexts are (16 hex digits).

    It stands in pod annotations, so it must not let anybody try out guesses: `salt` is random
    per Secret and never leaves the state.
    """
    digest = hmac.new(salt, digestmod=hashlib.sha256)
    for key in sorted(data):
        for part in (key.encode(), data[key].encode()):
            digest.update(struct.pack(">Q", len(part)) + part)
    return digest.hexdigest()[:16]
