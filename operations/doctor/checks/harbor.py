"""Harbor's parts, its jobs, its quotas. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.commands import run
from components.kubernetes.client import dig
from components.registry import gates
from components.settings.registry.cron import NoSchedule, starts
from operations.doctor.findings import Finding, NotRead, Reading, few, moment_of, of_two_degrees

LATE: Final = dt.timedelta(hours=2)
"""How long after its time a job may begin, in a queue that is full."""
_DAYS_BACK: Final = 400
_DOWN = "docs/runbooks/components-down.md"
_STUCK = "docs/runbooks/queue-stuck.md"
_BAD: Final = ("Error", "Failed", "error", "failed")


def health(read: Reading) -> Iterator[Finding]:
    """What Harbor says of each of its parts. One that does not answer is ill, where the cluster
    does: else a Harbor that hangs would be a check that was not made."""
    command = f"kubectl get pods -n {read.namespace} ({_DOWN})"
    read.of("version")
    try:
        told = read.of("health")
    except NotRead as error:
        what = f"Harbor does not answer: {error}"
        yield Finding(check="health", state="ill", what=what, command=command)
        return
    parts: list[Mapping[str, str]] = told.get("components") or []
    sick = [f"{p['name']} ({p.get('error', p['status'])})" for p in parts if _is_sick(p)]
    if sick or told.get("status") != "healthy":
        yield Finding(
            check="health",
            state="ill",
            what=f"Harbor says that it does not work: {few(sick) or told.get('status')}",
            command=command,
        )
        return
    yield Finding(check="health", state="ok", what=f"all {len(parts)} parts of Harbor work")


def _is_sick(part: Mapping[str, str]) -> bool:
    return part.get("status") != "healthy"


def pods(read: Reading) -> Iterator[Finding]:
    """Whether the pods of Harbor's namespace run."""
    rows = [pod for pod in read.of("pods") if dig(pod, "status", "phase") != "Succeeded"]
    bad = {pod["metadata"]["name"]: why for pod in rows if (why := stopped(pod))}
    if not rows:
        what = f"no pod runs in namespace {read.namespace}"
        yield Finding(check="pods", state="ill", what=what, command=_DOWN)
    elif bad:
        yield Finding(
            check="pods",
            state="ill",
            what="pods do not run: " + few([f"{name} ({why})" for name, why in bad.items()]),
            command=f"kubectl describe pod {next(iter(bad))} -n {read.namespace} ({_DOWN})",
        )
    else:
        yield Finding(check="pods", state="ok", what=f"{len(rows)} pods run")


def stopped(pod: Mapping[str, Any]) -> str:
    """Why a pod does not run; "" if it does, or is beginning to."""
    status: Mapping[str, Any] = pod.get("status") or {}
    rows = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for row in rows:
        reason = dig(row, "state", "waiting", "reason")
        if reason not in (None, "ContainerCreating", "PodInitializing"):
            return str(reason)
    return str(status.get("phase")) if status.get("phase") in ("Failed", "Unknown") else ""


def garbage_collection(read: Reading) -> Iterator[Finding]:
    """Whether the last garbage collection ended well, and runs as its schedule says."""
    declared = read.settings.registry.schedules.garbage_collection.cron
    yield _job(read, "gc", "garbage collection", declared, "docs/runbooks/gc-not-shrinking.md")


def purge(read: Reading) -> Iterator[Finding]:
    """The same of the audit log's purge."""
    declared = read.settings.registry.schedules.audit_purge.cron
    yield _job(read, "purge", "purge of the audit log", declared, _STUCK)


