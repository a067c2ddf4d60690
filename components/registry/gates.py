"""What a change of the registry would cost, decided on what Harbor and the cluster have.

The functions that take an `api` ask Harbor; all others are pure. Nothing here changes anything.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from components.registry.api import Harbor, segment
from components.registry.errors import HarborError
from components.registry.kinds import selectors
from components.registry.kinds.base import Tree, rows
from components.registry.kinds.retention import stored_retention
from components.settings.registry.patterns import regular_expression

SEVERITIES: Final = ("low", "medium", "high", "critical")

_UNTIL_COUNTED: Final = 60.0
"""Seconds for a dry run, of which each repository is a job of its own."""

Artifacts = Mapping[str, Sequence[Tree]]
"""Artifacts as Harbor lists them, by repository with its project ("apps/team/web")."""


@dataclass(frozen=True, kw_only=True)
class RunningImage:
    """An image of the registry that pods run. `repository`: with its project. `pods`: as
    namespace/name."""

    repository: str
    digest: str
    pods: Sequence[str]

    @property
    def told(self) -> str:
        others = f" and {len(self.pods) - 1} more" if len(self.pods) > 1 else ""
        return f"{self.repository}@{self.digest[:19]} (pod {self.pods[0]}{others})"


# ---- quotas ---------------------------------------------------------------------------------


def quota_problem(project: str, quota: int, used: int) -> str | None:
    """A quota below what a project uses, with numbers; None if there is room. Both in bytes.

    Harbor takes such a quota, and refuses every push from then on.
    """
    if quota == -1 or used <= quota:
        return None
    return (
        f"project {project} uses {_size(used)}, and its quota is {_size(quota)}: Harbor refuses "
        f"every push to it until {_size(used - quota)} are deleted, or the quota is higher"
    )


def used(api: Harbor, project: str) -> int | None:
    """The bytes that a project uses; None if there is none of that name. Raises HarborError."""
    if api.project(project) is None:
        return None
    summary: Tree = api.get(f"/projects/{segment(project)}/summary") or {}
    quota: Tree = summary.get("quota") or {}
    of: Tree = quota.get("used") or {}
    return int(of.get("storage", 0))


def _size(number: int) -> str:
    value, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or value.is_integer() else f"{value:.1f} {unit}"


# ---- blocking by severity -------------------------------------------------------------------


def refused_pulls(
    severity: str,
    running: Iterable[RunningImage],
    artifacts: Artifacts,
    vulnerabilities: Mapping[str, Sequence[Tree]] | None = None,
    allowed: Collection[str] = (),
) -> list[str]:
    """The running images that Harbor would no longer give out, each with the reason.

    `severity`: of `blockSeverity`; "" blocks nothing. `vulnerabilities`: by digest, as the addition
    `vulnerabilities` of an artifact lists them, and `allowed`: the CVEs of the allowlist that
    counts. Without the former an image counts as a whole, as if nothing were allowed.
    """
    if not severity:
        return []
    refused: list[str] = []
    for image in running:
        artifact = _artifact(artifacts.get(image.repository, ()), image.digest)
        listed = (vulnerabilities or {}).get(image.digest)
        why = None if artifact is None else _refusal(artifact, severity, listed, allowed)
        if why is not None:
            refused.append(f"{image.told}: {why}")
    return refused


def _artifact(listed: Iterable[Tree], digest: str) -> Tree | None:
    """The artifact of a digest, or the index that has it for one of its platforms."""
    for artifact in listed:
        if digest in _digests(artifact):
            return artifact
    return None


def _digests(artifact: Tree) -> set[str]:
    children = {str(child["child_digest"]) for child in rows(artifact.get("references"))}
    return {str(artifact["digest"]), *children}


def _refusal(
    artifact: Tree, severity: str, vulnerabilities: Sequence[Tree] | None, allowed: Collection[str]
) -> str | None:
    """As Harbor decides it (src/server/middleware/vulnerable/vulnerable.go): an image without a
    report is refused as well."""
    overviews: dict[str, Tree] = artifact.get("scan_overview") or {}
    reports = [report for report in overviews.values() if report]
    if not reports:
        return "it was never scanned"
    status = str(reports[0].get("scan_status"))
    if status != "Success":
        return f"its scan is {status}"
    least = SEVERITIES.index(severity)
    if vulnerabilities is None:
        worst = str(reports[0].get("severity") or "").lower()
        return f"it has a finding of {worst}" if _rank(worst) >= least else None
    bad = {
        str(finding["id"])
        for finding in vulnerabilities
        if _rank(str(finding.get("severity")).lower()) >= least and finding["id"] not in allowed
    }
    return (
        f"it has {', '.join(sorted(bad)[:3])}{' and more' if len(bad) > 3 else ''}" if bad else None
    )


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


# ---- retention ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Deletions:
    """What a retention would delete: repository → digests, and the running images among them."""

    digests: Mapping[str, frozenset[str]]
    running: tuple[RunningImage, ...]

    @property
    def number(self) -> int:
        return sum(len(digests) for digests in self.digests.values())


def deletions(
    rules: Sequence[Tree],
    artifacts: Artifacts,
    running: Iterable[RunningImage] = (),
    *,
    now: dt.datetime | None = None,
) -> Deletions:
    """What rules would delete of the artifacts of one project, if they ran now.

    `rules`: as inputs of Retention. Immutable tags are not looked at, which Harbor keeps besides.
    """
    moment = now or dt.datetime.now(dt.UTC)
    deleted = {
        repository: frozenset(a["digest"] for a in _deleted(rules, repository, listed, moment))
        for repository, listed in artifacts.items()
    }
    deleted = {repository: digests for repository, digests in deleted.items() if digests}
    hit = tuple(
        image
        for image in running
        if (artifact := _artifact(artifacts.get(image.repository, ()), image.digest)) is not None
        and artifact["digest"] in deleted.get(image.repository, ())
    )
    return Deletions(digests=deleted, running=hit)


def _deleted(
    rules: Sequence[Tree], repository: str, listed: Sequence[Tree], now: dt.datetime
) -> list[Tree]:
    name = repository.partition("/")[2]
    of = [
        rule
        for rule in rules
        if _chosen(selectors.normal(rule), "repositories", [name], is_untagged_chosen=False)
    ]
    if not of:
        # Harbor leaves a repository alone that no rule concerns.
        return []
    kept = {artifact["digest"] for rule in of for artifact in _kept(rule, listed, now)}
    return [artifact for artifact in listed if artifact["digest"] not in kept]


def _kept(rule: Tree, listed: Sequence[Tree], now: dt.datetime) -> list[Tree]:
    patterns, untagged = selectors.normal(rule), rule.get("untagged", True)
    chosen = [
        artifact
        for artifact in listed
        if _chosen(
            patterns,
            "tags",
            [tag["name"] for tag in rows(artifact.get("tags"))],
            is_untagged_chosen=untagged,
        )
    ]
    template, number = rule["template"], rule.get("number") or 0
    if template == "always":
        return chosen
    key = "pull_time" if template in ("latestPulledN", "nDaysSinceLastPull") else "push_time"
    if template.startswith("latest"):
        return sorted(chosen, key=lambda a: _last(a, key), reverse=True)[:number]
    begin = now - dt.timedelta(days=number)
    return [artifact for artifact in chosen if _last(artifact, key) >= begin]


def _chosen(patterns: Tree, name: str, texts: Sequence[str], *, is_untagged_chosen: bool) -> bool:
    """Whether patterns choose one of the texts; what has none is chosen if `is_untagged_chosen`."""
    if not texts:
        return is_untagged_chosen
    excluded = patterns[f"{name}Excluded"]
    expression = re.compile(regular_expression([excluded or patterns[name]]))
    return any(bool(expression.match(text)) != bool(excluded) for text in texts)


def _last(artifact: Tree, key: str) -> dt.datetime:
    """When an artifact, or one of its tags, was pushed or pulled last; never is the year 1."""
    times = [artifact.get(key), *(tag.get(key) for tag in rows(artifact.get("tags")))]
    known = [dt.datetime.fromisoformat(str(time).replace("Z", "+00:00")) for time in times if time]
    return max(known, default=dt.datetime.min.replace(tzinfo=dt.UTC))


def artifacts_of(api: Harbor, project: str) -> dict[str, list[Tree]]:
    """All artifacts of a project, by repository, with tags and scans; none of a missing project.

    Raises HarborError.
    """
    if api.project(project) is None:
        return {}
    path = f"/projects/{segment(project)}/repositories"
    listed: dict[str, list[Tree]] = {}
    for repository in api.listed(path):
        name = str(repository["name"])
        # Slashes of the repository are quoted twice: the router decodes once.
        inner = segment(segment(name.removeprefix(f"{project}/")))
        asked: dict[str, Any] = {"with_tag": "true", "with_scan_overview": "true"}
        listed[name] = api.listed(f"{path}/{inner}/artifacts", asked)
    return listed


def retention_deletes(api: Harbor, project: str) -> dict[str, int]:
    """How many artifacts the policy that Harbor has would delete, by repository: by a dry run.

    It shows nothing of a policy that is only declared; `deletions` does. Empty without a policy.
    Raises HarborError, also if the dry run fails or takes too long.
    """
    stored = stored_retention(api, project)
    if stored is None:
        return {}
    path = f"/retentions/{stored['id']}/executions"
    before = {row["id"] for row in api.listed(path)}
    api.post(path, {"dry_run": True})
    run: Tree = {}

    def is_over() -> bool:
        new = [row for row in api.listed(path) if row["id"] not in before and row.get("dry_run")]
        if new:
            run.update(max(new, key=lambda row: row["id"]))
        return run.get("status") in ("Succeed", "Failed", "Stopped", "Error")

    api.until(_UNTIL_COUNTED, is_over, f"the dry run of the retention of project {project}")
    if run["status"] != "Succeed":
        raise HarborError(path, 500, f"the dry run ended as {run['status']}")
    tasks = api.listed(f"{path}/{run['id']}/tasks")
    deleted = {str(task["repository"]): task["total"] - task["retained"] for task in tasks}
    return {repository: number for repository, number in deleted.items() if number}
