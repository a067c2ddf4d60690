"""The section `database`: Harbor's PostgreSQL, dedicated or shared. Pure."""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from components.settings.backup import BackupSettings, DestinationSettings
from components.settings.harbor import SpreadOver
from components.settings.placement import Placement
from components.settings.schema.rules import (
    DNS_LABEL,
    HOST,
    OBJECT_NAME,
    PEM,
    PORT,
    REMOVE,
    SECRET_KEY_NAME,
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
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule, characters
from components.settings.secrets import STORE_KEY, STORE_PROPERTY

SslMode = Literal["disable", "require", "verify-ca", "verify-full"]
_CONNECTIONS = whole_number(1, 100_000, example=100)


class SecretRef(Section):
    """A key of a Secret in the cluster."""

    told_by_keys = True

    kind: Literal["cluster"] = "cluster"
    """Where the password is; it need not be written."""
    namespace: Annotated[str, DNS_LABEL]
    """Namespace of the Secret."""
    name: Annotated[str, OBJECT_NAME]
    """Name of the Secret."""
    key: Annotated[str, SECRET_KEY_NAME] = "password"
    """Key that holds the password."""


class StoreRef(Section):
    """A value in the estate's secret store, for secrets.delivery external."""

    told_by_keys = True

    kind: Literal["store"] = "store"
    """Where the password is; it need not be written."""
    store_key: Annotated[str, STORE_KEY]
    """Key in the store, whole: secrets.prefix is for what this program writes."""
    part: Annotated[str, STORE_PROPERTY] | None = Field(default=None, alias="property")
    """Property of that key, where the key holds an object; the whole value when unset."""

    def __str__(self) -> str:
        return self.store_key if self.part is None else f"{self.store_key}, property {self.part}"


def _by_its_keys(value: Any) -> Any:
    """`secret: {storeKey: …}` is in the store, and what has more keys of the other is not."""
    if isinstance(value, dict) and "kind" not in value:
        given = cast("dict[str, Any]", value)
        stored, others = given.keys() & {"storeKey", "property"}, {"namespace", "name", "key"}
        is_stored = len(stored) > len(given.keys() & others)
        return {"kind": "store" if is_stored else "cluster", **given}
    return value  # pyright: ignore[reportUnknownVariableType]


PasswordRef = Annotated[
    SecretRef | StoreRef, Field(discriminator="kind"), BeforeValidator(_by_its_keys)
]


def _image(text: str) -> str | None:
    name, _, digest = text.partition("@")
    path, _, tag = name.rpartition("/")
    last, _, tag = tag.partition(":")
    if digest and matching(r"sha256:[0-9a-f]{64}")(digest) is not None:
        return "a digest is sha256: and 64 hexadecimal digits"
    segment = r"[a-z0-9][-a-z0-9._]*"
    host_and_path = matching(rf"([a-z0-9][-a-z0-9.]*(:[0-9]{{1,5}})?(/{segment})*)?")
    if host_and_path(path) is not None or matching(segment)(last) is not None:
        return ""
    if not tag:
        return "without a tag the operator does not know the major version, digest or not"
    if matching(r"[1-9][0-9]?(?![0-9])[\w.-]{0,126}")(tag) is not None:
        return f"{tag} does not begin with a major version, as the operator needs it"
    return None


# https://cloudnative-pg.io/documentation/current/container_images/#image-tag-requirements
_IMAGE = SettingRule(
    allowed="an image NAME:TAG or NAME:TAG@sha256:DIGEST, whose tag begins with PostgreSQL's major "
    "version",
    example="ghcr.io/cloudnative-pg/postgresql:17.5",
    check=_image,
)


class CommonDatabaseSettings(AsksForSecrets):
    """Settings of both modes."""

    sslmode: SslMode = "require"
    """How Harbor's connections are encrypted and whether the server's certificate is checked. For
    verify-ca and verify-full a dedicated database hands over its operator's authority."""
    max_connections: Annotated[int, _CONNECTIONS] = 100
    """The server's max_connections. A dedicated server is given this number."""
    reserved_connections: Annotated[int, whole_number(0, 100_000, example=10)] = 10
    """Connections left to everybody else: superusers, backups, replication, other applications."""

    @property
    def checks_certificate(self) -> bool:
        """Whether the server's certificate is checked, for which its authority must be known."""
        return self.sslmode in ("verify-ca", "verify-full")

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.reserved_connections >= self.max_connections:
            refuse(
                f"the {self.max_connections} of database.maxConnections leave nothing to Harbor",
                at=("reservedConnections",),
                example="10",
            )
        return self


FIRST_SERVER: Final = "harbor-pg"
"""Name of the folder of a database's backups, until the database is restored from them."""


def _moment(text: str) -> str | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", text, re.ASCII):
        return ""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return "there is no such moment"
    return "without a time zone it would be another moment elsewhere" if not moment.tzinfo else None


def _moments(text: str) -> Iterator[str]:
    yield f"{text}Z"
    yield re.sub(r"\s*(UTC|z)$", "Z", text)
    yield re.sub(r"([+-]\d\d)$", r"\1:00", text)
    yield re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text)


