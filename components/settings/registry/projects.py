"""Projects and proxy caches. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from components.kubernetes.quantities import bytes_of
from components.settings.registry import names
from components.settings.registry.allowlist import ProjectAllowlistSettings
from components.settings.registry.endpoints import CACHED, EndpointSettings
from components.settings.registry.retention import (
    ImmutableTagsSettings,
    RetentionSettings,
)
from components.settings.registry.robots import ProjectRobotSettings
from components.settings.registry.webhooks import WebhookSettings
from components.settings.schema.rules import (
    NamesRule,
    OtherWords,
    Section,
    SettingRule,
    byte_quantity,
    matching,
    refuse,
    refuse_repetition,
    whole_number,
)
from components.settings.trivy import TrivySettings

LARGEST_QUOTA: Final = "1Pi"
UNLIMITED: Final = -1
"""Harbor's number of no limit."""
NO_QUOTA: Final = "unlimited"
_BYTES: Final = byte_quantity("50Gi", largest=LARGEST_QUOTA)


def _quota(text: str) -> str | None:
    if text == NO_QUOTA:
        return None
    if text == str(UNLIMITED):
        return f"Harbor's {UNLIMITED} is called {NO_QUOTA} here"
    return _BYTES.check(text) if _BYTES.check else None


def _quotas(text: str) -> Iterator[str]:
    if text.lower() in (str(UNLIMITED), "none", "no", "infinity"):
        yield NO_QUOTA
    yield from _BYTES.suggest(text) if _BYTES.suggest else ()


Quota = Annotated[
    str,
    SettingRule(
        allowed=f"{_BYTES.allowed}, at most {LARGEST_QUOTA}, or {NO_QUOTA}",
        example="50Gi",
        check=_quota,
        suggest=_quotas,
    ),
]


def quota_in_bytes(quota: str) -> int:
    """Bytes of a quota; -1 for no limit."""
    return UNLIMITED if quota == NO_QUOTA else bytes_of(quota)


