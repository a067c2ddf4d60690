"""The section `harbor`: chart, replicas, resources, placement. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator

from components import versions
from components.settings.schema.rules import (
    CHART_SOURCE,
    EXACT_VERSION,
    LABEL_KEY,
    LABEL_VALUE,
    OWN_NAMESPACE,
    PRIORITY_CLASS,
    REMOVE,
    SHA256,
    STORAGE_CLASS,
    Cpu,
    Memory,
    Section,
    SettingRule,
    labels_problem,
    refuse,
    whole_number,
)
from components.settings.schema.secret_rules import AsksForSecrets, SecretRule, characters

_ACCEPTED_VERSION: Final = replace(
    EXACT_VERSION,
    allowed="the exact version to which Harbor is upgraded, as in harbor.chart.version",
    example="<version>",
)
Replicas = Annotated[int, whole_number(1, 50, example=2)]
HOSTNAME: Final = "kubernetes.io/hostname"
"""Label of a node with its own name."""
SpreadOver = tuple[Annotated[str, LABEL_KEY], ...]


class Chart(Section):
    """Where the Harbor chart comes from."""

    source: Annotated[str, CHART_SOURCE] = "https://helm.goharbor.io"
    """Chart repository, OCI reference, or path of a chart directory or .tgz, or of a folder that
    has the package harbor-VERSION.tgz. The environment variable HARBOR_CHART replaces it."""
    version: Annotated[str, EXACT_VERSION] = versions.HARBOR_CHART
    """Exact version of the chart, which decides the version of Harbor. Raising it upgrades, and
    goes one way: docs/runbooks/upgrade.md."""
    sha256: Annotated[str, SHA256] | None = None
    """Digest of the chart's package, compared before use. From a repository or an OCI registry
    without a login the program fetches the package itself, into the folder .charts."""


class HarborReplicas(Section):
    """Number of pods of each component."""

    core: Replicas = 1
    """API, login, proxy in front of the registry."""
    portal: Replicas = 1
    """Web interface."""
    jobservice: Replicas = 1
    """Replication, garbage collection, scans."""
    registry: Replicas = 1
    """Blobs and manifests."""
    trivy: Replicas = 1
    """Vulnerability scanner."""
    exporter: Replicas = 1
    """Metrics."""


class Resources(Section):
    """What a container requests."""

    cpu: Cpu
    """Processors requested."""
    memory: Memory
    """Memory requested."""


class HarborResources(Section):
    """What each container requests."""

    core: Resources = Resources(cpu="500m", memory="512Mi")
    """API, login, proxy in front of the registry."""
    registry: Resources = Resources(cpu="500m", memory="512Mi")
    """Blobs and manifests."""
    registryctl: Resources = Resources(cpu="100m", memory="128Mi")
    """Garbage collection of the registry."""
    jobservice: Resources = Resources(cpu="250m", memory="256Mi")
    """Replication, garbage collection, scans."""
    portal: Resources = Resources(cpu="50m", memory="64Mi")
    """Web interface."""
    exporter: Resources = Resources(cpu="50m", memory="64Mi")
    """Metrics."""
    trivy: Resources = Resources(cpu="500m", memory="1Gi")
    """Vulnerability scanner."""

    @field_validator("*", mode="before")
    @classmethod
    def _keep_what_is_not_overridden(cls, value: Any, info: ValidationInfo) -> Any:
        """`core: {cpu: 2}` keeps core's own default of memory."""
        if isinstance(value, dict) and info.field_name is not None:
            default: Resources = cls.model_fields[info.field_name].default
            return {
                "cpu": default.cpu,
                "memory": default.memory,
                **cast("dict[str, Any]", value),
            }
        return value  # pyright: ignore[reportUnknownVariableType]


