"""The program's side of the plugin: a class of resources for each kind, and the provider.

Logical names and types never change: a changed one is a deleted object in Harbor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import pulumi

PACKAGE = "sovereign-registry"

Texts = pulumi.Input[Sequence[pulumi.Input[str]]]
Object = pulumi.Input[Mapping[str, Any]]


class Provider(pulumi.ProviderResource):
    """Where Harbor is and as whom it is configured. No input is a secret.

    `namespace`: Harbor's. `context`: of the kubeconfig, "" for the current one. `cluster_name`:
    the cluster entry that the context must have, "" for any. `api_url`: https address in place of
    a port-forward, "" for none; `api_ca`: PEM that is trusted for it besides the system's.
    `admin_secret`: Secret with HARBOR_ADMIN_PASSWORD. `account`: short name of the program's own
    system robot, `account_secret`: Secret with its `password`. `robot_prefix`: Harbor's
    robot_name_prefix. `adopt`: objects that differ are taken. `delete_contents`: projects that may
    be deleted with what they hold. `keep_everything`: deleting a resource of this provider leaves
    its object in Harbor.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        admin_secret: pulumi.Input[str],
        account: pulumi.Input[str],
        account_secret: pulumi.Input[str],
        context: str = "",
        cluster_name: str = "",
        api_url: str = "",
        api_ca: str = "",
        robot_prefix: pulumi.Input[str] = "robot$",
        adopt: bool = False,
        delete_contents: Sequence[str] = (),
        keep_everything: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        # Inputs of a provider are texts; the others are written in JSON.
        inputs = {
            "namespace": namespace,
            "context": context,
            "clusterName": cluster_name,
            "apiUrl": api_url,
            "apiCa": api_ca,
            "adminSecret": admin_secret,
            "account": account,
            "accountSecret": account_secret,
            "robotPrefix": robot_prefix,
            "adopt": pulumi.Output.json_dumps(adopt),
            "deleteContents": pulumi.Output.json_dumps(list(delete_contents)),
            "keepEverything": pulumi.Output.json_dumps(keep_everything),
        }
        super().__init__(PACKAGE, name, inputs, opts)


class _Resource(pulumi.CustomResource):
    """`harbor_id`: Harbor's number of the object."""

    def __init__(
        self, kind: str, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions
    ) -> None:
        given = {key: value for key, value in inputs.items() if value is not None}
        # The SDK resolves the properties that it is told of: the outputs without a value.
        super().__init__(
            f"{PACKAGE}:index:{kind}", name, {**dict.fromkeys(self._outputs), **given}, opts
        )

    _outputs: ClassVar[tuple[str, ...]] = ("harborId",)

    @property
    def harbor_id(self) -> pulumi.Output[int]:
        return self._output("harborId")

    def _output(self, name: str) -> pulumi.Output[Any]:
        return cast("dict[str, pulumi.Output[Any]]", self.__dict__)[name]


class Account(_Resource):
    """The program's own system robot, by which all the rest is configured.

    `revision`: of its Secret; a new one sets the password of the Secret anew.
    """

    _outputs = ("harborId", "fullName")

    @property
    def full_name(self) -> pulumi.Output[str]:
        return self._output("fullName")

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        revision: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("Account", resource, {"name": name, "revision": revision}, opts)


class Project(_Resource):
    """A project, or with `endpoint` a proxy cache of that endpoint.

    `quota`: bytes, -1 for no limit. `block_severity`: "" for off. `allowlist`: {items, expires
    (seconds since 1970 or None), useSystem}. `speed_limit`: KB/s, -1 for no limit. `serve_stale`:
    needs Harbor 2.15, None leaves it as it is.
    """

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        public: bool = False,
        scan_on_push: bool = False,
        sbom_on_push: bool = False,
        block_severity: str = "",
        require_cosign: bool = False,
        quota: int = -1,
        allowlist: Object | None = None,
        endpoint: pulumi.Input[str] = "",
        speed_limit: int = -1,
        max_connections: int = -1,
        serve_stale: bool | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "name": name,
            "public": public,
            "scanOnPush": scan_on_push,
            "sbomOnPush": sbom_on_push,
            "blockSeverity": block_severity,
            "requireCosign": require_cosign,
            "quota": quota,
            "allowlist": allowlist,
            "endpoint": endpoint,
            "speedLimit": speed_limit,
            "maxConnections": max_connections,
            "serveStale": serve_stale,
        }
        super().__init__("Project", resource, inputs, opts)


