"""A cluster with the real Kyverno and no Sovereign in it: requests are admitted or refused."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox import cluster, commands, kyverno
from sandbox.state import State
from sandbox.waiting import wait_until
from toolchain.build import Toolbox, ensure


@dataclass(frozen=True)
class Answer:
    """The API server's answer."""

    code: int
    body: dict[str, Any]

    @property
    def admitted(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


@dataclass(frozen=True)
class PolicyCluster:
    """The API server, as its administrator."""

    state: State
    tools: Toolbox
    server: str
    trust: ssl.SSLContext

    @classmethod
    def start(cls, folder: Path, *, watch: int) -> PolicyCluster:
        """A cluster in `folder`; it ends with the process `watch`."""
        state, tools = State(folder), ensure(report=lambda _: None)
        commands.stop_when_gone(state, watch)
        cluster.start(state, tools)
        kyverno.start(state, tools)
        kubeconfig = yaml.safe_load(state.kubeconfig.read_text())
        server, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
        trust = ssl.create_default_context(cafile=server["certificate-authority"])
        trust.load_cert_chain(user["client-certificate"], user["client-key"])
        return cls(state, tools, server["server"], trust)

    def stop(self) -> None:
        commands.stop_all(self.state)

    # --- Requests ---------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json"
    ) -> Answer:
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content},
        )
        try:
            with urllib.request.urlopen(request, context=self.trust, timeout=120) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))

    def create(self, pod: dict[str, Any], *, dry_run: bool = True) -> Answer:
        query = "?dryRun=All" if dry_run else ""
        return self.request("POST", _pods(pod["metadata"]["namespace"]) + query, pod)

    def patch(
        self,
        namespace: str,
        name: str,
        change: dict[str, Any],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Answer:
        return self.request(
            "PATCH",
            f"{_pods(namespace)}/{name}{subresource}{'?dryRun=All' if dry_run else ''}",
            change,
            content="application/strategic-merge-patch+json",
        )

    def delete(self, namespace: str, name: str) -> Answer:
        """Deletes a pod at once and waits until it is gone."""
        path = f"{_pods(namespace)}/{name}"
        answer = self.request("DELETE", f"{path}?gracePeriodSeconds=0")
        until(lambda: self.request("GET", path).code == 404)
        return answer

    def namespace(self, name: str) -> None:
        """Makes a namespace in which pods can be created."""
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        until(lambda: self.request("GET", account).admitted)

    def apply(self, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        cluster.kubectl(self.state, self.tools, "apply", "--server-side", "-f", "-", stdin=text)

    def kubectl(self, *arguments: str) -> str:
        return cluster.kubectl(self.state, self.tools, *arguments)

    # --- Kyverno ----------------------------------------------------------------------------

    def stop_kyverno(self) -> None:
        kyverno.stop(self.state)

    def restart_kyverno(self) -> None:
        kyverno.restart(self.state, self.tools)


def pod(
    name: str = "probe", namespace: str = "apps", *, good: str, kind: str = "containers", image: str
) -> dict[str, Any]:
    """A pod with `image` in one place, and an image that may run everywhere else."""
    main = {"name": "main", "image": image if kind == "containers" else good}
    spec: dict[str, Any] = {"containers": [main]}
    match kind:
        case "containers":
            pass
        case "second":
            spec["containers"].append({"name": "second", "image": image})
        case "initContainers":
            spec["initContainers"] = [{"name": "first", "image": image}]
        case "sidecar":
            sidecar = {"name": "beside", "image": image, "restartPolicy": "Always"}
            spec["initContainers"] = [sidecar]
        case "volumes":
            spec["volumes"] = [{"name": "files", "image": {"reference": image}}]
        case _:
            raise ValueError(kind)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def pod_of(
    name: str = "probe",
    namespace: str = "apps",
    *,
    good: str,
    lists: Mapping[str, Sequence[str]],
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A pod with these images in these of its lists; `good` in the container that it needs."""
    spec = {
        key: [
            {"name": f"{key[0]}{n}", "image": {"reference": image} if key == "volumes" else image}
            for n, image in enumerate(images)
        ]
        for key, images in {"containers": [good], **lists}.items()
        if images
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
        "spec": spec,
    }


def until(condition: Callable[[], bool], *, seconds: float = 180) -> None:
    """Waits for what Kyverno does by itself, on a busy machine too."""
    assert wait_until(condition, seconds=seconds, pause=0.1), f"not so after {seconds:.0f} s"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"
