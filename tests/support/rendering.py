"""Rendering charts and reading what they render. Nothing here knows this project's values."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import ROOT
from toolchain import build

STAND_IN = ROOT / "offline" / "harbor-chart"
REAL = os.environ.get("HARBOR_CHART")
CHART = REAL or str(STAND_IN)
"""The chart at hand."""
REAL_NEXT = os.environ.get("HARBOR_CHART_NEXT")
"""goharbor's chart of the newest line, where it is at hand."""

Values = Mapping[str, Any]
Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""(kind, name) → object."""


@cache
def tool(name: str) -> Path | None:
    """A tool of the sandbox, from PATH or from the cache. None rather than a build of minutes."""
    tools = build.selected([name])
    on_path = build.clis_on_path(tools)
    if any(build.is_needed(tool, on_path) and not tool.cached().exists() for tool in tools):
        return None
    return build.ensure([name], report=lambda _: None).path(name)


def needs(name: str) -> pytest.MarkDecorator:
    """Skips tests on a machine where the tool was never built."""
    return pytest.mark.skipif(
        tool(name) is None,
        reason=f"{name} is neither on PATH nor built: python3 -m toolchain build {name}",
    )


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm in the project's folder, as the program does; values go to its stdin."""
    return subprocess.run(
        [str(tool("helm")), *arguments],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def helm_template(
    chart: str | Path, values: Values, *more: str
) -> subprocess.CompletedProcess[str]:
    arguments = ("template", "harbor", str(chart), "-n", "registry", "--values", "-", *more)
    return helm(*arguments, values=values)


@cache
def _rendered(chart: str, values: str, more: tuple[str, ...]) -> str:
    run = helm_template(chart, json.loads(values), *more)
    assert run.returncode == 0, run.stderr
    return run.stdout


def rendered(values: Values | None, chart: str | Path, *more: str) -> str:
    """The manifests; each set of values is rendered once per session."""
    return _rendered(str(chart), json.dumps(values or {}, sort_keys=True), more)


def parsed(manifests: str) -> Objects:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: Objects = {}
    for item in yaml.load_all(manifests, Loader=loader):
        if item:
            key = (item["kind"], item["metadata"]["name"])
            assert key not in found, f"{key} is rendered twice"
            found[key] = item
    return found


def documents(manifests: str) -> list[str]:
    """The text of each manifest that is not empty."""
    parts = re.split(r"^---.*$", manifests, flags=re.MULTILINE)
    return [part for part in parts if re.search(r"^[^#\s]", part, re.MULTILINE)]


def as_helm_reads(texts: list[str], folder: Path) -> list[Any]:
    """The values in YAML documents according to Helm's own parser, which Kubernetes shares.

    Python's parser reads the same text differently: 1e3, y, 12:30 and more.
    """
    (folder / "templates").mkdir(parents=True)
    (folder / "documents").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: reader\nversion: 0.0.0\n")
    (folder / "templates" / "all.yaml").write_text(
        '{{ range $path, $_ := .Files.Glob "documents/*" }}'
        '{{ printf "read: %s\\n---\\n" (dict "as" ($.Files.Get $path | fromYaml) | toJson) }}'
        "{{ end }}"
    )
    for number, text in enumerate(texts):
        (folder / "documents" / f"{number:04}").write_text(text)
    run = helm("template", "reader", str(folder))
    assert run.returncode == 0, run.stderr
    lines = re.findall(r"^read: (.*)$", run.stdout, re.MULTILINE)
    assert len(lines) == len(texts)
    return [json.loads(line)["as"] for line in lines]


def merged(*layers: Values) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = out.get(key)
            if isinstance(old, Mapping) and isinstance(value, Mapping):
                value = merged(old, value)
            out[key] = value
    return out


def names(found: Objects, kind: str) -> set[str]:
    return {name for of, name in found if of == kind}


def pods(found: Objects) -> dict[str, Object]:
    """Component → pod template of its workload."""
    return {
        item["spec"]["template"]["metadata"]["labels"]["component"]: item["spec"]["template"]
        for (kind, _), item in found.items()
        if kind in ("Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob")
    }


def containers_of(pod: Object) -> list[Object]:
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


def containers(found: Objects) -> Iterator[tuple[str, Object]]:
    """(name of the workload, container) of every workload."""
    for (kind, name), item in found.items():
        if kind in ("Deployment", "StatefulSet"):
            for one in containers_of(item["spec"]["template"]):
                yield name, one


def container(found: Objects, name: str) -> Object:
    (one,) = [one for _, one in containers(found) if one["name"] == name]
    return one


def environment_of(one: Object) -> dict[str, Object]:
    """Variable → its entry. A variable that stands there twice fails."""
    variables = one.get("env") or []
    by_name = {entry["name"]: entry for entry in variables}
    assert len(by_name) == len(variables), f"{one['name']} has a variable twice"
    return by_name


@dataclass(frozen=True)
class SecretReference:
    """What a pod reads of a Secret; `key` None: all of it."""

    name: str
    key: str | None
    how: str


def secret_references(pod: Object) -> Iterator[SecretReference]:
    """Every Secret reference of a pod: variables, volumes, pull secrets."""
    spec = pod["spec"]
    for one in containers_of(pod):
        for variable in one.get("env") or []:
            if of := (variable.get("valueFrom") or {}).get("secretKeyRef"):
                yield SecretReference(of["name"], of["key"], f"env {variable['name']}")
        for source in one.get("envFrom") or []:
            if of := source.get("secretRef"):
                yield SecretReference(of["name"], None, "envFrom")
    for volume in spec.get("volumes") or []:
        sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
        for source in sources:
            if of := source.get("secret"):
                secret = of.get("secretName") or of["name"]
                how = f"volume {volume['name']}"
                if not of.get("items"):
                    yield SecretReference(secret, None, how)
                for item in of.get("items") or []:
                    yield SecretReference(secret, item["key"], how)
    for pull in spec.get("imagePullSecrets") or []:
        yield SecretReference(pull["name"], ".dockerconfigjson", "imagePullSecrets")


def secret_text(found: Objects, name: str) -> dict[str, str]:
    data = found["Secret", name].get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def texts(found: Objects) -> Iterator[tuple[str, str]]:
    """(where, text) for every key and value in all objects; data of Secrets decoded."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, Mapping):
            for key, value in node.items():
                yield path, str(key)
                yield from walk(value, f"{path}.{key}")
        elif isinstance(node, list):
            for value in node:
                yield from walk(value, path)
        else:
            yield path, str(node)

    for (kind, name), item in found.items():
        if kind == "Secret":
            item = {**item, "data": secret_text(found, name)}
        yield from walk(item, f"{kind}/{name}")


def registry_config(found: Objects, name: str = "harbor-registry") -> Object:
    return yaml.safe_load(found["ConfigMap", name]["data"]["config.yml"])


def registry_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a registry process beside that of this one."""
    return {**os.environ, "REGISTRY_REDIS_PASSWORD": "secret", **variables}


def parse_by_registry(
    config: str, folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """The registry's own reading of its file; it prints the kind of storage."""
    (folder / "config.yml").write_text(config)
    return subprocess.run(
        [str(tool("registry")), "parse", str(folder / "config.yml")],
        env=registry_environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )
