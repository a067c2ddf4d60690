"""What a bucket is for, and by which settings and secrets a message about it is mended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """`setting`: the section that names the bucket. `keys`: config secrets with its key pair."""

    setting: str
    keys: tuple[str, str]

    @property
    def both_keys(self) -> str:
        """The key pair's secrets, for messages."""
        return " and ".join(self.keys)


IMAGES: Final = Purpose(setting="storage", keys=("s3AccessKey", "s3SecretKey"))
BACKUPS: Final = Purpose(setting="backup.destination", keys=("backupAccessKey", "backupSecretKey"))


def purpose_of(props: Mapping[str, Any]) -> Purpose:
    """That of the bucket of a resource with these properties; images unless it says otherwise."""
    return BACKUPS if props.get("setting") == BACKUPS.setting else IMAGES
