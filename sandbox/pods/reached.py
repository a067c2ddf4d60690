"""Pods that run, as other commands of the sandbox reach them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.pods import control
from sandbox.pods.valkey_cli_standin import asked
from sandbox.state import State


@dataclass(frozen=True)
class Reached:
    """`ports`: of 127.0.0.1, by the port of the Pod, as a port-forward would lead there."""

    name: str
    uid: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[int, int]


def ready_pod(state: State, *, component: str) -> Reached | None:
    """A Pod that runs and is Ready, of Harbor's component; None where there is none."""
    for name, pod in control.running_pods(state).items():
        labels = pod["labels"]
        names = (labels.get("component"), labels.get("app.kubernetes.io/component"))
        if pod["ready"] and component in names:
            ports = {int(port): here for port, here in pod["ports"].items()}
            return Reached(name, pod["uid"], pod["address"], labels, ports)
    return None


def ask_valkey(port: int, password: str, *commands: Sequence[str]) -> list[str]:
    """The answers of a Valkey on 127.0.0.1:port to the login, then to each command."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        stream = connection.makefile("rwb")
        return [asked(stream, [*words]) for words in (["AUTH", password], *commands)]