def _job(read: Reading, check: str, what: str, declared: str, runbook: str) -> Finding:
    job = read.of(check)
    schedule, runs = job["schedule"], job["runs"]
    cron = dig(schedule, "schedule", "cron") or ""
    ended = [each for each in runs if each.get("job_status") not in ("Running", "Pending")]
    if ended and ended[0].get("job_status") in _BAD:
        return Finding(
            check=check, state="ill", what=f"the last {what} failed{_when(read, ended[0])}",
            command=runbook,
        )  # fmt: skip
    if not cron and declared and read.settings.registry.enabled:
        return Finding(
            check=check,
            state="ill",
            what=f"Harbor has no schedule of the {what}, and the stack's file has one",
            command=run("up --refresh", read.stack),
        )
    since = moment_of(schedule.get("update_time")) or moment_of(schedule.get("creation_time"))
    begun = moment_of(runs[0].get("creation_time")) if runs else None
    if cron and since is not None and (missed := overdue(cron, since, begun, read.now)):
        return Finding(
            check=check,
            state="ill",
            what=f"the {what} was due {read.age.of(missed)} ago and did not begin: jobservice "
            "lost its schedule, or does not work",
            command=_STUCK,
        )
    if not ended:
        told = "it has not run yet" if cron else "it has no schedule"
        return Finding(check=check, state="ok", what=f"{what}: {told}")
    return Finding(
        check=check, state="ok", what=f"the last {what} succeeded{_when(read, ended[0])}"
    )


def _when(read: Reading, job: Mapping[str, Any]) -> str:
    moment = moment_of(job.get("update_time") or job.get("start_time"))
    return "" if moment is None else f" {read.age.of(moment)} ago"


def overdue(
    cron: str, since: dt.datetime, last: dt.datetime | None, now: dt.datetime
) -> dt.datetime | None:
    """When a job should have begun that did not; None if it is not late.

    `cron`: Harbor's six fields. `since`: when it was set. `last`: when it last began.
    """
    due = last_due(cron, now - LATE)
    known = max(filter(None, (since, last)))
    return due if due is not None and due > known else None


def last_due(cron: str, now: dt.datetime) -> dt.datetime | None:
    """The last moment before `now` at which a schedule begins; None for none that is known."""
    try:
        when = starts(cron)
    except (NoSchedule, ValueError):
        return None
    for back in range(_DAYS_BACK):
        day = (now - dt.timedelta(days=back)).date()
        latest = now.hour * 60 + now.minute if back == 0 else 24 * 60
        minutes = [minute for minute in when.minutes if minute <= latest]
        if when.on(day) and minutes:
            midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
            return midnight + dt.timedelta(minutes=max(minutes))
    return None


def scan(read: Reading) -> Iterator[Finding]:
    """Whether there is a scanner, and the last scan of everything did not fail too often."""
    told, settings = read.of("scan"), read.settings
    if not told["scanner"]:
        state = "ill" if settings.trivy.enabled else "ok"
        command = "docs/runbooks/scans-fail.md" if state == "ill" else ""
        yield Finding(check="scan", state=state, what="Harbor has no scanner", command=command)
        return
    metrics: Mapping[str, Any] = told["metrics"]
    total = int(metrics.get("total") or 0)
    failed = int(dig(metrics, "metrics", "Error") or 0)
    if total and failed * 100 >= total * settings.monitoring.thresholds.scan_failure_percent:
        yield Finding(
            check="scan",
            state="ill",
            what=f"of the last scan of all images {failed} of {total} failed",
            command="docs/runbooks/scans-fail.md",
        )
    elif not total:
        yield Finding(check="scan", state="ok", what="all images were not scanned at once yet")
    else:
        what = f"the last scan of all images: {total} images, {failed} failed"
        yield Finding(check="scan", state="ok", what=what)


def replication(read: Reading) -> Iterator[Finding]:
    """Whether the last run of each replication that is on ended well, and in its time."""
    policies = [policy for policy in read.of("replication") if policy.get("enabled")]
    bad: list[str] = []
    for policy in policies:
        last: Mapping[str, Any] = policy["last"] or {}
        cron = dig(policy, "trigger", "trigger_settings", "cron") or ""
        since = moment_of(policy.get("update_time")) or moment_of(policy.get("creation_time"))
        if last.get("status") in _BAD:
            bad.append(f"{policy['name']} failed{_when(read, last)}")
        elif cron and since is not None:
            missed = overdue(cron, since, moment_of(last.get("start_time")), read.now)
            if missed is not None:
                bad.append(f"{policy['name']} was due {read.age.of(missed)} ago")
    if bad:
        yield Finding(
            check="replication", state="ill", what=few(bad),
            command="docs/runbooks/replication-fails.md",
        )  # fmt: skip
    else:
        yield Finding(
            check="replication", state="ok", what=f"{len(policies)} replications, none failed"
        )


