"""All Sovereigns side by side: preview, up, drift and status.

One process of pulumi's per stack, at most `parallel` of them at a time. A stack that fails does not
stop the others; the exit code says that one did.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import commands
from components.kubernetes.client import ClusterClient, ClusterUnreachable
from components.public_passphrase import is_public_environment
from components.settings.harbor import HarborSettings
from components.settings.schema.environment import expand
from engine import pulumi, stacks, tools
from engine import workplace as engine
from engine.project import ROOT
from engine.pulumi import EngineError, Ran
from fleet import release_drift
from fleet.board import DONE, FAILED, Board
from fleet.release_drift import Drifted
from review import preview
from toolchain.closed_pipe import ReaderGone
from toolchain.go import ToolchainError

VERBS = ("preview", "up", "drift", "status")
_SIGNS = {"+": "create", "~": "update", "±": "replace", "-": "delete"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one stack."""

    stack: str
    ok: bool
    seconds: float = 0.0
    changes: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    violations: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """`status`: last update, resources, outputs. `drift`: resource → changed properties."""
    mend: tuple[str, ...] = ()
    """`drift`: the commands that make it as it was."""
    markdown: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work on one stack: its environment, and the board that shows it."""

    stack: str
    environment: Mapping[str, str]
    board: Board
    base: str | None = None
    """Branch or commit that a preview compares with."""
    doctor: bool = False
    """Whether a status has the doctor's findings too."""

    def watch(self, event: Mapping[str, Any]) -> None:
        self.board.receive(self.stack, event)


def run(
    verb: str,
    names: Sequence[str],
    *,
    parallel: int,
    board: Board,
    environment: Mapping[str, str] | None = None,
    base: str | None = None,
    doctor: bool = False,
) -> list[Outcome]:
    """The outcomes in the order of the names.

    Raises ToolchainError and EngineError before anything is started.
    """
    environment = dict(environment or tools.tools_environment())
    if verb != "preview":
        engine.backend_workplace(environment)
        _refuse_sandbox_environment(names, environment)

    compared = base if verb == "preview" else None

    unread = threading.Event()

    def turn(stack: str) -> Outcome:
        if unread.is_set():
            raise ReaderGone
        try:
            return outcome_of(stack)
        except ReaderGone:
            unread.set()
            raise

    def outcome_of(stack: str) -> Outcome:
        job = Job(stack=stack, environment=environment, board=board, base=compared, doctor=doctor)
        begun = time.monotonic()
        try:
            if verb != "status":
                engine.read(stack)  # else the engine would refuse the file, without its name
            outcome = _WORK[verb](job)
        except (EngineError, ToolchainError, OSError) as error:
            outcome = Outcome(stack=stack, ok=False, error=str(error))
        board.phase(stack, DONE if outcome.ok else FAILED, error=outcome.error)
        changes = {_SIGNS[sign]: count for sign, count in board.rows[stack].changes.items()}
        seconds = round(time.monotonic() - begun, 2)
        return replace(outcome, seconds=seconds, changes=changes)

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        turns = [pool.submit(turn, name) for name in names]
        try:
            for each in wait(turns, return_when=FIRST_EXCEPTION).done:
                each.result()
            return [each.result() for each in turns]
        except (KeyboardInterrupt, ReaderGone):
            pool.shutdown(wait=False, cancel_futures=True)
            pulumi.interrupt()
            raise


def _refuse_sandbox_environment(names: Sequence[str], environment: Mapping[str, str]) -> None:
    others = [name for name in names if not stacks.is_sandbox(name, engine.ROOT)]
    if others and is_public_environment(environment):
        raise EngineError(
            f"this shell has the sandbox's environment (make env); {', '.join(others)} is no "
            "sandbox. Open a new shell without it (docs/howto/state-backends.md)"
        )


# --- The verbs ----------------------------------------------------------------------------------


def _preview(job: Job) -> Outcome:
    job.board.phase(job.stack, "preview")
    done = preview.preview(job.stack, environment=job.environment, watch=job.watch, base=job.base)
    broken = [*done.plan.violations, *done.violations]
    error = ""
    if done.code:
        told = [f"{v.rule}: {v.message}" for v in broken if v.mandatory] + list(done.plan.errors)
        error = told[0] if told else f"the preview ended with exit code {done.code}"
    return Outcome(
        stack=job.stack,
        ok=done.code == 0,
        error=error,
        violations=tuple(f"{v.rule}: {v.resource}: {v.message}" for v in broken),
        markdown=done.markdown,
    )


