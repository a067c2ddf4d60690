"""Gates of Harbor's are decided on evidence: what they would do to images that pods run.

Harbor refuses the pull of an image by its project's `blockSeverity`, and deletes what no rule of
retention keeps. Both are looked up before the first resource is registered: the images that pods
run, the reports of their scans, the times of the artifacts. Harbor's own dry run needs a policy
that is stored already, so the rules are applied here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

import pulumi

from components.commands import set_value
from components.credentials import ADMIN, REGISTRY_ACCOUNT, secret_name
from components.kubernetes.client import ClusterClient, secret_value
from components.preflight.evidence import listed, pods
from components.registry import gates
from components.registry.api import ADMIN_PASSWORD_KEY, Harbor, Logins, segment, where
from components.registry.connection import Connection, ToCluster
from components.registry.errors import HarborError
from components.registry.gates import RunningImage
from components.registry.kinds.base import Session, Tree, rows
from components.registry.kinds.retention import Retention, stored_retention
from components.registry.logins import generations
from components.registry.rules import keep_rules
from components.settings.model import Settings
from components.settings.reading.refusals import dotted
from components.settings.registry.names import OWN_ROBOT
from components.settings.registry.projects import ProjectSettings, ProxyCacheSettings

_MOST_REPOSITORIES: Final = 200
"""Of one project whose rules are tried: a call to Harbor for each."""


def _accept() -> str:
    return set_value("registry.acceptRefusals", "true", pulumi.get_stack())


Connect = Callable[[ClusterClient, Settings], Connection]


def problems(
    client: ClusterClient, settings: Settings, connect: Connect | None = None
) -> list[str]:
    """Why a gate must not be closed yet; quotas that are used up already are warned of.

    Nothing on a first installation. A Harbor that does not answer is warned of, as the run may be
    what mends it. `connect`: how Harbor is reached, for tests. Raises ClusterUnreachable.
    """
    registry = settings.registry
    if not registry.enabled or not (registry.declared_projects or registry.show_undeclared):
        return []
    namespace, admin = settings.harbor.namespace, secret_name(ADMIN)
    if secret_value(client, namespace=namespace, name=admin, key=ADMIN_PASSWORD_KEY) is None:
        # The program did not install a Harbor here yet.
        return []
    connection = (connect or _to_cluster)(client, settings)
    logins = Logins(
        admin_secret=admin,
        account=OWN_ROBOT,
        account_secret=secret_name(REGISTRY_ACCOUNT),
        prefix=registry.system.prefix,
    )
    harbor = Harbor(connection=connection, logins=logins).hurried()
    try:
        evidence = _Evidence(client=client, settings=settings, harbor=harbor)
        for warning in evidence.of_quotas():
            pulumi.log.warn(warning)
        if registry.show_undeclared:
            evidence.tell_undeclared()
        return [*evidence.of_severities(), *evidence.of_retentions()]
    except HarborError as error:
        pulumi.log.warn(
            "not checked: whether blockSeverity would refuse images that pods run, whether rules "
            f"of retention would delete them, and whether quotas are used up. {error}"
        )
        return []
    finally:
        if isinstance(connection, ToCluster):
            connection.disconnect()


def _to_cluster(client: ClusterClient, settings: Settings) -> Connection:
    return ToCluster(
        namespace=settings.harbor.namespace,
        context=settings.cluster.context or "",
        api_url=settings.registry.api.url or "",
        api_ca=settings.registry.api.ca_bundle or "",
        _client=client,
    )


@dataclass(kw_only=True)
class _Evidence:
    """What Harbor and the pods say. Its methods raise HarborError and ClusterUnreachable."""

    client: ClusterClient
    settings: Settings
    harbor: Harbor
    _artifacts: dict[tuple[str, str], list[Tree]] = field(default_factory=dict[Any, Any])

    @cached_property
    def projects(self) -> Mapping[str, Tree]:
        """The declared projects that exist in Harbor, as it lists them."""
        declared = self.settings.registry.declared_projects
        return {str(row["name"]): row for row in self._all_projects if row["name"] in declared}

    @cached_property
    def _all_projects(self) -> list[Tree]:
        return self.harbor.listed("/projects")

    @cached_property
    def images(self) -> list[RunningImage]:
        prefix = self.settings.registry_address.image_prefix
        return gates.running_images(pods(self.client), prefix, self.projects.keys())

    # ---- quotas --------------------------------------------------------------------------------

    def of_quotas(self) -> list[str]:
        default = self.settings.registry.system.quota_bytes
        declared = {
            name: of.quota_bytes(default)
            for name, (_, of) in self._declared().items()
            if name in self.projects
        }
        if set(declared.values()) <= {-1}:
            return []
        quotas = self.harbor.listed("/quotas", {"reference": "project"})
        return [
            f"project {name} uses {_size(used)}, and its quota is {_size(limit)}: Harbor refuses "
            "each push until images are deleted and the garbage is collected\n"
            f"  {self._key(name, 'quota')} raises it"
            for name, (limit, used) in gates.over_quota(quotas, declared).items()
        ]

    # ---- pulls that would be refused -----------------------------------------------------------

    def of_severities(self) -> list[str]:
        if self.settings.registry.accept_refusals:
            return []
        trivy = self.settings.trivy
        stricter = {
            name: severity
            for name, (_, of) in self._declared().items()
            if name in self.projects
            and (severity := of.blocked_severity(trivy))
            and gates.is_stricter(_severity(self.projects[name]), severity)
        }
        if not stricter:
            return []
        reasons = {
            image.name: self._refusal(image, stricter[image.project])
            for image in {image.name: image for image in self.images}.values()
            if image.project in stricter
        }
        return [
            text
            for name, severity in stricter.items()
            if (text := self._told_severity(name, severity, reasons))
        ]

    def _told_severity(self, project: str, severity: str, reasons: Mapping[str, str]) -> str:
        refused: dict[str, str] = {}
        for image in self.images:
            if image.project == project and (reason := reasons[image.name]):
                line = f"{image.name}, {reason}"
                refused[image.pod] = (
                    f"{refused[image.pod]}; {line}" if image.pod in refused else line
                )
        key = self._key(project, "blockSeverity")
        if not refused:
            pulumi.log.info(
                f"sovereign-harbor:{key} = {severity} rests on the scans of what pods run now: it "
                "would refuse none of their images"
            )
            return ""
        return (
            f"sovereign-harbor:{key} = {severity} would refuse the pull of images that pods run "
            f"now; pods that would not start again: {len(refused)}\n"
            + "\n".join(listed(refused))
            + "\n  fix: scan or rebuild these images, or name what is accepted in "
            f"{self._key(project, 'cveAllowlist')}; until then: "
            f"{set_value(key, _severity(self.projects[project]) or 'off', pulumi.get_stack())}\n"
            f"  or, with their owners' consent: {_accept()}"
        )

    def _refusal(self, image: RunningImage, severity: str) -> str:
        """Why Harbor would refuse the pull; "" if it would not, or has no such image."""
        path = (
            f"{_repository(image.project, image.repository)}/artifacts/{segment(image.reference)}"
        )
        artifact = self.harbor.get(path, {"with_scan_overview": "true"})
        if artifact is None:
            return ""
        allowed = self._allowed(image.project)
        reason = gates.pull_refused(artifact, severity, ())
        if reason and allowed and gates.overview(artifact) is not None:
            reports: Tree = self.harbor.get(f"{path}/additions/vulnerabilities") or {}
            vulnerabilities = [
                row for report in reports.values() for row in rows(report.get("vulnerabilities"))
            ]
            reason = gates.pull_refused(artifact, severity, allowed, vulnerabilities)
        return reason

    def _allowed(self, project: str) -> frozenset[str]:
        """The vulnerabilities that will stop no pull from a project."""
        _, of = self._declared()[project]
        allowlist = of.cve_allowlist
        if of.uses_system_allowlist:
            allowlist = self.settings.registry.cve_allowlist
            if allowlist is None:
                return self._system_allowlist
        now = dt.datetime.now(dt.UTC).timestamp()
        if allowlist is None or (allowlist.expires_at is not None and allowlist.expires_at < now):
            return frozenset()
        return frozenset(allowlist.items)

    @cached_property
    def _system_allowlist(self) -> frozenset[str]:
        stored: Tree = self.harbor.get("/system/CVEAllowlist") or {}
        expires = stored.get("expires_at")
        if expires is not None and expires < dt.datetime.now(dt.UTC).timestamp():
            return frozenset()
        return frozenset(str(row["cve_id"]) for row in rows(stored.get("items")))

    # ---- images that a retention would delete --------------------------------------------------

    def of_retentions(self) -> list[str]:
        """Of projects only: what a cache deletes is fetched again at the next pull."""
        refused: list[str] = []
        for name, of in self.settings.registry.projects.items():
            if of.retention is None or not of.retention.cron or name not in self.projects:
                continue
            rules = keep_rules(of.retention)
            is_new = self._is_new(name, rules)
            running = self._deleted_of_pods(name, rules)
            if is_new:
                self._tell_numbers(name, rules)
            if not running:
                continue
            text = (
                f"sovereign-harbor:{self._key(name, 'retention')} would delete images that pods "
                f"run now; pods: {len(running)}\n" + "\n".join(listed(running)) + "\n"
                "  fix: a rule that keeps them, such as `always: true` with their tags"
            )
            if is_new and not self.settings.registry.accept_refusals:
                refused.append(f"{text}\n  or, with their owners' consent: {_accept()}")
            elif not is_new:
                pulumi.log.warn(text)
        return refused

    def _is_new(self, project: str, rules: list[Tree]) -> bool:
        """Whether Harbor does not delete by these rules already."""
        stored = stored_retention(self.harbor, project)
        if stored is None:
            return True
        kind = Retention()
        shown = kind.shown(Session(harbor=self.harbor), stored, {})
        return not shown["cron"] or not kind.equal("rules", shown["rules"], rules)

    def _deleted_of_pods(self, project: str, rules: list[Tree]) -> dict[str, str]:
        """Pod → its images that the rules would delete."""
        refused: dict[str, str] = {}
        for image in self.images:
            if image.project != project:
                continue
            gone = gates.deleted(rules, image.repository, self._listed(image), _now())
            for artifact in gone:
                is_its_tag = image.reference in gates.tags_of(artifact)
                if image.digest in gates.digests(artifact) or is_its_tag:
                    told = refused.get(image.pod)
                    refused[image.pod] = f"{told}, {image.name}" if told else image.name
                    break
        return refused

    def _listed(self, image: RunningImage) -> list[Tree]:
        return self._artifacts_of(image.project, image.repository)

    def _artifacts_of(self, project: str, repository: str) -> list[Tree]:
        key = project, repository
        if key not in self._artifacts:
            try:
                self._artifacts[key] = self.harbor.listed(
                    f"{_repository(project, repository)}/artifacts",
                    {"with_tag": "true", "with_immutable_status": "true"},
                )
            except HarborError as error:
                if error.status != 404:
                    raise
                self._artifacts[key] = []
        return self._artifacts[key]

    def _tell_numbers(self, project: str, rules: list[Tree]) -> None:
        """How many artifacts the rules would keep, and how many delete, now."""
        kept = gone = 0
        repositories = self.harbor.listed(f"/projects/{segment(project)}/repositories")
        for row in repositories[:_MOST_REPOSITORIES]:
            repository = str(row["name"]).removeprefix(f"{project}/")
            artifacts = self._artifacts_of(project, repository)
            lost = len(gates.deleted(rules, repository, artifacts, _now()))
            kept, gone = kept + len(artifacts) - lost, gone + lost
        if not repositories:
            return
        of = f"{min(len(repositories), _MOST_REPOSITORIES)} of {len(repositories)} repositories"
        pulumi.log.info(
            f"sovereign-harbor:{self._key(project, 'retention')} would keep {kept} images and "
            f"delete {gone} if it ran now; looked at {of}"
        )

    # ---- what is not declared ------------------------------------------------------------------

    def tell_undeclared(self) -> None:
        """Names what Harbor holds and the section does not."""
        registry, harbor = self.settings.registry, self.harbor
        declared = {
            "projects": {*registry.declared_projects},
            "endpoints": {*registry.endpoints},
            "replications": {*registry.mirrors, *registry.replications},
            "robots": {OWN_ROBOT, *self._robots()},
        }
        present = {
            "projects": [str(row["name"]) for row in self._all_projects],
            "endpoints": [str(row["name"]) for row in harbor.listed("/registries")],
            "replications": [str(row["name"]) for row in harbor.listed("/replication/policies")],
            "robots": [
                str(row["name"]).removeprefix(harbor.prefix())
                for row in (*harbor.listed("/robots"), *self._robots_of_projects())
            ],
        }
        lines = [
            f"  {kind}: {', '.join(others)}"
            for kind, names in present.items()
            if (others := sorted(set(names) - declared[kind]))
        ]
        if lines:
            pulumi.log.info(
                "Harbor holds what sovereign-harbor:registry does not declare; it stays as it is\n"
                + "\n".join(lines)
                + f"\n  make registry-export STACK={pulumi.get_stack()} writes all of it"
            )

    def _robots(self) -> Iterator[str]:
        """Names in Harbor of the declared robots, without the prefix."""
        for robot in self.settings.registry.all_robots:
            project = f"{robot.project}+" if robot.project else ""
            for generation in generations(robot):
                yield f"{project}{generation.name}"

    def _robots_of_projects(self) -> Iterator[Tree]:
        """Those of the declared projects."""
        for project in self.projects.values():
            conditions = {"Level": "project", "ProjectID": project["project_id"]}
            yield from self.harbor.listed("/robots", where(conditions))

    # ---- settings ------------------------------------------------------------------------------

    def _declared(self) -> Mapping[str, tuple[str, ProjectSettings | ProxyCacheSettings]]:
        """Project → its section, and its settings."""
        return dict(self._sections())

    def _sections(
        self,
    ) -> Iterator[tuple[str, tuple[str, ProjectSettings | ProxyCacheSettings]]]:
        registry = self.settings.registry
        for name, project in registry.projects.items():
            yield name, ("projects", project)
        for name, cache in registry.proxy_caches.items():
            yield name, ("proxyCaches", cache)

    def _key(self, project: str, key: str) -> str:
        return dotted(("registry", self._declared()[project][0], project, key))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _repository(project: str, repository: str) -> str:
    """Slashes of a repository are quoted twice: Harbor's router decodes once."""
    return f"/projects/{segment(project)}/repositories/{segment(segment(repository))}"


def _severity(project: Tree) -> str:
    """What blocks pulls now, as an input of a project has it; "" for off."""
    metadata = cast("dict[str, str]", project.get("metadata") or {})
    if str(metadata.get("prevent_vul")).lower() != "true":
        return ""
    return str(metadata.get("severity") or "").lower()


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