def quotas(read: Reading) -> Iterator[Finding]:
    """Projects whose quota is used up, or nearly."""
    percent = read.settings.monitoring.thresholds.quota_percent
    full: list[str] = []
    near: list[str] = []
    rows = read.of("quotas")
    for row in rows:
        limit, used = dig(row, "hard", "storage") or -1, dig(row, "used", "storage") or 0
        if limit <= 0:
            continue
        told = f"{dig(row, 'ref', 'name')} {100 * used // limit} %"
        (full if used >= limit else near if used * 100 >= limit * percent else []).append(told)
    yield from of_two_degrees(
        "quotas",
        ill=("quotas are used up, and pushes refused", full),
        near=("quotas are nearly used up", near),
        ok=f"{len(rows)} projects, none is full",
        command="docs/runbooks/quota-full.md",
    )


# --- Images that pods run -------------------------------------------------------------------------


def images(read: Reading) -> Iterator[Finding]:
    """Images of Harbor's that pods could not pull again, and pods that cannot pull one now."""
    stuck = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in read.of("all pods")
        if stopped(pod) in ("ImagePullBackOff", "ErrImagePull", "InvalidImageName")
        and read.settings.registry_address.image_prefix in str(pod.get("spec"))
    ]
    if stuck:
        namespace, _, name = stuck[0].partition("/")
        yield Finding(
            check="images",
            state="ill",
            what=f"pods cannot pull their image from this Harbor: {few(stuck)}",
            command=f"kubectl describe pod {name} -n {namespace}",
        )
    told = read.of("images")
    gone = [image for image in told["running"] if _is_gone(told, image)]
    refused = {
        image.name: why
        for image in told["running"]
        if (artifact := told["artifacts"].get(image.name)) is not None
        and (why := _refusal(told, image.project, artifact))
    }
    if gone:
        listed = few(sorted({f"{image.name} ({image.pod})" for image in gone}), most=2)
        yield Finding(
            check="images",
            state="ill",
            what=f"pods run images that Harbor does not have any more: {listed}",
            command="push them again before a node that has them is lost",
        )
    if refused:
        listed = few([f"{name} ({why})" for name, why in refused.items()], most=2)
        yield Finding(
            check="images",
            state="warning",
            what=f"Harbor would refuse to hand out images that pods run: {listed}",
            command="docs/howto/registry-block-severity.md",
        )
    if told["unread"] and not gone:
        raise NotRead(f"of {len(told['unread'])} images: {next(iter(told['unread'].values()))}")
    if not (stuck or gone or refused):
        asked = len(told["artifacts"])
        what = f"Harbor has the {asked} images of its own that pods run"
        yield Finding(check="images", state="ok", what=what)


def _is_gone(told: Mapping[str, Any], image: gates.RunningImage) -> bool:
    return image.name in told["artifacts"] and told["artifacts"][image.name] is None


def _refusal(told: Mapping[str, Any], name: str, artifact: Mapping[str, Any]) -> str:
    """Why Harbor refuses a pull by severity; "" where an allowlist may let it through."""
    project: Mapping[str, Any] = told["projects"][name]
    metadata: Mapping[str, str] = project.get("metadata") or {}
    severity = str(metadata.get("severity") or "").lower()
    blocks = str(metadata.get("prevent_vul")).lower() == "true" and severity in gates.SEVERITIES
    uses_system = str(metadata.get("reuse_sys_cve_allowlist")).lower() == "true"
    allowed = told["allowlist"] if uses_system else dig(project, "cve_allowlist", "items")
    if not blocks or allowed:
        return ""
    return gates.pull_refused(artifact, severity, ())


def image_policy(read: Reading) -> Iterator[Finding]:
    """Pods that run and that a policy of images would refuse at their next start."""
    if not read.settings.image_policy.enabled:
        yield Finding(check="image-policy", state="ok", what="no policy of images is on")
        return
    judged = read.of("reports")
    refused = [
        f"{pod} ({policy})"
        for policy, verdicts in judged.items()
        for pod, why in verdicts.items()
        if why
    ]
    if refused:
        yield Finding(
            check="image-policy",
            state="warning",
            what=f"pods that run would be refused at their next start: {few(refused)}",
            command="kubectl get policyreports -A",
        )
        return
    count = len({pod for verdicts in judged.values() for pod in verdicts})
    what = f"reports on {count} pods, none would be refused"
    yield Finding(check="image-policy", state="ok", what=what)
