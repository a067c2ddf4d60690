"""How many random cases a test has, and what all of them share.

The suite has 500 cases of stack files, the same ones each time. `make fuzz` has as many as
FUZZ_CASES says, others each time.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

CASES: Final = int(os.environ.get("FUZZ_CASES") or 500)

_PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making small: for a whole stack file that takes minutes."""


def cases(percent: float, *, shrinks: bool = False) -> settings:
    """The settings of a test with that share of all cases; `shrinks`: a fault is made small."""
    return settings(
        max_examples=max(1, round(CASES * percent / 100)),
        phases=(*_PHASES, Phase.shrink) if shrinks else _PHASES,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ],
    )
