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
    harbor_api,
    kyverno,
    processes,
    sealing,
    smoke,
    storage,
)
from sandbox.environment import as_shell, environment, guarded
from sandbox.pods import control as pods
from sandbox.processes import SandboxError
from sandbox.state import STACK, State
from toolchain import build
from toolchain.build import Toolbox, ensure
from toolchain.go import cache_dir

Command = Callable[[State, argparse.Namespace], int]


def up(state: State, arguments: argparse.Namespace) -> int:
    """Brings the sandbox and the Sovereign in it up, and proves that images survive."""
    if arguments.stack != STACK:
        return _real_up(arguments.stack)
    steps = Steps(9)
    with steps.step("Tools"):
        tools = ensure()
    chart_told = start(state, tools, steps, watch=arguments.until_exit_of)
    variables = environment(state, tools)
    sovereign = Stack(STACK, variables)
    with steps.step(f"pulumi up -s {STACK}") as told:
        sovereign.ensure()
        told.append(_folded_up(state, sovereign))
    with steps.step("Smoke test: push, look into the bucket, pull, compare, delete") as told:
        proof = smoke.run(state, tools, sovereign.outputs())
        told.append(proof.told)
    with steps.step(f"pulumi up -s {STACK} again") as told:
        sovereign.up(expect_no_changes=True)
        told.append("unchanged")
    _show_result(sovereign, proof, [pods.told(state), chart_told, harbor_api.told(state)])
    steps.finish("A Sovereign runs in the sandbox")
    print(NEXT, end="")
    return 0


NEXT = f"""
Next
  eval "$(make -s env)"                     # pulumi, kubectl, helm, crane for stack {STACK}
  pulumi stack output registryFqdn -s {STACK}
  kubectl get pods -n harbor
  make status                               # what runs
  make down                                 # end it; make clean removes the data, too
A Sovereign of your own: docs/howto/new-sovereign.md, in a shell without `make env`.
"""


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


def start(state: State, tools: Toolbox, steps: Steps, *, watch: int | None = None) -> str:
    """Starts the parts of the sandbox that do not run; which chart it uses, in words."""
    if watch is not None:  # First: a start can be interrupted, too.
        stop_when_gone(state, watch)
    with steps.step("Cluster: real control plane, simulated kubelets") as told:
        cluster.start(state, tools)
        cluster.prepare(state, tools, pods.decide(state, tools))
        told.append(str(state.kubeconfig))
    # Before anything makes pods: webhooks of an earlier run refuse them until it answers.
    with steps.step("Kyverno: the real admission controller") as told:
        told.append(kyverno.start(state, tools))
    with steps.step("Object storage, sealed-secrets controller, Harbor's chart") as told:
        endpoint = storage.start(state, tools)
        sealing.start(state, tools)
        _, chart_told = chart.choose(state, tools)
        told.append(f"{endpoint}; {chart_told}")
    with steps.step("Harbor's API") as told:
        told.append(harbor_api.start(state, tools))
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


def _real_up(stack: str) -> int:
    if shutil.which("pulumi-language-python") is None:
        raise SandboxError(
            f"stack {stack} is a real Sovereign and needs the official pulumi with its plugins "
            "(https://www.pulumi.com/docs/install/); the sandbox's stand-ins serve stack "
            f"{STACK} only. Without it: make preview STACK={stack}"
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


def down(state: State, _: argparse.Namespace) -> int:
    """Ends every process of the sandbox, by process id. Its data stays until `clean`."""
    ended = stop_all(state)
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


def clean(state: State, arguments: argparse.Namespace) -> int:
    """Ends everything and removes the sandbox's folder, state and all."""
    down(state, arguments)
    shutil.rmtree(state.folder, ignore_errors=True)
    print(f"removed: {state.folder}")
    return 0


def status(state: State, _: argparse.Namespace) -> int:
    """Shows what runs, and which tools are used."""
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


def env(state: State, _: argparse.Namespace) -> int:
    """Prints what `eval` needs to use the sandbox from a shell."""
    with contextlib.redirect_stdout(sys.stderr):
        tools = ensure(report=lambda _: None)
    print(as_shell(guarded(state, environment(state, tools))))
    print(
        f"This shell is for the sandbox's stack {STACK}: its passphrase is public, and `make "
        "clean` removes its backend. `pulumi` refuses every other stack in it.",
        file=sys.stderr,
    )
    return 0


def smoke_test(state: State, _: argparse.Namespace) -> int:
    """Pushes an image through Harbor's registry line and pulls it back."""
    tools = ensure(report=lambda _: None)
    proof = smoke.run(state, tools, Stack(STACK, environment(state, tools)).outputs())
    print("\n".join(proof.lines))
    return 0


def conformance_test(state: State, _: argparse.Namespace) -> int:
    """Runs OCI's conformance tests; 1 where failures differ from those that are known."""
    tools = ensure(report=lambda _: None)
    outputs = Stack(STACK, environment(state, tools)).outputs()
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
