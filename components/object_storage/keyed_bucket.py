"""A bucket by the S3 API alone, with a key pair that a person made at the vendor's."""

from __future__ import annotations

import pulumi

from components.harbor_inputs import RemoteStorage
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.key_proof import KeyProof
from components.object_storage.location import bucket_location, location_props, s3_driver
from components.object_storage.s3_bucket import S3Bucket
from components.object_storage.s3_lockdown import S3Lockdown
from components.object_storage.seam import seam
from components.object_storage.store import HARBOR_SECRET, Store
from components.ordering import after
from components.settings.storage.keyed import KeyedBucket


def keyed_bucket(
    name: str, args: ObjectStorageArgs, settings: KeyedBucket, parent: pulumi.Resource
) -> Store:
    """The bucket, its key pair proven and sealed for Harbor and for the seam."""
    location = bucket_location(settings)
    bucket = S3Bucket(
        f"{name}-bucket",
        {
            **location_props(location),
            "rootDirectory": location.root_directory,
            "owner": args.owner,
            "adopt": settings.adopt,
            "versioning": settings.versioning.enabled,
            "noncurrentDays": settings.versioning.noncurrent_days,
            "abortDays": settings.abort_incomplete_upload_days,
            "tags": dict(settings.tags),
        },
        args.context.data_options(parent),
    )
    access_key, secret_key = args.secrets["s3AccessKey"], args.secrets["s3SecretKey"]
    proof = KeyProof(
        f"{name}-key-proof",
        bucket=bucket.bucket,
        location=location,
        lockdown=settings.locked_to is not None,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    if settings.locked_to is not None:
        S3Lockdown(
            f"{name}-lockdown",
            bucket=bucket.bucket,
            location=location,
            owner=args.owner,
            project_id=settings.locked_to.project_id,
            more_access_keys=settings.locked_to.more_access_keys,
            # A key pair that does not work is reported by the proof, not by this policy.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[proof]),
        )
    # Sealing waits for the proof: a new key pair that does not work changes nothing.
    access_key, secret_key = proof.proven(access_key), proof.proven(secret_key)

    seam(
        f"{name}-seam",
        location,
        access_key,
        secret_key,
        namespace=settings.seam_namespace,
        context=args.context,
        parent=parent,
    )
    data = registry_keys(access_key, secret_key)
    if location.ca_bundle is not None:
        # Beside the keys, so that the registry restarts on either.
        data["ca.crt"] = location.ca_bundle
    credentials = args.context.sealed(f"{name}-credentials", HARBOR_SECRET, data, parent=parent)

    def for_harbor(secret_name: str) -> RemoteStorage:
        return RemoteStorage(
            driver="s3",
            options=s3_driver(location, secret_name),
            redirect=settings.redirect,
            ca_bundle_secret=secret_name if location.ca_bundle is not None else None,
        )

    at_bucket = after(bucket.bucket, location)
    return Store(
        location=at_bucket,
        revision=credentials.revision,
        storage=after(
            pulumi.Output.all(at_bucket, credentials.secret_name), for_harbor(HARBOR_SECRET)
        ),
    )


def registry_keys(
    access_key: pulumi.Input[str], secret_key: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """A key pair under the names that the registry's s3 driver reads."""
    return {
        "REGISTRY_STORAGE_S3_ACCESSKEY": access_key,
        "REGISTRY_STORAGE_S3_SECRETKEY": secret_key,
    }
