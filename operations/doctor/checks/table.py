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
    "secrets": secrets.unsealed,
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
    # Why the cluster does not answer is said once.
    down = read.answers["version"].reason if "version" in read.answers else ""
    short = "not checked: the cluster does not answer"

    def is_of_it(each: Finding) -> bool:
        return bool(down) and each.state == "unknown" and down in each.what

    return [replace(each, what=short) if is_of_it(each) else each for each in found]


def _of(name: str, check: Check, read: Reading) -> Iterator[Finding]:
    try:
        yield from check(read)
    except NotRead as error:
        yield Finding(check=name, state="unknown", what=f"not checked: {error}")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # Somebody else's object, or another version of Harbor: the check cannot judge it.
        what = f"not checked: what was read is not as expected ({type(error).__name__})"
        yield Finding(check=name, state="unknown", what=what)
