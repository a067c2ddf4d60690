"""Registry: what Harbor holds beside images, as the stack's file declares it.

The settings decide everything; this module gives each part to its class in `resources.py`, and says
what waits for what. Names of resources are part of every state: what belongs to a project is called
<project>/<name>, since no project's name has a slash.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pulumi

from components.context import Context, DeliveredSecret
from components.credentials import (
    ADMIN,
    REGISTRY_ACCOUNT,
    Credentials,
    random_password,
    secret_name,
)
from components.harbor.release import HarborRegistry
from components.kubernetes.naming import FIELD_MANAGER
from components.kubernetes.objects import KubernetesObject
from components.registry import resources
from components.registry.logins import (
    DOCKER_CONFIG,
    Generation,
    LoginUrls,
    docker_config,
    end_of_login,
    generations,
    login_urls,
    pull_prefixes,
    push_prefixes,
    service_accounts,
)
from components.registry.rules import keep_rules, selectors
from components.settings.model import Settings
from components.settings.reading.refusals import Fixes
from components.settings.registry.login import OIDC_GROUP
from components.settings.registry.names import OWN_ROBOT
from components.settings.registry.patterns import ALL
from components.settings.registry.projects import ProjectSettings, ProxyCacheSettings
from components.settings.registry.replications import MirrorSettings, ReplicationSettings
from components.settings.registry.section import RegistrySettings, Robot
from components.settings.registry.stack_secrets import StackSecret
from components.stack_config import Secrets, StackConfig

T = TypeVar("T", bound=pulumi.Resource)

_PULL_SECRET: Final = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """`secrets`: of the stack, by config key. `harbor`: once its pods are Ready.

    `account_revision`: of the Secret with the account's password; known once that is unsealed.
    `admin_password`: what it was rotated to; None before the first rotation.
    """

    settings: Settings
    secrets: Secrets
    context: Context
    harbor: HarborRegistry
    account_revision: pulumi.Input[str]
    admin_password: pulumi.Input[str] | None = None


class Registry(pulumi.ComponentResource):
    """Harbor's configuration. With Harbor's release all of it is gone, so that a `destroy` does not
    ask an API that is going away.

    `projects`: names, sorted. `push_prefixes`: project → what the names of its images begin with.
    `pull_prefixes`: upstream registry → what the names of its images begin with in Harbor.
    `login_urls`: None without a login.
    """

    projects: tuple[str, ...]
    push_prefixes: Mapping[str, str]
    pull_prefixes: Mapping[str, str]
    login_urls: LoginUrls | None

    def __init__(
        self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Registry", name, None, opts)
        self._name = name
        self._args = args
        self._provider = _provider(name, args.settings)
        self._projects: dict[str, resources.Project] = {}
        self._first: list[pulumi.Resource] = [args.harbor.release]
        self._made: list[pulumi.Resource] = []
        registry, prefix = args.settings.registry, args.context.registry.image_prefix
        self.projects = registry.declared_projects
        self.push_prefixes = push_prefixes(registry, prefix)
        self.pull_prefixes = pull_prefixes(registry, prefix)
        self.login_urls = login_urls(registry, args.context.registry.url)

        self._declare_first(registry)
        self._declare_all_else(registry)
        if registry.system.read_only:
            self._read_only()
        self.register_outputs(
            {
                "projects": self.projects,
                "pushPrefixes": self.push_prefixes,
                "pullPrefixes": self.pull_prefixes,
            }
        )

    def _declare_first(self, registry: RegistrySettings) -> None:
        """What everything else waits for."""
        if registry.system.read_only is False:
            # As admin, before the account too: a registry that is read-only refuses all else.
            self._first = [self._read_only()]
        if self._args.admin_password is not None:
            # Before the other calls of admin, so that none of them meets the change.
            admin = resources.AdminPassword(
                f"{self._name}-admin-password",
                password=self._args.admin_password,
                opts=self._options(),
            )
            self._first = [*self._first, admin]
        account = resources.Account(
            f"{self._name}-account",
            name=OWN_ROBOT,
            revision=self._args.account_revision,
            opts=self._options(),
        )
        self._first = [account]
        # Names of robots, the right to make projects and groups of people hang on these.
        self._first += self._configurations(registry)

    def _declare_all_else(self, registry: RegistrySettings) -> None:
        endpoints = self._endpoints(registry)
        for project, settings in registry.projects.items():
            self._projects[project] = self._project(project, settings)
            self._in_project(project, settings)
        for project, settings in registry.proxy_caches.items():
            self._projects[project] = self._proxy_cache(project, settings, endpoints[project])
            self._in_proxy_cache(project, settings)
        labels = self._labels(registry)
        self._replications(registry, endpoints, labels)
        self._tell_copies(registry.copies(self._args.context.registry.image_prefix.rstrip("/")))
        self._robots(registry)
        self._schedules(registry)
        self._allowlist(registry)

    def _options(self, needs: Iterable[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Options of an object of Harbor, which waits for the account and for what it needs."""
        return pulumi.ResourceOptions(
            parent=self,
            provider=self._provider,
            depends_on=[*self._first, *needs],
            deleted_with=self._args.harbor.release,
        )

    def _in(self, project: str) -> pulumi.ResourceOptions:
        """Options of what belongs to a project. Where the project leaves the file, Harbor deletes
        it with the project, or it stays as it is with a project that stays."""
        of = self._projects[project]
        gone = pulumi.ResourceOptions(deleted_with=of)
        return pulumi.ResourceOptions.merge(self._options([of]), gone)

    def _kept(self, resource: T) -> T:
        self._made.append(resource)
        return resource

    def _secret(self, secret: StackSecret | None) -> pulumi.Output[str] | None:
        return None if secret is None else self._args.secrets[secret.secret]

    def _endpoints(self, registry: RegistrySettings) -> dict[str, resources.Endpoint]:
        return {
            endpoint: self._kept(
                resources.Endpoint(
                    f"{self._name}-endpoint-{endpoint}",
                    name=endpoint,
                    type=settings.type,
                    url=settings.address,
                    username=settings.username,
                    password=self._secret(settings.password),
                    tls_verify=settings.tls_verify,
                    ca_certificate=settings.ca_certificate or "",
                    description=settings.description,
                    opts=self._options(),
                )
            )
            for endpoint, settings in registry.endpoints.items()
        }

    def _project(self, project: str, settings: ProjectSettings) -> resources.Project:
        return self._kept(
            resources.Project(
                f"{self._name}-project-{project}",
                name=project,
                sbom_on_push=settings.sbom_on_push,
                require_cosign=settings.require_cosign,
                **self._of_every_project(settings),
                opts=self._options(),
            )
        )

    def _proxy_cache(
        self, project: str, settings: ProxyCacheSettings, endpoint: resources.Endpoint
    ) -> resources.Project:
        return self._kept(
            resources.Project(
                f"{self._name}-project-{project}",
                name=project,
                endpoint=project,
                speed_limit=settings.harbors_speed_limit,
                max_connections=settings.harbors_connections,
                serve_stale=settings.serve_stale,
                **self._of_every_project(settings),
                opts=self._options([endpoint]),
            )
        )

    def _of_every_project(self, settings: ProjectSettings | ProxyCacheSettings) -> dict[str, Any]:
        trivy, system = self._args.settings.trivy, self._args.settings.registry.system
        allowlist = settings.cve_allowlist
        return {
            "public": settings.public,
            "scan_on_push": settings.scans_on_push(trivy),
            "block_severity": settings.blocked_severity(trivy),
            "quota": settings.quota_bytes(system.quota_bytes),
            "allowlist": {
                "items": [] if allowlist is None else list(allowlist.items),
                "expires": None if allowlist is None else allowlist.expires_at,
                "useSystem": settings.uses_system_allowlist,
            },
        }

    # ---- what belongs to a project ----------------------------------------------------------

    def _in_project(self, project: str, settings: ProjectSettings) -> None:
        if settings.retention is not None:
            rules = keep_rules(settings.retention)
            self._retention(project, settings.retention.cron, rules)
        if settings.immutable_tags:
            self._kept(
                resources.ImmutableTags(
                    f"{self._name}-immutable-{project}",
                    project=project,
                    rules=[
                        {**selectors(rule), "enabled": rule.enabled}
                        for rule in settings.immutable_tags
                    ],
                    opts=self._in(project),
                )
            )
        for label, of in settings.labels.items():
            self._kept(
                resources.Label(
                    f"{self._name}-label-{project}/{label}",
                    project=project,
                    name=label,
                    color=of.color,
                    description=of.description,
                    opts=self._in(project),
                )
            )
        self._in_every_project(project, settings)

    def _in_proxy_cache(self, project: str, settings: ProxyCacheSettings) -> None:
        rule = {
            "template": "nDaysSinceLastPull",
            "number": settings.keep_days_since_pull,
            "repositories": ALL,
            "repositoriesExcluded": "",
            "tags": ALL,
            "tagsExcluded": "",
            "untagged": True,
        }
        self._retention(project, settings.cron, [rule])
        self._in_every_project(project, settings)

    def _retention(self, project: str, cron: str, rules: list[dict[str, Any]]) -> None:
        self._kept(
            resources.Retention(
                f"{self._name}-retention-{project}",
                project=project,
                cron=cron,
                rules=rules,
                opts=self._in(project),
            )
        )

    def _in_every_project(
        self, project: str, settings: ProjectSettings | ProxyCacheSettings
    ) -> None:
        for kind, members in (
            ("group", settings.members.groups),
            ("user", settings.members.users),
        ):
            for name, role in members.items():
                self._kept(
                    resources.Member(
                        f"{self._name}-member-{project}/{kind}/{name}",
                        project=project,
                        kind=kind,
                        name=name,
                        group_type=OIDC_GROUP,
                        role=role,
                        opts=self._in(project),
                    )
                )
        for name, webhook in settings.webhooks.items():
            self._kept(
                resources.Webhook(
                    f"{self._name}-webhook-{project}/{name}",
                    project=project,
                    name=name,
                    url=webhook.url,
                    kind=webhook.kind,
                    events=webhook.events,
                    authorization=self._secret(webhook.authorization),
                    format=webhook.harbors_format,
                    tls_verify=webhook.tls_verify,
                    enabled=webhook.enabled,
                    description=webhook.description,
                    opts=self._in(project),
                )
            )

    # ---- what belongs to no project ---------------------------------------------------------

    def _labels(self, registry: RegistrySettings) -> list[resources.Label]:
        return [
            self._kept(
                resources.Label(
                    f"{self._name}-global-label-{label}",
                    name=label,
                    color=of.color,
                    description=of.description,
                    opts=self._options(),
                )
            )
            for label, of in registry.labels.items()
        ]

    def _replications(
        self,
        registry: RegistrySettings,
        endpoints: Mapping[str, resources.Endpoint],
        labels: Iterable[resources.Label],
    ) -> None:
        for name, mirror in registry.mirrors.items():
            self._replication(
                name,
                mirror,
                direction="pull",
                endpoint=registry.endpoint_name(name),
                trigger=mirror.harbors_trigger,
                cron=mirror.cron,
                deletions=False,
                chunked=False,
                needs=[endpoints[registry.endpoint_name(name)], *self._projects.values(), *labels],
            )
        for name, replication in registry.replications.items():
            self._replication(
                name,
                replication,
                direction=replication.direction,
                endpoint=registry.endpoint_name(name),
                trigger=replication.harbors_trigger,
                cron=replication.cron,
                deletions=replication.propagate_deletes,
                chunked=replication.chunked,
                needs=[endpoints[registry.endpoint_name(name)], *self._projects.values(), *labels],
            )

    def _replication(
        self,
        name: str,
        settings: MirrorSettings | ReplicationSettings,
        *,
        needs: Iterable[pulumi.Resource],
        **directed: Any,
    ) -> None:
        self._kept(
            resources.ReplicationPolicy(
                f"{self._name}-replication-{name}",
                name=name,
                repositories=settings.pattern,
                tags=settings.tags_pattern,
                tags_excluded=settings.excluded_tags_pattern,
                labels=settings.labels,
                into=settings.into or "",
                replace_count=settings.replace_count,
                overwrite=settings.overwrite,
                speed=settings.speed,
                one_at_a_time=settings.one_at_a_time,
                enabled=settings.enabled,
                run_now=settings.run_now,
                description=settings.description or None,
                **directed,
                opts=self._options(needs),
            )
        )

    def _tell_copies(self, copies: Mapping[str, tuple[str, str]]) -> None:
        """Where images are copied to hangs on `into`, `keepPath` and `dropParts`."""
        if copies and pulumi.runtime.is_dry_run():
            lines = (f"{name}: {source} → {target}" for name, (source, target) in copies.items())
            pulumi.log.info("\n  ".join(("images are copied, for example:", *lines)), self)

    def _schedules(self, registry: RegistrySettings) -> None:
        schedules, trivy = registry.schedules, self._args.settings.trivy
        collection, purge = schedules.garbage_collection, schedules.audit_purge
        scans = schedules.scan_all
        for name, what, cron, of in (
            ("garbage-collection", "garbageCollection", collection.cron, collection),
            ("audit-purge", "auditPurge", purge.cron, purge),
            ("scan-all", "scanAll", scans.cron(trivy), scans),
        ):
            # Without a scanner Harbor does not even show the schedule of its scans (412).
            if what != "scanAll" or trivy.enabled:
                self._kept(
                    resources.Schedule(
                        f"{self._name}-schedule-{name}",
                        what=what,
                        cron=cron,
                        parameters=of.parameters,
                        unstated=of.unstated,
                        opts=self._options(),
                    )
                )

    def _allowlist(self, registry: RegistrySettings) -> None:
        allowlist = registry.cve_allowlist
        if allowlist is not None:
            self._kept(
                resources.CveAllowlist(
                    f"{self._name}-cve-allowlist",
                    items=allowlist.items,
                    expires=allowlist.expires_at,
                    opts=self._options(),
                )
            )

    # ---- settings of Harbor as a whole ------------------------------------------------------

    def _configurations(self, registry: RegistrySettings) -> list[pulumi.Resource]:
        """Those that everything else waits for."""
        system, login = registry.system, registry.login
        first: list[pulumi.Resource] = []
        first.append(
            resources.Configuration(
                f"{self._name}-configuration-system",
                part="system",
                values=system.values,
                defaults=system.defaults,
                opts=self._options(),
            )
        )
        if login is not None:
            first.append(
                resources.Configuration(
                    f"{self._name}-configuration-login",
                    part="login",
                    values=login.values,
                    secrets={"oidc_client_secret": self._args.secrets[login.client_secret.secret]},
                    opts=self._options(),
                )
            )
        return first

    def _read_only(self) -> resources.Configuration:
        """Left before everything, set after everything: in it Harbor refuses every other change."""
        return resources.Configuration(
            f"{self._name}-configuration-read-only",
            part="readOnly",
            values={"read_only": self._args.settings.registry.system.read_only},
            opts=self._options(self._made),
        )

    # ---- robots -----------------------------------------------------------------------------

    def _robots(self, registry: RegistrySettings) -> None:
        logins: dict[tuple[str, str], DeliveredSecret] = {}
        for robot in registry.all_robots:
            logins |= self._robot(robot)
        context = self._args.context
        for (namespace, account), secrets in service_accounts(registry.all_robots).items():
            KubernetesObject(
                f"{self._name}-service-account-{namespace}/{account}",
                "v1",
                "ServiceAccount",
                is_patch=True,
                metadata={
                    "name": account,
                    "namespace": namespace,
                    "labels": context.labels("service-account"),
                    "annotations": dict(FIELD_MANAGER),
                },
                imagePullSecrets=[{"name": secret} for secret in secrets],
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[logins[namespace, secret] for secret in secrets]
                ),
            )

    def _robot(self, robot: Robot) -> dict[tuple[str, str], DeliveredSecret]:
        """Declares a robot and hands its login out; returns namespace and name → Secret.

        The robot from before a rotation gets its end only once the new login is there.
        """
        *before, current = generations(robot)
        secret = self._secret(robot.settings.secret)
        if secret is None:
            secret = self._minted(robot, current)
        declared = self._declared(robot, current, secret)
        self._warn_of_its_end(robot, current, declared)
        logins = self._logins(robot, declared.full_name, secret)
        for generation in before:
            minted = self._minted(robot, generation)
            self._declared(robot, generation, minted, needs=[declared, *logins.values()])
        return logins

    def _warn_of_its_end(
        self, robot: Robot, current: Generation, declared: resources.Robot
    ) -> None:
        """By what the state knows, so in a preview without Harbor too."""
        fixes, secret = Fixes(stack=pulumi.get_stack()), robot.settings.secret
        if secret is None:
            fix = fixes.set((*robot.path, "rotation"), str(current.number + 1))
        else:
            fix = fixes.set_secret(secret.secret)

        def warn(expires_at: int) -> None:
            text = end_of_login(robot, expires_at, dt.datetime.now(dt.UTC), fix)
            if text is not None:
                pulumi.log.warn(text, declared)

        declared.expires_at.apply(warn)

    def _robot_name(self, robot: Robot, generation: Generation) -> str:
        project = f"{robot.project}/" if robot.project else ""
        return f"{self._name}-robot-{project}{generation.name}"

    def _minted(self, robot: Robot, generation: Generation) -> pulumi.Output[str]:
        return random_password(
            f"{self._robot_name(robot, generation)}-secret",
            epoch=generation.number,
            opts=pulumi.ResourceOptions(parent=self),
        ).result

    def _declared(
        self,
        robot: Robot,
        generation: Generation,
        secret: pulumi.Input[str],
        *,
        needs: Iterable[pulumi.Resource] = (),
    ) -> resources.Robot:
        settings = robot.settings
        projects = [self._projects[a.namespace] for a in robot.access if a.kind == "project"]
        return self._kept(
            resources.Robot(
                self._robot_name(robot, generation),
                name=generation.name,
                project=robot.project,
                description=settings.description,
                days=generation.days,
                enabled=settings.enabled,
                permissions=[
                    {"kind": block.kind, "namespace": block.namespace, "access": list(block.access)}
                    for block in robot.access
                ],
                secret=secret,
                prefix=self._args.settings.registry.system.robot_prefix,
                opts=self._options([*projects, *needs]),
            )
        )

    def _logins(
        self, robot: Robot, username: pulumi.Output[str], secret: pulumi.Output[str]
    ) -> dict[tuple[str, str], DeliveredSecret]:
        pull_secret = robot.settings.pull_secret
        if pull_secret is None:
            return {}
        context = self._args.context
        login = pulumi.Output.all(username, secret)
        config = login.apply(lambda known: docker_config(context.registry.host, *known))
        key = f"{robot.project}/{robot.short_name}" if robot.project else robot.short_name
        return {
            (namespace, robot.secret_name): context.sealed(
                f"{self._name}-login-{key}/{namespace}",
                robot.secret_name,
                {DOCKER_CONFIG: pulumi.Output.secret(config)},
                parent=self,
                namespace=namespace,
                kind=_PULL_SECRET,
            )
            for namespace in pull_secret.namespaces
        }


