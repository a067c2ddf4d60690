"""Whether the Service that database.host names leads Harbor to the primary, one connection each.

CloudNativePG names its Services after the Cluster (-rw, -ro, -r), and that of a Pooler after the
Pooler. Hosts outside the cluster, and Services of other software, are not judged.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pulumi

from components.commands import set_value
from components.kubernetes.client import ClusterClient, dig
from components.kubernetes.unreachable import ClusterUnreachable
from components.settings.database import SESSIONS_BREAK, SharedDatabase
from components.settings.model import Settings

_API: Final = "/apis/postgresql.cnpg.io/v1"
_STANDBYS: Final = ("-ro", "-r")


def problems(client: ClusterClient, settings: Settings, stack: str) -> Iterator[str]:
    """Why Harbor would not work over that host. Raises ClusterUnreachable.

    Who may not read these kinds is told that nobody looked: many an estate lets nobody.
    """
    section = settings.database
    if not isinstance(section, SharedDatabase):
        return
    service = service_of(section.host, settings.harbor.namespace)
    if service is None:
        return
    name, namespace = service
    home = f"{_API}/namespaces/{namespace}"
    try:
        pooler = client.get(f"{home}/poolers/{name}")
        if dig(pooler, "spec"):
            yield from pooler_problems(pooler, section.host, stack)
            return
        for suffix in _STANDBYS:
            cluster = name.removesuffix(suffix)
            if cluster != name and dig(client.get(f"{home}/clusters/{cluster}"), "spec"):
                yield read_only(section.host, f"{cluster}-rw", stack)
                return
    except ClusterUnreachable as error:
        if error.status != 403:
            raise
        pulumi.log.info(
            f"whether {section.host} is a pooler or a read-only Service of CloudNativePG was not "
            f"looked at: {error}"
        )


def service_of(host: str, namespace: str) -> tuple[str, str] | None:
    """Name and namespace of the Service behind a host; None where it is none. Pure.

    `namespace`: of the pods that use it.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return None
    match host.removesuffix(".").split("."):
        case [name]:
            return name, namespace
        case [name, space] | [name, space, "svc", *_]:
            return name, space
        case _:
            return None


def pooler_problems(pooler: Mapping[str, Any], host: str, stack: str) -> Iterator[str]:
    """Why Harbor cannot work over a Pooler (postgresql.cnpg.io/v1). Pure."""
    mode: str = dig(pooler, "spec", "pgbouncer", "poolMode") or "session"
    cluster: str = dig(pooler, "spec", "cluster", "name") or "<cluster>"
    kind: str = dig(pooler, "spec", "type") or "rw"
    direct = _beside(host, f"{cluster}-rw")
    if mode != "session":
        yield (
            f"sovereign-harbor:database.host = {host}: this is a Pooler of CloudNativePG in "
            f"{mode} mode (spec.pgbouncer.poolMode). {SESSIONS_BREAK}\n"
            "  fix: the server itself, by its read-write Service: "
            f"{set_value('database.host', direct, stack)}\n"
            "  or a Pooler of its own for Harbor, in session mode, and "
            f"{set_value('database.poolMode', 'session', stack)}"
        )
    elif kind in ("ro", "r"):
        yield read_only(host, f"{cluster}-rw", stack)


def read_only(host: str, service: str, stack: str) -> str:
    """The message about a host that leads to standbys; `service`: the one of the primary."""
    return (
        f"sovereign-harbor:database.host = {host}: this Service of CloudNativePG leads to servers "
        "that take no writes, and Harbor writes at its first start\n"
        f"  fix: {set_value('database.host', _beside(host, service), stack)}"
    )


def _beside(host: str, service: str) -> str:
    """The host of another Service in the same namespace."""
    _, dot, rest = host.partition(".")
    return f"{service}{dot}{rest}"
