"""The faults: what each does to a run, and which change the run was making.

A fault that lasts is lifted after a few seconds, as an outage ends, or when the run has ended.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import shutil
import signal
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import yaml

from chaos import parts, plans
from chaos.clock import write_certificate
from chaos.proxy import Fault as Disturbance
from chaos.proxy import Plan, Proxy
from chaos.trial import Trial
from sandbox import kyverno, sealing, storage

Dice = random.Random


class Skipped(Exception):
    """The machine does not allow this fault; the text says why."""


@dataclass(kw_only=True)
class Hit:
    """A run that was hit. `faults`: how many were injected; 0 where the run had ended before.

    `runs`: how many runs were hit, one after the other.
    """

    faults: int
    runs: int = 1


Inject = Callable[[Trial, Dice], Hit]


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """A row of the page. `changes`: what the run may be changing, by the names in CHANGES."""

    name: str
    told: str
    inject: Inject
    changes: tuple[str, ...]
    weight: int = 1
    """How often it is tried, compared with the others."""
    delays: bool = False
    """Its faults are answers that come late, and nothing else."""
    life: bool = False
    """It hits `destroy` and then the first `up`, not an `up` that changes something small."""


# --- What a run changes ---------------------------------------------------------------------------

ROTATED: Final = {
    "rotation": frozenset({"harbor/harbor-valkey-credentials"}),
}
"""Change → the Secrets that it changes. The others change none."""


def change(trial: Trial, name: str, number: int) -> None:
    """Changes one setting in the stack's file to a value that no run before had."""
    made = trial.sandbox
    if name == "release":
        memory = {"portal": {"memory": f"{64 + number}Mi"}}
        made.configure(harbor={"resources": memory})
    elif name == "policies":
        section = made.section("networkPolicies")
        gateway = {**section["gateway"], "httpsPort": 8443 + number}
        made.configure(networkPolicies={**section, "gateway": gateway})
    elif name == "bucket":
        # The sandbox's gateway has no lifecycle rules, so tags.
        made.configure(storage={**made.section("storage"), "tags": {"chaos": str(number)}})
    elif name == "registry":
        section: dict[str, Any] = made.section("registry")
        apps = {**section["projects"]["apps"], "quota": f"{number}Gi"}
        made.configure(registry={**section, "projects": {"apps": apps}})
    elif name == "rotation":
        made.configure(rotation={"valkeyPassword": number})
    else:
        raise ValueError(f"no change is called {name}")


# --- The engine -----------------------------------------------------------------------------------


def _ended_after(number: signal.Signals, low: float, high: float) -> Inject:
    def inject(trial: Trial, dice: Dice) -> Hit:
        run = trial.begin()
        run.wait(dice.uniform(low, high))
        sent = run.send(number)
        # One that is interrupted ends what it has begun, and keeps its lock meanwhile.
        _wait(trial)
        return Hit(faults=int(sent))

    return inject


def _ended_at_a_call(number: signal.Signals) -> Inject:
    def inject(trial: Trial, dice: Dice) -> Hit:
        sent: list[bool] = []
        begun = threading.Event()

        def send() -> None:
            begun.wait(10)
            assert trial.last is not None
            sent.append(trial.last.send(number))

        trial.api.plan(plans.calling(_place(dice, trial.calls["api"]), send))
        trial.begin()
        begun.set()
        _wait(trial)
        return Hit(faults=sum(sent))

    return inject


def _place(dice: Dice, calls: int) -> int:
    """The number of one of so many requests."""
    return dice.randint(1, max(calls, 1))


def _two_at_once(trial: Trial, dice: Dice) -> Hit:
    first = trial.begin()
    first.wait(dice.uniform(0, 2))
    second = trial.begin()
    second.wait()
    trial.last = first
    _wait(trial)
    # One of them is refused by the other's lock, unless the first had ended before.
    refused = "locked" in second.text() or "locked" in first.text()
    if second.code == 0 and first.code != 0:
        trial.last = second
    return Hit(faults=int(refused))


def _disk_full(trial: Trial, dice: Dice) -> Hit:
    if not trial.has_own_disk:
        raise Skipped("no file system of its own can be mounted here")
    filler = trial.backend / "filler"
    leave = dice.randint(0, 400) * 1024
    try:
        with filler.open("wb") as file:
            free = shutil.disk_usage(trial.backend).free
            os.posix_fallocate(file.fileno(), 0, max(free - leave, 1))
        run = trial.begin()
        _wait(trial)
    finally:
        filler.unlink(missing_ok=True)
    return Hit(faults=int("no space left" in run.text()))


