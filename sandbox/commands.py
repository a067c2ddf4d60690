"""The sandbox's commands."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from engine.project import ROOT
from engine.stack import Stack
from engine.terminal import Counter, Steps, as_text
from sandbox import (
    chart,
    cluster,
    conformance,
    estate,
    external_secrets,
    harbor_api,
    kyverno,
    processes,
    sealing,
    smoke,
    storage,
)
from sandbox.environment import as_shell, environment, guarded
from sandbox.estate import Estate
from sandbox.pods import control as pods
from sandbox.processes import SandboxError
from sandbox.state import STACK, State
from toolchain import build
from toolchain.build import Toolbox, ensure
from toolchain.go import cache_dir

Command = Callable[[Estate, argparse.Namespace], int]


def up(place: Estate, arguments: argparse.Namespace) -> int:
    """Brings the sandbox and the Sovereign in it up, and proves that images survive."""
    state = place.state
    steps = Steps(9 if place.has_kyverno else 8)
    with steps.step("Tools"):
        tools = ensure()
    chart_told = start(state, tools, steps, place=place, watch=arguments.until_exit_of)
    sovereign = Stack(place.stack, environment(state, tools, place.stack), place.project(state))
    with steps.step(f"pulumi up -s {place.stack}") as told:
        sovereign.ensure()
        told.append(_folded_up(state, sovereign))
    with steps.step("Smoke test: push, look into the bucket, pull, compare, delete") as told:
        proof = smoke.run(state, tools, sovereign.outputs())
        told.append(proof.told)
    with steps.step(f"pulumi up -s {place.stack} again") as told:
        sovereign.up(expect_no_changes=True)
        told.append("unchanged")
    _show_result(sovereign, proof, [pods.told(state), chart_told, harbor_api.told(state)])
    steps.finish("A Sovereign runs in the sandbox")
    print(_next(place), end="")
    return 0


def _next(place: Estate) -> str:
    which = "" if place.stack == STACK else f" STACK={place.stack}"
    lines = {
        f'eval "$(make -s env{which})"': f"pulumi, kubectl, helm, crane for stack {place.stack}",
        f"pulumi stack output registryFqdn -s {place.stack}": "",
        f"kubectl get pods -n {place.namespace}": "",
        f"make status{which}": "what runs",
        f"make down{which}": f"end it; make clean{which} removes the data, too",
    }
    shown = [
        f"  {line:<41} # {meaning}" if meaning else f"  {line}" for line, meaning in lines.items()
    ]
    own = "A Sovereign of your own: docs/howto/new-sovereign.md, in a shell without `make env`."
    return "\n".join(["", "Next", *shown, own, ""])


def _folded_up(state: State, sovereign: Stack) -> str:
    """`pulumi up`, of which the screen shows a count, and a file everything. Raises EngineError."""
    log = state.path("logs", f"pulumi-up-{sovereign.name}.log")
    counter = Counter("resources done")

    def watch(event: Mapping[str, Any]) -> None:
        done = event.get("resOutputsEvent", {}).get("metadata", {})
        if done and done.get("op") != "same":
            counter.add(done["urn"].rpartition("::")[2])

    try:
        log.write_text(sovereign.up(watch=watch).text)
    finally:
        counter.end()
    return f"{counter.count or 'no'} resources changed; the engine's words: {log}"


def start(
    state: State,
    tools: Toolbox,
    steps: Steps,
    *,
    place: Estate | None = None,
    watch: int | None = None,
) -> str:
    """Starts the parts of the sandbox that do not run; which chart it uses, in words.

    `place`: whose sandbox it is; the local stack's unless given.
    """
    place = place or estate.of(STACK)
    if watch is not None:  # First: a start can be interrupted, too.
        stop_when_gone(state, watch)
    with steps.step("Cluster: real control plane, simulated kubelets") as told:
        cluster.start(state, tools)
        stages = pods.decide(
            state, tools, namespace=place.namespace, has_own_cache=place.has_own_cache
        )
        cluster.prepare(state, tools, stages, place.manifests)
        told.append(str(state.kubeconfig))
    # Before anything makes pods: webhooks of an earlier run refuse them until it answers.
    if place.has_kyverno:
        with steps.step("Kyverno: the real admission controller") as told:
            told.append(kyverno.start(state, tools))
    delivers = "sealed-secrets controller" if place.has_sealing else "External Secrets' stand-in"
    with steps.step(f"Object storage, {delivers}, Harbor's chart") as told:
        endpoint = storage.start(state, tools)
        if place.has_sealing:
            sealing.start(state, tools)
        else:
            external_secrets.start(state, tools)
            wait = ("--all", "--for=condition=Ready", "--timeout=180s")
            cluster.kubectl(state, tools, "wait", "clustersecretstore", *wait)
        _, chart_told = chart.choose(state, tools)
        told.append(f"{endpoint}; {chart_told}")
    with steps.step("Harbor's API") as told:
        told.append(harbor_api.start(state, tools, namespace=place.namespace))
        if place.issuers and not os.environ.get(harbor_api.VARIABLE):
            harbor_api.control(state, "settings", {"issuers": place.issuers})
    with steps.step("Pods that run") as told:
        told.append(pods.start(state))
    return chart_told


def stop_when_gone(state: State, pid: int) -> None:
    """Starts a process that ends the sandbox once `pid` is gone, so that tests leave nothing."""
    processes.start(
        state,
        "watchdog",
        [sys.executable, "-m", "sandbox.watchdog", str(pid)],
        environment={"SANDBOX_DIR": str(state.folder), "PYTHONPATH": str(ROOT)},
        ready=lambda: True,
    )


def real_up(stack: str) -> int:
    """`pulumi up` of a real Sovereign. Raises SandboxError without the official pulumi."""
    here = f", or here: make up STACK={stack} SANDBOX=1" if stack in estate.names() else ""
    if shutil.which("pulumi-language-python") is None:
        raise SandboxError(
            f"stack {stack} is a real Sovereign and needs the official pulumi with its plugins "
            "(https://www.pulumi.com/docs/install/); the sandbox's stand-ins serve sandboxes "
            f"only. Without it: make preview STACK={stack}{here}"
        )
    return subprocess.call(["pulumi", "up", "-s", stack], cwd=ROOT)


def _show_result(sovereign: Stack, proof: smoke.Proof, parts: list[str]) -> None:
    outputs = sovereign.outputs()
    host = outputs["registryFqdn"]
    width = max(map(len, outputs))
    print("\nOutputs")
    for name, value in sorted(outputs.items()):
        print(f"  {name:<{width}} {as_text(value)}")
    print("\nProof")
    for line in proof.lines:
        print(f"  {line}")
    print("  second `pulumi up`: unchanged")
    print("\nSimulated or stand-in here")
    print("  kubelets (KWOK), PostgreSQL's operator (readiness only), the gateway in front")
    for told in parts:
        print(f"  {told}")
    print("\nOn a Sovereign with a gateway in front")
    print(f"  docker login {host} -u admin      # break-glass password, next line")
    print(f"  pulumi stack output adminPassword --show-secrets -s {sovereign.name}")
    print(f"  docker push {host}/library/<image>:<tag>\n")


def down(place: Estate, _: argparse.Namespace) -> int:
    """Ends every process of the sandbox, by process id. Its data stays until `clean`."""
    ended = stop_all(place.state)
    print(f"stopped: {', '.join(ended) if ended else 'nothing was running'}")
    return 0


def stop_all(state: State) -> list[str]:
    """Ends all processes; their names."""
    ended: list[str] = []
    for process in processes.started(state):
        if process.pid == os.getpid():
            continue  # the watchdog, ending itself
        if process.alive:
            ended.append(process.name)
        processes.stop(state, process)
    ended += cluster.pids(state)
    cluster.stop(state)
    return ended + processes.stop_left_plugins(state)


def clean(place: Estate, arguments: argparse.Namespace) -> int:
    """Ends everything and removes the sandbox's folder, state and all. The local one's folder has
    those of the estates in it."""
    if place.stack == STACK:
        for name in estate.names()[1:]:
            stop_all(estate.of(name).state)
    down(place, arguments)
    folder = place.state.folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"removed: {folder}")
    return 0


def status(place: Estate, _: argparse.Namespace) -> int:
    """Shows what runs, and which tools are used."""
    state = place.state
    print(f"sandbox  {state.folder}")
    for name, pid in cluster.pids(state).items():
        print(f"  {name:<26} running   pid {pid}")
    for process in processes.started(state):
        word = f"running   pid {process.pid}" if process.alive else "ended"
        print(f"  {process.name:<26} {word}")
    print(f"  {harbor_api.told(state)}")
    print(f"  {pods.told(state)}")
    print(f"tools    {cache_dir()}")
    for tool in build.status():
        size = f"{tool.size / 2**20:.0f} MiB" if tool.size else ""
        print(f"  {tool.name:<26} {tool.version:<10} {size:>9}  {tool.where}")
    return 0


def env(place: Estate, _: argparse.Namespace) -> int:
    """Prints what `eval` needs to use the sandbox from a shell."""
    state = place.state
    with contextlib.redirect_stdout(sys.stderr):
        tools = ensure(report=lambda _: None)
    variables = environment(state, tools, place.stack)
    print(as_shell(guarded(state, variables, place.project(state))))
    print(
        f"This shell is for the sandbox's stack {place.stack}: its passphrase is public, and `make "
        "clean` removes its backend. `pulumi` refuses every other stack in it.",
        file=sys.stderr,
    )
    return 0


def smoke_test(place: Estate, _: argparse.Namespace) -> int:
    """Pushes an image through Harbor's registry line and pulls it back."""
    state = place.state
    tools = ensure(report=lambda _: None)
    sovereign = Stack(place.stack, environment(state, tools, place.stack), place.project(state))
    proof = smoke.run(state, tools, sovereign.outputs())
    print("\n".join(proof.lines))
    return 0


def conformance_test(place: Estate, _: argparse.Namespace) -> int:
    """Runs OCI's conformance tests; 1 where failures differ from those that are known."""
    state = place.state
    tools = ensure(report=lambda _: None)
    sovereign = Stack(place.stack, environment(state, tools, place.stack), place.project(state))
    outputs = sovereign.outputs()
    report = conformance.run(state, tools, ensure(["conformance"]), outputs["namespace"])
    print("\n".join(report.lines))
    return 1 if report.differs else 0


COMMANDS: dict[str, Command] = {
    "up": up,
    "down": down,
    "clean": clean,
    "status": status,
    "env": env,
    "smoke": smoke_test,
    "conformance": conformance_test,
}
