"""A bucket of kind aws, and how Harbor and the seam learn of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pulumi
import pulumi_aws as aws

from components.context import Context
from components.harbor_inputs import RemoteStorage
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.aws.access import allow_nodes, key_pair
from components.object_storage.aws.guards import guards
from components.object_storage.keyed_bucket import registry_keys
from components.object_storage.location import BucketLocation, bucket_location, s3_driver
from components.object_storage.seam import seam
from components.object_storage.store import HARBOR_SECRET, Store
from components.ordering import after
from components.settings.storage.aws import AwsStorage, NodeRole


def aws_bucket(
    name: str, args: ObjectStorageArgs, settings: AwsStorage, parent: pulumi.Resource
) -> Store:
    """The bucket as declared, and access to it for Harbor and the seam."""
    # Whoever runs this brings the credentials; the stack says for which account they must be.
    provider = aws.Provider(
        f"{name}-provider",
        region=settings.region,
        allowed_account_ids=None if settings.account_id is None else [settings.account_id],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    options = pulumi.ResourceOptions(parent=parent, provider=provider)
    location = _guarded_bucket(name, args.context, settings, options)
    declared, context = bucket_location(settings), args.context
    to_seam = partial(
        seam,
        f"{name}-seam",
        declared,
        namespace=settings.seam_namespace,
        context=context,
        parent=parent,
    )
    if isinstance(settings.access, NodeRole):
        policy = allow_nodes(name, settings, settings.access, options)
        location = after(policy.id, location)
        no_key = after(location, "")
        to_seam(no_key, no_key, keyless=True)
        return Store(
            location=location, storage=after(location, _for_harbor(settings, declared, None))
        )
    pair = key_pair(name, settings, settings.access, options)
    access_key, secret_key = (after(location, key) for key in pair)
    to_seam(access_key, secret_key)
    keys = registry_keys(access_key, secret_key)
    credentials = context.sealed(f"{name}-credentials", HARBOR_SECRET, keys, parent=parent)
    return Store(
        location=location,
        revision=credentials.revision,
        storage=after(
            pulumi.Output.all(location, credentials.secret_name),
            _for_harbor(settings, declared, HARBOR_SECRET),
        ),
    )


def _for_harbor(
    settings: AwsStorage, location: BucketLocation, secret_name: str | None
) -> RemoteStorage:
    return RemoteStorage(
        driver="s3",
        options=s3_driver(replace(location, endpoint=settings.registry_endpoint), secret_name),
        redirect=settings.redirect,
    )


def _guarded_bucket(
    name: str, context: Context, settings: AwsStorage, options: pulumi.ResourceOptions
) -> pulumi.Output[BucketLocation]:
    """Where the bucket is. What takes it waits for the bucket with all its guards."""
    assert options.parent is not None
    adopted = pulumi.ResourceOptions(import_=settings.bucket if settings.adopt else None)
    data = pulumi.ResourceOptions.merge(context.data_options(options.parent), adopted)
    bucket = aws.s3.Bucket(
        f"{name}-bucket",
        bucket=settings.bucket,
        tags=settings.tags,
        opts=pulumi.ResourceOptions.merge(options, data),
    )
    # A bucket that a destroy leaves in place keeps its guards.
    stays = pulumi.ResourceOptions(retain_on_delete=context.retain)
    there = guards(name, bucket, settings, pulumi.ResourceOptions.merge(options, stays))
    return after(pulumi.Output.all(*[guard.id for guard in there]), bucket_location(settings))
