"""The lines of Harbor's chart that this program is for, and which of them leads to which. Pure.

Sources: Chart.yaml and values.yaml of goharbor/harbor-helm at the tags v1.14.3 to v1.19.1; the
oldest version that an upgrade starts from is in the guide of each version of Harbor,
https://goharbor.io/docs/2.15.0/administration/upgrade/ for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from components import versions

Number = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A minor line of the chart. `chart`: the version that is tested.

    `oldest`: minor number of the oldest chart that an upgrade may start from. `differs`: what is
    different from the line before it, in sentences for people.
    """

    chart: str
    oldest: int
    differs: tuple[str, ...] = ()

    @property
    def minor(self) -> int:
        return number(self.chart)[1]

    @property
    def harbor(self) -> str:
        """Version of Harbor that the tested chart installs."""
        return harbor_of(self.chart)


LINES: Final = (
    Line(chart=versions.HARBOR_CHART, oldest=15),
    Line(
        chart=versions.NEWEST_HARBOR_CHART,
        oldest=16,
        differs=(
            "The program's values of the chart are the same.",
            "Image references begin with `docker.io/`; the tags are those of Harbor 2.15.",
            "The registry's configuration has an empty user and an empty password of the cache, "
            "which the variables of its pods replace.",
            "`valkey.username` can be set: the registry logs in as a user of an access control "
            "list.",
            "`registry.*.upstream.caCertificate` and, from 1.19.1, "
            "`registry.proxyCaches.*.serveStale` can be set: Harbor 2.14 ignores them.",
            "The chart can make disruption budgets. The program's own are used on both lines, see "
            "`harbor.disruptionBudgets`.",
        ),
    ),
)
"""Oldest first."""

NAMES_IMAGE_HOSTS: Final[Number] = (1, 19, 0)
"""First chart whose image references begin with a host, docker.io."""
KNOWS_CACHE_USERS: Final[Number] = (1, 19, 0)
"""First chart whose registry logs in to the cache as a user (harbor-helm #2320)."""
KNOWS_UPSTREAM_AUTHORITIES: Final[Number] = (1, 19, 0)
"""First chart whose Harbor, 2.15.0, checks an upstream against an authority of its own."""
SERVES_STALE: Final[Number] = (1, 19, 1)
"""First chart whose Harbor, 2.15.1, hands out what its upstream no longer has."""


def number(version: str) -> Number:
    """MAJOR.MINOR.PATCH of a version, to compare; what is missing or no number counts as 0."""
    release = version.partition("+")[0].partition("-")[0]
    parts = [int(part) if part.isdecimal() else 0 for part in release.split(".")[:3]]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return major, minor, patch


def harbor_of(chart: str) -> str:
    """The version of Harbor that a chart installs: of chart 1.N.P it is 2.(N-4).P."""
    _, minor, patch = number(chart)
    return f"2.{minor - 4}.{patch}"


def line_of(chart: str) -> Line | None:
    """The line of a chart; None for one that this program was not tested with."""
    major, minor, _ = number(chart)
    return next((line for line in LINES if (1, line.minor) == (major, minor)), None)


def oldest_source(chart: str) -> int:
    """Minor number of the oldest chart that an upgrade to `chart` may start from.

    Nothing is known of a line that was not tested, so the one before it is the oldest.
    """
    line = line_of(chart)
    return number(chart)[1] - 1 if line is None else line.oldest


def step_towards(before: str, after: str) -> str | None:
    """The newest tested chart between the two that an upgrade from `before` may go to.

    None where there is no such chart.
    """
    steps = (
        line.chart
        for line in reversed(LINES)
        if number(before) < number(line.chart) < number(after) and number(before)[1] >= line.oldest
    )
    return next(steps, None)
