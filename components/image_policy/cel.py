"""Texts in CEL, the language of Kyverno's policies. Pure."""

from __future__ import annotations

import json


def text(value: str) -> str:
    """A CEL string literal: JSON's is one."""
    return json.dumps(value)
