"""The API server, as the stand-in for the kubelet asks it: lists that stay current, and status."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

Object = Mapping[str, Any]

_WATCH_SECONDS: Final = 300


class Refused(Exception):
    """The API server answered with an error. `status`: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """Requests with the client certificate of the sandbox's kubeconfig, by any thread."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._server = urlsplit(cluster["server"])
        self._context: ssl.SSLContext | None = None
        if self._server.scheme == "https":
            self._context = ssl.create_default_context(cafile=cluster["certificate-authority"])
            self._context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._own = threading.local()

    def connection(self, seconds: float = 30) -> http.client.HTTPConnection:
        host, port = self._server.hostname or "", self._server.port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=seconds)
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._context)

    def ask(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json"
    ) -> Any:
        """The answer's JSON. Raises Refused, OSError and HTTPException."""
        connection = getattr(self._own, "connection", None) or self.connection()
        self._own.connection = None
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, text, {"Content-Type": kind})
            answer = connection.getresponse()
            read = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        self._own.connection = connection
        if answer.status >= 300:
            raise Refused(answer.status, read.decode(errors="replace"))
        return json.loads(read)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object of the core group; None if it does not exist."""
        try:
            return self.ask("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def patch_status(self, pod: Object, status: Object) -> None:
        """Merges into a Pod's status. A Pod that is gone is no error."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        kind = "application/strategic-merge-patch+json"
        try:
            self.ask("PATCH", f"{_path(pod)}/status", body, kind=kind)
        except Refused as error:
            if error.status not in (404, 409):
                raise

    def forward(self, pod: Object, ports: Mapping[int, int]) -> None:
        """Leads `kubectl port-forward` to a Pod's ports to those of 127.0.0.1, by KWOK."""
        forwards = [
            {"ports": [port], "target": {"address": "127.0.0.1", "port": here}}
            for port, here in ports.items()
        ]
        body = {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "PortForward",
            "metadata": {"name": pod["metadata"]["name"]},
            "spec": {"forwards": forwards},
        }
        query = "fieldManager=kubelet-standin&force=true"
        self.ask("PATCH", f"{_forward(pod)}?{query}", body, kind="application/apply-patch+yaml")

    def end_forward(self, pod: Object) -> None:
        """The opposite. One that is gone is no error, nor is an API server that is."""
        with suppress(Refused, OSError, http.client.HTTPException):
            self.ask("DELETE", _forward(pod), {})

    def delete(self, pod: Object) -> None:
        """Takes a Pod that has ended off the API server."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            self.ask("DELETE", _path(pod), body)
        except Refused as error:
            if error.status not in (404, 409):
                raise


def _path(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _forward(pod: Object) -> str:
    metadata = pod["metadata"]
    group = f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{metadata['namespace']}"
    return f"{group}/portforwards/{metadata['name']}"


class Watched:
    """All objects of a kind, kept current by a thread. `changed` is set after each change."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        self._api, self._path, self._changed = api, path, changed
        self._objects: dict[str, Object] = {}
        self._lock = threading.Lock()
        self.listed = threading.Event()
        threading.Thread(target=self._run, name=path, daemon=True).start()

    def objects(self) -> list[Object]:
        with self._lock:
            return [*self._objects.values()]

    def _run(self) -> None:
        while True:
            try:
                self._watch(self._list())
            except (OSError, http.client.HTTPException, Refused, ValueError):
                time.sleep(0.5)  # the API server is away, or has forgotten that version

    def _list(self) -> str:
        answer = self._api.ask("GET", self._path)
        with self._lock:
            self._objects = {each["metadata"]["uid"]: each for each in answer["items"]}
        self.listed.set()
        self._changed.set()
        return answer["metadata"]["resourceVersion"]

    def _watch(self, version: str) -> None:
        connection = self._api.connection(_WATCH_SECONDS + 30)
        try:
            query = f"watch=1&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
            connection.request("GET", f"{self._path}?{query}")
            answer = connection.getresponse()
            if answer.status >= 300:
                raise Refused(answer.status, answer.read().decode(errors="replace"))
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(event["object"].get("code", 410), "the watch ended")
                self._take(event["type"], event["object"])
        finally:
            connection.close()

    def _take(self, change: str, each: Object) -> None:
        with self._lock:
            if change == "DELETED":
                self._objects.pop(each["metadata"]["uid"], None)
            else:
                self._objects[each["metadata"]["uid"]] = each
        self._changed.set()
