"""The section `valkey`: Harbor's cache and job queue, dedicated or shared. Pure."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from components.kubernetes.quantities import bytes_of
from components.settings.database import PasswordRef, by_default_dedicated
from components.settings.placement import Placement
from components.settings.schema.rules import (
    HOST,
    PEM,
    PORT,
    STORAGE_CLASS,
    Cpu,
    Memory,
    Section,
    SettingRule,
    StorageSize,
    matching,
    refuse,
    whole_number,
)


class DedicatedValkey(Placement):
    """A Valkey of this Sovereign's own."""

    also_called = ("internal",)

    mode: Literal["dedicated"] = "dedicated"
    storage_size: StorageSize = "2Gi"
    """Size of the volume that holds the data."""
    storage_class: Annotated[str, STORAGE_CLASS] | None = None
    """StorageClass of the volume; the cluster's default when unset."""
    cpu: Cpu = "250m"
    """Processors requested."""
    memory: Memory = "256Mi"
    """Memory requested, and the limit."""
    max_memory: Memory | None = None
    """Memory that the data may take at most; three quarters of `memory` when unset."""

    @property
    def max_memory_bytes(self) -> int:
        """Valkey's maxmemory in bytes. The rest is for the process that rewrites the append-only
        file."""
        if self.max_memory is not None:
            return bytes_of(self.max_memory)
        return bytes_of(self.memory) * 3 // 4

    @model_validator(mode="after")
    def _data_fits_into_memory(self) -> Self:
        if self.max_memory_bytes >= bytes_of(self.memory):
            refuse(
                f"less than valkey.memory ({self.memory}), or Kubernetes kills the pod before "
                "Valkey notices",
                at=("maxMemory",),
                example=f"{bytes_of(self.memory) * 3 // 4 // 1024**2}Mi",
            )
        return self


# Valkey has 16 databases by default. A comment in Harbor's chart says that core's index "must be
# 0". Harbor's code does not need that: core hands its URL, index included, to go-redis
# (src/core/session/session.go, src/lib/cache/redis/redis.go), and the chart passes any index on. So
# core can use another index where somebody else owns 0.
DatabaseIndex = Annotated[int, whole_number(0, 15, example=3)]


class ValkeyIndexes(Section):
    """Which database of the server each part of Harbor uses; all distinct."""

    core: DatabaseIndex = 0
    """Sessions."""
    jobservice: DatabaseIndex = 1
    """Job queue: losing it loses running jobs."""
    registry: DatabaseIndex = 2
    """Blob descriptors."""
    trivy: DatabaseIndex = 5
    """Scan queue."""
    harbor: DatabaseIndex = 6
    """Harbor's business data."""
    cache: DatabaseIndex = 7
    """Cache of manifests."""

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        taken = set(self.model_dump().values())
        owners: dict[int, str] = {}
        for name in type(self).model_fields:
            index: int = getattr(self, name)
            if index in owners:
                free = next(i for i in range(16) if i not in taken)
                refuse(
                    f"{index} is already taken by {owners[index]}; keys of two parts would mix",
                    at=(name,),
                    example=str(free),
                )
            owners[index] = name
        return self


class SharedValkey(Section):
    """A Valkey or Redis that exists already."""

    also_called = ("external",)

    mode: Literal["shared"]
    host: Annotated[str, HOST]
    """Host of the server, as Harbor's pods reach it."""
    port: Annotated[int, PORT] = 6379
    """Port of the server."""
    # The registry of Harbor 2.14 knows no user (harbor-helm #2320).
    username: (
        Annotated[
            str,
            SettingRule(
                allowed="a user name of letters, digits, '_', '.' and '-'",
                example="harbor",
                check=matching(r"[A-Za-z0-9_.-]{1,128}"),
            ),
        ]
        | None
    ) = None
    """User of the server's access control list; the user `default` when unset. It needs chart 1.19
    or later."""
    tls: bool = False
    """Whether connections are encrypted. The server's certificate is checked."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the server's certificate, if it is not a public one. All of
    Harbor's pods trust it."""
    indexes: ValkeyIndexes = ValkeyIndexes()
    """Which database of the server each part of Harbor uses."""
    secret: PasswordRef
    """Where the password is: a Secret of the cluster, or a key of the secret store."""

    @model_validator(mode="after")
    def _authority_is_for_tls(self) -> Self:
        if self.ca_bundle is not None and not self.tls:
            refuse("true with valkey.caBundle", at=("tls",), example="true")
        return self


ValkeySettings = Annotated[
    DedicatedValkey | SharedValkey,
    Field(discriminator="mode"),
    BeforeValidator(by_default_dedicated),
]
