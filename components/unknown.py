"""An output that a preview cannot know yet, like those of resources that do not exist yet."""

from __future__ import annotations

from typing import Any

import pulumi


def unknown(*, secret: bool = False) -> pulumi.Output[str]:
    """An unknown text; `secret` marks it as one."""

    async def resolved(value: Any) -> Any:
        return value

    known, is_secret = resolved(False), resolved(secret)
    return pulumi.Output(set(), resolved(pulumi.output.UNKNOWN), known, is_secret)
