"""The section `registry`: what Harbor holds beside images. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from components.settings.registry import names, stack_secrets
from components.settings.registry.allowlist import CveAllowlistSettings
from components.settings.registry.endpoints import EndpointSettings
from components.settings.registry.login import LoginSettings
from components.settings.registry.permissions import Permissions
from components.settings.registry.projects import Labels, ProjectSettings, ProxyCacheSettings
from components.settings.registry.replications import (
    MirrorSettings,
    ReplicationSettings,
    example,
)
from components.settings.registry.robots import ProjectRobotSettings, RobotSettings
from components.settings.registry.schedules import SchedulesSettings
from components.settings.registry.system import SystemSettings
from components.settings.schema.problems import Path
from components.settings.schema.rules import ENDPOINT, PEM, Section
from components.settings.schema.secret_rules import AsksForSecrets


class ApiSettings(Section):
    """How the program reaches Harbor's API."""

    url: Annotated[str, ENDPOINT] | None = None
    """Address of Harbor; its certificate is checked. When unset the program goes through the API
    server to a pod of harbor-core, as `kubectl port-forward` does."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the certificate of `url`, if it is not a public one."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """A robot with all that its place in the file says. `project`: "" for one of the registry."""

    path: Path
    short_name: str
    project: str
    settings: RobotSettings | ProjectRobotSettings
    declared_projects: tuple[str, ...]

    @property
    def access(self) -> tuple[Permissions, ...]:
        """What it may do, with presets and * expanded; sorted."""
        if isinstance(self.settings, ProjectRobotSettings):
            return self.settings.access(self.project)
        return self.settings.access(self.declared_projects)

    @property
    def name(self) -> str:
        """What it is called in Harbor, without the prefix."""
        return f"{self.project}+{self.short_name}" if self.project else self.short_name

    @property
    def secret_name(self) -> str:
        """Name of the Secret with its login."""
        given = self.settings.pull_secret and self.settings.pull_secret.name
        return given or f"registry-{self.name}".replace("+", "-")


class RegistrySettings(AsksForSecrets):
    """What Harbor holds beside images: projects, caches, mirrors, robots, schedules, login."""

    called_here: ClassVar[Mapping[str, str]] = {
        "project": "projects",
        "proxies": "proxyCaches",
        "proxy_projects": "proxyCaches",
        "replication": "replications",
        "robot_accounts": "robots",
        "garbage_collection": "registry.schedules.garbageCollection",
        "purge_audit_log": "registry.schedules.auditPurge",
        "interrogation_services": "registry.schedules.scanAll",
        "config_auth": "login",
        "oidc": "login",
        "config_system": "system",
        "configuration": "system",
        "configurations": "system",
        "registries": "registry.proxyCaches.<name>.upstream, or registry.mirrors.<name>.from",
        "retention_policy": "registry.projects.<name>.retention",
        "immutable_tag_rule": "registry.projects.<name>.immutableTags",
        "webhooks": "registry.projects.<name>.webhooks",
        "members": "registry.projects.<name>.members",
        "creationPolicy": "adopt",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "deletionPolicy": "what holds images stays unless registry.deleteContents names it",
        "driftDetectionInterval": "a refresh (`make fleet-drift`) looks for drift",
        "users": "people log in by registry.login; robots are for machines",
        "quotas": "registry.projects.<name>.quota and registry.system.defaultQuota",
        "scanners": "the registry has one scanner, which the section trivy describes",
    }

    enabled: bool = True
    """Configure Harbor. When false the program touches nothing in it: what it configured before
    stays as it is, and is taken again once this is true. Only the logins of robots that it sealed
    into namespaces (pullSecret) are removed from these."""
    adopt: bool = False
    """Adopt what exists in Harbor under a declared name and differs, instead of refusing it."""
    delete_contents: tuple[Annotated[str, names.PROJECT], ...] = ()
    """Projects that are deleted with their images by the change that takes them out of this
    section. Any other project stays as long as it holds an image."""
    accept_refusals: bool = False
    """Go on although images that pods run could no longer be pulled, or would be deleted by rules
    of retention. Without it such a change is refused before anything is touched."""
    show_undeclared: bool = False
    """Name in each preview what Harbor holds and this section does not: projects, endpoints,
    replications and robots. Nothing is done about it."""
    api: ApiSettings = ApiSettings()
    """How the program reaches Harbor's API."""
    projects: Annotated[dict[str, ProjectSettings], names.named(names.PROJECT, "a project")] = (
        Field(default_factory=dict)
    )
    """Projects for images that are pushed or mirrored."""
    proxy_caches: Annotated[
        dict[str, ProxyCacheSettings], names.named(names.ENDPOINT_NAME, "a proxy cache")
    ] = Field(default_factory=dict)
    """Projects that cache other registries."""
    mirrors: Annotated[dict[str, MirrorSettings], names.named(names.ENDPOINT_NAME, "a mirror")] = (
        Field(default_factory=dict)
    )
    """Images copied from other registries by a schedule."""
    replications: Annotated[
        dict[str, ReplicationSettings], names.named(names.ENDPOINT_NAME, "a replication")
    ] = Field(default_factory=dict)
    """Images copied to other registries as they are pushed, or in other ways."""
    robots: Annotated[
        dict[str, RobotSettings], names.named(names.ROBOT, "a robot of the registry")
    ] = Field(default_factory=dict)
    """Accounts of machines over several projects."""
    labels: Labels = Field(default_factory=dict)
    """Labels for images of all projects."""
    schedules: SchedulesSettings = SchedulesSettings()
    """What Harbor does by itself, and when. Times are UTC."""
    login: LoginSettings | None = None
    """How people log in. As Harbor has it when unset."""
    system: SystemSettings = SystemSettings()
    """Settings of Harbor as a whole."""
    cve_allowlist: CveAllowlistSettings | None = None
    """Vulnerabilities that stop no pull. As Harbor has it when unset."""

    @property
    def declared_projects(self) -> tuple[str, ...]:
        """Names of all projects, caches too, sorted."""
        return tuple(sorted({*self.projects, *self.proxy_caches}))

    @property
    def endpoints(self) -> Mapping[str, EndpointSettings]:
        """Other registries, by the name of the section that declares them."""
        declared = {name: cache.upstream for name, cache in self.proxy_caches.items()}
        sources = {
            **{name: mirror.source for name, mirror in self.mirrors.items()},
            **{name: replication.registry for name, replication in self.replications.items()},
        }
        for name, source in sources.items():
            if source.endpoint is not None:
                declared[name] = source.endpoint
        return declared

    @property
    def pulling(self) -> Mapping[str, MirrorSettings | ReplicationSettings]:
        """Mirrors, and replications that copy to this registry, by name."""
        pulls = {name: r for name, r in self.replications.items() if r.direction == "pull"}
        return {**self.mirrors, **pulls}

    def endpoint_name(self, name: str) -> str:
        """Harbor's name of the other registry of the mirror or replication `name`."""
        source = (
            self.mirrors[name].source if name in self.mirrors else self.replications[name].registry
        )
        return source.same_as or name

    def copies(self, host: str) -> Mapping[str, tuple[str, str]]:
        """Mirror or replication that runs → one source and its target, as a person reads them.

        `host`: what the names of images of this registry begin with.
        """
        examples: dict[str, tuple[str, str]] = {}
        for name, replication in {**self.mirrors, **self.replications}.items():
            other = self.endpoints[self.endpoint_name(name)].host
            pushes = isinstance(replication, ReplicationSettings) and (
                replication.direction == "push"
            )
            source, target = (host, other) if pushes else (other, host)
            if replication.enabled:
                copy = next(replication.copies())
                examples[name] = example(copy, source_host=source, target_host=target)
        return examples

    @property
    def cached_hosts(self) -> dict[str, str]:
        """Host of an upstream registry → the project that caches it, the first in the file."""
        hosts: dict[str, str] = {}
        for name, cache in self.proxy_caches.items():
            hosts.setdefault(cache.upstream.host, name)
        return hosts

    @property
    def all_robots(self) -> tuple[Robot, ...]:
        """The robots of the registry, then those of its projects and caches."""
        places: list[tuple[Path, str, Mapping[str, RobotSettings | ProjectRobotSettings]]] = [
            (("registry", "robots"), "", self.robots),
            *(
                (("registry", "projects", name, "robots"), name, project.robots)
                for name, project in self.projects.items()
            ),
            *(
                (("registry", "proxyCaches", name, "robots"), name, cache.robots)
                for name, cache in self.proxy_caches.items()
            ),
        ]
        declared = self.declared_projects
        return tuple(
            Robot(
                path=(*path, name),
                short_name=name,
                project=project,
                settings=robot,
                declared_projects=declared,
            )
            for path, project, robots in places
            for name, robot in robots.items()
        )

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """The top-level secrets that this section refers to, by their names."""
        if not self.enabled:
            return ()
        return tuple(stack_secrets.references(self.model_dump(mode="json", by_alias=True)))