class Endpoint(_Resource):
    """A registry elsewhere, that caches and mirrors read from. `password` is a secret."""

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        type: str,  # noqa: A002
        url: pulumi.Input[str],
        username: pulumi.Input[str] = "",
        password: pulumi.Input[str] | None = None,
        tls_verify: bool = True,
        ca_certificate: pulumi.Input[str] = "",
        description: str = "",
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "name": name,
            "type": type,
            "url": url,
            "username": username,
            "password": _secret(password),
            "tlsVerify": tls_verify,
            "caCertificate": ca_certificate,
            "description": description,
        }
        super().__init__("Endpoint", resource, inputs, opts)


class Robot(_Resource):
    """A robot of the system, or of a project. `secret` is a secret; it is set, never generated.

    `permissions`: [{kind, namespace, access: ["resource:action"]}]. `days`: -1 for never. `prefix`:
    of its login, if the program sets robot_name_prefix; None leaves it to Harbor. Output
    `full_name`: its login; `expires_at`: seconds since 1970, -1 for never.
    """

    _outputs = ("harborId", "fullName", "expiresAt")

    @property
    def full_name(self) -> pulumi.Output[str]:
        return self._output("fullName")

    @property
    def expires_at(self) -> pulumi.Output[int]:
        return self._output("expiresAt")

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        permissions: pulumi.Input[Sequence[Object]],
        secret: pulumi.Input[str],
        project: pulumi.Input[str] = "",
        description: str = "",
        days: int = -1,
        enabled: bool = True,
        prefix: str | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "name": name,
            "project": project,
            "description": description,
            "days": days,
            "enabled": enabled,
            "permissions": permissions,
            "secret": _secret(secret),
            "prefix": prefix,
        }
        super().__init__("Robot", resource, inputs, opts)