# --- What the run calls ---------------------------------------------------------------------------


def _plan(
    server: str,
    plan: Callable[[Trial, Dice], Plan],
    *,
    lasts: tuple[float, float] | None = None,
) -> Inject:
    def inject(trial: Trial, dice: Dice) -> Hit:
        proxy: Proxy = getattr(trial, server)
        proxy.plan(plan(trial, dice))
        run = trial.begin()
        if lasts is not None:
            run.wait(dice.uniform(*lasts))
            proxy.calm()
        _wait(trial)
        return Hit(faults=proxy.injected)

    return inject


def _one_call(server: str, faults: Sequence[Disturbance]) -> Inject:
    return _plan(
        server,
        lambda trial, dice: plans.at(_place(dice, trial.calls[server]), dice.choice(faults)),
    )


def _each_call_once(server: str, faults: Sequence[Disturbance]) -> Inject:
    """Runs one after the other until one succeeds: each gets further than the one before."""

    def inject(trial: Trial, dice: Dice) -> Hit:
        proxy: Proxy = getattr(trial, server)
        proxy.plan(plans.each_once(lambda: dice.choice(faults)))
        runs = injected = 0
        while True:
            runs += 1
            before = proxy.injected
            run = trial.begin()
            _wait(trial)
            injected = proxy.injected
            if run.code == 0 or injected == before or runs == _MOST_RUNS:
                return Hit(faults=injected, runs=runs)

    return inject


_MOST_RUNS: Final = 100


STORM_RUNS: Final = 5
"""In a storm runs go on until one succeeds, this many at most. Then an undisturbed one has to."""


def _storm(faults: Mapping[str, Sequence[Disturbance]], low: float, high: float) -> Inject:
    """A share of the calls to each of these servers fails, in one run after the other."""

    def inject(trial: Trial, dice: Dice) -> Hit:
        runs = injected = 0
        while True:
            runs += 1
            share = dice.uniform(low, high)
            for server, sorts in faults.items():
                # Most runs end with a failure: that not all do so at the same early call, the
                # storm begins somewhere.
                number = 1 if runs == 1 else _place(dice, trial.calls[server])
                getattr(trial, server).plan(
                    plans.storm(number, share, partial(dice.choice, sorts), dice.random)
                )
            run = trial.begin()
            _wait(trial)
            injected += sum(getattr(trial, server).injected for server in faults)
            if run.code == 0 or trial.hung or runs == STORM_RUNS:
                return Hit(faults=injected, runs=runs)

    return inject


def _since_a_call(server: str, fault: Disturbance) -> Inject:
    return _plan(
        server,
        lambda trial, dice: plans.since(_place(dice, trial.calls[server]), fault),
        lasts=(4, 12),
    )


def _slow(server: str, low: float, high: float) -> Inject:
    return _plan(server, lambda _, dice: plans.slow(dice.uniform(low, high)), lasts=(8, 20))


