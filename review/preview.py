"""`make preview STACK=…`: the engine's preview with the policy pack, as Markdown."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.credentials import CREDENTIALS
from components.public_passphrase import known_passphrase, way_out, way_out_of_empty
from engine import workplace as engine
from engine.pulumi import Watch
from policy import rules as pack_rules
from policy.plaintext import PUBLIC
from policy.resource import Sovereign
from review import comparison, plan, rules, summary
from review.base import Base, base_of, merge_base
from review.digest import digest
from review.plan import Plan, Violation

PACK = "policy"
EMPTY_STATE = (
    "Compared with an empty state, without cluster and secrets, so everything appears as new. "
    "With the backend in the environment the same command compares with what is there."
)


COMPARED = (
    "Compared with {commit}, both without cluster, backend and secrets: what the change makes of "
    "settings and inputs. What runs may differ from both. Values known only after a run are "
    "compared by where they come from, and the provider decides in the end what is replaced."
)
_SANDBOX = "local"
"""The stack that `make up` brings up without being told."""


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
    base: str | None = None,
) -> Preview:
    """Previews a stack. Raises FileNotFoundError, ToolchainError, EngineError.

    `base`: a branch or commit of git. Without a backend the preview is then of what differs from
    the commit where the two parted; with one it shows which settings differ, too.
    """
    if base:
        merge_base(base)  # A name that git does not know is told before the preview.
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
        is_scratch = place.is_scratch
    config = engine.config(stack)
    sovereign = Sovereign.of(config, salt=engine.salt(stack))
    before = base_of(stack, base, environment, previewed=is_scratch) if base else None
    if before is not None and before.plan is not None and not previewed.errors:
        readers = {name: credential.readers for name, credential in CREDENTIALS.items()}
        previewed = comparison.compare(before.plan, previewed, readers)
    # A change that calls a Sovereign a sandbox is held to the rules of a Sovereign.
    is_called_one = sovereign.sandbox and before is not None and before.is_sovereign
    if is_called_one:
        sovereign = replace(sovereign, sandbox=False)
    broken = tuple(rules.violations(previewed, sandbox=sovereign.sandbox))
    if not packs or is_called_one:
        broken += tuple(_by_digest(previewed, sovereign))
    if is_scratch and sovereign.has_public_secrets:
        # The pack sees the copy's file, from which the salt is removed.
        broken += (_encrypted_for_everybody(stack),)
    is_sandbox = sovereign.sandbox and (stack == _SANDBOX or before is not None)
    settings = comparison.settings(before.config, config) if before and before.config else ()
    return Preview(
        plan=previewed,
        violations=broken,
        markdown=summary.markdown(
            previewed,
            broken,
            note=_note(before, base, is_scratch=is_scratch),
            guards=() if is_sandbox else tuple(rules.guards_that_are_off(config)),
            settings=settings,
        ),
        code=ran.code or int(bool(broken)),
    )


def _note(base: Base | None, reference: str | None, *, is_scratch: bool) -> str:
    """What it is compared with."""
    if base is None:
        return EMPTY_STATE if is_scratch else ""
    commit = f"`{reference}` (`{base.commit[:10]}`)"
    if not is_scratch:
        more = f"; {base.problem}" if base.problem else ""
        return f"Compared with the backend's state. Settings are compared with {commit}{more}."
    if base.plan is None:
        return f"There is nothing to compare with at {commit}: {base.problem}. {EMPTY_STATE}"
    return COMPARED.format(commit=commit)


def _encrypted_for_everybody(stack: str) -> Violation:
    is_empty = known_passphrase(engine.salt(stack)) == ""
    steps = "; ".join((way_out_of_empty if is_empty else way_out)(stack).splitlines())
    return Violation(
        rule="no-plaintext-secret",
        resource=engine.stack_file(stack).name,
        message=f"{PUBLIC}. The way out: {steps}",
    )


def has_policy_sdk() -> bool:
    """pulumi-policy cannot be installed beside pulumi on Python 3.14."""
    return importlib.util.find_spec("pulumi_policy") is not None


def _by_digest(previewed: Plan, sovereign: Sovereign) -> Iterator[Violation]:
    """Violations of the pack's rules, read from the digest where the pack itself cannot run."""
    kept = [change.as_resource() for change in previewed.changes if change.act != "delete"]
    for rule, resource, problem in pack_rules.violations(kept, sovereign):
        yield Violation(rule=rule, resource=resource.name, message=problem)


def main(stack: str, *, output: Path | None, base: str | None = None) -> int:
    """Prints the summary, or writes it to a file; returns the exit code."""
    try:
        done = preview(stack, base=base)
    except FileNotFoundError as error:
        print(f"error: there is no {Path(error.filename).name}", file=sys.stderr)
        return 2
    if output is None:
        print(done.markdown, end="")
    else:
        output.write_text(done.markdown)
    return done.code