class Label(_Resource):
    """A label of a project, or of all projects for ""."""

    def __init__(
        self,
        resource: str,
        *,
        name: pulumi.Input[str],
        project: pulumi.Input[str] = "",
        color: str = "",
        description: str = "",
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {"project": project, "name": name, "color": color, "description": description}
        super().__init__("Label", resource, inputs, opts)


class Member(_Resource):
    """A group or a user with a role in a project.

    `kind`: group or user. `group_type`: 3 for OIDC, 1 for LDAP. `role`: admin, developer, guest,
    maintainer or limitedGuest.
    """

    def __init__(
        self,
        resource: str,
        *,
        project: pulumi.Input[str],
        kind: str,
        name: pulumi.Input[str],
        role: str,
        group_type: int = 3,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "project": project,
            "kind": kind,
            "name": name,
            "groupType": group_type,
            "role": role,
        }
        super().__init__("Member", resource, inputs, opts)


class Webhook(_Resource):
    """What Harbor tells another service about a project.

    `kind`: http or slack. `events`: Harbor's names. `authorization`: a secret, the value of that
    header. `format`: Default or CloudEvents, "" for Harbor's own; none for slack.
    """

    def __init__(
        self,
        resource: str,
        *,
        project: pulumi.Input[str],
        name: str,
        url: pulumi.Input[str],
        events: Sequence[str],
        kind: str = "http",
        authorization: pulumi.Input[str] | None = None,
        format: str = "",  # noqa: A002
        tls_verify: bool = True,
        enabled: bool = True,
        description: str = "",
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "project": project,
            "name": name,
            "url": url,
            "kind": kind,
            "events": list(events),
            "authorization": _secret(authorization),
            "format": format,
            "tlsVerify": tls_verify,
            "enabled": enabled,
            "description": description,
        }
        super().__init__("Webhook", resource, inputs, opts)


class ImmutableTags(_Resource):
    """The rules of a project by which tags are neither moved nor deleted.

    `rules`: [{repositories, repositoriesExcluded, tags, tagsExcluded, enabled}], each a pattern.
    """

    def __init__(
        self,
        resource: str,
        *,
        project: pulumi.Input[str],
        rules: Sequence[Object],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            "ImmutableTags", resource, {"project": project, "rules": list(rules)}, opts
        )


class Retention(_Resource):
    """The rules of a project by which tags are kept; all others are deleted by the schedule.

    `rules`: [{template, number, repositories, repositoriesExcluded, tags, tagsExcluded, untagged}].
    `cron`: six fields, "" for no schedule.
    """

    def __init__(
        self,
        resource: str,
        *,
        project: pulumi.Input[str],
        rules: Sequence[Object],
        cron: str = "",
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {"project": project, "cron": cron, "rules": list(rules)}
        super().__init__("Retention", resource, inputs, opts)


class ReplicationPolicy(_Resource):
    """What is copied from a registry elsewhere (pull), or to it (push).

    `endpoint`: its name. `repositories`, `tags`, `tags_excluded`: one pattern each, "" for all.
    `into`: project or path, "" for the source's. `replace_count`: parts of the path that are
    dropped, -1 for all but the last. `trigger`: manual, onPush or scheduled by `cron` (six fields).
    `speed`: KB/s, 0 for no limit. `run_now`: starts it after it was made or changed.
    `description`: None leaves it as it is.
    """

    def __init__(
        self,
        resource: str,
        *,
        name: str,
        direction: str,
        endpoint: pulumi.Input[str],
        repositories: str = "",
        tags: str = "",
        tags_excluded: str = "",
        labels: Sequence[str] = (),
        into: pulumi.Input[str] = "",
        replace_count: int = 0,
        trigger: str = "manual",
        cron: str = "",
        overwrite: bool = True,
        deletions: bool = False,
        speed: int = 0,
        chunked: bool = False,
        one_at_a_time: bool = False,
        enabled: bool = True,
        run_now: bool = False,
        description: str | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "name": name,
            "direction": direction,
            "endpoint": endpoint,
            "repositories": repositories,
            "tags": tags,
            "tagsExcluded": tags_excluded,
            "labels": list(labels),
            "into": into,
            "replaceCount": replace_count,
            "trigger": trigger,
            "cron": cron,
            "overwrite": overwrite,
            "deletions": deletions,
            "speed": speed,
            "chunked": chunked,
            "oneAtATime": one_at_a_time,
            "enabled": enabled,
            "runNow": run_now,
            "description": description,
        }
        super().__init__("ReplicationPolicy", resource, inputs, opts)


class Configuration(_Resource):
    """Settings of Harbor as a whole, by Harbor's names. They stay as they are on removal.

    `part`: system, login or readOnly. `values`: items that have these values. `defaults`: items
    that get these values where Harbor still has its own default. `secrets`: secret items.
    """

    def __init__(
        self,
        resource: str,
        *,
        part: str,
        values: Object,
        defaults: Object | None = None,
        secrets: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "part": part,
            "values": values,
            "defaults": defaults or {},
            # As a whole: of a value that a preview does not know, the engine keeps no other mark.
            "secrets": pulumi.Output.secret(dict(secrets or {})),
        }
        super().__init__("Configuration", resource, inputs, opts)


class AdminPassword(_Resource):
    """The password of admin. `password` is a secret; it is also in admin's Secret when this is
    made or changed, and those before it are there under `previous`."""

    def __init__(
        self,
        resource: str,
        *,
        password: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("AdminPassword", resource, {"password": _secret(password)}, opts)


class Schedule(_Resource):
    """When a job of Harbor's runs. Removing it removes the schedule.

    `what`: garbageCollection, auditPurge or scanAll. `cron`: six fields, "" for never.
    `parameters`: Harbor's, by its names; scanAll has none. `unstated`: "cron" and parameters that
    are defaults, which change nothing that a person set in Harbor.
    """

    def __init__(
        self,
        resource: str,
        *,
        what: str,
        cron: str,
        parameters: Mapping[str, Any] | None = None,
        unstated: Sequence[str] = (),
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "what": what,
            "cron": cron,
            "parameters": dict(parameters or {}),
            "unstated": list(unstated),
        }
        super().__init__("Schedule", resource, inputs, opts)


class CveAllowlist(_Resource):
    """Vulnerabilities that block no pull. `expires`: seconds since 1970, None for never. Removing
    it empties the list."""

    def __init__(
        self,
        resource: str,
        *,
        items: Sequence[str],
        expires: int | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("CveAllowlist", resource, {"items": list(items), "expires": expires}, opts)


def _secret(value: pulumi.Input[str] | None) -> pulumi.Output[str] | None:
    return None if value is None else pulumi.Output.secret(value)