def _not_yet_valid(trial: Trial, _: Dice) -> Hit:
    """The certificate of the API server begins tomorrow, as for a machine whose date is wrong."""
    folder = trial.sandbox.state.directory("chaos", "clock")
    authority, certificate = write_certificate(folder, begins_in=dt.timedelta(days=1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    proxy = Proxy(trial.api_server, client=trial.client, serving=context)
    kubeconfig = yaml.safe_load(trial.sandbox.state.kubeconfig.read_text())
    kubeconfig["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{proxy.port}",
        "certificate-authority": str(authority),
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig))
    with contextlib.closing(proxy):
        run = trial.begin(KUBECONFIG=str(file))
        _wait(trial)
        assert proxy.count == 0
        return Hit(faults=int("certificate" in run.text()))


# --- What runs in the cluster, or carries it ------------------------------------------------------


def _killed(name: str, low: float = 1, high: float = 6) -> Inject:
    """A part is killed while the run is at one of its first calls, and started again later."""

    def inject(trial: Trial, dice: Dice) -> Hit:
        run = trial.begin()
        run.wait(dice.uniform(0.3, 4))
        was_running = run.code is None
        ended = trial.keeper.kill(name)
        try:
            run.wait(dice.uniform(low, high))
        finally:
            ended.again()
        _wait(trial)
        return Hit(faults=int(was_running))

    return inject


def _stopped(name: str, low: float, high: float) -> Inject:
    def inject(trial: Trial, dice: Dice) -> Hit:
        run = trial.begin()
        run.wait(dice.uniform(0, 2))
        was_running = run.code is None
        process = parts.stop(trial.sandbox, name)
        try:
            run.wait(dice.uniform(low, high))
        finally:
            parts.go_on(process)
        _wait(trial)
        return Hit(faults=int(was_running))

    return inject


_HOOK: Final = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: chaos-hook
  annotations:
    helm.sh/hook: pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-failed
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 1
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {nowhere: "true"}
      containers:
        - name: hook
          image: registry.local.harbor.test/hook:1
"""


def _failing_hook(trial: Trial, _: Dice) -> Hit:
    """The chart has a hook before upgrades whose Job fails."""
    chart = trial.stack.folder / "chaos-chart"
    given = trial.stack.environment["HARBOR_CHART"]
    source = trial.stack.folder / given
    if not source.is_dir():
        raise Skipped(f"the chart {given} is no folder")
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(source, chart)
    (chart / "templates" / "chaos-hook.yaml").write_text(_HOOK)
    run = trial.begin(HARBOR_CHART=chart.name)
    _wait(trial)
    return Hit(faults=int("hook" in run.text() and run.code != 0))


def _wait(trial: Trial) -> None:
    """Waits for the run; kills one that hangs, which is told as a failure."""
    assert trial.last is not None
    if trial.last.wait() is None:
        trial.last.send(signal.SIGKILL)
        trial.last.wait()
        trial.hung = True


# --- All of them ----------------------------------------------------------------------------------

ANY: Final = ("release", "policies", "rotation", "registry", "bucket")
CLUSTER: Final = ("release", "policies", "rotation")
SERVERS: Final[Mapping[str, Sequence[Disturbance]]] = {
    "api": plans.API_SERVER,
    "s3": plans.S3,
    "harbor": plans.HARBOR,
}


def _kind(
    name: str,
    told: str,
    inject: Inject,
    *changes: str,
    weight: int = 1,
    delays: bool = False,
    life: bool = False,
) -> tuple[str, FaultKind]:
    kind = FaultKind(
        name=name,
        told=told,
        inject=inject,
        changes=changes or ANY,
        weight=weight,
        delays=delays,
        life=life,
    )
    return name, kind


KINDS: Final[Mapping[str, FaultKind]] = dict(
    [
        _kind(
            "engine-killed",
            "engine killed (SIGKILL) at a random moment",
            _ended_after(signal.SIGKILL, 0.5, 5),
            weight=2,
        ),
        _kind(
            "engine-killed-at-call",
            "engine killed (SIGKILL) as a call reaches the API server",
            _ended_at_a_call(signal.SIGKILL),
            weight=4,
        ),
        _kind(
            "engine-interrupted",
            "engine interrupted (SIGINT) at a random moment",
            _ended_after(signal.SIGINT, 0.5, 5),
        ),
        _kind("two-at-once", "a second `up` begins while one runs", _two_at_once),
        _kind("disk-full", "the disk below the state is full", _disk_full),
        _kind(
            "api-one-call",
            "one call to the API server fails",
            _one_call("api", plans.API_SERVER),
            weight=4,
        ),
        _kind(
            "api-each-call-once",
            "each call to the API server fails the first time, run after run",
            _each_call_once("api", plans.API_SERVER),
        ),
        _kind(
            "api-busy",
            "API server busy: 10 to 30 % of the calls are to be made again after 1 s (429, 503)",
            _storm({"api": plans.BUSY}, 0.1, 0.3),
            weight=2,
        ),
        _kind(
            "api-storm",
            f"5 to 30 % of the calls to the API server fail, in up to {STORM_RUNS} runs",
            _storm({"api": plans.API_SERVER}, 0.05, 0.3),
            weight=4,
        ),
        _kind(
            "api-slow",
            "API server slow: 0.1 to 0.5 s more for each call, for 8 to 20 s",
            _slow("api", 0.1, 0.5),
            delays=True,
        ),
        _kind(
            "api-absent",
            "API server out of reach from a call on, for 4 to 12 s",
            _since_a_call("api", plans.RESET),
        ),
        _kind(
            "token-expired",
            "token expired from a call to the API server on",
            _since_a_call("api", plans.EXPIRED),
        ),
        _kind(
            "api-killed",
            "API server killed, started again after 1 to 6 s",
            _killed("kube-apiserver"),
            *CLUSTER,
        ),
        _kind(
            "etcd-killed", "etcd killed, started again after 1 to 6 s", _killed("etcd"), *CLUSTER
        ),
        _kind(
            "controller-manager-killed",
            "controller manager killed, started again after 1 to 6 s",
            _killed("kube-controller-manager"),
            *CLUSTER,
        ),
        _kind(
            "sealed-secrets-killed",
            "sealed-secrets controller killed, started again after 1 to 6 s",
            _killed(sealing.NAME),
            "rotation",
        ),
        _kind(
            "kyverno-killed",
            "Kyverno killed, started again after 1 to 6 s",
            _killed(kyverno.NAME),
            *CLUSTER,
        ),
        _kind(
            "kyverno-slow",
            "Kyverno stopped for 2 to 8 s",
            _stopped(kyverno.NAME, 2, 8),
            *CLUSTER,
        ),
        _kind(
            "s3-one-call",
            "one call to the S3 store fails",
            _one_call("s3", plans.S3),
            "bucket",
            weight=2,
        ),
        _kind(
            "s3-each-call-once",
            "each call to the S3 store fails the first time, run after run",
            _each_call_once("s3", plans.S3),
            "bucket",
        ),
        _kind(
            "s3-storm",
            f"10 to 30 % of the calls to the S3 store fail, in up to {STORM_RUNS} runs",
            _storm({"s3": plans.S3}, 0.1, 0.3),
            "bucket",
        ),
        _kind(
            "s3-slow",
            "S3 store slow: 0.5 to 3 s more for each call, for 8 to 20 s",
            _slow("s3", 0.5, 3),
            "bucket",
            delays=True,
        ),
        _kind(
            "s3-absent",
            "S3 store out of reach from a call on, for 4 to 12 s",
            _since_a_call("s3", plans.RESET),
            "bucket",
        ),
        _kind(
            "s3-killed",
            "S3 gateway killed, started again after 1 to 6 s",
            _killed(storage.NAME),
            "bucket",
        ),
        _kind(
            "harbor-one-call",
            "one call to Harbor's API fails",
            _one_call("harbor", plans.HARBOR),
            "registry",
            weight=2,
        ),
        _kind(
            "harbor-each-call-once",
            "each call to Harbor's API fails the first time, run after run",
            _each_call_once("harbor", plans.HARBOR),
            "registry",
        ),
        _kind(
            "harbor-storm",
            f"10 to 30 % of the calls to Harbor's API fail, in up to {STORM_RUNS} runs",
            _storm({"harbor": plans.HARBOR}, 0.1, 0.3),
            "registry",
        ),
        _kind(
            "harbor-slow",
            "Harbor's API slow: 0.5 to 3 s more for each call, for 8 to 20 s",
            _slow("harbor", 0.5, 3),
            "registry",
            delays=True,
        ),
        _kind(
            "harbor-absent",
            "Harbor's API out of reach from a call on, for 4 to 12 s",
            _since_a_call("harbor", plans.RESET),
            "registry",
        ),
        _kind(
            "all-storm",
            "5 to 30 % of the calls to API server, S3 store and Harbor's API fail, "
            f"in up to {STORM_RUNS} runs",
            _storm(SERVERS, 0.05, 0.3),
            weight=3,
        ),
        _kind("hook-fails", "a hook of the chart fails", _failing_hook, "release"),
        _kind(
            "clock-s3",
            "clock off, as the S3 store tells it: RequestTimeTooSkewed",
            _since_a_call("s3", plans.SKEWED),
            "bucket",
        ),
        _kind(
            "clock-api",
            "clock off, as TLS tells it: the API server's certificate begins tomorrow",
            _not_yet_valid,
        ),
        _kind(
            "life-killed",
            "engine killed (SIGKILL) in `destroy`, and in the first `up` after it",
            _ended_after(signal.SIGKILL, 1, 10),
            life=True,
        ),
        _kind(
            "life-api-one-call",
            "one call to the API server fails in `destroy`, and in the first `up` after it",
            _one_call("api", plans.API_SERVER),
            life=True,
        ),
        _kind(
            "life-storm",
            "3 to 15 % of the calls to API server, S3 store and Harbor's API fail in `destroy`, "
            f"and in the first `up` after it, in up to {STORM_RUNS} runs each",
            _storm(SERVERS, 0.03, 0.15),
            life=True,
        ),
    ]
)
