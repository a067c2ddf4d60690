"""Valkey of the Sovereign's own: one instance, password, append-only file, no eviction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import pulumi

from components.context import Context
from components.data_services.pods import placement
from components.harbor_inputs import VALKEY_PASSWORD_KEY, Cache, cache_secret
from components.images import valkey_image
from components.kubernetes.naming import FIELD_MANAGER
from components.kubernetes.objects import KubernetesObject
from components.kubernetes.quantities import requests_and_limits
from components.ordering import after
from components.sealing.seal import Minted
from components.settings.harbor import IpFamily
from components.settings.valkey import DedicatedValkey

NAME: Final = "harbor-valkey"
SECRET: Final = f"{NAME}-credentials"
PORT: Final = 6379
UID: Final = 999
"""User valkey of the official image."""


@dataclass(frozen=True, kw_only=True)
class ValkeyArgs:
    """`password` is a secret output. `minted`: of it; None where somebody gave it.
    `image_registry`: the setting."""

    settings: DedicatedValkey
    password: pulumi.Input[str]
    context: Context
    minted: Minted | None = None
    ip_family: IpFamily = field(default_factory=IpFamily)
    image_registry: str | None = None


class Valkey(pulumi.ComponentResource):
    """The server. `cache` is known once the pod is Ready and the Secret is unsealed."""

    cache: pulumi.Output[Cache]
    revision: pulumi.Output[str]

    def __init__(
        self, name: str, args: ValkeyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Valkey", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        secret = args.context.sealed(
            f"{name}-credentials",
            SECRET,
            cache_secret_data(_cache(SECRET), args.password),
            parent=self,
            minted=args.minted and replace(args.minted, keys=(VALKEY_PASSWORD_KEY,)),
        )
        metadata: Any = {
            "name": NAME,
            "namespace": args.context.namespace,
            "labels": args.context.labels("cache"),
            "annotations": FIELD_MANAGER,
        }
        service: Any = {
            "selector": _selector(),
            "ports": [{"name": "valkey", "port": PORT, "targetPort": "valkey"}],
        }
        if args.ip_family.policy is not None:
            service["ipFamilyPolicy"] = args.ip_family.policy
        if args.ip_family.families:
            service["ipFamilies"] = list(args.ip_family.families)
        # The StatefulSet below is awaited; to await the Service's endpoints too takes 10 s more.
        unawaited: Any = {
            **metadata,
            "annotations": {**FIELD_MANAGER, "pulumi.com/skipAwait": "true"},
        }
        KubernetesObject(
            f"{name}-service", "v1", "Service", metadata=unawaited, spec=service, opts=child
        )
        # By its revision the server waits for the Secret. Nothing else is an output: were the whole
        # spec unknown, a preview would show a rotation as a replacement of the volume.
        workload: Any = stateful_set_spec(
            args, secret_name=f"{NAME}-credentials", revision=secret.revision
        )
        server = KubernetesObject(
            f"{name}-server",
            "apps/v1",
            "StatefulSet",
            metadata=metadata,
            spec=workload,
            opts=child,
        )
        self.revision = secret.revision
        self.cache = after(server.id, _cache(f"{NAME}-credentials"))
        self.register_outputs({})


def _cache(secret_name: str) -> Cache:
    return Cache(host=NAME, port=PORT, secret_name=secret_name)


def cache_secret_data(cache: Cache, password: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    """The Secret that Harbor's pods read, for an own and for a shared Valkey alike."""
    data = pulumi.Output.from_input(password).apply(lambda plain: cache_secret(cache, plain))
    keys = cache_secret(cache, "")
    return {key: data.apply(lambda data, key=key: data[key]) for key in keys}


def _selector() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME}


def stateful_set_spec(
    args: ValkeyArgs, *, secret_name: str, revision: pulumi.Input[str]
) -> dict[str, Any]:
    """spec of the StatefulSet. The password reaches the server by its environment only."""
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": args.settings.storage_size}},
    }
    if args.settings.storage_class is not None:
        claim["storageClassName"] = args.settings.storage_class
    return {
        "serviceName": NAME,
        "replicas": 1,
        "selector": {"matchLabels": _selector()},
        # Job queues outlive the StatefulSet; deleting them is a person's decision.
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "template": {
            "metadata": {
                "labels": {**args.context.labels("cache"), **_selector()},
                "annotations": {"sovereign-harbor/secrets": revision},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 60,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": UID,
                    "runAsGroup": UID,
                    "fsGroup": UID,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                **placement(args.settings),
                "containers": [_container(args, secret_name)],
            },
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }


def _container(args: ValkeyArgs, secret_name: str) -> dict[str, Any]:
    probe = {"exec": {"command": ["sh", "-c", "valkey-cli ping | grep -q PONG"]}}
    return {
        "name": "valkey",
        "image": valkey_image(args.image_registry),
        # `exec` lets the server get signals. The shell inserts the password when it runs, so that
        # no argument in the pod's spec contains it.
        "command": ["sh", "-c", _START.format(max_memory=args.settings.max_memory_bytes)],
        "env": [_password("VALKEY_PASSWORD", secret_name), _password("REDISCLI_AUTH", secret_name)],
        "ports": [{"name": "valkey", "containerPort": PORT}],
        "resources": requests_and_limits(args.settings.cpu, args.settings.memory),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }


def _password(variable: str, secret_name: str) -> dict[str, Any]:
    reference = {"name": secret_name, "key": VALKEY_PASSWORD_KEY}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


_START: Final = """\
exec valkey-server - <<EOF
requirepass $VALKEY_PASSWORD
dir /data
appendonly yes
maxmemory {max_memory}
maxmemory-policy noeviction
EOF
"""
"""The shell command. noeviction: an evicted key would be a lost job of Harbor's job service."""