class Toleration(Section):
    """A taint of nodes that Harbor's pods accept."""

    key: Annotated[str, LABEL_KEY] | None = None
    """Taint key; every key when unset, with operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Compare the value, or accept any."""
    value: Annotated[str, LABEL_VALUE] | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; every effect when unset."""

    @model_validator(mode="after")
    def _is_one_of_kubernetes(self) -> Self:
        if self.key is None and self.operator != "Exists":
            refuse("Exists, as no key is given", at=("operator",), example="Exists")
        if self.operator == "Exists" and self.value is not None:
            refuse("none with operator Exists", at=("value",), example=REMOVE)
        return self


def _nodes(labels: dict[str, str]) -> str | None:
    architecture = labels.get("kubernetes.io/arch", "amd64")
    if architecture != "amd64":
        return f"Harbor has no images for {architecture}"
    return labels_problem(labels)


class IpFamily(Section):
    """IP versions of Harbor's Services and web servers."""

    ipv4: bool = True
    """Whether the portal's web server listens on IPv4."""
    ipv6: bool = True
    """Whether it listens on IPv6. Where a node's kernel has no IPv6 it does not start unless
    false."""
    policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    """ipFamilyPolicy of the Services; the cluster's default when unset."""
    families: tuple[Literal["IPv4", "IPv6"], ...] = ()
    """ipFamilies of the Services, the first one first; the cluster's choice when empty."""

    @model_validator(mode="after")
    def _is_reachable(self) -> Self:
        if not (self.ipv4 or self.ipv6):
            refuse("true where ipv6 is false: the portal would listen nowhere", at=("ipv4",))
        if len(set(self.families)) < len(self.families):
            refuse("the same family twice", at=("families",))
        if len(self.families) > 1 and self.policy not in ("PreferDualStack", "RequireDualStack"):
            refuse(
                "PreferDualStack or RequireDualStack for two families",
                at=("policy",),
                example="PreferDualStack",
            )
        return self


class HarborSettings(AsksForSecrets):
    """Harbor's Helm release."""

    # The database of an adopted release works with its own two values only. They stay set after the
    # adoption: without them the program would mint new ones.
    secrets: ClassVar[Mapping[str, SecretRule]] = {
        "harborSecretKey": SecretRule(
            description="secretKey of a Harbor that is adopted",
            shape=characters(16, 16),
        ),
        "harborAdminPassword": SecretRule(
            description="Password of admin in a Harbor that is adopted",
            shape=characters(8, 128),
        ),
    }

    namespace: Annotated[str, OWN_NAMESPACE] = "harbor"
    """Namespace of Harbor, its database and its cache. One that exists has to be empty, adopted, or
    shared."""
    shared_namespace: bool = False
    """Whether others live in the namespace. It then has to exist, and stays as it is: the program
    neither makes it nor labels, protects or deletes it, and touches nothing of theirs."""
    adopt: bool = False
    """Adopt the Helm release `harbor` that exists in the namespace instead of refusing it."""
    chart: Chart = Chart()
    """Where the chart comes from."""
    accept_upgrade_without_backup: Annotated[str, _ACCEPTED_VERSION] | None = None
    """Version of the chart to which Harbor is upgraded although the database's last backup is older
    than a day. It accepts no other version."""
    log_level: Literal["debug", "info", "warning", "error", "fatal"] = "info"
    """Verbosity of every component."""
    timeout_seconds: Annotated[int, whole_number(60, 7200, example=900)] = 900
    """How long the release may take; the first start migrates the database."""
    replicas: HarborReplicas = HarborReplicas()
    """Number of pods of each component."""
    resources: HarborResources = HarborResources()
    """What each container requests."""
    disruption_budgets: bool = False
    """Whether a drain of nodes takes one pod of a component at a time: a PodDisruptionBudget for
    each with more than one replica."""
    spread_over: SpreadOver = (HOSTNAME,)
    """Labels of nodes over whose values the replicas of each component spread, if they can."""
    # No arm64 images of Harbor 2.14 exist; estates with mixed nodes taint the amd64 ones.
    node_selector: Annotated[
        dict[str, str],
        SettingRule(allowed="an object of label values", example="<value>", check=_nodes),
    ] = Field(default_factory=lambda: {"kubernetes.io/arch": "amd64"})
    """Nodes on which Harbor's pods may run."""
    tolerations: tuple[Toleration, ...] = (
        Toleration(key="kubernetes.io/arch", value="amd64", effect="NoSchedule"),
    )
    """Taints that Harbor's pods accept."""
    priority_class: Annotated[str, PRIORITY_CLASS] | None = None
    """PriorityClass of Harbor's pods; the cluster's default when unset."""
    ip_family: IpFamily = IpFamily()
    """IP versions of Harbor's Services and web servers, and of a dedicated Valkey's Service."""
    storage_class: Annotated[str, STORAGE_CLASS] | None = None
    """StorageClass of Harbor's volumes; the cluster's default when unset."""
    update_strategy: Literal["RollingUpdate", "Recreate"] | None = None
    """How pods of registry and jobservice are replaced. Unset: Recreate where blobs lie on a volume
    that mounts on one node only, else RollingUpdate."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        return tuple(self.secrets) if self.adopt else ()
