"""`make preview STACK=…`: the engine's preview with the policy pack, as Markdown."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import workplace as engine
from engine.pulumi import Watch
from policy import rules as pack_rules
from policy.resource import Sovereign
from review import plan, rules, summary
from review.plan import Plan, Violation

PACK = "policy"
EMPTY_STATE = (
    "Compared with an empty state, without cluster and secrets, so everything appears as new. "
    "With the backend in the environment the same command compares with what is there."
)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What came of one run, as data and as Markdown, and the exit code."""

    plan: Plan
    violations: tuple[Violation, ...]
    markdown: str
    code: int


def preview(
    stack: str,
    *,
    environment: Mapping[str, str] | None = None,
    watch: Watch = lambda _: None,
) -> Preview:
    """Previews a stack. Raises FileNotFoundError, ToolchainError, EngineError."""
    events: list[Mapping[str, Any]] = []

    def keep(event: Mapping[str, Any]) -> None:
        watch(event)
        if "policyEvent" in event:
            events.append(event)

    with engine.workplace(stack, environment) as place:
        packs = ["--policy-pack", PACK] if has_policy_sdk() else []
        command = ["preview", "-s", stack, "--json", "--show-sames", *packs]
        ran = place.run(command, watch=keep)
        previewed = plan.read(stack, digest(ran.output, ran.errors), events)
        sovereign = Sovereign.of(engine.config(stack))
        broken = tuple(rules.violations(previewed, sandbox=sovereign.sandbox))
        if not packs:
            broken += tuple(_by_digest(previewed, sovereign))
        note = EMPTY_STATE if place.is_scratch else ""
        return Preview(
            plan=previewed,
            violations=broken,
            markdown=summary.markdown(previewed, broken, note=note),
            code=ran.code or int(bool(broken)),
        )


def has_policy_sdk() -> bool:
    """pulumi-policy cannot be installed beside pulumi on Python 3.14."""
    return importlib.util.find_spec("pulumi_policy") is not None


def _by_digest(previewed: Plan, sovereign: Sovereign) -> Iterator[Violation]:
    """Violations of the pack's rules, read from the digest where the pack itself cannot run."""
    kept = [change.as_resource() for change in previewed.changes if change.act != "delete"]
    for rule, resource, problem in pack_rules.violations(kept, sovereign):
        yield Violation(rule=rule, resource=resource.name, message=problem)


def digest(output: str, errors: str) -> dict[str, Any]:
    """The JSON document in the output; without one, a document with what the engine said."""
    start = output.find("{")
    try:
        return json.loads(output[start:])
    except ValueError:
        said = (errors or output).strip() or "pulumi said nothing"
        return {"diagnostics": [{"severity": "error", "message": said}]}


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
