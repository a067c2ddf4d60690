"""Which orphans may be deleted, and when: the plan of a dry run, and what stands against it. Pure.

An orphan that is in a plan, and still there after a whole garbage collection, is one that Harbor
will never delete. While Harbor is read-only nothing is pushed that could need it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import parsed
from components.commands import run, set_value
from operations.bucket_truth.inventory import YOUNG, Blob, Truth


class PlanRefused(Exception):
    """A plan cannot be used; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a dry run found. `blobs`: digest → size in bytes. `at` in UTC."""

    stack: str
    bucket: str
    at: dt.datetime
    blobs: Mapping[str, int]

    def as_json(self) -> str:
        told = {
            "stack": self.stack,
            "bucket": self.bucket,
            "at": self.at.isoformat(timespec="seconds"),
            "blobs": dict(self.blobs),
        }
        return json.dumps(told, indent=1) + "\n"


def plan_of(stack: str, bucket: str, found: Truth, at: dt.datetime) -> Plan:
    """The plan of a dry run."""
    blobs = {blob.digest: blob.size for blob in found.orphans}
    return Plan(stack=stack, bucket=bucket, at=at, blobs=blobs)


def read_plan(text: str, stack: str, bucket: str) -> Plan:
    """A plan that was written by a dry run of this stack. Raises PlanRefused."""
    try:
        told: Any = parsed.json_of(text)
        plan = Plan(
            stack=told["stack"],
            bucket=told["bucket"],
            at=dt.datetime.fromisoformat(told["at"]),
            blobs={str(digest): int(size) for digest, size in told["blobs"].items()},
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        raise PlanRefused("it is no plan of a dry run") from None
    if (plan.stack, plan.bucket) != (stack, bucket):
        raise PlanRefused(
            f"it is of stack {plan.stack} and bucket {plan.bucket}, not of {stack} and {bucket}"
        )
    if plan.at.tzinfo is None:
        raise PlanRefused("its time has no time zone")
    return plan


def refusals(
    plan: Plan,
    found: Truth,
    *,
    collections: Sequence[Mapping[str, Any]],
    read_only: bool,
    confirmed: int,
    now: dt.datetime,
) -> Iterator[str]:
    """Why nothing may be deleted, each with the way out.

    `collections`: Harbor's garbage collections, the newest first. `confirmed`: the number of blobs
    that a person read in the plan.
    """
    if confirmed != len(plan.blobs):
        yield f"CONFIRM={confirmed}, and the plan has {len(plan.blobs)} blobs: read it first"
    if not read_only:
        yield (
            "Harbor takes pushes, which could need a blob while it is deleted\n"
            f"  fix: {set_value('registry.system.readOnly', 'true', plan.stack)} && "
            f"{run('up', plan.stack)}"
        )
    if any(each.get("job_status") in ("Running", "Pending") for each in collections):
        yield "a garbage collection runs: wait until it has ended"
    elif not any(_ended_since(each, plan.at) for each in collections):
        yield (
            f"no garbage collection has begun since the dry run of {plan.at:%Y-%m-%d %H:%M} UTC "
            "and succeeded: what it would delete is Harbor's\n"
            "  fix: start one in Harbor (Clean Up, without a dry run), wait for it, and come again"
        )
    for repository, written in sorted(found.contents.uploads.items()):
        if now - written <= YOUNG:
            yield f"an upload to {repository} runs, or ended less than a day ago: wait for it"


def _ended_since(run: Mapping[str, Any], moment: dt.datetime) -> bool:
    try:
        begun = dt.datetime.fromisoformat(str(run.get("creation_time")))
        parameters: Any = parsed.json_of(run.get("job_parameters") or "{}")
    except ValueError:
        return False
    if not isinstance(parameters, dict):
        return False
    is_real = not parameters.get("dry_run")
    begun = begun.replace(tzinfo=begun.tzinfo or dt.UTC)
    return is_real and run.get("job_status") == "Success" and begun > moment


def chosen(plan: Plan, found: Truth) -> list[Blob]:
    """The blobs to delete: those of the plan that are orphans still."""
    return [blob for blob in found.orphans if blob.digest in plan.blobs]
