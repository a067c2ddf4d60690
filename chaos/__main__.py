"""Injects faults into runs of a Sovereign in sandboxes of its own, and writes what became of them.

    python -m chaos [--faults N] [--seconds S] [--seed NUMBER] [--only NAME …] [--page]

Without --faults and --seconds each fault is tried once. A seed gives the same faults at the same
places, as far as the machine's speed allows. Exit codes: 0 every try converged; 1 one did not.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from chaos import attempt, page, record
from chaos.attempt import FAILED, SKIPPED, Tried
from chaos.faults import KINDS
from chaos.trial import opened
from engine import scratch
from engine.project import ROOT
from engine.pulumi import EngineError
from engine.terminal import Steps, fail
from sandbox import commands
from sandbox.environment import environment
from sandbox.processes import SandboxError
from sandbox.state import State
from tests.support.sandbox import Sandbox
from toolchain.build import ensure
from toolchain.go import ToolchainError

Turn = tuple[int, str, random.Random]
"""Number of a try, name of its fault, dice for it."""


def each_once(seed: int, worker: int, workers: int, names: Sequence[str]) -> Iterator[Turn]:
    """The faults of one of so many workers, when each is tried once. Pure."""
    for number, name in enumerate(names[worker - 1 :: workers], 1):
        yield number, name, random.Random(f"{seed}/{worker}/{number}")


def order(seed: int, worker: int, workers: int, names: Sequence[str]) -> Iterator[Turn]:
    """The faults of a worker without end, the same for the same seed and worker: first its share
    of all, then each as often as its weight says. Pure."""
    number = 0
    for turn in each_once(seed, worker, workers, names):
        number += 1
        yield turn
    shuffle = random.Random(f"{seed}/{worker}")
    weighted = [name for name in names for _ in range(KINDS[name].weight)]
    while True:
        for name in shuffle.sample(weighted, len(weighted)):
            number += 1
            yield number, name, random.Random(f"{seed}/{worker}/{number}")


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of its own, which ends with this process, however that ends."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    os.environ["SANDBOX_DIR"] = str(folder)
    # Pods that run take processor time, and no fault hits them.
    os.environ.setdefault("SANDBOX_PODS", "simulated")
    state = State(folder)
    try:
        tools = ensure(report=lambda _: None)
        with contextlib.redirect_stdout(sys.stderr):
            commands.start(state, tools, Steps(4), watch=os.getpid())
        yield Sandbox(state, tools, scratch.project(folder / "project"), environment(state, tools))
    finally:
        commands.stop_all(state)
        shutil.rmtree(folder, ignore_errors=True)


def work(chosen: argparse.Namespace) -> int:
    """One worker: tries faults in a sandbox of its own, and prints a line of JSON for each."""
    # Ended by the leader: the sandbox is to end with it, and the file system of its state.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    until = time.monotonic() + chosen.seconds
    turns = order(chosen.seed, chosen.worker, chosen.workers, chosen.only)
    if chosen.once:
        turns = each_once(chosen.seed, chosen.worker, chosen.workers, chosen.only)
    left, in_vain = chosen.faults, 0
    while left > 0 and time.monotonic() < until:
        before = left
        try:
            # Another sandbox where the one before is of no more use.
            with sandbox() as made, opened(made) as trial:
                attempt.prepared(trial)
                while left > 0 and time.monotonic() < until and not trial.is_lost:
                    turn = next(turns, None)
                    if turn is None:
                        return 0
                    _, name, dice = turn
                    for tried in attempt.tried(trial, KINDS[name], dice):
                        left -= tried.outcome != SKIPPED
                        print(json.dumps(asdict(tried)), flush=True)
        except SandboxError as error:
            # On a busy machine a sandbox may not be ready in time.
            in_vain = in_vain + 1 if left == before else 0
            if in_vain == _MOST_IN_VAIN:
                raise
            fail(f"worker {chosen.worker} goes on in another sandbox: {error}")
    return 0


def lead(chosen: argparse.Namespace) -> int:
    """Runs the workers, tells what they tell, and writes the page if asked."""
    begun = dt.datetime.now(dt.UTC)
    if chosen.record is not None and chosen.record.exists():
        try:
            record.read(chosen.record)
        except ValueError as error:
            return fail(str(error))
    options = [
        f"--faults={-(-chosen.faults // chosen.workers)}",
        f"--seconds={chosen.seconds}",
        f"--seed={chosen.seed}",
        f"--workers={chosen.workers}",
        *(["--once"] if chosen.once else []),
    ]
    options += [f"--only={name}" for name in chosen.only]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "chaos", f"--worker={number}", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(1, chosen.workers + 1)
    ]
    told: list[Tried] = []
    threads = [threading.Thread(target=_listen, args=(worker, told)) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        print("interrupted: what was tried until now is told", flush=True)
    finally:
        for worker in workers:
            worker.terminate()
    broken = [worker.wait() for worker in workers if worker.wait() != 0]
    run = page.Run(
        date=begun.date(),
        seed=chosen.seed,
        command=" ".join(["make chaos", *chosen.limits, f"CHAOS_SEED={chosen.seed}"]),
        processors=os.cpu_count() or 1,
        load=os.getloadavg()[2],
        workers=chosen.workers,
        seconds=(dt.datetime.now(dt.UTC) - begun).total_seconds(),
    )
    print(page.table(told))
    if chosen.page:
        made, all_told = record.added(chosen.record, run, told)
        page.PAGE.write_text(page.text(made, all_told))
        print(f"written: {page.PAGE.relative_to(ROOT)}")
    failed = [tried for tried in told if tried.outcome == FAILED]
    print(f"{len(told)} tries, {len(failed)} failed, seed {chosen.seed}")
    if broken:
        print(f"{len(broken)} of {chosen.workers} workers ended early: see what they said above")
    return 1 if failed or broken else 0


def _listen(worker: subprocess.Popen[str], told: list[Tried]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        tried = Tried(**json.loads(line))
        told.append(tried)
        print(
            f"{len(told):>5} {tried.kind:<26} {tried.change:<10} {tried.outcome:<9}"
            f" {tried.faults:>4} {tried.runs:>2} {tried.seconds:>6.1f} s",
            flush=True,
        )
        for problem in tried.problems:
            print(f"      {problem}", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos")
    parser.add_argument("--faults", type=int, default=0, help="tries, of all workers together")
    parser.add_argument("--seconds", type=float, default=0, help="begin no try after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="each has a sandbox")
    parser.add_argument("--only", action="append", choices=sorted(KINDS), help="this fault")
    parser.add_argument("--page", action="store_true", help=f"write {page.PAGE.name}")
    parser.add_argument("--record", type=Path, help="the page tells what is in this file, too")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    chosen.only = chosen.only or list(KINDS)
    chosen.limits = [
        f"CHAOS_{name.upper()}={getattr(chosen, name):g}"
        for name in ("faults", "seconds")
        if getattr(chosen, name)
    ]
    if chosen.only != list(KINDS):
        chosen.limits.append(f"CHAOS_ONLY='{' '.join(chosen.only)}'")
    if chosen.workers != _WORKERS:
        chosen.limits.append(f"SANDBOXES={chosen.workers}")
    chosen.once = chosen.once or not (chosen.faults or chosen.seconds)
    chosen.faults = chosen.faults or sys.maxsize
    chosen.seconds = chosen.seconds or _A_DAY
    chosen.seed = chosen.seed or int(time.time())
    try:
        return work(chosen) if chosen.worker else lead(chosen)
    except (SandboxError, EngineError, ToolchainError) as error:
        return fail(str(error))


_WORKERS = 2
_MOST_IN_VAIN = 3
_A_DAY = 24 * 60 * 60.0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
