"""Whether a database can be made in a CloudNativePG Cluster of the estate: database.create.

The operator would alter a database or a role that exists already to what it is told (DatabaseRole
takes memberships away, Database changes the owner). So one that is not this Sovereign's is refused.
Databases and roles are known as far as the cluster's API says them: by their own objects, by the
Cluster's spec, and by what its status lists of roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.commands import set_value, unset
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.naming import PART_OF, SOVEREIGN_LABEL
from components.settings.database import CreateDatabaseSettings, SharedDatabase
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery

GROUP: Final = "postgresql.cnpg.io"
_API: Final = f"/apis/{GROUP}/v1"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def problems(client: ClusterClient, settings: Settings, stack: str) -> list[str]:
    """Why the database cannot be made there. Raises ClusterUnreachable."""
    section = settings.database
    if not isinstance(section, SharedDatabase) or section.create is None:
        return []
    create = section.create
    missing = _kind_problem(client, section, create, stack) or _right_problem(
        client, section, create, settings, stack
    )
    if missing is not None:
        return [missing]
    home = f"{_API}/namespaces/{create.namespace}"
    cluster: Mapping[str, Any] | None = client.get(f"{home}/clusters/{create.cluster}")
    if not dig(cluster, "spec"):
        return [
            f"sovereign-harbor:database.create.cluster = {create.cluster}: namespace "
            f"{create.namespace} has no such Cluster of CloudNativePG\n"
            "  fix: kubectl get clusters.postgresql.cnpg.io -A shows those that exist; set "
            "database.create.cluster and database.create.namespace to one"
        ]
    databases: list[Mapping[str, Any]] = dig(client.get(f"{home}/databases"), "items") or []
    roles: list[Mapping[str, Any]] = dig(client.get(f"{home}/databaseroles"), "items") or []
    return list(
        taken(
            section,
            create,
            cluster or {},
            databases=databases,
            roles=roles,
            fqdn=settings.fqdn,
            stack=stack,
        )
    )


# --- What the cluster offers ---------------------------------------------------------------------


def _kind_problem(
    client: ClusterClient, section: SharedDatabase, create: CreateDatabaseSettings, stack: str
) -> str | None:
    answer = client.get(_API)
    served: list[Mapping[str, Any]] = dig(answer, "resources") or []
    kinds = {one["kind"] for one in served}
    if "Database" not in kinds:
        return (
            f"sovereign-harbor:database.create: the cluster has no kind Database ({GROUP}/v1), "
            "which CloudNativePG 1.25 or later brings\n"
            f"  fix: have it upgraded (https://cloudnative-pg.io)\n{_by_hand(section, stack)}"
        )
    if create.role and "DatabaseRole" not in kinds:
        return (
            f"sovereign-harbor:database.create: the cluster has no kind DatabaseRole ({GROUP}/v1), "
            "which CloudNativePG 1.30 or later brings, and this program changes no Cluster of "
            f"others\n{_request(section, create, stack)}"
        )
    return None


def _right_problem(
    client: ClusterClient,
    section: SharedDatabase,
    create: CreateDatabaseSettings,
    settings: Settings,
    stack: str,
) -> str | None:
    wanted = [(GROUP, "databases"), (GROUP, "clusters")]
    if create.role:
        wanted += [(GROUP, "databaseroles"), *_of_secrets(settings)]
    lacking = [
        resource
        for group, resource in wanted
        if not _may(
            client, create.namespace, group, resource, "get" if resource == "clusters" else "create"
        )
    ]
    if not lacking:
        return None
    # Whoever may only not make the role and its Secret goes on with a role of the owner's.
    is_role_only = not {"databases", "clusters"} & {*lacking}
    return (
        f"sovereign-harbor:database.create: whoever runs this may not use {', '.join(lacking)} in "
        f"namespace {create.namespace}\n"
        "  fix: have the rights granted there (docs/howto/shared-database.md#rights)\n"
        + (_request(section, create, stack, "  or") if is_role_only else _by_hand(section, stack))
    )


def _of_secrets(settings: Settings) -> list[tuple[str, str]]:
    """API group and resource of what brings the role's Secret into the Cluster's namespace."""
    if isinstance(settings.secrets, ExternalDelivery):
        external = [("external-secrets.io", each) for each in ("externalsecrets", "pushsecrets")]
        return [*external, ("", "secrets")]
    return [("bitnami.com", "sealedsecrets")]


def _may(client: ClusterClient, namespace: str, group: str, resource: str, verb: str) -> bool:
    attributes = {"namespace": namespace, "group": group, "resource": resource, "verb": verb}
    review = client.post(
        _REVIEWS,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    return bool(dig(review, "status", "allowed"))


def _request(
    section: SharedDatabase, create: CreateDatabaseSettings, stack: str, begins: str = "  fix:"
) -> str:
    """What to ask of the Cluster's owner, and how to go on then."""
    secret = create.secret_name(section.name)
    return (
        f"{begins} ask the owner of Cluster {create.cluster} for the role, in namespace "
        f"{create.namespace}:\n"
        f"       kubectl create secret generic {secret} -n {create.namespace} "
        f"--type kubernetes.io/basic-auth --from-literal=username={section.username} "
        "--from-file=password=<file>\n"
        f"       and in the spec of Cluster {create.cluster}:\n"
        "         managed:\n"
        "           roles:\n"
        f"             - name: {section.username}\n"
        "               ensure: present\n"
        "               login: true\n"
        f"               passwordSecret: {{name: {secret}}}\n"
        "       and then go on with it:\n"
        f"       {set_value('database.create.role', 'false', stack)}\n"
        f"       {set_value('database.secret.namespace', create.namespace, stack)}\n"
        f"       {set_value('database.secret.name', secret, stack)}"
    )


