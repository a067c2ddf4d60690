"""A container as a kubelet resolves it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from sandbox.pods import spec
from sandbox.pods.images import Runnable
from sandbox.pods.spec import NotYet

OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("secrets", "login"): {"data": {"password": base64.b64encode(b"hush").decode()}},
    ("configmaps", "config"): {"data": {"level": "info", "config.yml": "version: 0.1"}},
    ("persistentvolumeclaims", "data"): {"spec": {"volumeName": "volume-7"}},
}
POD: dict[str, Any] = {
    "metadata": {
        "name": "cache-0",
        "namespace": "harbor",
        "labels": {"app": "cache"},
        "annotations": {"of/revision": "3"},
    },
    "spec": {"securityContext": {"runAsUser": 999}},
    "status": {"podIP": "10.244.0.3"},
}
IMAGE = Runnable("valkey/valkey", {"valkey-server": "/bin/true"}, ("valkey-server",), user=7)


def lookup(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    assert namespace == "harbor"
    return OBJECTS.get((kind, name))


def secret(key: str = "password", name: str = "login", **more: Any) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ({"value": "plain"}, "plain"),
        ({}, ""),
        (secret(), "hush"),
        ({"valueFrom": {"configMapKeyRef": {"name": "config", "key": "level"}}}, "info"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, "cache-0"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, "10.244.0.3"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}, "cache"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['of/revision']"}}}, "3"),
        ({"valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}, "1Gi"),
        ({"value": "at $(FIRST), $(NOBODY), $$(FIRST)"}, "at one, $(NOBODY), $(FIRST)"),
        (secret("unheard-of", optional=True), None),
    ],
)
def test_a_variable_has_the_value_that_the_pod_names(variable: dict[str, Any], value: str) -> None:
    container = {
        "resources": {"limits": {"memory": "1Gi"}},
        "env": [{"name": "FIRST", "value": "one"}, {"name": "IT", **variable}],
    }
    assert spec.environment(POD, container, lookup).get("IT") == value


def test_whole_secrets_are_variables_and_single_ones_win() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "login"}, "prefix": "MY_"},
                    {"configMapRef": {"name": "none", "optional": True}}],
        "env": [{"name": "HOME", "value": "/data"}],
    }  # fmt: skip
    variables = spec.environment(POD, container, lookup)
    assert variables["MY_password"] == "hush"
    assert variables["HOME"] == "/data"
    assert variables["HOSTNAME"] == "cache-0"


@pytest.mark.parametrize(
    ("variable", "missing"),
    [
        (secret(name="nobody"), "secret nobody not found"),
        (secret("unheard-of"), "no key unheard-of in secret login"),
    ],
)
def test_a_container_waits_for_what_is_missing(variable: dict[str, Any], missing: str) -> None:
    with pytest.raises(NotYet, match=missing):
        spec.environment(POD, {"env": [{"name": "IT", **variable}]}, lookup)


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({}, ["valkey-server"]),
        ({"args": ["--port", "$(PORT)"]}, ["valkey-server", "--port", "1"]),
        ({"command": ["sh", "-c", "exec it"]}, ["sh", "-c", "exec it"]),
        ({"command": ["it"], "args": ["$(PORT)"]}, ["it", "1"]),
    ],
)
def test_command_and_args_are_the_pods(container: dict[str, Any], words: list[str]) -> None:
    assert spec.command(container, {"PORT": "1"}, IMAGE) == words


def test_a_process_runs_as_the_user_of_the_container_the_pod_or_the_image() -> None:
    own = {"securityContext": {"runAsUser": 5, "runAsGroup": 6}}
    assert spec.user(POD, own, IMAGE) == (5, 6)
    assert spec.user(POD, {}, IMAGE) == (999, 999)
    assert spec.user({**POD, "spec": {}}, {}, IMAGE) == (7, 7)


def mounts(tmp_path: Path, volume: dict[str, Any], **mount: Any) -> list[spec.Mount]:
    pod = {**POD, "spec": {"volumes": [{"name": "it", **volume}]}}
    container = {"volumeMounts": [{"name": "it", "mountPath": "/there", **mount}]}
    return spec.mounts(pod, container, tmp_path / "own", tmp_path / "volumes", lookup)


def test_a_secret_is_a_file_that_only_its_owner_reads_before_it_has_its_mode(
    tmp_path: Path,
) -> None:
    items = [{"key": "password", "path": "in/passwd"}]
    volume = {"secret": {"secretName": "login", "items": items, "defaultMode": 0o400}}
    (mount,) = mounts(tmp_path, volume, readOnly=True)
    file = mount.source / "in" / "passwd"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("hush", 0o400)
    assert mount.read_only
    assert mounts(tmp_path, volume)[0].source == mount.source  # a second container's


def test_a_part_of_a_config_map_is_mounted_as_a_file(tmp_path: Path) -> None:
    volume = {"configMap": {"name": "config"}}
    (mount,) = mounts(tmp_path, volume, subPath="config.yml")
    assert mount.source.read_text() == "version: 0.1"
    assert mount.target == "/there"


def test_projected_volumes_have_files_of_all_sources_but_tokens(tmp_path: Path) -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "config"}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    (mount,) = mounts(tmp_path, {"projected": {"sources": sources}})
    assert sorted(each.name for each in mount.source.iterdir()) == ["config.yml", "level", "name"]


def test_the_data_of_a_claim_stays_where_its_volume_is(tmp_path: Path) -> None:
    volume = {"persistentVolumeClaim": {"claimName": "data"}}
    (mount,) = mounts(tmp_path, volume)
    assert mount.source == tmp_path / "volumes" / "volume-7"
    (mount,) = mounts(tmp_path, volume, subPath="sub")
    assert mount.source.is_dir()
    with pytest.raises(NotYet, match="other is not bound"):
        mounts(tmp_path, {"persistentVolumeClaim": {"claimName": "other"}})