def _up(job: Job) -> Outcome:
    """Only what passes the preview and all rules is applied."""
    planned = _preview(job)
    if not planned.ok:
        return planned
    job.board.phase(job.stack, "up")
    packs = ["--policy-pack", preview.PACK] if preview.has_policy_sdk() else []
    place = engine.backend_workplace(job.environment)
    command = ["up", "-s", job.stack, "--yes", "--skip-preview", "--suppress-outputs", *packs]
    return _outcome(job, place.run(command, watch=job.watch))


def _drift(job: Job) -> Outcome:
    """Compares the cluster and the bucket with the state, and what Helm made with its record.

    Changes nothing.
    """
    job.board.phase(job.stack, "drift")
    drifted: dict[str, list[str]] = {}
    mend: list[str] = []

    def watch(event: Mapping[str, Any]) -> None:
        job.watch(event)
        data = event.get("resOutputsEvent", {}).get("metadata", {})
        if data.get("op") in ("update", "delete"):
            keys = sorted(data.get("detailedDiff") or data.get("diffs") or [])
            gone = ["gone"] if data["op"] == "delete" else []
            drifted[data["urn"].rpartition("::")[2]] = gone or keys

    place = engine.backend_workplace(job.environment)
    command = ["refresh", "-s", job.stack, "--preview-only", "--expect-no-changes"]
    outcome = _outcome(job, place.run(command, watch=watch))
    if drifted:
        mend.append(f"{commands.run('up', job.stack)} --refresh")
    try:
        for each in _release_drift(job):
            drifted[str(each)] = [*each.fields]
            mend.append(each.mend)
    except ClusterUnreachable as error:
        told = outcome.error or f"what Helm made was not compared: {error}"
        outcome = replace(outcome, ok=False, error=told)
    error = f"differs: {', '.join(sorted(drifted))}" if drifted else outcome.error
    return Outcome(
        stack=job.stack,
        ok=outcome.ok and not drifted,
        error=error,
        facts=drifted,
        mend=tuple(dict.fromkeys(mend)),
    )


def _release_drift(job: Job) -> list[Drifted]:
    """What is not as Helm made it; nothing where the stack's file names no cluster."""
    settings = engine.read(job.stack).settings
    cluster = settings.get("cluster")
    if not cluster:
        return []
    harbor = settings.get("harbor") or {}
    namespace = harbor.get("namespace") or HarborSettings().namespace
    context = cluster.get("context")
    client = ClusterClient(expand(context, job.environment) if context else None)
    return release_drift.drifted(client, namespace)


NEVER_INITIALISED = "not in the backend: never brought up"
NEVER_APPLIED = "in the backend, but never applied: no `up` has run yet"


def _status(job: Job) -> Outcome:
    known = _known(job)
    if not job.doctor or known.error in (NEVER_INITIALISED, NEVER_APPLIED):
        return known
    job.board.phase(job.stack, "doctor")
    return replace(known, facts={**known.facts, "doctor": examined(job.stack, job.environment)})


_DOCTOR_SECONDS = 60


