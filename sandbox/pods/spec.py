"""A container of a Pod, resolved as a kubelet resolves it: environment, command, mounts."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.pods.images import Runnable

Manifest = Mapping[str, Any]
Lookup = Callable[[str, str, str], Manifest | None]
"""(kind in the plural, namespace, name) → the object; None if it does not exist."""

PATH = "/sandbox/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotYet(Exception):
    """What a container needs is missing; the kubelet tries again. The text is what is missing."""


@dataclass(frozen=True)
class Mount:
    """`source`: here. `target`: in the container. Both absolute."""

    source: Path
    target: str
    read_only: bool


def environment(pod: Manifest, container: Manifest, lookup: Lookup) -> dict[str, str]:
    """All variables. Raises NotYet."""
    namespace = pod["metadata"]["namespace"]
    variables: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        prefix = source.get("prefix", "")
        for kind, reference in (
            ("secrets", source.get("secretRef")),
            ("configmaps", source.get("configMapRef")),
        ):
            if reference is not None:
                content = _content(kind, namespace, reference, lookup)
                variables |= {f"{prefix}{key}": each.decode() for key, each in content.items()}
    for variable in container.get("env", ()):
        value = _value(pod, container, variable, lookup)
        if value is not None:
            variables[variable["name"]] = expanded(value, variables)
    own = {"PATH": PATH, "HOSTNAME": pod["metadata"]["name"], "HOME": "/"}
    return {**own, **variables}


def _value(pod: Manifest, container: Manifest, variable: Manifest, lookup: Lookup) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return variable.get("value", "")
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        section, _, resource = source["resourceFieldRef"]["resource"].partition(".")
        return str(container.get("resources", {}).get(section, {}).get(resource, "0"))
    kind, reference = next(
        (kind, source[name])
        for name, kind in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps"))
        if name in source
    )
    content = _content(kind, pod["metadata"]["namespace"], reference, lookup)
    if reference["key"] not in content:
        if reference.get("optional"):
            return None
        raise NotYet(f"no key {reference['key']} in {kind[:-1]} {reference['name']}")
    return content[reference["key"]].decode()


def field(pod: Manifest, path: str) -> str:
    """A field as the downward API writes it."""
    bracket = re.fullmatch(r"(metadata\.(?:labels|annotations))\['(.+)'\]", path)
    steps = [*bracket[1].split("."), bracket[2]] if bracket else path.split(".")
    value: Any = pod
    for step in steps:
        value = value.get(step, "") if isinstance(value, Mapping) else ""
    if isinstance(value, Mapping):
        return "\n".join(f'{key}="{each}"' for key, each in sorted(value.items()))
    return str(value)


def _content(kind: str, namespace: str, reference: Manifest, lookup: Lookup) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap. Raises NotYet where it is missing, unless optional."""
    found = lookup(kind, namespace, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise NotYet(f"{kind[:-1]} {reference['name']} not found")
    encoded = dict(found.get("binaryData") or {})
    plain = found.get("data") or {}
    if kind == "secrets":
        encoded |= plain
        plain = {}
    return {
        **{key: value.encode() for key, value in plain.items()},
        **{key: base64.b64decode(value) for key, value in encoded.items()},
    }


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """$(NAME) replaced; $$(NAME) is $(NAME), an unknown name stays."""

    def replaced(matched: re.Match[str]) -> str:
        if matched[0].startswith("$$"):
            return matched[0][1:]
        return variables.get(matched[1], matched[0])

    return re.sub(r"\$?\$\(([^()]+)\)", replaced, text)


def command(container: Manifest, variables: Mapping[str, str], runnable: Runnable) -> list[str]:
    """command and args; the image's entrypoint where the Pod has no command."""
    own = container.get("command")
    words = [*(own if own else runnable.entrypoint), *container.get("args", ())]
    return [expanded(word, variables) for word in words]


def user(pod: Manifest, container: Manifest, runnable: Runnable) -> tuple[int, int]:
    """Ids of user and group: of the container, else of the Pod, else those of the image."""
    contexts = (container.get("securityContext", {}), pod["spec"].get("securityContext", {}))
    user = next((each["runAsUser"] for each in contexts if "runAsUser" in each), runnable.user)
    return user, next((each["runAsGroup"] for each in contexts if "runAsGroup" in each), user)


def mounts(
    pod: Manifest, container: Manifest, folder: Path, volumes: Path, lookup: Lookup
) -> list[Mount]:
    """What is mounted, written to `folder`, which is the Pod's own and private.

    A claim's data is in `volumes`, by the name of its PersistentVolume. Raises NotYet.
    """
    made: list[Mount] = []
    by_name = {each["name"]: each for each in pod["spec"].get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        source = _volume(pod, by_name[mount["name"]], folder / mount["name"], volumes, lookup)
        part = mount.get("subPath")
        if part:
            source = source / part
            if not source.exists():
                source.mkdir(parents=True)
        made.append(Mount(source, mount["mountPath"], bool(mount.get("readOnly"))))
    return sorted(made, key=lambda each: each.target)


def _volume(pod: Manifest, volume: Manifest, folder: Path, volumes: Path, lookup: Lookup) -> Path:
    claim = volume.get("persistentVolumeClaim")
    if claim is not None:
        found = lookup("persistentvolumeclaims", pod["metadata"]["namespace"], claim["claimName"])
        name = (found or {}).get("spec", {}).get("volumeName")
        if not name:
            raise NotYet(f"persistentvolumeclaim {claim['claimName']} is not bound")
        folder = volumes / name
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if is_new or claim is None:
        for path, (data, mode) in _files(pod, volume, lookup):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(data)
            file.chmod(mode)
    return folder


def _files(
    pod: Manifest, volume: Manifest, lookup: Lookup
) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """Path → content and mode, of a volume made of objects; nothing for an empty folder.

    A projected token of a ServiceAccount is left out: nothing that runs here asks the API server.
    """
    namespace = pod["metadata"]["namespace"]
    projected: Manifest | None = volume.get("projected")
    sources: list[Any] = projected.get("sources", []) if projected else [volume]
    for source in sources:
        mode: int = (projected or {}).get("defaultMode", 0o644)
        for kind, key in (("secrets", "secret"), ("configmaps", "configMap")):
            if key not in source:
                continue
            part: Manifest = source[key]
            reference = {**part, "name": part.get("secretName") or part["name"]}
            content = _content(kind, namespace, reference, lookup)
            mode = part.get("defaultMode", mode)
            every = [{"key": each, "path": each} for each in content]
            items: list[Any] = part.get("items") or every
            for item in items:
                if item["key"] in content:
                    yield item["path"], (content[item["key"]], item.get("mode", mode))
                elif not reference.get("optional"):
                    raise NotYet(f"no key {item['key']} in {kind[:-1]} {reference['name']}")
        for item in source.get("downwardAPI", {}).get("items", ()):
            if "fieldRef" in item:
                text = field(pod, item["fieldRef"]["fieldPath"])
                yield item["path"], (text.encode(), item.get("mode", mode))
