"""A stack of nothing but objects of Harbor, by the real engine, and no cluster.

The API server that serves the two Secrets is the test's own. Harbor is a fake, or a real one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.registry.api import ACCOUNT_PASSWORD_KEY, ADMIN_PASSWORD_KEY
from engine.stack import Result, Stack
from engine.tools import own_pulumi
from tests.support.api_server import ApiServer, api_server
from tests.support.project import ROOT
from tests.support.registry import ACCOUNT, ACCOUNT_PASSWORD
from toolchain.build import ensure

STACK = "trial"

_PROJECT = {
    "name": "registry-trial",
    "runtime": {"name": "python", "options": {"virtualenv": ".venv"}},
    "plugins": yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["plugins"],
}


@dataclass(frozen=True)
class Trial:
    """The stack; its program reads declared.json: {provider, objects, account}."""

    stack: Stack
    url: str
    kubernetes: ApiServer

    def declare(self, objects: Any, *, account: bool = True, **provider: Any) -> None:
        """Writes what the next run declares.

        `account`: whether the program's own account is declared too. `provider`: inputs in place of
        the usual ones.
        """
        provider = {
            "namespace": "harbor",
            "admin_secret": "admin",
            "account": ACCOUNT,
            "account_secret": "account",
            "api_url": self.url,
            **provider,
        }
        text = json.dumps({"provider": provider, "objects": objects, "account": account})
        (self.stack.folder / "declared.json").write_text(text)

    def preview(self, *options: str) -> Result:
        return self.stack.run("preview", "-s", STACK, *(options or ("--diff",)), check=False)

    def state(self) -> str:
        return self.stack.run("stack", "export", "-s", STACK).text

    def types(self) -> list[str]:
        """Types of the plugin's resources in the state, sorted."""
        resources = json.loads(self.state())["deployment"].get("resources", [])
        return sorted(r["type"] for r in resources if r["type"].startswith("sovereign-registry"))


@contextmanager
def trial(folder: Path, program: str, *, url: str, admin_password: str) -> Iterator[Trial]:
    """An empty stack in `folder`, whose provider asks the Harbor at `url`."""
    project, files = folder / "project", folder / "files"
    for path in (project, files, folder / "state"):
        path.mkdir()
    (project / "Pulumi.yaml").write_text(json.dumps(_PROJECT))
    (project / "__main__.py").write_text(program)
    # As in a scratch copy of the project.
    for name in ("components", ".venv"):
        (project / name).symlink_to(ROOT / name)
    tools = ensure(["pulumi", "pulumi-resource-kubernetes"], report=lambda _: None)
    own = own_pulumi(folder / "tools", tools)
    folders = [*own, *map(str, tools.bin_dirs()), os.environ["PATH"]]
    with api_server(files) as kubernetes:
        serve_secret(kubernetes, "admin", {ADMIN_PASSWORD_KEY: admin_password})
        serve_secret(kubernetes, "account", {ACCOUNT_PASSWORD_KEY: ACCOUNT_PASSWORD})
        environment = {
            "PATH": os.pathsep.join(folders),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_HOME": str(folder / "tools" / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "of the trial",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "KUBECONFIG": str(_kubeconfig(files, kubernetes)),
        }
        stack = Stack(STACK, environment, project)
        stack.ensure()
        yield Trial(stack, url, kubernetes)


def serve_secret(kubernetes: ApiServer, name: str, values: Mapping[str, str]) -> None:
    """Makes or replaces a Secret of the namespace harbor."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    path = f"/api/v1/namespaces/harbor/secrets/{name}"
    kubernetes.put(path, {"kind": "Secret", "data": data})


def _kubeconfig(folder: Path, kubernetes: ApiServer) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": STACK,
        "contexts": [{"name": STACK, "context": {"cluster": STACK, "user": STACK}}],
        "clusters": [
            {
                "name": STACK,
                "cluster": {
                    "server": kubernetes.url,
                    "certificate-authority": str(folder / "ca.pem"),
                },
            }
        ],
        "users": [{"name": STACK, "user": {"token": "of-the-trial"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file
