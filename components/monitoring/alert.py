"""An alert: what fires, when, what it says, which page mends it, and two examples. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from components.monitoring.metrics import Source

Severity = Literal["critical", "warning"]

_LAST_DAYS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """Series in promtool's notation, one value a minute, and what the alert does `at` a time.

    They are for the default thresholds. promtool's clock begins at 1970, so a time in a series is
    seconds since the beginning.
    `labels` and `says`: of the alert that fires, its own labels and its description.
    """

    series: Mapping[str, str]
    at: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """`source`: whose metrics it needs. `for_`: how long `expr` holds before the alert fires.

    `summary` has no template; `description` may use {{ $labels.… }} and {{ $value }}.
    `runbook`: the name of a page in docs/runbooks, without its suffix. `fires` and `quiet`: series
    with which the alert fires, and series with which it does not; promtool runs both.
    """

    name: str
    source: Source
    severity: Severity
    expr: str
    for_: str
    summary: str
    description: str
    runbook: str
    fires: Example
    quiet: Example


def series(metric: str, **labels: str) -> str:
    """One series of a metric."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{pairs}}}"


def events(selector: str, window: str) -> str:
    """How often a counter counted in a window, as PromQL.

    A counter that appears with its first event never increases for `increase()`: after a restart of
    the pod its first sample is 1 already. This expression counts that one too.
    """
    return f"(({selector} unless {selector} offset {window}) or increase({selector}[{window}]))"


def no_target(namespace: str, service: str) -> str:
    """Whether Prometheus reaches no pod of a Service, or knows none, as PromQL."""
    return f'absent(up{{namespace="{namespace}", service="{service}"}} == 1)'


def steps(days: int) -> tuple[tuple[str, int, Severity], ...]:
    """Before a certificate ends: the ending of the alert's name, days that are left, severity."""
    return (("", days, "warning"), ("Soon", _LAST_DAYS, "critical"))


def lasting(seconds: int) -> str:
    """A whole time as Prometheus' humanizeDuration writes it, from a minute on."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours}h {minutes}m {rest}s" if days or hours else f"{minutes}m {rest}s"
    return f"{days}d {text}" if days else text