def _provider(name: str, settings: Settings) -> resources.Provider:
    registry = settings.registry
    return resources.Provider(
        name,
        namespace=settings.harbor.namespace,
        context=settings.cluster.context or "",
        cluster_name=settings.cluster.name or "",
        api_url=registry.api.url or "",
        api_ca=registry.api.ca_bundle or "",
        admin_secret=secret_name(ADMIN),
        account=OWN_ROBOT,
        account_secret=secret_name(REGISTRY_ACCOUNT),
        robot_prefix=registry.system.prefix,
        adopt=registry.adopt,
        delete_contents=registry.delete_contents,
        keep_everything=not registry.enabled,
    )


def create(
    config: StackConfig, context: Context, harbor: HarborRegistry, credentials: Credentials
) -> Registry | None:
    """What the section `registry` declares; None where it is not enabled.

    The provider stays then: the engine asks it to delete what an earlier run made, and it keeps it.
    """
    if not config.settings.registry.enabled:
        _provider("registry", config.settings)
        return None
    args = RegistryArgs(
        settings=config.settings,
        secrets=config.secrets,
        context=context,
        harbor=harbor,
        account_revision=credentials.revisions[REGISTRY_ACCOUNT],
        admin_password=(
            credentials.admin_password if config.settings.rotation.admin_password > 1 else None
        ),
    )
    return Registry("registry", args, context.options)