class RestoreSettings(Section):
    """A database that is made from a backup. Left in place it does nothing."""

    called_here: ClassVar[Mapping[str, str]] = {"serverName": "server", "source": "from"}

    source: DestinationSettings | None = Field(default=None, alias="from")
    """Bucket of the backups; that of backup.destination when unset. The program only reads there,
    with the keys of the section backup."""
    server: Annotated[
        str,
        SettingRule(
            allowed="the name of a folder in the bucket of the backups, as the stack's output "
            "databaseServerName says it: lower-case letters, digits and '-'",
            example=FIRST_SERVER,
            check=DNS_LABEL.check,
        ),
    ] = FIRST_SERVER
    """Folder of the database's backups."""
    target_time: (
        Annotated[
            str,
            SettingRule(
                allowed="a moment with its time zone, such as 2026-11-25T03:00:00Z",
                example="<moment>",
                check=_moment,
                suggest=_moments,
            ),
        ]
        | None
    ) = None
    """Moment to which the database is restored; the last one that was archived when unset."""
    attempt: Annotated[int, whole_number(1, 1000, example=2)] = 1
    """Raising the number restores the same moment once more."""
    replace: bool = False
    """Delete the database that lives, with all that it holds, and put the restored one in its
    place. Without it the restore is refused as long as a database lives."""

    @property
    def moment(self) -> str | None:
        """`target_time` in UTC, as PostgreSQL writes it.

        Operators hand this form on as it is. A `Z` stops PostgreSQL when it starts (seen with 15),
        and operators before machinery e7b9b57, CloudNativePG 1.27 for one, write it for any moment
        in UTC that is given as RFC 3339 (cloudnative-pg #10819).
        """
        if self.target_time is None:
            return None
        moment = dt.datetime.fromisoformat(self.target_time).astimezone(dt.UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}+00:00"

    def server_after(self, source: DestinationSettings) -> str:
        """Name under which the restored database archives: another one for another restore.

        `source`: where the backups are.
        """
        what = (
            *(source.endpoint, source.bucket, source.prefix, self.server),
            *(self.moment or "", str(self.attempt)),
        )
        digest = hashlib.sha256("\n".join(what).encode()).hexdigest()
        return f"{FIRST_SERVER}-{digest[:8]}"


class DedicatedDatabase(CommonDatabaseSettings, Placement):
    """A CloudNativePG Cluster of this Sovereign's own."""

    also_called = ("internal", "cnpg", "cloudnativepg")

    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "databasePassword": SecretRule(
            description="Password of Harbor's role in a database that is adopted",
            shape=characters(8, 128),
        ),
    }

    mode: Literal["dedicated"] = "dedicated"
    adopt: bool = False
    """Adopt the Cluster `harbor-pg` that exists in the namespace instead of refusing it."""
    instances: Annotated[int, whole_number(1, 9, example=2)] = 1
    """PostgreSQL pods: one primary, the rest standbys."""
    spread_over: SpreadOver = ()
    """Labels of nodes over whose values the instances spread, if they can. The operator keeps them
    on different nodes in any case, where there are enough."""
    storage_size: StorageSize = "10Gi"
    """Size of each instance's volume."""
    wal_storage_size: StorageSize | None = None
    """Size of a separate volume for the write-ahead log; none when unset."""
    storage_class: Annotated[str, STORAGE_CLASS] | None = None
    """StorageClass of the volumes; the cluster's default when unset."""
    cpu: Cpu = "500m"
    """Processors requested by each instance."""
    memory: Memory = "512Mi"
    """Memory requested by each instance."""
    image: Annotated[str, _IMAGE] | None = None
    """PostgreSQL image; the operator's default when unset."""
    restore: RestoreSettings | None = None
    """Make the database from a backup."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        of_backup = tuple(BackupSettings.secrets) if self.restore is not None else ()
        return (*(self.secrets if self.adopt else ()), *of_backup)

    @model_validator(mode="after")
    def _is_restored_or_adopted(self) -> Self:
        if self.restore is not None and self.adopt:
            refuse(
                "false beside database.restore: a restored database is a new one",
                at=("adopt",),
                example=REMOVE,
            )
        return self


# goharbor/harbor src/common/dao/pgsql.go: migrations by golang-migrate, whose Lock() takes
# pg_advisory_lock for the session (database/pgx/pgx.go); queries by pgx, which prepares each
# statement and keeps it for the connection. PgBouncer 1.21 follows prepared statements
# (max_prepared_statements), and no version follows advisory locks.
SESSIONS_BREAK: Final = (
    "Harbor's migrations take advisory locks and its driver prepares statements; both are lost "
    "when a pooler hands the connection to someone else after a transaction"
)
"""Why Harbor works over a pooler in session mode only."""


def _pool_mode(mode: str) -> str | None:
    if mode in ("transaction", "statement"):
        return SESSIONS_BREAK
    return None if mode in ("session", "none") else ""


DATABASE: Final = "registry"
"""Name of Harbor's database unless set."""


