"""What a gate of Harbor's would do to images that pods run: refuse their pulls, or delete them.

Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from components.registry.kinds import selectors
from components.registry.kinds.base import Tree, rows
from components.settings.registry import patterns

SEVERITIES: Final = ("low", "medium", "high", "critical")
"""Harbor's severities that block pulls, the least first."""

_IN_HARBOR: Final = ("none", "unknown", "negligible", *SEVERITIES)
"""All severities of a report, in Harbor's order (src/pkg/scan/vuln/severity.go)."""

_LISTS: Final = (
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


@dataclass(frozen=True, kw_only=True)
class RunningImage:
    """An image of Harbor's that a pod runs.

    `pod`: namespace/name. `repository`: below the project. `reference`: the tag or digest that the
    next start of the pod pulls. `digest`: what runs now, "" while the node has not said it.
    """

    pod: str
    project: str
    repository: str
    reference: str
    digest: str

    @property
    def name(self) -> str:
        """Project, repository and reference, as people write them."""
        separator = "@" if self.reference.startswith("sha256:") else ":"
        return f"{self.project}/{self.repository}{separator}{self.reference}"


def running_images(
    pods: Iterable[Mapping[str, Any]], image_prefix: str, projects: Collection[str]
) -> list[RunningImage]:
    """The images of these projects that pods run, each once for a pod.

    `image_prefix`: what the names of Harbor's images begin with. Pods that have ended start no
    more, so they are left out.
    """
    images: dict[RunningImage, None] = {}
    for pod in pods:
        status: Mapping[str, Any] = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            continue
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for listed, statuses in _LISTS:
            ids = {row["name"]: row.get("imageID") or "" for row in rows(status.get(statuses))}
            for container in rows(pod["spec"].get(listed)):
                image = _image(
                    name, container["image"], ids.get(container["name"], ""), image_prefix
                )
                if image is not None and image.project in projects:
                    images[image] = None
    return list(images)


def _image(pod: str, image: str, image_id: str, image_prefix: str) -> RunningImage | None:
    if not image.startswith(image_prefix):
        return None
    name, _, pinned = image.removeprefix(image_prefix).partition("@")
    path, _, tag = name.partition(":")
    project, _, repository = path.partition("/")
    if not repository:
        return None
    digest = image_id.rpartition("@")[2]
    return RunningImage(
        pod=pod,
        project=project,
        repository=repository,
        reference=pinned or tag or "latest",
        digest=pinned or (digest if digest.startswith("sha256:") else ""),
    )


# ---- pulls that would be refused ----------------------------------------------------------------


def is_stricter(before: str, declared: str) -> bool:
    """Whether `declared` stops pulls that `before` did not. Both as inputs of a project: "" is off.

    A severity that Harbor stored and does not know blocks everything, so nothing is stricter.
    """
    if not declared:
        return False
    if not before:
        return True
    return before in SEVERITIES and SEVERITIES.index(declared) < SEVERITIES.index(before)


def overview(artifact: Mapping[str, Any]) -> Tree | None:
    """What Harbor's last scan of an artifact says; None while there is none that succeeded."""
    overviews: Mapping[str, Any] = artifact.get("scan_overview") or {}
    done = [row for row in overviews.values() if row.get("scan_status") == "Success"]
    return done[0] if done else None


def pull_refused(
    artifact: Mapping[str, Any],
    severity: str,
    allowed: Collection[str],
    vulnerabilities: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Why Harbor would refuse a pull where `severity` blocks; "" if it would not.

    `allowed`: ids that stop no pull. `vulnerabilities`: of the artifact's report, which count only
    with ids that are allowed; else the overview says enough.
    """
    seen = overview(artifact)
    if seen is None:
        return "it was not scanned"
    if allowed:
        left = [_rank(row) for row in vulnerabilities if row.get("id") not in allowed]
        worst = max(left, default=0)
    else:
        worst = _rank(seen)
    if worst < _IN_HARBOR.index(severity):
        return ""
    return f"its worst vulnerability is {_IN_HARBOR[worst]}"


def _rank(row: Mapping[str, Any]) -> int:
    severity = str(row.get("severity") or "none").lower()
    return _IN_HARBOR.index(severity) if severity in _IN_HARBOR else 0


# ---- images that a retention would delete -------------------------------------------------------


def deleted(
    rules: Sequence[Mapping[str, Any]],
    repository: str,
    artifacts: Sequence[Mapping[str, Any]],
    now: dt.datetime,
) -> list[Mapping[str, Any]]:
    """The artifacts of a repository that no rule keeps.

    `rules`: as inputs of a Retention. `repository`: below the project. A repository that no rule
    names is left alone, and an immutable tag keeps its artifact (Harbor's src/pkg/retention).
    """
    applied = [rule for rule in rules if _selects(rule, "repositories", repository)]
    if not applied:
        return []
    kept = {
        str(artifact["digest"])
        for rule in applied
        for artifact in _kept(rule, [a for a in artifacts if _counts(rule, a)], now)
    }
    return [a for a in artifacts if a["digest"] not in kept and not _is_immutable(a)]


def digests(artifact: Mapping[str, Any]) -> frozenset[str]:
    """Its digest, and those of the images that an index of several platforms refers to."""
    children = [str(row["child_digest"]) for row in rows(artifact.get("references"))]
    return frozenset((str(artifact["digest"]), *children))


def tags_of(artifact: Mapping[str, Any]) -> list[str]:
    return [str(tag["name"]) for tag in rows(artifact.get("tags"))]


def _is_immutable(artifact: Mapping[str, Any]) -> bool:
    return any(tag.get("immutable") for tag in rows(artifact.get("tags")))


def _counts(rule: Mapping[str, Any], artifact: Mapping[str, Any]) -> bool:
    """Whether a rule's selector of tags chooses an artifact."""
    tags = tags_of(artifact)
    if not tags:
        return bool(rule.get("untagged", True))
    return any(_selects(rule, "tags", tag) for tag in tags)


def _kept(
    rule: Mapping[str, Any], artifacts: list[Mapping[str, Any]], now: dt.datetime
) -> list[Mapping[str, Any]]:
    template = rule["template"]
    if template == "always":
        return artifacts
    time = "push_time" if template in ("latestPushedK", "nDaysSinceLastPush") else "pull_time"
    number = int(rule["number"])
    if template in ("latestPushedK", "latestPulledN"):
        return sorted(artifacts, key=lambda a: _time(a, time), reverse=True)[:number]
    return [a for a in artifacts if _time(a, time) >= now - dt.timedelta(days=number)]


def _time(artifact: Mapping[str, Any], key: str) -> dt.datetime:
    """When the artifact, or one of its tags, was pushed or pulled last, as Harbor counts it
    (src/pkg/retention/dep/client.go). It is the year 1 for never."""
    times = [artifact.get(key), *(tag.get(key) for tag in rows(artifact.get("tags")))]
    known = [dt.datetime.fromisoformat(str(time).replace("Z", "+00:00")) for time in times if time]
    return max(known, default=dt.datetime.min.replace(tzinfo=dt.UTC))


def _selects(rule: Mapping[str, Any], name: str, text: str) -> bool:
    chosen = selectors.normal(rule)
    excluded = chosen[f"{name}Excluded"]
    return not matches(excluded, text) if excluded else matches(chosen[name], text)


def matches(pattern: str, text: str) -> bool:
    """Whether Harbor's doublestar matches: `*` is within a part of a path, `**` any parts."""
    return any(
        re.fullmatch("".join(_expressions(each)), text) for each in patterns.expanded(pattern)
    )


def _expressions(pattern: str) -> Iterator[str]:
    if pattern.endswith("/**"):
        yield from _expressions(pattern.removesuffix("/**"))
        yield "(?:/.*)?"
        return
    tokens = cast("list[str]", re.findall(r"\*\*/|\*\*|\*|\?|\[[^\[\]]+\]|.", pattern))
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for token in tokens:
        if token.startswith("[") and len(token) > 1:
            inner = token[1:-1].replace("\\", r"\\")
            yield f"[^{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
        else:
            yield wildcards.get(token) or re.escape(token)


# ---- quotas -------------------------------------------------------------------------------------


def over_quota(
    quotas: Iterable[Mapping[str, Any]], declared: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Project → bytes of its declared quota, and bytes that it uses: where they are more.

    `quotas`: Harbor's. `declared`: project → bytes, -1 for no limit.
    """
    used = {str(row["ref"]["name"]): int(row["used"].get("storage", 0)) for row in quotas}
    return {
        project: (limit, used[project])
        for project, limit in sorted(declared.items())
        if limit != -1 and used.get(project, 0) > limit
    }
