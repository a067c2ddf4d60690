"""The engine's state against the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.commands import run
from components.harbor_lines import harbor_of
from components.ownership.state_mark import CONFIG_MAP
from operations.doctor.findings import Finding, NotRead, Reading, few, moment_of

_INTERRUPTED = "docs/runbooks/interrupted-run.md"
_STATE_LOST = "docs/runbooks/state-lost.md"


def cluster(read: Reading) -> Iterator[Finding]:
    """Whether the API server answers; all that is asked of the cluster hangs on it."""
    try:
        version = read.of("version") or {}
    except NotRead as error:
        yield Finding(
            check="cluster",
            state="ill",
            what=f"the cluster does not answer: {error}",
            command="kubectl config current-context && kubectl version",
        )
        return
    what = f"Kubernetes {version.get('gitVersion', 'of an unknown version')} answers"
    yield Finding(check="cluster", state="ok", what=what)


def last_update(read: Reading) -> Iterator[Finding]:
    """Whether the last update ended, and ended well, and left nothing pending."""
    listing = read.of("listing")
    if listing is None:
        yield Finding(
            check="engine",
            state="ill",
            what="the backend has no stack of this name: another backend, or never brought up",
            command=f"pulumi whoami -v; {_STATE_LOST}",
        )
        return
    if listing.get("updateInProgress"):
        yield Finding(
            check="engine",
            state="warning",
            what="an update is under way, or was killed and left its lock",
            command=f"{run('cancel', read.stack)} where nobody runs one ({_INTERRUPTED})",
        )
        return
    if pending := read.of("deployment")["pending"]:
        yield Finding(
            check="engine",
            state="ill",
            what=f"an interrupted update left pending: {few(pending)}",
            command=f"{run('up', read.stack)} ({_INTERRUPTED})",
        )
        return
    yield _ended(read, read.of("history"))


def _ended(read: Reading, last: Any) -> Finding:
    if last is None:
        return Finding(
            check="engine",
            state="warning",
            what="no update has run yet",
            command=run("up", read.stack),
        )
    ended = moment_of(last.get("endTime"))
    when = "" if ended is None else f" {read.age.of(ended)} ago"
    if last.get("result") != "succeeded":
        return Finding(
            check="engine",
            state="ill",
            what=f"the last {last.get('kind')} ended{when} with {last.get('result')}",
            command=run("up", read.stack),
        )
    return Finding(check="engine", state="ok", what=f"the last {last.get('kind')} succeeded{when}")


def state_mark(read: Reading) -> Iterator[Finding]:
    """Whether the state is the one that made this Sovereign."""
    there, own = read.of("mark"), read.of("deployment")["mark"]
    place = f"ConfigMap {read.namespace}/{CONFIG_MAP}"
    if not isinstance(own, str):
        raise NotRead("the state has no mark that can be read")
    if there is None:
        yield Finding(
            check="state",
            state="ill",
            what=f"{place} is gone: a state that was lost would not be recognised",
            command=f"{run('refresh', read.stack)} && {run('up', read.stack)}",
        )
    elif there != own:
        yield Finding(
            check="state",
            state="ill",
            what=f"another state made what is in the cluster: {place} has another mark",
            command=_STATE_LOST,
        )
    else:
        yield Finding(check="state", state="ok", what="state and cluster have the same mark")


def release(read: Reading) -> Iterator[Finding]:
    """Whether Helm's last operation ended well, and runs the chart of the stack's file."""
    history = read.of("releases")
    if not history:
        yield Finding(
            check="release",
            state="ill",
            what=f"Helm has no release of Harbor in namespace {read.namespace}",
            command=run("up --refresh", read.stack),
        )
        return
    last, wanted = history[-1], read.settings.harbor.chart.version
    if last.status != "deployed":
        yield Finding(
            check="release",
            state="ill",
            what=f"revision {last.revision} of Helm's release is {last.status}",
            command=f"{run('up', read.stack)} ({_INTERRUPTED})",
        )
    elif last.chart_version not in (None, wanted):
        yield Finding(
            check="release",
            state="warning",
            what=f"chart {last.chart_version} runs, and the stack's file names {wanted}",
            command=f"make preview STACK={read.stack}",
        )
    else:
        yield Finding(
            check="release",
            state="ok",
            what=f"revision {last.revision}, chart {wanted}, Harbor {harbor_of(wanted)}",
        )