def _by_hand(section: SharedDatabase, stack: str) -> str:
    return (
        f"  or ask the Cluster's owner for database {section.name} and its role "
        f"{section.username}; then name its Secret in database.secret, the host in database.host, "
        f"and {unset('database.create', stack)}"
    )


# --- What lives there ----------------------------------------------------------------------------


def taken(
    section: SharedDatabase,
    create: CreateDatabaseSettings,
    cluster: Mapping[str, Any],
    *,
    databases: list[Mapping[str, Any]],
    roles: list[Mapping[str, Any]],
    fqdn: str,
    stack: str,
) -> Iterator[str]:
    """Why database and role are somebody else's. `cluster`: the Cluster; `databases` and `roles`:
    the objects Database and DatabaseRole of its namespace. Pure."""
    name = create.object_name(section.name)
    initdb: Mapping[str, Any] = dig(cluster, "spec", "bootstrap", "initdb") or {}
    other = _others(databases, section.name, create.cluster, name, fqdn)
    if other is None and initdb.get("database") == section.name:
        other = f"the Cluster's own (spec.bootstrap.initdb) of role {initdb.get('owner')}"
    if other is not None:
        yield (
            f"sovereign-harbor:database.name = {section.name}: Cluster {create.cluster} has that "
            f"database already, and it is not this Sovereign's: {other}\n"
            f"  fix: another name: {set_value('database.name', '<name>', stack)}\n"
            f"{_keep(create, stack, databases, name)}"
        )
    if not create.role:
        return
    other = _others(roles, section.username, create.cluster, name, fqdn)
    is_ours = any(_is(one, name) and _is_ours(one, fqdn) for one in (*databases, *roles))
    if other is None:
        other = _of_cluster(cluster, section.username, is_ours=is_ours)
    if other is not None:
        yield (
            f"sovereign-harbor:database.username = {section.username}: Cluster {create.cluster} "
            f"has that role already, and it is not this Sovereign's: {other}. The operator would "
            "change its password, its memberships and its limits\n"
            f"  fix: another role: {set_value('database.username', '<role>', stack)}\n"
            "  or use that one as it is: "
            f"{set_value('database.create.role', 'false', stack)}, and name its Secret in "
            "database.secret"
        )


def _others(
    objects: list[Mapping[str, Any]], in_postgres: str, cluster: str, name: str, fqdn: str
) -> str | None:
    """The object of somebody else under the name of ours, or for what ours is for."""
    for one in objects:
        is_same = (dig(one, "spec", "name"), dig(one, "spec", "cluster", "name")) == (
            in_postgres,
            cluster,
        )
        if (is_same or _is(one, name)) and not (_is(one, name) and _is_ours(one, fqdn)):
            labels: Mapping[str, str] = dig(one, "metadata", "labels") or {}
            of = labels.get(SOVEREIGN_LABEL)
            whose = f", of Sovereign {of}" if of else ""
            return f"{one.get('kind') or 'object'} {one['metadata']['name']}{whose}"
    return None


def _is(one: Mapping[str, Any], name: str) -> bool:
    return bool(one["metadata"]["name"] == name)


def _is_ours(one: Mapping[str, Any], fqdn: str) -> bool:
    labels: Mapping[str, str] = dig(one, "metadata", "labels") or {}
    return labels.get(PART_OF[0]) == PART_OF[1] and labels.get(SOVEREIGN_LABEL) == fqdn


def _of_cluster(cluster: Mapping[str, Any], role: str, *, is_ours: bool) -> str | None:
    """Where the Cluster itself says that the role is there."""
    managed: list[Mapping[str, Any]] = dig(cluster, "spec", "managed", "roles") or []
    if any(one.get("name") == role for one in managed):
        return "the Cluster manages it (spec.managed.roles)"
    if dig(cluster, "spec", "bootstrap", "initdb", "owner") == role:
        return "the owner of the Cluster's own database (spec.bootstrap.initdb)"
    if is_ours:
        return None
    by_status: Mapping[str, list[str]] = (
        dig(cluster, "status", "managedRolesStatus", "byStatus") or {}
    )
    for state, names in by_status.items():
        if role in names:
            return f"the Cluster's status lists it as {state}"
    return None


def _keep(
    create: CreateDatabaseSettings, stack: str, databases: list[Mapping[str, Any]], name: str
) -> str:
    """The way out where the database is meant all the same."""
    as_it_is = (
        "  or use that one as it is, with its own role: name its Secret in database.secret, its "
        f"role in database.username, and {unset('database.create', stack)}"
    )
    if not any(_is(one, name) for one in databases):
        return as_it_is
    return (
        f"{as_it_is}\n"
        "  or, if this Sovereign had another FQDN before, say so in the cluster: kubectl label "
        f"database.postgresql.cnpg.io {name} -n {create.namespace} "
        f"{SOVEREIGN_LABEL}=<fqdn> --overwrite"
    )