def examined(stack: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What `make doctor` says of a stack: `state`, and for each state the checks that have it.

    A process of its own: it ends in ten seconds, and many of them may run at once.
    """
    command = [sys.executable, "-m", "operations", "doctor", stack, "--json"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=_DOCTOR_SECONDS,
            check=False,
        )
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return {"state": "unknown", "error": type(error).__name__}
    found = {
        state: sorted({each["check"] for each in told["checks"] if each["state"] == state})
        for state in ("ill", "warning", "unknown")
    }
    return {"state": told["state"], **found}


def _known(job: Job) -> Outcome:
    """What the backend knows."""
    job.board.phase(job.stack, "status")
    known = {entry["name"]: entry for entry in engine.listed(job.environment)}
    if job.stack not in known:
        return Outcome(stack=job.stack, ok=False, error=NEVER_INITIALISED)
    entry = known[job.stack]
    facts = {"lastUpdate": entry.get("lastUpdate"), "resources": entry.get("resourceCount")}
    if not entry.get("lastUpdate") or not entry.get("resourceCount"):
        return Outcome(stack=job.stack, ok=False, error=NEVER_APPLIED, facts=facts)
    place = engine.backend_workplace(job.environment)
    ran = place.run(["stack", "output", "-s", job.stack, "--json"])
    outputs = json.loads(ran.output) if ran.code == 0 else {}
    return Outcome(
        stack=job.stack,
        ok=ran.code == 0 and not entry.get("updateInProgress"),
        error="an update is under way" if entry.get("updateInProgress") else ran.errors.strip(),
        facts={
            **facts,
            **{key: outputs.get(key) for key in ("registryFqdn", "harborVersion")},
        },
    )


def _outcome(job: Job, ran: Ran) -> Outcome:
    told = job.board.rows[job.stack].error or ran.errors.strip() or ran.output.strip()[-200:]
    return Outcome(stack=job.stack, ok=ran.code == 0, error=told if ran.code else "")


_WORK: Mapping[str, Callable[[Job], Outcome]] = {
    "preview": _preview,
    "up": _up,
    "drift": _drift,
    "status": _status,
}


# --- Command ------------------------------------------------------------------------------------


def main(
    verb: str,
    chosen: Sequence[str],
    *,
    parallel: int | None,
    report: Path | None,
    output: Path | None,
    base: str | None = None,
    doctor: bool = False,
) -> int:
    """Runs a verb, writes the report and the previews; the exit code."""
    known = engine.sovereigns()
    unknown = [name for name in chosen if not engine.stack_file(name).exists()]
    if unknown:
        raise EngineError(f"no such Sovereign: {', '.join(unknown)}; {', '.join(known)}")
    names = list(chosen) or known
    parallel = parallel or os.cpu_count() or 1
    begun = time.monotonic()
    title = f"{verb} of {len(names)}, {parallel} at a time"
    with Board(title, names, quiet=verb == "status") as board:
        outcomes = run(verb, names, parallel=parallel, board=board, base=base, doctor=doctor)
    failed = [outcome for outcome in outcomes if not outcome.ok or _is_ill(outcome)]
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            if outcome.markdown:
                (output / f"{outcome.stack}.md").write_text(outcome.markdown)
    if report is not None:
        report.write_text(
            json.dumps(
                {
                    "verb": verb,
                    "parallel": parallel,
                    "seconds": round(time.monotonic() - begun, 2),
                    "failed": [outcome.stack for outcome in failed],
                    "stacks": [_reported(outcome) for outcome in outcomes],
                },
                indent=1,
                ensure_ascii=False,
            )
            + "\n"
        )
    _tell(verb, outcomes)
    return int(bool(failed))


def _is_ill(outcome: Outcome) -> bool:
    return dict(outcome.facts.get("doctor") or {}).get("state") == "ill"


def _reported(outcome: Outcome) -> dict[str, Any]:
    return {key: value for key, value in asdict(outcome).items() if key != "markdown"}


def _tell(verb: str, outcomes: Sequence[Outcome]) -> None:
    """Prints facts and errors in full: the board cuts them off."""
    if verb == "status":
        print(status_table(outcomes, now=datetime.now(UTC)), end="")
        return
    for outcome in outcomes:
        if not outcome.ok:
            print(f"\n{outcome.stack}: {outcome.error}")
            for violation in outcome.violations:
                print(f"  {violation}")
            for resource, fields in outcome.facts.items() if verb == "drift" else ():
                print(f"  {resource}: {', '.join(fields)}")
            for command in outcome.mend:
                print(f"  mend: {command}")


_COLUMNS = ("stack", "state", "last update", "resources", "Harbor", "registry")
_DOCTOR = "doctor"


def status_table(outcomes: Sequence[Outcome], *, now: datetime) -> str:
    """One line for each stack, in columns; the last one where the doctor was asked."""
    rows = [_COLUMNS, *(_status_row(outcome, now) for outcome in outcomes)]
    if any(_DOCTOR in outcome.facts for outcome in outcomes):
        says = [_DOCTOR, *(_doctor_cell(outcome) for outcome in outcomes)]
        rows = [(*row, cell) for row, cell in zip(rows, says, strict=True)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in rows
    )


def _status_row(outcome: Outcome, now: datetime) -> tuple[str, ...]:
    facts = outcome.facts
    known = {
        NEVER_INITIALISED: "no stack in the backend",
        NEVER_APPLIED: "never applied",
    }
    state = "applied" if outcome.ok else known.get(outcome.error, outcome.error.splitlines()[0])
    return (
        outcome.stack,
        state,
        age(str(facts.get("lastUpdate") or ""), now) if state != "never applied" else "-",
        str(facts.get("resources") or "-"),
        str(facts.get("harborVersion") or "-"),
        str(facts.get("registryFqdn") or "-"),
    )


def _doctor_cell(outcome: Outcome) -> str:
    """The worst that the doctor found, by the names of its checks."""
    told: Mapping[str, Any] = outcome.facts.get(_DOCTOR) or {}
    parts = [
        f"{state}: {', '.join(told[state])}" for state in ("ill", "warning") if told.get(state)
    ]
    unknown = len(told.get("unknown") or [])
    if unknown:
        parts.append(f"{unknown} not checked")
    return "; ".join(parts) or str(told.get("error") or told.get("state") or "-")


def age(moment: str, now: datetime) -> str:
    """How long ago a moment of ISO 8601 was; the text itself if it is none."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment or "-"
    seconds = (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"
