"""The pod that serves what commands recorded: the text of a ConfigMap, by Harbor's nginx. Pure.

The image is that of Harbor's portal: every node that runs Harbor can pull it. Only its nginx is
used, with the configuration below.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from components.images import recorded_metrics_image
from components.kubernetes.naming import RECORDED_METRICS_SERVER
from components.kubernetes.quantities import requests_and_limits
from components.monitoring.own_metrics import CONFIG_MAP, WRITERS
from components.settings.harbor import HarborSettings, IpFamily

NAME: Final = CONFIG_MAP
"""Of the Deployment, its Service and its ServiceMonitor, too."""
SERVER_CONFIG: Final = RECORDED_METRICS_SERVER
"""ConfigMap with nginx's configuration."""
CONFIG_KEY: Final = "nginx.conf"
PORT: Final = 8001
UID: Final = 10000
"""User nginx of the portal's image (goharbor/harbor v2.14.3
make/photon/portal/Dockerfile.base)."""
FIGURES: Final = "/figures"
_SETTINGS: Final = "/server"
_SCRATCH: Final = "/scratch"


def selector() -> dict[str, str]:
    """The labels by which Deployment, Service and network policies know the pod."""
    return {"app.kubernetes.io/name": NAME}


def nginx_conf(
    family: IpFamily, *, figures: str = FIGURES, scratch: str = _SCRATCH, port: int = PORT
) -> str:
    """nginx's configuration: one path for each command; one that recorded nothing yet is empty.

    It writes below `scratch` only.
    """
    listen = [
        *([f"    listen {port};"] if family.ipv4 else []),
        *([f"    listen [::]:{port};"] if family.ipv6 else []),
    ]
    paths = [f"    location = /{writer} {{ try_files /{writer} @nothing; }}" for writer in WRITERS]
    temporary = [
        f"  {kind}_temp_path {scratch}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ]
    return "\n".join(
        (
            f"pid {scratch}/nginx.pid;",
            "error_log stderr warn;",
            "events { worker_connections 64; }",
            "http {",
            "  access_log off;",
            "  server_tokens off;",
            *temporary,
            "  types { }",
            '  default_type "text/plain; version=0.0.4; charset=utf-8";',
            "  server {",
            *listen,
            f"    root {figures};",
            *paths,
            '    location = /ready { return 200 ""; }',
            '    location @nothing { return 200 ""; }',
            "    location / { return 404; }",
            "  }",
            "}",
            "",
        )
    )


def deployment_spec(
    harbor: HarborSettings, labels: dict[str, str], *, image_registry: str | None = None
) -> dict[str, Any]:
    """`spec` of the Deployment. `labels`: of the pod, beside those of `selector`.
    `image_registry`: the setting."""
    conf = nginx_conf(harbor.ip_family)
    placed: dict[str, Any] = {
        "nodeSelector": dict(harbor.node_selector),
        "tolerations": [each.model_dump(exclude_none=True) for each in harbor.tolerations],
    }
    if harbor.priority_class is not None:
        placed["priorityClassName"] = harbor.priority_class
    return {
        "replicas": 1,
        "selector": {"matchLabels": selector()},
        "template": {
            "metadata": {
                "labels": {**labels, **selector()},
                # nginx reads its configuration once. The figures need no restart: the kubelet
                # writes them anew within two minutes, and nginx opens the file at each request.
                "annotations": {
                    "sovereign-harbor/config": hashlib.sha256(conf.encode()).hexdigest()
                },
            },
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": UID,
                    "runAsGroup": UID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                **placed,
                "containers": [_container(recorded_metrics_image(image_registry))],
                "volumes": [
                    # Optional: the pod starts before any command has recorded anything.
                    {"name": "figures", "configMap": {"name": CONFIG_MAP, "optional": True}},
                    {"name": "server", "configMap": {"name": SERVER_CONFIG}},
                    {"name": "scratch", "emptyDir": {"sizeLimit": "16Mi"}},
                ],
            },
        },
    }


def _container(image: str) -> dict[str, Any]:
    return {
        "name": "nginx",
        "image": image,
        "command": ["nginx", "-e", "stderr", "-c", f"{_SETTINGS}/{CONFIG_KEY}"],
        "args": ["-g", "daemon off;"],
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "resources": requests_and_limits("10m", "32Mi"),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "metrics"}, "periodSeconds": 10},
        "volumeMounts": [
            {"name": "figures", "mountPath": FIGURES, "readOnly": True},
            {"name": "server", "mountPath": _SETTINGS, "readOnly": True},
            {"name": "scratch", "mountPath": _SCRATCH},
        ],
    }


def service_monitor_spec() -> dict[str, Any]:
    """`spec` of the ServiceMonitor. honorLabels is off: no figure has a label of a target."""
    return {
        "selector": {"matchLabels": selector()},
        "endpoints": [{"port": "metrics", "path": f"/{writer}"} for writer in WRITERS],
    }
