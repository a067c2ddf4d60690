"""Rules between the parts of the section `registry`, and with other sections. Pure."""

from collections.abc import Iterator
from typing import Final

from components import harbor_lines
from components.settings.harbor import HarborSettings
from components.settings.image_policy import ImagePolicySettings
from components.settings.registry import names, patterns
from components.settings.registry.endpoints import EndpointSettings, SourceSettings
from components.settings.registry.projects import ProjectSettings, ProxyCacheSettings
from components.settings.registry.replications import (
    KEEP_PATH,
    MirrorSettings,
    ReplicationSettings,
    check_against,
)
from components.settings.registry.robots import name_of
from components.settings.registry.section import RegistrySettings
from components.settings.rotation import RotationSettings
from components.settings.schema.problems import CrossRule, Path, Problem
from components.settings.schema.rules import OBJECT_NAME, REMOVE, RENAME
from components.settings.trivy import SEVERITIES, TrivySettings


def admin_is_rotated_by_the_api(
    *, rotation: RotationSettings, registry: RegistrySettings
) -> Iterator[Problem]:
    """Harbor reads admin's password at its first start only; its API changes it later."""
    if rotation.admin_password > 1 and not registry.enabled:
        yield Problem(
            path=("rotation", "adminPassword"),
            reason="1 with registry.enabled: false, as Harbor takes another password by its API "
            "only",
            example="1",
        )


