"""A living Sovereign met by a state that is not its own: refused, and adopted by the runbook.

The commands are those of docs/runbooks/state-lost.md. Order matters: the last test adopts.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import scratch
from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox
from tests.support import runbook
from tests.support.sandbox import NAMESPACE, generations, unsealed


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The same stack in a backend of its own, which knows nothing at first."""

    sandbox: Sandbox
    stack: Stack

    def holds(self, state: dict[str, Any]) -> None:
        file = self.stack.folder / "state.json"
        file.write_text(json.dumps(state))
        self.stack.run("stack", "import", "-s", "local", "--file", str(file))

    def refused(self, *command: str) -> str:
        """What the engine says to a command that changes no Secret and no workload."""
        before = unsealed(self.sandbox), generations(self.sandbox)
        said = self.stack.run(*command, "-s", "local", check=False)
        assert said.code != 0, said.text
        assert "Traceback" not in said.text
        assert (unsealed(self.sandbox), generations(self.sandbox)) == before
        for data in before[0].values():
            assert not any(len(value) > 15 and value in said.text for value in data.values())
        return " ".join(said.text.split())


def state_of(stack: Stack) -> dict[str, Any]:
    return json.loads(stack.run("stack", "export", "-s", stack.name).text)


def without(state: dict[str, Any], *names: str) -> dict[str, Any]:
    """The state without these resources, and without anybody's dependency on them."""
    left = copy.deepcopy(state)
    resources = left["deployment"]["resources"]
    gone = {
        resource["urn"]
        for resource in resources
        if resource["custom"] and resource["urn"].rpartition("::")[2] in names
    }
    assert len(gone) == len(names)
    left["deployment"]["resources"] = [r for r in resources if r["urn"] not in gone]
    for resource in left["deployment"]["resources"]:
        kept = [urn for urn in resource.get("dependencies") or [] if urn not in gone]
        resource["dependencies"] = kept
        for key, urns in (resource.get("propertyDependencies") or {}).items():
            resource["propertyDependencies"][key] = [urn for urn in urns or [] if urn not in gone]
    return left


@pytest.fixture(scope="module")
def elsewhere(
    sandbox: Sandbox, sovereign: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Elsewhere:
    folder: Path = tmp_path_factory.mktemp("elsewhere")
    (folder / "backend").mkdir()
    own = dataclasses.replace(
        sandbox,
        project=scratch.project(folder / "project"),
        variables={
            **sandbox.variables,
            "PULUMI_BACKEND_URL": f"{(folder / 'backend').as_uri()}?metadata=skip",
        },
    )
    # The settings that the Sovereign has by now: tests before may have rotated a credential.
    shutil.copyfile(sandbox.project / "Pulumi.local.yaml", own.project / "Pulumi.local.yaml")
    stack = own.stack()
    stack.ensure()
    return Elsewhere(sandbox=own, stack=stack)


def test_an_empty_state_takes_no_living_sovereign(elsewhere: Elsewhere) -> None:
    said = elsewhere.refused("up", "--yes", "--skip-preview")
    assert "a Sovereign lives in namespace harbor that this stack's state does not know" in said
    assert "nothing was touched" in said
    assert "pulumi stack import -s local" in said
    assert "docs/runbooks/state-lost.md" in said
    state = state_of(elsewhere.stack)["deployment"]
    made = [r["type"] for r in state.get("resources", []) if r.get("custom")]
    assert not [each for each in made if each.startswith(("random:", "kubernetes:"))]


def test_an_empty_state_takes_no_sovereign_of_an_earlier_version(
    elsewhere: Elsewhere, sovereign: Stack
) -> None:
    # Earlier versions made no mark.
    sandbox = elsewhere.sandbox
    delete = ("delete", "configmap", "sovereign-harbor-state", "-n", NAMESPACE)
    cluster.kubectl(sandbox.state, sandbox.tools, *delete)
    said = elsewhere.refused("preview")
    assert "was written by this program, and this stack's state does not know it" in said
    sovereign.run("refresh", "-s", "local", "--yes", "--skip-preview")
    sovereign.up()
    assert "a Sovereign lives in namespace harbor" in elsewhere.refused("preview")


def test_a_credential_that_is_missing_from_the_state_is_not_made_anew(
    elsewhere: Elsewhere, sovereign: Stack
) -> None:
    whole = state_of(sovereign)
    elsewhere.holds(without(whole, "credentials-secret-key"))
    said = elsewhere.refused("preview")
    assert "the value of secret-key in Secret harbor/harbor-minted-secret-key would change" in said
    assert "pulumi config set --secret harborSecretKey -s local" in said
    elsewhere.holds(without(whole, "credentials-token-certificate-1", "credentials-token-key-1"))
    said = elsewhere.refused("preview")
    assert "pulumi config set --path 'rotation.tokenCertificate' 2 -s local" in said
    elsewhere.holds(whole)
    elsewhere.stack.run("preview", "-s", "local", "--expect-no-changes")


def test_an_older_state_does_not_write_over_newer_values(
    elsewhere: Elsewhere, sovereign: Stack
) -> None:
    elsewhere.holds(state_of(sovereign))
    main = dataclasses.replace(elsewhere.sandbox, project=sovereign.folder)
    main.configure(rotation={**(main.section("rotation") or {}), "valkeyPassword": 7})
    sovereign.up()
    said = elsewhere.refused("preview")
    assert "Secret harbor/harbor-valkey-credentials has a value that this stack's state" in said
    assert "the state is older than the cluster" in said
    assert "pulumi stack import -s local" in said


def test_a_lost_state_is_made_again_by_the_runbook(elsewhere: Elsewhere, sovereign: Stack) -> None:
    blocks = runbook.commands("state-lost")
    variables = {"STACK": "local", "NAMESPACE": NAMESPACE}
    before = unsealed(elsewhere.sandbox)
    empty = state_of(elsewhere.stack)
    empty["deployment"] = {"manifest": empty["deployment"]["manifest"]}
    elsewhere.holds(empty)
    for heading in (
        "2. Say in the stack's file what is adopted",
        "3. Read the three secrets from the cluster",
        "4. Preview and adopt",
    ):
        runbook.run(elsewhere.stack, blocks[heading], variables)
    after = unsealed(elsewhere.sandbox)
    key = "harbor-minted-secret-key", "harbor-given-secret-key"
    assert after[key[1]] == before[key[0]]
    for kept in ("harbor-minted-admin-password", "harbor-pg-credentials", "object-storage"):
        assert after[kept] == before[kept]
    runbook.run(elsewhere.stack, blocks["Afterwards"], variables)

    # The state before turns up again, with the three secrets set.
    shutil.copyfile(
        elsewhere.stack.folder / "Pulumi.local.yaml", sovereign.folder / "Pulumi.local.yaml"
    )
    refused = sovereign.run("preview", "-s", "local", check=False)
    assert refused.code != 0
    assert "this stack's state does not know" in " ".join(refused.text.split())

    # The tests after these go on with the state that knows the Sovereign.
    file = elsewhere.stack.folder / "state.json"
    file.write_text(json.dumps(state_of(elsewhere.stack)))
    sovereign.run("stack", "import", "-s", "local", "--file", str(file))
    sovereign.up(expect_no_changes=True)
