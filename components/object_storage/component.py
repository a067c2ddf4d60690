"""ObjectStorage: where blobs are kept, its credentials as Secrets, and the estate's seam."""

from __future__ import annotations

import pulumi

from components.context import Context
from components.harbor_inputs import RemoteStorage, VolumeStorage
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.blob_place import BlobPlace
from components.object_storage.existing_container import own_container
from components.object_storage.keyed_bucket import keyed_bucket
from components.object_storage.location import BucketLocation
from components.object_storage.store import Store
from components.ordering import after
from components.settings.storage.aws import AwsStorage
from components.settings.storage.existing import ExistingContainer
from components.settings.storage.filesystem import FilesystemStorage
from components.stack_config import StackConfig


class ObjectStorage(pulumi.ComponentResource):
    """Where blobs are kept: a bucket, or (kind filesystem) a volume of Harbor's own.

    `storage`, `bucket` and `endpoint` are known once the bucket exists and its Secret is unsealed;
    the last two are None for a volume. `location` is None unless the storage is a bucket that
    speaks S3. `revision` changes with the credentials.
    """

    storage: pulumi.Output[RemoteStorage | VolumeStorage]
    bucket: pulumi.Output[str | None]
    endpoint: pulumi.Output[str | None]
    location: pulumi.Output[BucketLocation | None]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: ObjectStorageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:ObjectStorage", name, None, opts)
        store = _store(name, args, self)
        self.storage = store.storage
        self.bucket = after(store.storage, args.settings.bucket_name)
        self.endpoint = after(store.storage, args.settings.endpoint_url)
        self.location = store.location
        self.revision = store.revision
        self.register_outputs({})


def _store(name: str, args: ObjectStorageArgs, parent: pulumi.Resource) -> Store:
    match args.settings:
        case FilesystemStorage() as settings:
            volume = VolumeStorage(
                size=settings.size,
                storage_class=settings.storage_class,
                access_mode=settings.access_mode,
            )
            return Store(storage=after(parent.urn, volume))
        case AwsStorage() as settings:
            # Imported here, so that stacks of other kinds do not wait for this vendor's SDK.
            from components.object_storage.aws.bucket import aws_bucket

            return aws_bucket(name, args, settings, parent)
        case ExistingContainer() as settings:
            return own_container(name, args, settings, parent)
        case settings:
            return keyed_bucket(name, args, settings, parent)


def create(config: StackConfig, context: Context) -> ObjectStorage:
    """The storage that the stack's config amounts to."""
    settings = config.settings.storage
    after_mark = pulumi.ResourceOptions(depends_on=context.options.depends_on)
    place = BlobPlace("object-storage-place", settings=settings, opts=after_mark)
    args = ObjectStorageArgs(
        settings=settings,
        secrets=config.secrets,
        owner=f"{pulumi.get_project()}/{pulumi.get_stack()}",
        context=context,
    )
    # The component depends on the place, and each of its resources on the component: a refused
    # place stops everything before it is made somewhere else.
    after_place = pulumi.ResourceOptions(depends_on=[place])
    options = pulumi.ResourceOptions.merge(context.options, after_place)
    return ObjectStorage("object-storage", args, options)
