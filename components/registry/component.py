"""Registry: what Harbor holds beside images, as the stack's file declares it.

The settings decide everything; this module gives each part to its class in `resources.py`, and says
what waits for what. Names of resources are part of every state: what belongs to a project is called
<project>/<name>, since no project's name has a slash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.core.v1 import ServiceAccountPatch

from components.context import Context
from components.credentials import (
    REGISTRY_ACCOUNT,
    Credentials,
    random_password,
    secret_name,
)
from components.harbor.release import HarborRegistry
from components.kubernetes.naming import FIELD_MANAGER
from components.ordering import after
from components.registry import resources
from components.registry.logins import (
    DOCKER_CONFIG,
    Generation,
    LoginUrls,
    docker_config,
    generations,
    login_urls,
    pull_prefixes,
    push_prefixes,
    service_accounts,
)
from components.sealing.sealed_secret import SealedSecret
from components.settings.model import Settings
from components.settings.registry.names import OWN_ROBOT
from components.settings.registry.projects import ProjectSettings, ProxyCacheSettings
from components.settings.registry.section import RegistrySettings, Robot
from components.settings.registry.stack_secrets import StackSecret
from components.stack_config import Secrets, StackConfig

_PULL_SECRET: Final = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """`secrets`: of the stack, by config key. `harbor`: once its pods are Ready.

    `account_revision`: of the Secret with the account's password; known once that is unsealed.
    """

    settings: Settings
    secrets: Secrets
    context: Context
    harbor: HarborRegistry
    account_revision: pulumi.Input[str]


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
        registry, prefix = args.settings.registry, args.context.registry.image_prefix
        self.projects = registry.declared_projects
        self.push_prefixes = push_prefixes(registry, prefix)
        self.pull_prefixes = pull_prefixes(registry, prefix)
        self.login_urls = login_urls(registry, args.context.registry.url)

        account = resources.Account(
            f"{name}-account",
            name=OWN_ROBOT,
            revision=args.account_revision,
            opts=self._options(),
        )
        self._first = [account]
        endpoints = self._endpoints(registry)
        for project, settings in registry.projects.items():
            self._projects[project] = self._project(project, settings)
        for project, settings in registry.proxy_caches.items():
            self._projects[project] = self._proxy_cache(project, settings, endpoints[project])
        self._robots(registry)
        self.register_outputs(
            {
                "projects": self.projects,
                "pushPrefixes": self.push_prefixes,
                "pullPrefixes": self.pull_prefixes,
            }
        )

    def _options(self, needs: Iterable[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Options of an object of Harbor, which waits for the account and for what it needs."""
        return pulumi.ResourceOptions(
            parent=self,
            provider=self._provider,
            depends_on=[*self._first, *needs],
            deleted_with=self._args.harbor.release,
        )

    def _secret(self, secret: StackSecret | None) -> pulumi.Output[str] | None:
        return None if secret is None else self._args.secrets[secret.secret]

    def _endpoints(self, registry: RegistrySettings) -> dict[str, resources.Endpoint]:
        return {
            endpoint: resources.Endpoint(
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
            for endpoint, settings in registry.endpoints.items()
        }

    def _project(self, project: str, settings: ProjectSettings) -> resources.Project:
        return resources.Project(
            f"{self._name}-project-{project}",
            name=project,
            sbom_on_push=settings.sbom_on_push,
            require_cosign=settings.require_cosign,
            **self._of_every_project(settings),
            opts=self._options(),
        )

    def _proxy_cache(
        self, project: str, settings: ProxyCacheSettings, endpoint: resources.Endpoint
    ) -> resources.Project:
        return resources.Project(
            f"{self._name}-project-{project}",
            name=project,
            endpoint=project,
            speed_limit=settings.harbors_speed_limit,
            max_connections=settings.harbors_connections,
            serve_stale=settings.serve_stale,
            **self._of_every_project(settings),
            opts=self._options([endpoint]),
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

    # ---- robots -----------------------------------------------------------------------------

    def _robots(self, registry: RegistrySettings) -> None:
        logins: dict[tuple[str, str], SealedSecret] = {}
        for robot in registry.all_robots:
            logins |= self._robot(robot)
        context = self._args.context
        for (namespace, account), secrets in service_accounts(registry.all_robots).items():
            ServiceAccountPatch(
                f"{self._name}-service-account-{namespace}/{account}",
                metadata={
                    "name": account,
                    "namespace": namespace,
                    "labels": context.labels("service-account"),
                    "annotations": dict(FIELD_MANAGER),
                },
                image_pull_secrets=[{"name": secret} for secret in secrets],
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[logins[namespace, secret] for secret in secrets]
                ),
            )

    def _robot(self, robot: Robot) -> dict[tuple[str, str], SealedSecret]:
        """Declares a robot and hands its login out; returns namespace and name → Secret.

        The robot from before a rotation gets its end only once the new login is there.
        """
        *before, current = generations(robot)
        secret = self._secret(robot.settings.secret)
        if secret is None:
            secret = self._minted(robot, current)
        declared = self._declared(robot, current, secret)
        username = self._username(robot, current, declared)
        logins = self._logins(robot, username, secret)
        for generation in before:
            minted = self._minted(robot, generation)
            self._declared(robot, generation, minted, needs=[declared, *logins.values()])
        return logins

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
        return resources.Robot(
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
            opts=self._options([*projects, *needs]),
        )

    def _username(
        self, robot: Robot, generation: Generation, declared: resources.Robot
    ) -> pulumi.Output[str]:
        """Its login. A changed prefix renames it in Harbor, while nothing of the robot changes."""
        prefix = self._args.settings.registry.system.robot_prefix
        if prefix is None:
            return declared.full_name
        project = f"{robot.project}+" if robot.project else ""
        return after(declared.full_name, f"{prefix}{project}{generation.name}")

    def _logins(
        self, robot: Robot, username: pulumi.Output[str], secret: pulumi.Output[str]
    ) -> dict[tuple[str, str], SealedSecret]:
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
        admin_secret=secret_name("admin-password"),
        account=OWN_ROBOT,
        account_secret=secret_name(REGISTRY_ACCOUNT),
        robot_prefix=registry.system.prefix,
        adopt=registry.adopt,
        delete_contents=registry.delete_contents,
    )


def create(
    config: StackConfig, context: Context, harbor: HarborRegistry, credentials: Credentials
) -> Registry | None:
    """What the section `registry` declares; None where it is not enabled."""
    if not config.settings.registry.enabled:
        return None
    args = RegistryArgs(
        settings=config.settings,
        secrets=config.secrets,
        context=context,
        harbor=harbor,
        account_revision=credentials.revisions[REGISTRY_ACCOUNT],
    )
    return Registry("registry", args, context.options)