def names_are_unique(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Harbor keeps caches among projects, and mirrors among replications."""
    for name in registry.proxy_caches:
        if name in registry.projects:
            yield Problem(
                path=("registry", "proxyCaches", name),
                reason=f"another name than the project {name} has: a cache is a project too",
                example=RENAME,
            )
    for name in registry.replications:
        if name in registry.mirrors:
            yield Problem(
                path=("registry", "replications", name),
                reason=f"another name than the mirror {name} has: Harbor keeps both in one list",
                example=RENAME,
            )
    for kind, name, source in _sources(registry):
        if source.endpoint is not None and name in registry.proxy_caches:
            yield Problem(
                path=("registry", kind, name),
                reason=f"another name than the proxy cache {name} has: both would make an upstream "
                f"of that name. If it is the same registry, write {_key(kind)}: {name}",
                example=RENAME,
            )


def deleted_contents_are_of_no_declared_project(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Else a later change that only takes the project out would delete its images too."""
    for index, name in enumerate(registry.delete_contents):
        if name in registry.declared_projects:
            kind = "projects" if name in registry.projects else "proxyCaches"
            yield Problem(
                path=("registry", "deleteContents", index),
                reason=f"no project that is declared: {name} is. Take registry.{kind}.{name} out "
                "in the same change that names it here",
                example=REMOVE,
            )


def sources_are_declared(*, registry: RegistrySettings) -> Iterator[Problem]:
    """A name in the place of a registry is that of a section that declares it."""
    endpoints = registry.endpoints
    for kind, name, source in _sources(registry):
        if source.same_as is not None and source.same_as not in endpoints:
            known = f"one of {', '.join(sorted(endpoints))}" if endpoints else "none is declared"
            yield Problem(
                path=("registry", kind, name, _key(kind), "sameAs"),
                reason=f"{known}; a registry of its own is an object: {{type: …, url: …}}",
                example=next(iter(sorted(endpoints)), "<name>"),
            )


def replications_fit_their_registry(*, registry: RegistrySettings) -> Iterator[Problem]:
    """What Harbor cannot do with a registry of that type."""
    endpoints = registry.endpoints
    for kind, name, source in _sources(registry):
        endpoint = endpoints.get(source.same_as or name)
        if endpoint is None:
            continue
        path: Path = ("registry", kind, name)
        replication = registry.mirrors[name] if kind == "mirrors" else registry.replications[name]
        reads = isinstance(replication, MirrorSettings) or replication.direction == "pull"
        for index, repository in enumerate(replication.repositories):
            # Harbor has no such repository, and the whole run fails.
            host, slash, rest = repository.partition("/")
            if slash and host == endpoint.host and reads:
                yield Problem(
                    path=(*path, "repositories", index),
                    reason=f"without the host: {host} is that of the registry already",
                    example=rest,
                )
        if (problem := check_against(replication, endpoint.type, reads=reads)) is not None:
            below, reason, example = problem
            yield Problem(path=(*path, *below), reason=reason, example=example)
        chunked = isinstance(replication, ReplicationSettings) and replication.chunked
        if chunked and not endpoint.is_harbor:
            yield Problem(
                path=(*path, "chunked"),
                reason=f"false with a registry of type {endpoint.type}: only Harbors do",
                example="false",
            )


def copies_have_a_project(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Harbor makes the project of a copy if there is none, private and without any setting."""
    for path, replication in _pulling(registry):
        if replication.into is not None:
            project = replication.into.partition("/")[0]
            yield from _is_pushed_to(registry, project, (*path, "into"), replication.into)
            continue
        for index, repository in enumerate(replication.repositories or (patterns.ALL,)):
            where = (*path, "repositories", *((index,) if replication.repositories else ()))
            for project, slash in sorted(
                {each.partition("/")[:2] for each in patterns.expanded(repository)}
            ):
                if not slash or not patterns.is_literal(project):
                    yield Problem(
                        path=(*path, "into"),
                        reason=f"required for {repository}: the first part of the path would name "
                        "the project, and Harbor makes whichever is missing",
                        example="<project>",
                    )
                else:
                    yield from _is_pushed_to(registry, project, where, None)


def _is_pushed_to(
    registry: RegistrySettings, project: str, path: Path, example: str | None
) -> Iterator[Problem]:
    if project in registry.proxy_caches:
        yield Problem(
            path=path,
            reason=f"a project that is no proxy cache: Harbor refuses to push into {project}",
            example=example and next(iter(sorted(registry.projects)), "<project>"),
        )
    elif project not in registry.projects:
        yield Problem(
            path=path,
            reason=f"in a declared project; registry.projects has no {project}",
            example=None if example is None else next(iter(sorted(registry.projects)), "<project>"),
        )


def copies_have_a_name_of_their_own(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Two sources with one target overwrite each other at each run."""
    sources: dict[str, str] = {}
    for path, replication in _pulling(registry):
        name = str(path[-1])
        host = registry.endpoint_name(name)
        for copy in replication.copies():
            if not (patterns.is_literal(copy.source) and patterns.is_literal(copy.target)):
                continue
            source = f"{host}: {copy.source}"
            other = sources.setdefault(copy.target, source)
            if other != source:
                yield Problem(
                    path=(*path, "keepPath" if replication.replace_count != KEEP_PATH else "into"),
                    reason=f"another target for {copy.source}: {copy.target} is already that of "
                    f"{other}, and the later run would replace the images of the earlier",
                    example="true" if replication.replace_count != KEEP_PATH else "<project>",
                )


def robots_have_projects(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Harbor answers 404 to rights on a project that is not there."""
    declared = registry.declared_projects
    for name, robot in registry.robots.items():
        for project in robot.permissions:
            path: Path = ("registry", "robots", name, "permissions", project)
            if project == "*" and not declared:
                yield Problem(path=path, reason="no project is declared", example=REMOVE)
            elif project != "*" and project not in declared:
                yield Problem(
                    path=path,
                    reason=f"of a declared project; neither registry.projects nor "
                    f"registry.proxyCaches has {project}",
                    example=REMOVE,
                )


def names_of_robots_fit(*, registry: RegistrySettings) -> Iterator[Problem]:
    """A rotation makes a name longer, and a project's robot has the project's name in front."""
    if names.OWN_ROBOT in registry.robots:
        yield Problem(
            path=("registry", "robots", names.OWN_ROBOT),
            reason="another name: this is the program's own robot",
            example=RENAME,
        )
    for robot in registry.all_robots:
        short = name_of(robot.short_name, robot.settings.numbers[-1])
        name = f"{robot.project}+{short}" if robot.project else short
        if len(name) > names.LONGEST_ROBOT:
            yield Problem(
                path=robot.path,
                reason=f"a shorter name: in Harbor <project>+<robot>-<rotation> has at most "
                f"{names.LONGEST_ROBOT} characters, and this has {len(name)}. Harbor answers 500",
                example=RENAME,
            )


def rotations_take_no_name(*, registry: RegistrySettings) -> Iterator[Problem]:
    """A rotation calls the new robot <robot>-<number>, which may be another robot's name."""
    owners: dict[tuple[str, str], Path] = {}
    for robot in registry.all_robots:
        for number in robot.settings.numbers:
            name = name_of(robot.short_name, number)
            owner = owners.setdefault((robot.project, name), robot.path)
            if owner == robot.path:
                continue
            rotated, other = (robot.path, owner) if number > 1 else (owner, robot.path)
            yield Problem(
                path=(*rotated, "rotation"),
                reason=f"another number, or another name for {other[-1]}: the rotation makes a "
                f"robot {name}, which is declared already",
            )


def pull_secrets_have_a_name_of_their_own(*, registry: RegistrySettings) -> Iterator[Problem]:
    """Two robots cannot share one Secret."""
    owners: dict[tuple[str, str], str] = {}
    for robot in registry.all_robots:
        secret = robot.settings.pull_secret
        if secret is None:
            continue
        path: Path = (*robot.path, "pullSecret", "name")
        if OBJECT_NAME.check is not None and OBJECT_NAME.check(robot.secret_name) is not None:
            yield Problem(
                path=path,
                reason=f"required here: {robot.secret_name} is not the name of a Secret",
                example="<name>",
            )
        for namespace in secret.namespaces:
            owner = owners.setdefault((namespace, robot.secret_name), robot.name)
            if owner != robot.name:
                yield Problem(
                    path=path,
                    reason=f"another name: in namespace {namespace} {robot.secret_name} is that of "
                    f"the robot {owner}",
                    example="<name>",
                )


def pull_secrets_are_none_of_harbors(
    *, registry: RegistrySettings, harbor: HarborSettings
) -> Iterator[Problem]:
    """A login under the name of Harbor's own Secret would take its password away."""
    for robot in registry.all_robots:
        secret = robot.settings.pull_secret
        is_beside_harbor = secret is not None and harbor.namespace in secret.namespaces
        if is_beside_harbor and robot.secret_name.startswith("harbor"):
            yield Problem(
                path=(*robot.path, "pullSecret", "name"),
                reason=f"a name that does not begin with harbor in Harbor's namespace "
                f"{harbor.namespace}, where such Secrets are Harbor's own",
                example=f"registry-{robot.name}".replace("+", "-"),
            )


def groups_are_written_as_the_login_does(*, registry: RegistrySettings) -> Iterator[Problem]:
    """A name that differs by a slash is another group, silently without rights."""
    if registry.login is None or registry.login.preset != "gitlab":
        return
    for kind, project, settings in _projects(registry):
        for group in settings.members.groups:
            if group.startswith("/"):
                yield Problem(
                    path=("registry", kind, project, "members", "groups", group),
                    reason=f"{group.lstrip('/')} as GitLab names it, without a slash at its "
                    "beginning",
                    example=RENAME,
                )


def api_is_encrypted(*, sandbox: bool, registry: RegistrySettings) -> Iterator[Problem]:
    """The admin password would cross the network in clear."""
    api = registry.api
    if api.url is not None and api.url.startswith("http://") and not sandbox:
        yield Problem(
            path=("registry", "api", "url"),
            reason="https outside the sandbox: passwords would cross the network in clear",
            example=api.url.replace("http://", "https://", 1),
        )
    if api.ca_bundle is not None and api.url is None:
        yield Problem(
            path=("registry", "api", "caBundle"),
            reason="only beside registry.api.url: through the API server there is no certificate "
            "of Harbor's",
            example=REMOVE,
        )


def upstreams_are_encrypted(*, sandbox: bool, registry: RegistrySettings) -> Iterator[Problem]:
    """Passwords of other registries."""
    for path, endpoint in _endpoints(registry):
        is_plain = endpoint.address.startswith("http://")
        if is_plain and endpoint.password is not None and not sandbox:
            yield Problem(
                path=(*path, "url"),
                reason="https where a password is sent",
                example=endpoint.address.replace("http://", "https://", 1),
            )
        if endpoint.ca_certificate is not None and (is_plain or not endpoint.tls_verify):
            yield Problem(
                path=(*path, "caCertificate"),
                reason="only where the certificate is checked",
                example=REMOVE,
            )


def harbor_is_new_enough(
    *, registry: RegistrySettings, harbor: HarborSettings
) -> Iterator[Problem]:
    """Harbor 2.14 passes over these without a word."""
    version = harbor.chart.version
    chart = harbor_lines.number(version)

    def needs(path: Path, at_least: harbor_lines.Number, of_harbor: str) -> Iterator[Problem]:
        if chart < at_least:
            yield Problem(
                path=path,
                reason=f"left out with chart {version}, whose Harbor ignores it: "
                f"harbor.chart.version {'.'.join(map(str, at_least))} or later has Harbor "
                f"{of_harbor}, which knows it",
                example=REMOVE,
            )

    for path, endpoint in _endpoints(registry):
        if endpoint.ca_certificate is not None:
            yield from needs(
                (*path, "caCertificate"), harbor_lines.KNOWS_UPSTREAM_AUTHORITIES, "2.15"
            )
    for name, cache in registry.proxy_caches.items():
        if cache.serve_stale is not None:
            path = ("registry", "proxyCaches", name, "serveStale")
            yield from needs(path, harbor_lines.SERVES_STALE, "2.15.1")


def scans_have_a_scanner(*, registry: RegistrySettings, trivy: TrivySettings) -> Iterator[Problem]:
    """What a project says of scans, beside what the scanner does."""
    schedule = registry.schedules.scan_all.schedule
    if not trivy.enabled and schedule not in (None, "none"):
        yield Problem(
            path=("registry", "schedules", "scanAll", "schedule"),
            reason="none where trivy.enabled is false: Harbor answers 412, as no scanner is "
            "configured",
            example="none",
        )
    for kind, name, project in _projects(registry):
        path: Path = ("registry", kind, name)
        if project.scan_on_push and not trivy.enabled:
            yield Problem(
                path=(*path, "scanOnPush"),
                reason="false where trivy.enabled is false: nothing scans",
                example="false",
            )
        yield from _blocks_what_is_reported(path, project, trivy)


def _blocks_what_is_reported(
    path: Path, project: ProjectSettings | ProxyCacheSettings, trivy: TrivySettings
) -> Iterator[Problem]:
    severity = project.block_severity
    if severity in (None, "off"):
        return
    at: Path = (*path, "blockSeverity")
    if not project.scans_on_push(trivy):
        why = "trivy.enabled is false" if not trivy.enabled else "scanOnPush is false"
        yield Problem(
            path=at,
            reason=f"off where {why}: Harbor refuses each image that was not scanned",
            example="off",
        )
        return
    ranks = [each.lower() for each in SEVERITIES]
    unreported = [
        each for each in SEVERITIES[ranks.index(severity) :] if each not in trivy.severity
    ]
    if unreported:
        yield Problem(
            path=at,
            reason=f"off, as trivy.severity leaves {', '.join(unreported)} out of reports, and "
            "what is not reported is not blocked",
            example="off",
        )


def rewritten_images_are_cached(
    *, image_policy: ImagePolicySettings, registry: RegistrySettings
) -> Iterator[Problem]:
    """Pods whose images are pulled through a project that nobody declares could not start."""
    rewrite = image_policy.rewrite
    if not (registry.enabled and image_policy.enabled and rewrite.enabled):
        return
    if rewrite.projects is None:
        if not registry.cached_hosts:
            yield Problem(
                path=("imagePolicy", "rewrite", "enabled"),
                reason="false without registry.proxyCaches: images are pulled through those",
                example="false",
            )
        return
    for host, project in rewrite.projects.items():
        cache = registry.proxy_caches.get(project)
        if cache is None:
            yield Problem(
                path=("imagePolicy", "rewrite", "projects", host),
                reason=f"a project that registry.proxyCaches declares, with {host} as its "
                f"upstream; there is no {project}. To declare it: "
                f"registry.proxyCaches.{project}.upstream.{_upstream_of(host)}",
                example=registry.cached_hosts.get(host, REMOVE),
            )
        elif cache.upstream.host != host:
            yield Problem(
                path=("imagePolicy", "rewrite", "projects", host),
                reason=f"a project that caches {host}; {project} caches {cache.upstream.host}",
                example=registry.cached_hosts.get(host, REMOVE),
            )


def _upstream_of(host: str) -> str:
    kinds = {"docker.io": "type docker-hub", "ghcr.io": "type github-ghcr"}
    return kinds.get(host, f"type docker-registry and url https://{host}")


def _key(kind: str) -> str:
    return "from" if kind == "mirrors" else "registry"


def _sources(registry: RegistrySettings) -> Iterator[tuple[str, str, SourceSettings]]:
    for name, mirror in registry.mirrors.items():
        yield "mirrors", name, mirror.source
    for name, replication in registry.replications.items():
        yield "replications", name, replication.registry


def _pulling(
    registry: RegistrySettings,
) -> Iterator[tuple[Path, MirrorSettings | ReplicationSettings]]:
    for name, replication in registry.pulling.items():
        kind = "mirrors" if name in registry.mirrors else "replications"
        yield ("registry", kind, name), replication


def _projects(
    registry: RegistrySettings,
) -> Iterator[tuple[str, str, ProjectSettings | ProxyCacheSettings]]:
    for name, project in registry.projects.items():
        yield "projects", name, project
    for name, cache in registry.proxy_caches.items():
        yield "proxyCaches", name, cache


def _endpoints(registry: RegistrySettings) -> Iterator[tuple[Path, EndpointSettings]]:
    for name, cache in registry.proxy_caches.items():
        yield ("registry", "proxyCaches", name, "upstream"), cache.upstream
    for kind, name, source in _sources(registry):
        if source.endpoint is not None:
            yield ("registry", kind, name, _key(kind)), source.endpoint


RULES: Final[tuple[CrossRule, ...]] = (
    admin_is_rotated_by_the_api,
    names_are_unique,
    deleted_contents_are_of_no_declared_project,
    sources_are_declared,
    replications_fit_their_registry,
    copies_have_a_project,
    copies_have_a_name_of_their_own,
    robots_have_projects,
    names_of_robots_fit,
    rotations_take_no_name,
    pull_secrets_have_a_name_of_their_own,
    pull_secrets_are_none_of_harbors,
    groups_are_written_as_the_login_does,
    api_is_encrypted,
    upstreams_are_encrypted,
    harbor_is_new_enough,
    scans_have_a_scanner,
    rewritten_images_are_cached,
)
