"""A Harbor that runs, read from the objects that the chart, or somebody's own manifests, made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from components import parsed
from components.harbor_inputs import RELEASE
from components.kubernetes.client import ClusterClient, dig, secret_value
from components.kubernetes.unreachable import ClusterUnreachable

OVERWRITE: Final = "CONFIG_OVERWRITE_JSON"
"""Variable of core, which the chart's core.configureUserSettings and core.extraEnvVars set."""

KEY_FILE: Final = "/etc/core/key"
"""Where core reads its secretKey (KEY_PATH in src/lib/config/config.go of Harbor)."""
CHARTS_ENTRY: Final = "secretKey"
"""Entry of the chart's Secret with it."""


@dataclass(frozen=True, kw_only=True)
class RunningHarbor:
    """`key_secret`: Secret from which core reads its secretKey, "" if it mounts none; `key_entry`:
    the entry of that Secret; `key`: the secretKey itself, "" if missing.

    `store`: where the registry keeps blobs: the options of its storage driver. `locks_settings`:
    whether core has CONFIG_OVERWRITE_JSON in its environment.
    """

    address: str
    key_secret: str
    key_entry: str = CHARTS_ENTRY
    key: str = field(repr=False)
    database_host: str
    database_name: str
    store: Mapping[str, Any]
    locks_settings: bool = False


def running_harbor(client: ClusterClient, namespace: str) -> RunningHarbor | None:
    """The Harbor of that namespace; None when there is none. Raises ClusterUnreachable."""
    apps, core = f"/apis/apps/v1/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    deployment = client.get(f"{apps}/deployments/{RELEASE}-core")
    if not deployment:
        return None
    key_secret, key_entry = _key_source(dig(deployment, "spec", "template", "spec") or {})
    settings: dict[str, str] = dig(client.get(f"{core}/configmaps/{RELEASE}-core"), "data") or {}
    registry = dig(client.get(f"{core}/configmaps/{RELEASE}-registry"), "data", "config.yml")
    return RunningHarbor(
        address=settings.get("EXT_ENDPOINT", ""),
        key_secret=key_secret,
        key_entry=key_entry,
        key=_key(client, namespace, key_secret, key_entry),
        database_host=settings.get("POSTGRESQL_HOST", ""),
        database_name=settings.get("POSTGRESQL_DATABASE", ""),
        store=_store(_configuration(registry or "", f"{namespace}/{RELEASE}-registry")),
        locks_settings=OVERWRITE in settings or OVERWRITE in _environment(deployment),
    )


def _environment(deployment: Mapping[str, Any]) -> set[str]:
    """Names of the variables of a Deployment's containers."""
    names: set[str] = set()
    containers: list[dict[str, Any]] = (
        dig(deployment, "spec", "template", "spec", "containers") or []
    )
    for container in containers:
        variables: list[dict[str, Any]] = container.get("env") or []
        names |= {str(variable["name"]) for variable in variables}
    return names


def _key_source(pod: Mapping[str, Any]) -> tuple[str, str]:
    """The Secret, and its entry, that core finds at KEY_FILE; "" without such a Secret.

    The chart's volume is `secret-key`. Others name theirs as they like; the path is Harbor's.
    """
    containers: list[dict[str, Any]] = pod.get("containers") or []
    mounts: list[list[dict[str, str]]] = [each.get("volumeMounts") or [] for each in containers]
    paths = {
        mount["name"]: mount.get("subPath", "")
        for of_container in mounts
        for mount in of_container
        if mount.get("mountPath") == KEY_FILE
    }
    volumes: list[dict[str, Any]] = pod.get("volumes") or []
    for volume in volumes:
        name, secret = volume["name"], dig(volume, "secret", "secretName")
        if secret is None or name not in (paths or {"secret-key"}):
            continue
        items: list[dict[str, str]] = dig(volume, "secret", "items") or []
        path = paths.get(name, "")
        whole = path if path and not items else CHARTS_ENTRY
        return secret, next((item["key"] for item in items if item["path"] == path), whole)
    return "", CHARTS_ENTRY


def _key(client: ClusterClient, namespace: str, secret: str, entry: str) -> str:
    if not secret:
        return ""
    return secret_value(client, namespace=namespace, name=secret, key=entry) or ""


def _configuration(text: str, of: str) -> Mapping[str, Any]:
    """The registry's configuration. Raises ClusterUnreachable, as nothing can be said of it."""
    try:
        return _object(parsed.yaml_of(text))
    except ValueError:
        # The parser's words could quote a key of the storage.
        raise ClusterUnreachable(f"ConfigMap {of}: config.yml is no YAML") from None


def _store(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of the one driver among the sections of `storage` (distribution's configuration)."""
    sections: Any = configuration.get("storage")
    for name, options in _object(sections).items():
        if name not in ("cache", "delete", "maintenance", "redirect", "tag"):
            return _object(options)
    return {}


def _object(value: Any) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
