"""A first `up`, against the tools that a person would use for the same by hand.

These are kubectl's server-side apply of the same objects, a wait for the unsealed Secrets, and
`helm install --wait` of the same chart with the same values. The objects are those of the state of
an `up`: sealed already, with minted passwords and keys.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import measuring, page
from benchmarks.measuring import STAND_INS, Cost
from benchmarks.page import Goal, Section
from benchmarks.sandboxed import Session
from sandbox import cluster

_RELEASE = "kubernetes:helm.sh/v3:Release"
_PATIENCE = "300s"
_CAUSE = (
    "By hand nothing is minted, sealed, compared or recorded. The engine writes its whole state at "
    "each step of 120 resources, and the program, the dynamic providers and two plugins run beside "
    "it."
)


def measure(session: Session) -> Section:
    """Pairs, one after the other; what one made is removed before the next."""
    firsts: list[Cost] = []
    by_hand: list[Cost] = []
    for _ in range(1 if session.quick else 2):
        firsts.append(session.first_up())
        resources = session.resources()
        hands = ByHand(session, resources)
        session.take_down()
        try:
            by_hand.append(hands.install())
        finally:
            hands.remove()
    first, hand = measuring.median(firsts), measuring.median(by_hand)
    named = [("by hand: kubectl apply, wait, helm install", hand), ("first `up`", first)]
    return Section(
        command="make bench ONLY=first_up",
        body=f"{page.costs(named, apart=STAND_INS)}\n\n{page.parts(named)}",
        goals=[
            Goal(what="wall time", measured=first.wall / hand.wall, at_most=2.0, cause=_CAUSE),
            Goal(
                what="processor time, without stand-in plugins",
                measured=first.without(STAND_INS) / hand.without(STAND_INS),
                at_most=2.0,
                cause=_CAUSE,
            ),
        ],
    )


def manifests(resources: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects of the API server among the resources of a state, namespaces first."""
    made = [
        {key: value for key, value in resource["inputs"].items() if not key.startswith("__")}
        for resource in resources
        if resource["type"].startswith("kubernetes:") and resource["type"] != _RELEASE
    ]
    return sorted(made, key=lambda manifest: manifest["kind"] != "Namespace")


class ByHand:
    """The same Sovereign, without the program."""

    def __init__(self, session: Session, resources: list[dict[str, Any]]) -> None:
        self._session = session
        self._folder = session.folder / "by-hand"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._manifests = manifests(resources)
        (release,) = (r["inputs"] for r in resources if r["type"] == _RELEASE)
        self._release = release
        self._write("values.json", release["values"])
        self._write("objects.json", {"apiVersion": "v1", "kind": "List", "items": self._manifests})
        self._write("namespaces.json", {**self._of("Namespace")[0]})

    def _write(self, name: str, document: Any) -> None:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(json.dumps(document))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [manifest for manifest in self._manifests if manifest["kind"] == kind]

    def install(self) -> Cost:
        """Everything, until the chart's pods are Ready."""
        return measuring.run(
            ["/bin/sh", "-euc", self._script()],
            environment=self._session.environment,
            folder=self._session.sandbox.project,
        )

    def _script(self) -> str:
        release, folder = self._release, self._folder
        apply = "kubectl apply --server-side --force-conflicts --field-manager=by-hand -f"
        lines = [f"{apply} {folder / name}" for name in ("namespaces.json", "objects.json")]
        sealed = {manifest["metadata"]["namespace"] for manifest in self._of("SealedSecret")}
        lines += [
            f"kubectl wait sealedsecrets --all --for=condition=Synced --timeout={_PATIENCE} -n {of}"
            for of in sorted(sealed)
        ]
        install = [
            *("helm", "install", release["name"], release["chart"]),
            *("--namespace", release["namespace"], "--values", str(folder / "values.json")),
            *("--wait", "--timeout", _PATIENCE),
        ]
        if release.get("postrender"):
            install += ["--post-renderer", str(Path(release["postrender"]).absolute())]
        if not os.path.exists(self._session.sandbox.project / release["chart"]):
            install += ["--version", release["version"]]
        return "\n".join([*lines, shlex.join(install)])

    def remove(self) -> None:
        """Everything again."""
        sandbox = self._session.sandbox
        helm = ["helm", "uninstall", self._release["name"], "-n", self._release["namespace"]]
        environment = self._session.environment
        measuring.run([*helm, "--wait", "--ignore-not-found"], environment=environment)
        file = str(self._folder / "objects.json")
        cluster.kubectl(
            sandbox.state, sandbox.tools, "delete", "--ignore-not-found", "--wait", "-f", file
        )