class CreateDatabaseSettings(Section):
    """A database that the program makes in a CloudNativePG Cluster of the estate."""

    called_here: ClassVar[Mapping[str, str]] = {"clusterName": "cluster", "clusterRef": "cluster"}
    follows: ClassVar[Mapping[str, str]] = {"namespace": "secret"}

    cluster: Annotated[str, OBJECT_NAME]
    """Name of the Cluster."""
    namespace: Annotated[str, DNS_LABEL]
    """Namespace of the Cluster. Unless set, that of database.secret, or of database.host."""
    role: bool = True
    """Whether the program makes the role that owns the database, too, with a minted password; it
    takes CloudNativePG 1.30. False unless set where database.secret is set: then the role is the
    Cluster's owner's."""

    def object_name(self, database: str) -> str:
        """Name of the Database and of the DatabaseRole in the cluster."""
        return f"harbor-{_slug(database)}"

    def secret_name(self, database: str) -> str:
        """Name of the Secret with the role's minted password, in the Cluster's namespace."""
        return f"harbor-{_slug(database)}-owner"


def _slug(database: str) -> str:
    return re.sub("[^a-z0-9]+", "-", database.lower()).strip("-")


_RESERVED_NAMES: Final = ("postgres", "template0", "template1")
_RESERVED_ROLES: Final = ("postgres", "streaming_replica")
_RESERVED_PREFIXES: Final = ("pg_", "cnpg_")
"""Refused by the kinds Database and DatabaseRole (postgresql.cnpg.io/v1)."""


