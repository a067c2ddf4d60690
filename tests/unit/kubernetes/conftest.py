"""A kubectl on PATH, an API server, and a kubeconfig that leads to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.kubernetes import kubectl as kubectl_module
from tests.support.api_server import ApiServer, api_server, encoded
from toolchain import build

CLUSTER_UID = "6a8f5f0e-0000-4000-8000-000000000001"


@pytest.fixture(scope="session")
def kubectl() -> str:
    """Where it is: the sandbox's, else PATH's."""
    (tool,) = build.selected(["kubernetes"])
    built = tool.cached() / tool.relative_path("kubectl")
    path = str(built) if built.exists() else shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is neither on PATH nor built: python3 -m toolchain build kubernetes")
    return path


@pytest.fixture(scope="session")
def api_server_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture
def api(
    kubectl: str, api_server_of_all: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ApiServer]:
    """An API server that was asked nothing yet; the environment leads to no other cluster."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(kubectl)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    api_server_of_all.answers.clear()
    api_server_of_all.headers.clear()
    api_server_of_all.requests.clear()
    api_server_of_all.put(
        "/api/v1/namespaces/kube-system", {"metadata": {"name": "kube-system", "uid": CLUSTER_UID}}
    )
    yield api_server_of_all
    kubectl_module.close_all()


class Kubeconfig:
    """Writes kubeconfig files that lead to the API server."""

    def __init__(self, api: ApiServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._api, self._folder, self._monkeypatch = api, folder, monkeypatch

    def use(self, *files: Path | str) -> None:
        """KUBECONFIG names these files."""
        self._monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))

    def write(
        self,
        name: str = "config",
        *,
        user: Any = None,
        current: str | None = "omantel",
        context: str = "omantel",
        entry: str = "omantel",
        **cluster: Any,
    ) -> Path:
        """A file with one context; `entry`: its cluster entry; `cluster`: more of that entry."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        reached = {
            "server": self._api.url,
            "certificate-authority-data": encoded(self._api.authority.certificate),
            **{key.replace("_", "-"): value for key, value in cluster.items()},
        }
        user = {"token": "t0ken"} if user is None else user
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            **({} if current is None else {"current-context": current}),
            "contexts": [{"name": context, "context": {"cluster": entry, "user": f"{context}-u"}}],
            "clusters": [
                {"name": entry, "cluster": {k: v for k, v in reached.items() if v is not None}}
            ],
            "users": [{"name": f"{context}-u", "user": user}],
        }
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubeconfig:
    return Kubeconfig(api, tmp_path, monkeypatch)
