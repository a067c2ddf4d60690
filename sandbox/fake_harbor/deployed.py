"""What the Harbor that the fake stands for was deployed with, read from its cluster by kubectl.

The names are those of the Harbor chart: Deployment and ConfigMap `harbor-core`.
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from typing import Any

CORE = "harbor-core"


@dataclass(frozen=True)
class Deployed:
    """What core reads at its start. `database` names the database: another name, another one.

    `version` is Harbor's, "" when it is not known; `trivy` the address of its scanner, "" for none.
    `restored`: whether the database was made from a backup, so that it holds what the one before
    held.
    """

    admin_password: str
    database: str = ""
    restored: bool = False
    external_url: str = ""
    version: str = ""
    trivy: str = ""
    config_overwritten: bool = False


def read(kubectl: str, namespace: str) -> Deployed | None:
    """What is deployed now; None while core, or the Secret with admin's password, is missing."""
    core = _get(kubectl, namespace, "deployment", CORE)
    configuration = _get(kubectl, namespace, "configmap", CORE)
    if core is None or configuration is None:
        return None
    container: dict[str, Any] = core["spec"]["template"]["spec"]["containers"][0]
    variables = {variable["name"]: variable for variable in container.get("env", [])}
    reference = variables.get("HARBOR_ADMIN_PASSWORD", {}).get("valueFrom", {}).get("secretKeyRef")
    secret = _get(kubectl, namespace, "secret", reference["name"]) if reference else None
    if reference is None or secret is None:
        return None
    data: dict[str, str] = configuration.get("data", {})
    databases = (_get(kubectl, namespace, "clusters.postgresql.cnpg.io") or {}).get("items", [])
    uids = sorted(item["metadata"]["uid"] for item in databases)
    version = container["image"].partition("@")[0].rpartition(":")[2].removeprefix("v")
    return Deployed(
        admin_password=base64.b64decode(secret["data"][reference["key"]]).decode(),
        database=" ".join(uids),
        restored=any("recovery" in item["spec"].get("bootstrap", {}) for item in databases),
        external_url=data.get("EXT_ENDPOINT", ""),
        version=version if version[:1].isdigit() else "",
        trivy=data.get("TRIVY_ADAPTER_URL", "") if data.get("WITH_TRIVY") == "true" else "",
        config_overwritten="CONFIG_OVERWRITE_JSON" in {*variables, *data},
    )


def _get(kubectl: str, namespace: str, *what: str) -> dict[str, Any] | None:
    """The object as JSON; None when the cluster has none, or does not answer."""
    done = subprocess.run(
        [kubectl, "get", *what, f"--namespace={namespace}", "--output=json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None
