"""The section `storage`: the union of all kinds of storage. Pure.

The settings name vendors only in this package and in dns.py. A new kind is a class in a file of
this package, listed in StorageSettings, and its builder, listed in object_storage/component.py; the
rest of the program works with StorageKind.
"""

from typing import Annotated

from pydantic import Field

from components.settings.storage.aws import AwsStorage
from components.settings.storage.azure import AzureStorage
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.storage.gcs import GcsStorage
from components.settings.storage.keyed import HetznerStorage, S3Storage

StorageSettings = Annotated[
    HetznerStorage | S3Storage | AwsStorage | GcsStorage | AzureStorage | FilesystemStorage,
    Field(discriminator="kind"),
]
