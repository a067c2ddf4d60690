"""Every check, in the order of the page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from operations.doctor.checks import data, engine, harbor, secrets
from operations.doctor.findings import Finding, NotRead, Reading

Check = Callable[[Reading], Iterator[Finding]]

CHECKS: Final[Mapping[str, Check]] = {
    "cluster": engine.cluster,
    "engine": engine.last_update,
    "state": engine.state_mark,
    "release": engine.release,
    "pods": harbor.pods,
    "health": harbor.health,
    "login": secrets.login,
    "secrets": secrets.delivered,
    "sealing-certificate": secrets.sealing_certificate,
    "tls-certificate": secrets.tls_certificate,
    "token-certificate": secrets.token_certificate,
    "robots": secrets.robots,
    "database": data.database,
    "connections": data.connections,
    "backup": data.backup,
    "drill": data.drill,
    "gc": harbor.garbage_collection,
    "purge": harbor.purge,
    "scan": harbor.scan,
    "replication": harbor.replication,
    "quotas": harbor.quotas,
    "bucket": data.bucket,
    "images": harbor.images,
    "image-policy": harbor.image_policy,
}
"""Name, as findings have it → check."""


def findings(read: Reading) -> list[Finding]:
    """What all checks say; of one that could not be made, why."""
    found = [each for name, check in CHECKS.items() for each in _of(name, check, read)]
    return [_shortened(each, read) for each in found]


_HARBOR = ("Harbor did not answer", "no answer within")


def _shortened(each: Finding, read: Reading) -> Finding:
    """Why the cluster, or Harbor, does not answer is said once."""
    cluster, harbor = (
        read.answers[name].reason if name in read.answers else "" for name in ("version", "health")
    )
    if each.state != "unknown":
        return each
    if cluster and cluster in each.what:
        return replace(each, what="not checked: the cluster does not answer")
    if harbor and each.check in _OF_HARBOR and any(words in each.what for words in _HARBOR):
        return replace(each, what="not checked: Harbor does not answer")
    return each


_OF_HARBOR = ("login", "robots", "gc", "purge", "scan", "replication", "quotas", "images")


def _of(name: str, check: Check, read: Reading) -> Iterator[Finding]:
    try:
        yield from check(read)
    except NotRead as error:
        yield Finding(check=name, state="unknown", what=f"not checked: {error}")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # Somebody else's object, or another version of Harbor: the check cannot judge it.
        what = f"not checked: what was read is not as expected ({type(error).__name__})"
        yield Finding(check=name, state="unknown", what=what)
