"""The process that runs Pods: a stand-in for the kubelet and for the cluster's network.

`control.start` runs it as root of a user namespace, with mounts and process ids of its own: when it
ends, however it ends, the kernel ends all that it started and removes all networks.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.pods import images, networks, rules, spec
from sandbox.pods.api import Api, Object, Watched
from sandbox.pods.container import ROOT_FOLDER, Container, Launch
from sandbox.state import State

PLAN: Final = "pods/plan.json"
STATUS: Final = "pods/status.json"

_KINDS: Final = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "namespaces": "/api/v1/namespaces",
    "slices": "/apis/discovery.k8s.io/v1/endpointslices",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}


@dataclass
class Running:
    """A Pod that runs here."""

    pod: Object
    network: str
    address: str
    folder: Path
    containers: list[Container]
    simulated: list[Object]
    began: str
    relays: dict[int, networks.Relay] = field(default_factory=dict)
    outside: list[networks.Relay] = field(default_factory=list)
    ruleset: str = ""
    told: dict[str, Any] = field(default_factory=dict)


class Agent:
    """Makes of the Pods that the API server holds processes, and of the processes their status."""

    def __init__(self, state: State) -> None:
        plan = state.load(PLAN) or {}
        self._state = state
        self._namespace: str = plan["namespace"]
        self._runnables = [images.Runnable.from_document(each) for each in plan["images"]]
        self._outside: list[int] = plan["outside"]
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._networks = networks.Networks()
        Path(ROOT_FOLDER).mkdir()
        # What an agent left behind that was killed: Secrets, as files.
        shutil.rmtree(state.folder / "pods" / "run", ignore_errors=True)
        self._api = Api(state.kubeconfig)
        self._watched = {
            kind: Watched(self._api, path, self._changed) for kind, path in _KINDS.items()
        }
        self._running: dict[str, Running] = {}
        self._leaving: dict[str, threading.Thread] = {}
        self._hosts = ""

    def stop(self, *_: object) -> None:
        self._ending.set()
        self._changed.set()

    def run(self) -> None:
        for watched in self._watched.values():
            watched.listed.wait(30)
        while not self._ending.is_set():
            self._changed.clear()
            try:
                self._reconcile()
            except Exception as error:  # the next round goes on
                print(f"{type(error).__name__}: {error}", flush=True)
                self._changed.set()
                self._ending.wait(0.5)
            self._changed.wait(5)
        for running in self._running.values():
            threading.Thread(target=self._end, args=(running, 5)).start()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(8)

    def _reconcile(self) -> None:
        pods = {
            pod["metadata"]["uid"]: pod
            for pod in self._watched["pods"].objects()
            if self._is_ours(pod)
        }
        for uid, running in [*self._running.items()]:
            if uid not in pods or "deletionTimestamp" in pods[uid]["metadata"]:
                del self._running[uid]
                self._leave(uid, running)
            else:
                running.pod = pods[uid]
        for uid, pod in pods.items():
            if uid in self._running or uid in self._leaving:
                continue
            if "deletionTimestamp" in pod["metadata"]:
                self._api.delete(pod)
            elif pod["spec"].get("nodeName"):
                self._running[uid] = self._start(pod)
        self._connect()
        for running in self._running.values():
            self._tell(running)
        self._state.save(STATUS, self._document())

    def _is_ours(self, pod: Object) -> bool:
        return pod["metadata"]["namespace"] == self._namespace and any(
            images.runnable_of(each["image"], self._runnables) for each in pod["spec"]["containers"]
        )

    # --- Start and end ---------------------------------------------------------------------------

    def _start(self, pod: Object) -> Running:
        network, address = self._networks.take()
        metadata = pod["metadata"]
        folder = self._state.directory("pods", "run", metadata["uid"])
        folder.chmod(0o700)
        (folder / "hosts").touch()
        running = Running(pod, network, address, folder, [], [], _now())
        try:
            self._prepare(running)
        except Exception:
            self._end(running, 0)
            raise
        print(f"{metadata['name']}: {address} in {network}", flush=True)
        for container in running.containers:
            container.start()
        return running

    def _prepare(self, running: Running) -> None:
        """All of a Pod but its processes; the policies hold before the first of them runs."""
        network = running.network
        for port in self._outside:
            listener = networks.inside(network, lambda port=port: networks.listening(port))
            running.outside.append(
                networks.Relay(
                    listener, lambda port=port: socket.create_connection(("127.0.0.1", port), 10)
                )
            )
        for container in running.pod["spec"]["containers"]:
            runnable = images.runnable_of(container["image"], self._runnables)
            if runnable is None:
                running.simulated.append(container)
                continue
            running.containers.append(self._container(running, container, runnable))
            for port in container.get("ports", ()):
                if port.get("protocol", "TCP") == "TCP":
                    number: int = port["containerPort"]
                    running.relays[number] = networks.Relay(
                        networks.listening(), lambda number=number: self._into(network, number)
                    )
        self._api.forward(running.pod, {port: each.port for port, each in running.relays.items()})
        self._connect(running)

    def _container(
        self, running: Running, container: Object, runnable: images.Runnable
    ) -> Container:
        name = f"{running.pod['metadata']['name']}.{container['name']}"
        return Container(
            running.pod,
            container,
            address=running.address,
            prepare=lambda: self._launch(running, container, runnable),
            log=self._state.path("logs", "pods", f"{name}.log"),
            changed=self._changed.set,
        )

    def _launch(self, running: Running, container: Object, runnable: images.Runnable) -> Launch:
        pod = running.pod
        variables = spec.environment(pod, container, self._api.get)
        return Launch(
            command=spec.command(container, variables, runnable),
            environment=variables,
            mounts=spec.mounts(
                pod,
                container,
                running.folder / "volumes",
                self._state.directory("pods", "volumes"),
                self._api.get,
            ),
            binaries=runnable.binaries,
            folders=images.python_folders(),
            hosts=running.folder / "hosts",
            network=running.network,
            user=spec.user(pod, container, runnable),
            working_folder=container.get("workingDir", "/"),
            read_only=container.get("securityContext", {}).get("readOnlyRootFilesystem", False),
        )

    def _into(self, network: str, port: int) -> socket.socket:
        """As a port-forward: from the Pod itself, so no policy is asked."""
        return networks.inside(
            network, lambda: socket.create_connection(("127.0.0.1", port), timeout=10)
        )

    def _leave(self, uid: str, running: Running) -> None:
        grace = running.pod["metadata"].get("deletionGracePeriodSeconds", 30)

        def body() -> None:
            try:
                self._end(running, grace)
                self._api.delete(running.pod)
            finally:
                del self._leaving[uid]
                self._changed.set()

        self._leaving[uid] = threading.Thread(target=body)
        self._leaving[uid].start()

    def _end(self, running: Running, seconds: float) -> None:
        ending = [
            threading.Thread(target=container.end, args=(seconds,))
            for container in running.containers
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()
        for relay in (*running.relays.values(), *running.outside):
            relay.close()
        self._api.end_forward(running.pod)
        networks.remove(running.network)
        shutil.rmtree(running.folder, ignore_errors=True)

    # --- Networks and status ---------------------------------------------------------------------

    def _connect(self, *more: Running) -> None:
        """Gives each Pod's network the Services and policies of now."""
        here = {
            running.pod["metadata"]["uid"]: running for running in (*self._running.values(), *more)
        }
        cluster = rules.Cluster(
            pods=[
                {**pod, "status": {**pod.get("status", {}), "podIP": here[uid].address}}
                if (uid := pod["metadata"]["uid"]) in here
                else pod
                for pod in self._watched["pods"].objects()
            ],
            services=self._watched["services"].objects(),
            slices=self._watched["slices"].objects(),
            policies=self._watched["policies"].objects(),
            namespaces=self._watched["namespaces"].objects(),
            outside=self._outside,
        )
        for running in here.values():
            own = f"{running.address} {running.pod['metadata']['name']}"
            text = rules.hosts(self._namespace, cluster, own=own)
            if (running.folder / "hosts").read_text() != text:
                (running.folder / "hosts").write_text(text)
            ruleset = rules.ruleset(running.pod, cluster)
            if ruleset != running.ruleset:
                networks.apply(running.network, ruleset)
                running.ruleset = ruleset

    def _tell(self, running: Running) -> None:
        statuses = [each.status for each in running.containers]
        statuses += [_simulated(each, running.began) for each in running.simulated]
        ready = all(each["ready"] for each in statuses)
        word = "True" if ready else "False"
        starting = any("running" in each["state"] for each in statuses)
        status = {
            "phase": "Running" if starting else "Pending",
            "podIP": running.address,
            # Merged with those of an earlier life otherwise.
            "podIPs": [{"ip": running.address}, {"$patch": "replace"}],
            "hostIP": networks.NODE_ADDRESS,
            "hostIPs": [{"ip": networks.NODE_ADDRESS}, {"$patch": "replace"}],
            "startTime": running.began,
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": running.began}
                for kind, value in (
                    ("Initialized", "True"),
                    ("ContainersReady", word),
                    ("Ready", word),
                )
            ],
            "containerStatuses": statuses,
            "initContainerStatuses": [
                {
                    **_simulated(each, running.began),
                    "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
                }
                for each in running.pod["spec"].get("initContainers", ())
            ],
        }
        if status != running.told:
            self._api.patch_status(running.pod, status)
            running.told = status

    def _document(self) -> dict[str, Any]:
        """What runs, for the sandbox's other commands: ports of 127.0.0.1 that lead into Pods."""
        return {
            "pods": {
                running.pod["metadata"]["name"]: {
                    "uid": running.pod["metadata"]["uid"],
                    "address": running.address,
                    "ready": bool(running.told)
                    and all(each["ready"] for each in running.told["containerStatuses"]),
                    "labels": running.pod["metadata"].get("labels", {}),
                    "ports": {str(port): relay.port for port, relay in running.relays.items()},
                }
                for running in self._running.values()
            }
        }


def _simulated(container: Object, since: str) -> dict[str, Any]:
    """The status of a container that no binary was named for: as KWOK would give it."""
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": since}},
        "lastState": {},
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def main() -> None:
    os.umask(0o077)
    agent = Agent(State.current())
    signal.signal(signal.SIGTERM, agent.stop)
    agent.run()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
