"""The JSON document that `pulumi preview --json` writes. Pure."""

from __future__ import annotations

import json
from typing import Any


def digest(output: str, errors: str) -> dict[str, Any]:
    """The JSON document in the output; without one, a document with what the engine said."""
    start = output.find("{")
    try:
        return json.loads(output[start:])
    except ValueError:
        said = (errors or output).strip() or "pulumi said nothing"
        return {"diagnostics": [{"severity": "error", "message": said}]}