class SharedDatabase(CommonDatabaseSettings):
    """A database on a server that exists already."""

    also_called = ("external",)
    follows: ClassVar[Mapping[str, str]] = dict.fromkeys(("host", "username", "secret"), "create")

    mode: Literal["shared"]
    create: CreateDatabaseSettings | None = None
    """Make the database in a CloudNativePG Cluster of the estate; it exists already when unset."""
    host: Annotated[str, HOST]
    """Host of the server, as Harbor's pods reach it. With database.create the Cluster's read-write
    Service unless set."""
    port: Annotated[int, PORT] = 5432
    """Port of the server."""
    # Harbor writes name and role into a connection string without quotes, so characters that need
    # quotes are refused.
    name: Annotated[
        str,
        SettingRule(
            allowed="a database name of letters, digits, '_' and '-'",
            example="registry",
            check=matching(r"[A-Za-z_][A-Za-z0-9_-]{0,62}"),
        ),
    ] = DATABASE
    """Name of the database."""
    username: Annotated[
        str,
        SettingRule(
            allowed="a role name of letters, digits, '_', '.' and '-'",
            example="<role>",
            check=matching(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}"),
        ),
    ]
    """Role that owns the database. With database.create harbor unless set."""
    secret: PasswordRef
    """Where the role's password is: a Secret of the cluster, or a key of the secret store. With
    database.create the program makes the password unless set."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the server's certificate, if it is not a public one; for
    sslmode verify-ca and verify-full."""
    pool_mode: Annotated[
        str,
        SettingRule(
            allowed="one of none, session",
            example="session",
            check=_pool_mode,
            # Another mode than none says that there is a pooler.
            suggest=lambda mode: ["session"] if mode in ("transaction", "statement") else [],
        ),
    ] = "none"
    """Pooling mode of a PgBouncer in front of the server, if there is one. That of a Pooler of
    CloudNativePG is read in the cluster, too."""

    @property
    def makes_role(self) -> bool:
        """Whether the program makes the role, and with it the password."""
        return self.create is not None and self.create.role

    @model_validator(mode="after")
    def _can_be_created(self) -> Self:
        create = self.create
        if create is None:
            return self
        if self.name in _RESERVED_NAMES:
            refuse(
                f"another than {', '.join(_RESERVED_NAMES)}, which PostgreSQL has already",
                at=("name",),
                example="registry",
            )
        if create.role and (
            self.username in _RESERVED_ROLES or self.username.startswith(_RESERVED_PREFIXES)
        ):
            refuse(
                f"no role of PostgreSQL's or the operator's own ({', '.join(_RESERVED_ROLES)}, "
                f"{', '.join(f'{prefix}…' for prefix in _RESERVED_PREFIXES)})",
                at=("username",),
                example="harbor",
            )
        if create.role and self.secret != _minted_secret(create, self.name):
            refuse(
                "left out with database.create.role: the program mints the password and makes its "
                "Secret. For a role that the Cluster's owner made, set database.create.role false",
                at=("secret",),
                example=REMOVE,
            )
        service, _, rest = self.host.partition(".")
        if service in (f"{create.cluster}-ro", f"{create.cluster}-r"):
            refuse(
                f"the Service {create.cluster}-rw: {service} leads to servers that take no writes",
                at=("host",),
                example=".".join(filter(None, (f"{create.cluster}-rw", rest))),
            )
        return self

    @property
    def looks_pooled(self) -> bool:
        """Whether host name or port (6432, PgBouncer's default) suggest a PgBouncer."""
        return "pooler" in self.host or "pgbouncer" in self.host or self.port == 6432


def _minted_secret(create: CreateDatabaseSettings, database: str) -> SecretRef:
    name = create.secret_name(database)
    return SecretRef(namespace=create.namespace, name=name, key="password")


def by_default_dedicated(value: Any) -> Any:
    """`database: {instances: 2}` means mode dedicated; shared has to be named."""
    if isinstance(value, dict) and "mode" not in value:
        return {"mode": "dedicated", **cast("dict[str, Any]", value)}
    return value  # pyright: ignore[reportUnknownVariableType]


def with_what_follows(value: Any) -> Any:
    """Fills in what follows from `create`: namespace and host of the Cluster, role and Secret."""
    filled = by_default_dedicated(value)
    if not isinstance(filled, dict):
        return filled
    raw = cast("dict[str, Any]", filled)
    if raw["mode"] != "shared" or raw.get("create") is None:
        return raw
    create = cast("dict[str, Any]", raw["create"]) if isinstance(raw["create"], dict) else {}
    return _with_created(raw, {**create}, is_object=isinstance(raw["create"], dict))


def _with_created(
    raw: dict[str, Any], create: dict[str, Any], *, is_object: bool
) -> dict[str, Any]:
    """`create`: a copy of raw["create"], empty where that `is_object` not.

    What does not follow from a `create` that is refused is filled in all the same: the refusal is
    about `create` alone.
    """
    secret, host = raw.get("secret"), raw.get("host")
    if "namespace" not in create:
        beside = cast("dict[str, Any]", secret) if isinstance(secret, dict) else {}
        of_host = host.split(".")[1:2] if isinstance(host, str) else []
        known = [beside["namespace"]] if "namespace" in beside else of_host
        create |= {"namespace": known[0]} if known else {}
    if secret is not None:
        create.setdefault("role", False)
    cluster, home = _or_any(create.get("cluster")), _or_any(create.get("namespace"))
    name = raw.get("name")
    owner = f"harbor-{_slug(name if isinstance(name, str) else DATABASE)}-owner"
    minted = {"namespace": home, "name": owner, "key": "password"}
    makes_role = str(create.get("role", True)).lower() != "false"
    return {
        "host": f"{cluster}-rw.{home}",
        "username": "harbor",
        **({"secret": minted} if makes_role else {}),
        **raw,
        "create": create if is_object else raw["create"],
    }


def _or_any(name: Any) -> str:
    is_name = isinstance(name, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    return str(name) if is_name else "any"


DatabaseSettings = Annotated[
    DedicatedDatabase | SharedDatabase,
    Field(discriminator="mode"),
    BeforeValidator(with_what_follows),
]
