"""The verbs `bucket-truth`, which reads, and `bucket-sweep`, which deletes what a plan names."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.kubernetes.unreachable import ClusterUnreachable
from components.object_storage.s3.errors import BucketError
from components.registry.errors import HarborError
from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.stack_file import StackFileRefused
from components.settings.schema.environment import UnsetVariable
from engine import stacks
from engine.terminal import fail
from operations.bucket_truth import sweep
from operations.bucket_truth.inventory import Price, Truth, Unreadable, price_of
from operations.bucket_truth.reading import (
    NoBucket,
    bucket_of,
    inventoried,
    key_pair,
    location_of,
)
from operations.doctor import command as doctor
from operations.doctor import record
from operations.doctor.checks.data import INVENTORY, gigabytes
from operations.doctor.findings import NotRead
from operations.doctor.sources import Sovereign

_SHOWN: Final = 10
_DELETED_AT_ONCE: Final = 1000
"""The most that S3 takes in one DeleteObjects."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. `records`: keep the result where the doctor finds it. `price`: of a TB and
    month, "" for none. Of a sweep, `plan`: its file, `confirmed`: how many blobs it has, None for a
    dry run."""

    stack: str
    as_json: bool = False
    records: bool = False
    price: str = ""
    plan: str = ""
    confirmed: int | None = None


def truth(request: Request) -> int:
    """`make bucket-truth`; the exit code: 1 where it could not be told, or images are broken."""
    return _told(request, _truth)


def swept(request: Request) -> int:
    """`make bucket-sweep`; the exit code."""
    return _told(request, _sweep)


def _told(request: Request, work: Callable[[Request, Sovereign], int]) -> int:
    try:
        sovereign = doctor.of_stack(request.stack)
    except FileNotFoundError:
        return fail(f"there is no Pulumi.{request.stack}.yaml: {', '.join(stacks.names())}")
    except (StackFileRefused, SettingsRefused, UnsetVariable) as error:
        return fail(str(error))
    try:
        return work(request, sovereign)
    except (
        BucketError,
        ClusterUnreachable,
        HarborError,
        NoBucket,
        NotRead,
        Unreadable,
        ValueError,
        sweep.PlanRefused,
    ) as error:
        return fail(f"{error}\n  nothing was deleted")
    finally:
        sovereign.close()


def _truth(request: Request, sovereign: Sovereign) -> int:
    price = price_of(request.price) if request.price else None
    now = _now()
    location = location_of(sovereign.settings)
    with bucket_of(location, key_pair(sovereign.cluster(), sovereign.namespace)) as client:
        found = inventoried(client, location, now)
    told = as_data(found, price, now)
    if request.records:
        text = json.dumps({key: value for key, value in told.items() if key != "missing"})
        record.write(sovereign.cluster(), sovereign.namespace, "doctor", {INVENTORY: text})
    page = json.dumps(told, indent=1) + "\n" if request.as_json else shown(found, price)
    sys.stdout.write(page)
    return int(bool(found.missing))


def as_data(found: Truth, price: Price | None, now: dt.datetime) -> dict[str, Any]:
    """The result for machines, and for the doctor. Pure."""
    return {
        "at": now.isoformat(timespec="seconds"),
        "bytes": found.contents.bytes,
        "objects": found.contents.objects,
        "blobs": len(found.contents.blobs),
        "manifests": len(found.contents.manifests),
        "orphans": len(found.orphans),
        "orphanBytes": found.orphan_bytes,
        "young": found.young,
        "cost": price.of(found.orphan_bytes) if price else "",
        "missing": list(found.missing),
    }


def shown(found: Truth, price: Price | None) -> str:
    """The result for people. Pure."""
    inside = found.contents
    cost = f", {price.of(found.orphan_bytes)} a month" if price else ""
    lines = [
        f"{inside.objects} objects, {gigabytes(inside.bytes)}, old versions included",
        f"{len(inside.blobs)} blobs, {len(inside.manifests)} manifests",
        f"{len(found.orphans)} blobs that no manifest leads to: "
        f"{gigabytes(found.orphan_bytes)}{cost}",
        *(f"  {blob.digest} {gigabytes(blob.size)}" for blob in found.orphans[:_SHOWN]),
    ]
    if len(found.orphans) > _SHOWN:
        lines.append(f"  and {len(found.orphans) - _SHOWN} more")
    if found.young:
        lines.append(f"{found.young} more are younger than a day, and may be of a push")
    if found.missing:
        lines += [
            f"{len(found.missing)} manifests are not in the bucket: these images cannot be pulled",
            *(f"  {name}" for name in found.missing[:_SHOWN]),
        ]
    return "\n".join(lines) + "\n"


def _sweep(request: Request, sovereign: Sovereign) -> int:
    file, now = Path(request.plan), _now()
    if request.confirmed is None and file.exists():
        raise sweep.PlanRefused(
            f"{file} exists: CONFIRM=<blobs in it> deletes them, another PLAN makes a new dry run"
        )
    location = location_of(sovereign.settings)
    plan = None
    if request.confirmed is not None:
        plan = sweep.read_plan(_text(file), request.stack, location.bucket)
    with bucket_of(location, key_pair(sovereign.cluster(), sovereign.namespace)) as client:
        found = inventoried(client, location, now)
        if plan is None and not found.orphans:
            sys.stdout.write("no blob is an orphan; nothing was written or deleted\n")
            return 0
        if plan is None:
            file.write_text(sweep.plan_of(request.stack, location.bucket, found, now).as_json())
            sys.stdout.write(
                f"dry run: {len(found.orphans)} blobs, {gigabytes(found.orphan_bytes)}, are in "
                f"{file}; nothing was deleted\n"
                "  next: read it, let a garbage collection run in Harbor, make Harbor read-only\n"
                f"  then: make bucket-sweep STACK={request.stack} PLAN={file} "
                f"CONFIRM={len(found.orphans)}\n"
            )
            return 0
        against = [*sweep.refusals(plan, found, confirmed=request.confirmed or 0, now=now,
                                   **_harbors(sovereign))]  # fmt: skip
        if against:
            raise sweep.PlanRefused("\n".join(against))
        blobs = sweep.chosen(plan, found)
        _delete(client, location.bucket, [blob.key for blob in blobs])
    sys.stdout.write(
        f"deleted: {len(blobs)} of {len(plan.blobs)} blobs of the plan, "
        f"{gigabytes(sum(blob.size for blob in blobs))}\n"
        "  next: run a garbage collection in Harbor before it takes pushes again. It empties the "
        "registry's cache, which still knows these blobs\n"
    )
    return 0


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        raise sweep.PlanRefused(f"PLAN={file} cannot be read: a dry run writes it") from None


def _harbors(sovereign: Sovereign) -> dict[str, Any]:
    """What Harbor says that a sweep has to know. Raises HarborError."""
    harbor = sovereign.harbor
    query = {"page_size": 20, "sort": "-creation_time"}
    info = harbor.get("/systeminfo", who=sovereign.who) or {}
    runs = harbor.get("/system/gc", query, who=sovereign.who) or []
    return {"collections": runs, "read_only": info.get("read_only") is True}


def _delete(client: Any, bucket: str, keys: list[str]) -> None:
    """Deletes objects; in a bucket with versions they stay for `noncurrentDays`."""
    for begin in range(0, len(keys), _DELETED_AT_ONCE):
        objects = [{"Key": key} for key in keys[begin : begin + _DELETED_AT_ONCE]]
        told = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if errors := told.get("Errors"):
            raise BucketError(f"{errors[0]['Key']}: {errors[0].get('Code')}")
