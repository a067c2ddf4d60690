"""The lifecycle rules that this program puts on a bucket, as S3's API spells them. Pure."""

from __future__ import annotations

from typing import Any, Final

ABORT: Final = "abort-incomplete-uploads"
EXPIRE: Final = "expire-noncurrent-versions"
EVERYTHING: Final = {"Prefix": ""}
"""Filter of a rule for all objects."""

LifecycleRule = dict[str, Any]


def abort_uploads(days: int) -> LifecycleRule:
    """Removes the parts of uploads that were not finished within `days`.

    Harbor never aborts a broken upload; its parts are billed for ever (harbor #17651).
    """
    return _rule(ABORT, AbortIncompleteMultipartUpload={"DaysAfterInitiation": days})


def expire_versions(days: int) -> LifecycleRule:
    """Removes versions of objects `days` after they were overwritten or deleted.

    Garbage collection only hides blobs in a versioned bucket; this frees the space.
    """
    return _rule(EXPIRE, NoncurrentVersionExpiration={"NoncurrentDays": days})


def _rule(name: str, **action: dict[str, Any]) -> LifecycleRule:
    return {"ID": name, "Status": "Enabled", "Filter": EVERYTHING, **action}
