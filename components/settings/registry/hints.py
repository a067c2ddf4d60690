"""Warnings about settings of the section `registry` that are allowed. Pure."""

import datetime as dt
from collections.abc import Iterator

from components.settings.registry import patterns
from components.settings.registry.section import RegistrySettings


def hints(registry: RegistrySettings, today: dt.date) -> Iterator[str]:
    """What a person should know before `up`; `today` in UTC."""
    if not registry.enabled:
        return
    if registry.delete_contents:
        named = ", ".join(dict.fromkeys(registry.delete_contents))
        yield (
            f"registry.deleteContents names {named}: the `up` that takes such a project out of "
            "the stack deletes its images. Nothing happens to a project that an earlier `up` left "
            "in Harbor, nor to a name that no project has. Take the list out after that `up`"
        )
    for name, project in registry.projects.items():
        retention = project.retention
        if retention is not None and retention.cron and not retention.protects:
            yield (
                f"registry.projects.{name}.retention has no rule `always`: whatever is in "
                "production is deleted too once no other rule keeps it. A first rule keeps it: "
                'keep: [{always: true, tags: ["v*"]}]'
            )
    yield from _patterns_with_a_project(registry)
    yield from _copies_that_may_meet(registry)
    for robot in registry.all_robots:
        if robot.settings.pull_secret is None and robot.settings.secret is None:
            yield (
                f"the login of robot {robot.name} reaches nobody: its secret is minted, and no "
                f"namespace gets it. {'.'.join(map(str, robot.path))}.pullSecret.namespaces names "
                "those that do; a secret of the stack is one that you know"
            )
    for key, day in _ends(registry):
        if day < today.isoformat():
            yield f"{key} was {day}: since then nothing on that list counts, and pulls are blocked"
    login = registry.login
    if login is not None and not login.verify_tls:
        yield (
            "registry.login.verifyTls is false: whoever stands between Harbor and "
            f"{login.issuer} can log in as anybody"
        )
    if login is not None and login.preset == "keycloak" and not login.admin_group.startswith("/"):
        yield (
            f"registry.login.adminGroup is {login.admin_group}: where Keycloak's mapper gives full "
            f"paths the group is called /{login.admin_group}, and nobody would be administrator"
        )


def _patterns_with_a_project(registry: RegistrySettings) -> Iterator[str]:
    """Harbor compares repositories of a rule without the project's name."""
    for name, project in registry.projects.items():
        kept = () if project.retention is None else project.retention.keep
        rules = [(f"retention.keep[{index}]", rule) for index, rule in enumerate(kept)]
        rules += [(f"immutableTags[{n}]", rule) for n, rule in enumerate(project.immutable_tags)]
        yield from (
            f"registry.projects.{name}.{key} names {pattern}: a rule names repositories without "
            f"their project, so this is {name}/{pattern}. For {pattern} write "
            f"{pattern.removeprefix(f'{name}/')}"
            for key, rule in rules
            for pattern in (*rule.repositories, *rule.except_repositories)
            if pattern.startswith(f"{name}/")
        )


def _copies_that_may_meet(registry: RegistrySettings) -> Iterator[str]:
    """Patterns with one target. What is sure to meet is refused (registry.cross)."""
    sources: dict[str, tuple[str, str]] = {}
    for name, replication in registry.pulling.items():
        for copy in replication.copies():
            if patterns.is_literal(copy.target):
                continue
            other, source = sources.setdefault(copy.target, (name, copy.source))
            if (other, source) != (name, copy.source):
                yield (
                    f"{name} copies {copy.source} to {copy.target}, as {other} does {source}: of "
                    "two images with one name the later run replaces the earlier's"
                )


def _ends(registry: RegistrySettings) -> Iterator[tuple[str, str]]:
    if registry.cve_allowlist is not None and registry.cve_allowlist.expires is not None:
        yield "registry.cveAllowlist.expires", registry.cve_allowlist.expires
    for kind, projects in (
        ("projects", registry.projects),
        ("proxyCaches", registry.proxy_caches),
    ):
        for name, project in projects.items():
            allowlist = project.cve_allowlist
            if allowlist is not None and allowlist.expires is not None:
                yield f"registry.{kind}.{name}.cveAllowlist.expires", allowlist.expires
