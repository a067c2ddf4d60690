"""The engine killed at random points: the next `up` completes, and no credential has changed.

Kills are SIGKILL to the engine, so nothing of Pulumi can tidy up. Times are random but printed by
their seed: SANDBOX_KILL_SEED=<number> repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest

from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import objects, unsealed

KILLS_DURING_FIRST_UP = 12
KILLS_DURING_ROTATION = 10


@pytest.fixture(scope="module")
def chance() -> random.Random:
    seed = int(os.environ.get("SANDBOX_KILL_SEED") or time.time())
    print(f"SANDBOX_KILL_SEED={seed}")
    return random.Random(seed)


def up_killed_after(stack: Stack, seconds: float) -> bool:
    """Starts `up` and kills the engine after `seconds`; whether it was still running."""
    stack.drop_dead_lock()
    with subprocess.Popen(
        ["pulumi", "up", "-s", stack.name, "--yes", "--skip-preview", "--non-interactive"],
        cwd=stack.folder,
        env={**os.environ, **stack.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            return True
    return False


def complete(stack: Stack) -> None:
    """As docs/runbooks/interrupted-run.md says: up, forget what the engine had begun, up."""
    stack.drop_dead_lock()
    stack.up()
    stack.run("refresh", "-s", stack.name, "--yes", "--skip-preview", "--clear-pending-creates")
    stack.up(expect_no_changes=True)


def resources(stack: Stack) -> set[str]:
    exported = json.loads(stack.run("stack", "export", "-s", stack.name).text)["deployment"]
    assert not exported.get("pending_operations")
    return {resource["urn"] for resource in exported["resources"]}


def test_a_first_up_completes_however_often_it_was_killed(
    sandbox: Sandbox, chance: random.Random
) -> None:
    stack = sandbox.stack()
    stack.ensure()
    seen: dict[str, dict[str, str]] = {}
    killed = 0
    for attempt in range(KILLS_DURING_FIRST_UP):
        killed += up_killed_after(stack, chance.uniform(0.8, 2.5 + attempt * 0.6))
        now = unsealed(sandbox) if namespaces_exist(sandbox) else {}
        changed = {name for name in seen if name in now and now[name] != seen[name]}
        # A value that no state recorded may be minted anew until Harbor has started with it.
        if any(o["metadata"]["name"] == "harbor-core" for o in objects(sandbox, "deployments")):
            assert not changed
        seen = now
    assert killed >= KILLS_DURING_FIRST_UP // 2
    complete(stack)
    # Of Harbor and its parts, of the account that configures Harbor, and two logins of robots.
    assert len(unsealed(sandbox)) == 12 + 1 + 2


def namespaces_exist(sandbox: Sandbox) -> bool:
    namespaces = cluster.kubectl(sandbox.state, sandbox.tools, "get", "ns", "-o", "name")
    return "namespace/harbor" in namespaces.split()


def test_a_rotation_completes_however_often_it_was_killed(
    sandbox: Sandbox, chance: random.Random
) -> None:
    stack = sandbox.stack()
    before, known = unsealed(sandbox), resources(stack)
    killed = 0
    for attempt in range(KILLS_DURING_ROTATION):
        sandbox.configure(rotation={"valkeyPassword": 10 + attempt, "registryUser": 10 + attempt})
        killed += up_killed_after(stack, chance.uniform(1.0, 5.0))
    assert killed >= KILLS_DURING_ROTATION // 2
    complete(stack)
    after = unsealed(sandbox)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"harbor-valkey-credentials", "harbor-minted-registry-user"}
    assert resources(stack) == known, "something is orphaned in, or missing from, the state"
