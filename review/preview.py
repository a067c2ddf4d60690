"""`make preview STACK=…`: the engine's preview with the policy pack, as Markdown."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy.resource import Sovereign
from policy.rules import RULES, STACK_RULES
from review import engine, plan, rules, summary
from review.plan import Plan, Violation

PACK = "policy"
EMPTY_STATE = (
    "Compared with an empty state, without cluster and secrets, so everything appears as new. "
    "With the backend in the environment the same command compares with what is there."
)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One run: what it found, as data and as Markdown, and the exit code it deserves."""

    plan: Plan
    violations: tuple[Violation, ...]
    markdown: str
    code: int


def preview(stack: str, *, refresh: bool = False) -> Preview:
    """Previews a stack. Raises FileNotFoundError, ToolchainError, RuntimeError."""
    with engine.workplace(stack) as place, tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        packs = ["--policy-pack", PACK] if has_policy_sdk() else []
        more = ["--refresh"] if refresh else []
        command = ["preview", "-s", stack, "--json", "--show-sames", "--event-log", str(log)]
        done = place.run([*command, *packs, *more])
        found = plan.read(stack, digest(done.stdout, done.stderr), events(log))
        sandbox = engine.is_sandbox(stack)
        broken = tuple(rules.violations(found, sandbox=sandbox))
        if not packs:
            broken += tuple(_by_digest(found, stack, sandbox=sandbox))
        note = EMPTY_STATE if place.is_scratch else ""
        return Preview(
            plan=found,
            violations=broken,
            markdown=summary.markdown(found, broken, note=note),
            code=done.returncode or int(bool(broken)),
        )


def has_policy_sdk() -> bool:
    """pulumi-policy cannot be installed beside pulumi on Python 3.14."""
    return importlib.util.find_spec("pulumi_policy") is not None


def _by_digest(found: Plan, stack: str, *, sandbox: bool) -> Iterator[Violation]:
    """The pack's rules over the digest, where the pack itself cannot run."""
    home = (engine.config(stack).get(f"{engine.PREFIX}harbor") or {}).get("namespace", "harbor")
    sovereign = Sovereign(sandbox=sandbox, namespaces=frozenset({home, "flux-system"}))
    coming = [change.as_resource() for change in found.changes if change.act != "delete"]
    for resource in coming:
        for rule in RULES:
            for problem in rule.check(resource, sovereign):
                yield Violation(rule=rule.name, resource=resource.name, message=problem)
    for stack_rule in STACK_RULES:
        for resource, problem in stack_rule.check(coming, sovereign):
            yield Violation(rule=stack_rule.name, resource=resource.name, message=problem)


def digest(output: str, errors: str) -> dict[str, Any]:
    """The JSON document in the output; when the engine got none written, what it said instead."""
    start = output.find("{")
    try:
        return json.loads(output[start:])
    except ValueError:
        said = (errors or output).strip() or "pulumi said nothing"
        return {"diagnostics": [{"severity": "error", "message": said}]}


def events(log: Path) -> list[dict[str, Any]]:
    """The event log's events; none when the engine did not come so far."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines() if line.strip()]


def main(stack: str, *, output: Path | None) -> int:
    """Prints the summary, or writes it to a file; returns the exit code."""
    try:
        done = preview(stack)
    except FileNotFoundError as error:
        print(f"error: there is no {Path(error.filename).name}", file=sys.stderr)
        return 2
    if output is None:
        print(done.markdown, end="")
    else:
        output.write_text(done.markdown)
    return done.code
