"""The estate's seam: the Secret object-storage, in flux-system unless storage.seamNamespace says
another namespace. It has the same five keys whatever the vendor, and by it other programs of the
cluster find the bucket."""

from __future__ import annotations

import pulumi

from components.context import Context
from components.kubernetes.naming import SEAM_SECRET
from components.object_storage.location import BucketLocation

KEYLESS = {"sovereign-harbor/keyless": "true"}
"""Label of a seam whose access key and secret key are empty: whoever uses the bucket needs a role
of its own."""


def seam(
    name: str,
    location: BucketLocation,
    access_key: pulumi.Input[str],
    secret_key: pulumi.Input[str],
    *,
    context: Context,
    parent: pulumi.Resource,
    namespace: str,
    keyless: bool = False,
) -> None:
    """Seals the seam into the cluster. `keyless`: it has no key pair, and a label that says so."""
    context.sealed(
        name,
        SEAM_SECRET,
        seam_data(location, access_key, secret_key),
        parent=parent,
        namespace=namespace,
        labels=KEYLESS if keyless else None,
    )


def seam_data(
    location: BucketLocation, access_key: pulumi.Input[str], secret_key: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """The seam's five keys."""
    return {
        "s3-bucket": location.bucket,
        "s3-region": location.region,
        "s3-endpoint": location.endpoint or "",
        "s3-access-key": access_key,
        "s3-secret-key": secret_key,
    }
