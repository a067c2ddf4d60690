"""ObjectStorage: the bucket, its credentials as Secrets, and the estate's neutral seam."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.harbor.values import BucketStorage, VolumeStorage
from components.naming import SEAM_NAMESPACE, SEAM_SECRET
from components.object_storage.key_proof import KeyProof
from components.object_storage.location import BucketLocation
from components.object_storage.s3_bucket import S3Bucket
from components.object_storage.settings import (
    BucketSettings,
    FilesystemStorage,
    StorageSettings,
)
from components.settings.loader import StackConfig
from components.site import Site

HARBOR_SECRET = "harbor-objectstorage-credentials"


@dataclass(frozen=True, kw_only=True)
class ObjectStorageArgs:
    """`owner` names the stack in the bucket's owner object. Keys are secret outputs."""

    settings: StorageSettings
    access_key: pulumi.Input[str] | None
    secret_key: pulumi.Input[str] | None
    owner: str
    site: Site


class ObjectStorage(pulumi.ComponentResource):
    """Where blobs are kept: a bucket, or (kind filesystem) a volume of Harbor's own.

    `storage` is known once the bucket is there and its Secret is unsealed. `location` is None
    without object storage; `revision` changes with the key pair.
    """

    storage: pulumi.Output[BucketStorage | VolumeStorage]
    location: pulumi.Output[BucketLocation | None]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: ObjectStorageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:ObjectStorage", name, None, opts)
        if isinstance(args.settings, FilesystemStorage):
            volume = VolumeStorage(
                size=args.settings.size, storage_class=args.settings.storage_class
            )
            self.storage = pulumi.Output.from_input(volume)
            self.location = pulumi.Output.from_input(None)
            self.revision = pulumi.Output.from_input("none")
        else:
            self._use_bucket(name, args, args.settings)
        self.register_outputs({})

    def _use_bucket(self, name: str, args: ObjectStorageArgs, settings: BucketSettings) -> None:
        wanted = bucket_location(settings)
        bucket = S3Bucket(
            f"{name}-bucket",
            {
                "bucket": wanted.bucket,
                "region": wanted.region,
                "endpoint": wanted.endpoint,
                "pathStyle": wanted.path_style,
                "caBundle": wanted.ca_bundle,
                "owner": args.owner,
                "adopt": settings.adopt,
                "versioning": settings.versioning.enabled,
                "noncurrentDays": settings.versioning.noncurrent_days,
                "abortDays": settings.abort_incomplete_upload_days,
                "tags": dict(settings.tags),
            },
            args.site.data_options(self),
        )
        assert args.access_key is not None and args.secret_key is not None  # settings demand them
        proof = KeyProof(
            f"{name}-key-proof",
            bucket=bucket.bucket,
            location=wanted,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Sealing waits for the proof: a new key pair that does not work changes nothing.
        access_key, secret_key = proof.proven(args.access_key), proof.proven(args.secret_key)

        args.site.sealed(
            f"{name}-seam",
            SEAM_SECRET,
            seam_data(wanted, access_key, secret_key),
            parent=self,
            namespace=SEAM_NAMESPACE,
        )
        data: dict[str, pulumi.Input[str]] = {
            "REGISTRY_STORAGE_S3_ACCESSKEY": access_key,
            "REGISTRY_STORAGE_S3_SECRETKEY": secret_key,
        }
        if wanted.ca_bundle is not None:
            # Beside the keys, so that the registry restarts on either.
            data["ca.crt"] = wanted.ca_bundle
        credentials = args.site.sealed(f"{name}-credentials", HARBOR_SECRET, data, parent=self)
        self.revision = credentials.revision
        self.location = bucket.bucket.apply(lambda _: wanted)
        self.storage = pulumi.Output.all(self.location, credentials.secret_name).apply(
            lambda found: BucketStorage(
                location=found[0],
                secret_name=found[1],
                redirect=settings.redirect,
                ca_bundle_secret=found[1] if wanted.ca_bundle is not None else None,
            )
        )


def object_storage_args(config: StackConfig, site: Site) -> ObjectStorageArgs:
    """The args that the stack's config amounts to."""
    return ObjectStorageArgs(
        settings=config.settings.storage,
        access_key=config.secrets.s3_access_key,
        secret_key=config.secrets.s3_secret_key,
        owner=f"{pulumi.get_project()}/{pulumi.get_stack()}",
        site=site,
    )


def bucket_location(settings: BucketSettings) -> BucketLocation:
    """The one description of the bucket that all its consumers share."""
    return BucketLocation(
        bucket=settings.bucket,
        region=settings.region,
        endpoint=settings.endpoint_url,
        path_style=settings.is_path_style,
        root_directory=settings.root_directory,
        ca_bundle=settings.trusted_ca,
        driver_options=settings.driver_options,
    )


def seam_data(
    location: BucketLocation, access_key: pulumi.Input[str], secret_key: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """The seam's five keys, the same whatever the vendor."""
    return {
        "s3-bucket": location.bucket,
        "s3-region": location.region,
        "s3-endpoint": location.endpoint or "",
        "s3-access-key": access_key,
        "s3-secret-key": secret_key,
    }