def _severity(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() == "none":
        refuse(
            "to Harbor `none` means: block each image that was not scanned, or has any finding. "
            "off blocks nothing",
            example="off",
        )
    return value.lower()


BlockSeverity = Annotated[
    Literal["off", "low", "medium", "high", "critical"], BeforeValidator(_severity)
]

Role = Literal["admin", "maintainer", "developer", "guest", "limitedGuest"]
_ROLES: Final[Mapping[Role, int]] = {
    "admin": 1,
    "developer": 2,
    "guest": 3,
    "maintainer": 4,
    "limitedGuest": 5,
}
_ROLE_ALIASES: Final[Mapping[str, str]] = {
    "projectAdmin": "admin",
    "master": "maintainer",
    "limitedguest": "limitedGuest",
}
_ROLE_NUMBERS: Final[Mapping[str, Role]] = {str(number): role for role, number in _ROLES.items()}


_Role = Annotated[
    Role,
    OtherWords(_ROLE_ALIASES),
    SettingRule(
        allowed=f"one of {', '.join(get_args(Role))}",
        example="<role>",
        suggest=lambda text: [_ROLE_NUMBERS.get(text, "")],
    ),
]


def role_id(role: Role) -> int:
    """Harbor's number of a role."""
    return _ROLES[role]


_Roles = Annotated[
    dict[str, _Role],
    NamesRule(
        allowed=f"an object of a name to its role: {', '.join(get_args(Role))}",
        example="<role>",
        names=names.ACCOUNT,
    ),
]


class MembersSettings(Section):
    """Who may do what in a project."""

    called_here: ClassVar[Mapping[str, str]] = {"group": "groups", "user": "users"}

    groups: _Roles = Field(default_factory=dict)
    """Group of the login → role. A name is exact: Keycloak's begin with / where the mapper gives
    full paths, GitLab's have none."""
    users: _Roles = Field(default_factory=dict)
    """User → role. With registry.login, users are known once they have logged in."""


class LabelSettings(Section):
    """A label for images."""

    color: Annotated[
        str,
        SettingRule(
            allowed="a colour #rrggbb",
            example="#0065ab",
            check=matching(r"#[0-9A-Fa-f]{6}"),
            suggest=lambda text: [f"#{text}", f"#{''.join(2 * digit for digit in text[-3:])}"],
        ),
    ] = "#0065ab"
    """Colour of the label."""
    description: names.Description = ""
    """What the label means."""


Labels = Annotated[dict[str, LabelSettings], names.named(names.LABEL, "a label")]


class _Project(Section):
    called_here: ClassVar[Mapping[str, str]] = {
        "vulnerability_scanning": "scanOnPush",
        "auto_scan": "scanOnPush",
        "deployment_security": "blockSeverity",
        "severity": "blockSeverity",
        "storage_quota": "quota",
        "storage_limit": "quota",
        "memberships": "members",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "enable_content_trust": "Notary is gone from Harbor since 2.9; requireCosign asks for "
        "signatures by Cosign",
        "prevent_vul": "blockSeverity says from which severity images are refused, off for none",
        "vulnerability_scanner": "the registry has one scanner, which the section trivy describes",
        "scanner": "the registry has one scanner, which the section trivy describes",
        "force_destroy": "registry.deleteContents names the projects that may be deleted with "
        "their images",
        "delete_contents": "registry.deleteContents names the projects that may be deleted with "
        "their images",
    }

    public: bool = False
    """Whether everybody may pull, without a login."""
    scan_on_push: bool | None = None
    """Scan images as they are pushed; trivy.scanOnPush when unset."""
    block_severity: BlockSeverity | None = None
    """Least severity of a vulnerability with which an image cannot be pulled, or off. An image that
    was not scanned cannot be pulled then either. Unset: trivy.blockSeverity where pushes are
    scanned, off for a proxy cache."""
    quota: Quota | None = None
    """Most bytes of all images, or unlimited; registry.system.defaultQuota when unset."""
    members: MembersSettings = MembersSettings()
    """Who may do what in the project."""
    robots: Annotated[
        dict[str, ProjectRobotSettings], names.named(names.ROBOT, "a robot of the project")
    ] = Field(default_factory=dict)
    """Accounts of machines for this project."""
    webhooks: Annotated[dict[str, WebhookSettings], names.named(names.POLICY, "a webhook")] = Field(
        default_factory=dict
    )
    """Messages to other services about the project."""
    cve_allowlist: ProjectAllowlistSettings | None = None
    """Vulnerabilities that stop no pull; registry.cveAllowlist when unset."""

    def scans_on_push(self, trivy: TrivySettings) -> bool:
        """Whether images are scanned as they are pushed."""
        given = trivy.scan_on_push if self.scan_on_push is None else self.scan_on_push
        return trivy.enabled and given

    def quota_bytes(self, default: int = UNLIMITED) -> int:
        """Most bytes of all images; -1 for no limit."""
        return default if self.quota is None else quota_in_bytes(self.quota)

    @property
    def uses_system_allowlist(self) -> bool:
        """Whether registry.cveAllowlist counts in the place of a list of its own."""
        return self.cve_allowlist is None or self.cve_allowlist.use_system


class ProjectSettings(_Project):
    """A project for images that are pushed or mirrored."""

    called_here: ClassVar[Mapping[str, str]] = {
        **_Project.called_here,
        "enable_content_trust_cosign": "requireCosign",
        "auto_sbom_generation": "sbomOnPush",
        "immutable_tag_rules": "immutableTags",
        "retention_policy": "retention",
        "registry_id": "registry.proxyCaches.<name>, for a project that caches another registry",
        "proxy_speed_kb": "registry.proxyCaches.<name>.speedLimit",
        "proxy_cache_local_on_not_found": "registry.proxyCaches.<name>.serveStale",
    }

    sbom_on_push: bool = False
    """Make a list of the packages (SBOM) as images are pushed."""
    require_cosign: bool = False
    """Hand out only images that are signed by Cosign, with whichever key."""
    retention: RetentionSettings | None = None
    """Which tags stay. Nothing is deleted when unset."""
    immutable_tags: tuple[ImmutableTagsSettings, ...] = ()
    """Tags that nobody can move or delete."""
    labels: Labels = Field(default_factory=dict)
    """Labels for images of this project."""

    def blocked_severity(self, trivy: TrivySettings) -> str:
        """Harbor's word for the least severity that cannot be pulled; "" for off."""
        if not trivy.enabled or not (self.block_severity or self.scans_on_push(trivy)):
            return ""
        given = self.block_severity or trivy.block_severity.lower()
        return "" if given in ("off", "none") else given

    @model_validator(mode="after")
    def _has_each_rule_once(self) -> Self:
        refuse_repetition(
            [rule.selectors for rule in self.immutable_tags],
            at=("immutableTags",),
            reason="the same tags as rule {first}, to which Harbor answers 409",
        )
        return self


_LIMIT: Final = whole_number(1, 2_147_483_647, example=1024)


class ProxyCacheSettings(_Project):
    """A project that caches another registry: its endpoint, the project and its retention."""

    called_here: ClassVar[Mapping[str, str]] = {
        **_Project.called_here,
        "proxy_speed_kb": "speedLimit",
        "max_upstream_conn": "maxConnections",
        "proxy_cache_local_on_not_found": "serveStale",
        "registry_id": "upstream",
        "registry": "upstream",
        "endpoint": "upstream",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        **_Project.not_here,
        "retention": "keepDaysSincePull says how long a cached image stays",
    }

    upstream: EndpointSettings
    """The registry that is cached. Its type cannot change later."""
    speed_limit: Annotated[int, _LIMIT] | None = None
    """Kilobytes per second from the upstream; no limit when unset."""
    max_connections: Annotated[int, _LIMIT] | None = None
    """Connections to the upstream at a time; no limit when unset."""
    serve_stale: bool | None = None
    """Hand out what is cached although the upstream no longer has it. From Harbor 2.15.1."""
    keep_days_since_pull: Annotated[int, whole_number(1, 36_500, example=7, unit="day")] = 7
    """Days without a pull after which a cached image is deleted. Harbor sets 7 by itself."""

    @property
    def harbors_speed_limit(self) -> int:
        """Kilobytes per second; -1 for no limit."""
        return UNLIMITED if self.speed_limit is None else self.speed_limit

    @property
    def harbors_connections(self) -> int:
        """Connections at a time; -1 for no limit."""
        return UNLIMITED if self.max_connections is None else self.max_connections

    @property
    def cron(self) -> str:
        """When images that were not pulled for long are deleted: as Harbor sets it, each night."""
        return "0 0 0 * * *"

    def blocked_severity(self, trivy: TrivySettings) -> str:
        """Harbor's word for the least severity that cannot be pulled; "" for off.

        trivy.blockSeverity does not count: the first pull of each image would be refused, as a
        cache holds nothing that could have been scanned before.
        """
        given = self.block_severity or "off"
        return "" if given == "off" or not trivy.enabled else given

    @model_validator(mode="after")
    def _caches_what_harbor_can_cache(self) -> Self:
        if self.upstream.type not in CACHED:
            other = (
                "; registry.mirrors copies from it instead" if self.upstream.type == "quay" else ""
            )
            refuse(
                f"for a cache one of {', '.join(CACHED)}: Harbor answers 400 `unsupported registry "
                f"type {self.upstream.type}`{other}",
                at=("upstream", "type"),
                example="docker-registry",
            )
        return self
