"""The storage kind `azure`: a container of Azure Blob Storage, by the registry's driver. Pure.

Bounds and traps are those of the driver in docker/distribution 2.8.3
(registry/storage/driver/azure/azure.go).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import field_validator

from components.settings.schema.buckets import written_unquoted
from components.settings.schema.rules import REMOVE, SettingRule, matching, refuse
from components.settings.schema.secret_rules import WHITE_SPACE, SecretRule, Shape
from components.settings.storage.base import BlobLocation
from components.settings.storage.existing import ExistingContainer

REALMS = ("core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net")


def _account(name: str) -> str | None:
    if name == "devstoreaccount1":
        return "the registry takes it for an emulator beside itself"
    return matching(r"[a-z0-9]{3,24}")(name)


_ACCOUNT = SettingRule(
    allowed="the name of a storage account: 3 to 24 lower-case letters and digits",
    example="<account>",
    check=written_unquoted(_account),
)
_CONTAINER = SettingRule(
    allowed="the name of a container: 3 to 63 lower-case letters, digits and single '-', beginning "
    "and ending with a letter or digit",
    example="<container>",
    check=written_unquoted(matching(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")),
)
# The driver's client derives the host ACCOUNT.blob.REALM from it, and has no option for another
# host.
_REALM = SettingRule(
    allowed=f"one of {', '.join(REALMS)}: the registry reaches ACCOUNT.blob.REALM and no domain of "
    "one's own",
    example=REALMS[0],
    check=lambda realm: None if realm in REALMS else "",
)


def _account_key(plain: str) -> str | None:
    if "AccountKey=" in plain:
        return "this is a connection string; give only what follows AccountKey="
    if any(character.isspace() for character in plain):
        return WHITE_SPACE
    return matching(r"[A-Za-z0-9+/]{86}==")(plain)


class AzureStorage(ExistingContainer):
    """A container of Azure Blob Storage.

    The registry makes the container if it is missing, so a wrong name is a new and empty one.
    """

    also_called = ("azblob", "azure-blob", "blob")
    sample: ClassVar[Mapping[str, str]] = {"account": "harborimages"}

    driver: ClassVar[str] = "azure"
    key_in_secret: ClassVar[str] = "AZURE_STORAGE_ACCESS_KEY"
    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "azureAccountKey": SecretRule(
            description="One of the two access keys of the storage account",
            shape=Shape(
                allowed="88 characters of base64 (64 bytes), without spaces", check=_account_key
            ),
        )
    }

    kind: Literal["azure"] = "azure"
    account: Annotated[str, _ACCOUNT]
    """Name of a storage account that exists."""
    container: Annotated[str, _CONTAINER]
    """Name of the container. The registry uses all of it."""
    realm: Annotated[str, _REALM] = REALMS[0]
    """Which of the vendor's clouds the account is in."""
    root_directory: str | None = None
    """Refused: the registry's driver has no such parameter."""

    @field_validator("root_directory")
    @classmethod
    def _has_no_prefix(cls, value: str | None) -> str | None:
        if value is not None:
            refuse(
                "left out: the registry's azure driver knows no prefix and uses the whole "
                "container; another container keeps others apart",
                example=REMOVE,
            )
        return value

    @property
    def blob_location(self) -> BlobLocation:
        keys = ("kind", "realm", "account", "container")
        return {key: str(getattr(self, key)) for key in keys}

    @property
    def bucket_name(self) -> str:
        return self.container

    @property
    def endpoint_url(self) -> str:
        return f"https://{self.account}.blob.{self.realm}"

    @property
    def driver_options(self) -> dict[str, Any]:
        return {"accountname": self.account, "container": self.container, "realm": self.realm}
