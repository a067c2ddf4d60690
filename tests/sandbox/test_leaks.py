"""No secret stands in anything that a whole life of a Sovereign leaves behind, or shows meanwhile.

One setting holds a planted text that is no secret. It goes the ways that a secret could go, so it
has to be found in every kind of artefact: else the search would look at nothing there.

The Sovereign is deployed with the rights of docs/howto/deployer.yaml, whose token is one more
secret. The engine's own log (-v, --logtostderr) is not looked at: test_recorded_stack.py says why.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from components.backup.objects import SECRET as BACKUP_SECRET
from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from sandbox.waiting import wait_until
from tests.sandbox.conftest import SOVEREIGN, Sandbox
from tests.sandbox.test_backup import DESTINATION
from tests.sandbox.test_least_privilege import deployer  # noqa: F401
from tests.sandbox.test_monitoring import SECTION
from tests.sandbox.test_recorded_stack import decrypted
from tests.support.leaks import (
    Artefacts,
    Watched,
    environments,
    kinds_with,
    leaks,
    unpacked,
    watching,
)
from tests.support.monitoring import METRICS
from tests.support.sandbox import NAMESPACE, empty_bucket, let_go, objects, unsealed

PLANTED = "planted-4f53cda18c2b4f0d"
MARK = "SOVEREIGN_HARBOR_LEAK_TEST"
KINDS = {
    *("printed", "debug log", "engine's events", "preview as JSON", "refusal"),
    *("state", "stack export", "history"),
    *("Helm record", "objects of the cluster", "Events"),
    *("process arguments", "environment", "temporary files"),
}
OF_NODES = {"key": "kubernetes.io/arch", "value": "amd64", "effect": "NoSchedule"}
"""What Harbor's pods tolerate unless told otherwise."""
PUBLIC = {"username", "s3-bucket", "s3-region", "s3-endpoint", "tls.crt", "region"}
"""Keys of Secrets whose values are no secrets."""
ALLOWED = frozenset({"PULUMI_CONFIG"})
"""Variables of a process that may hold secrets: the engine gives the program its configuration so,
decrypted. On Linux only the same user and root read a process's environment."""
OF_SANDBOX = frozenset({"SANDBOX_S3_ACCESS_KEY", "SANDBOX_S3_SECRET_KEY"})
"""A stack's file names variables in the sandbox only; others have encrypted values."""


@dataclass
class Life:
    """What was collected, and the secrets of the Sovereign: name → value."""

    artefacts: Artefacts = field(default_factory=Artefacts)
    secrets: dict[str, str] = field(default_factory=dict)
    watched: list[Watched] = field(default_factory=list)


@dataclass
class Witness:
    """Drives the Sovereign, and keeps what is printed and seen."""

    sandbox: Sandbox
    stack: Stack
    life: Life

    def run(
        self,
        kind: str,
        *arguments: str,
        fails: bool = False,
        watched: bool = False,
        **variables: str,
    ) -> None:
        """Runs `pulumi …`, and looks at its processes and temporary files meanwhile.

        `watched`: the engine's events are kept too.
        """
        events: list[str] = []
        own = {**variables, MARK: PLANTED}
        stack = Stack(self.stack.name, {**self.stack.environment, **own}, self.stack.folder)
        with watching(f"{MARK}=", self.sandbox.state.directory("tmp")) as seen:
            self._plant(seen)
            ran = stack.run(
                *(*arguments, "-s", stack.name),
                check=not fails,
                watch=(lambda event: events.append(json.dumps(event))) if watched else None,
            )
        self.life.watched.append(seen)
        self.life.artefacts.add(kind, " ".join(arguments[:2]), ran.text)
        if watched:
            self.life.artefacts.add("engine's events", arguments[0], "\n".join(events))
        assert (ran.code != 0) == fails, ran.text

    def _plant(self, seen: Watched) -> None:
        """A file, and a process with the text among its arguments, until both were seen."""
        file = self.sandbox.state.directory("tmp") / "planted"
        file.write_text(PLANTED)
        # `read` is the shell's own: it waits under these arguments until its input ends.
        waiting = ["sh", "-c", "read line", PLANTED]
        with subprocess.Popen(waiting, env={MARK: PLANTED}, stdin=subprocess.PIPE):
            is_seen = wait_until(
                lambda: file.name in seen.files and any(PLANTED in a for a in [*seen.arguments]),
                seconds=180,
            )
        file.unlink()
        assert is_seen

    def know(self) -> None:
        """Remembers the secrets that there are now, whatever becomes of them."""
        for name, data in unsealed(self.sandbox).items():
            for key, value in data.items():
                if key not in PUBLIC:
                    self._keep(f"{name}.{key}", value)
                if key == ".dockerconfigjson":
                    for login in json.loads(value)["auths"].values():
                        self._keep(f"{name} password", login["password"])
        exported = ("stack", "export", "-s", self.stack.name)
        public = self.stack.run(*exported).text
        shown = json.loads(self.stack.run(*exported, "--show-secrets").text)
        for index, text in enumerate(decrypted(shown)):
            if len(text) >= 12 and json.dumps(text)[1:-1] not in public:
                self._keep(f"secret {index} of the state", text)

    def _keep(self, name: str, value: str) -> None:
        known = self.life.secrets.values()
        if value.strip() and value not in known:
            self.life.secrets[f"{name} ({len(self.life.secrets)})"] = value

    def collect(self) -> None:
        """What lies in the backend and in the cluster at this moment."""
        artefacts, stack = self.life.artefacts, self.stack
        artefacts.add_folder("state", self.sandbox.state.folder / "pulumi-state")
        artefacts.add_folder("state", self.sandbox.state.folder / "pulumi-home")
        artefacts.add_folder("printed", self.sandbox.state.folder / "logs")
        for kind, arguments in (
            ("stack export", ("stack", "export")),
            ("history", ("stack", "history", "--json", "--full-dates")),
            ("printed", ("stack", "output", "--json")),
            ("printed", ("config", "--json")),
        ):
            artefacts.add(kind, " ".join(arguments), stack.run(*arguments, "-s", stack.name).text)
        for secret in objects(self.sandbox, "secrets"):
            bare = {
                key: value for key, value in secret.items() if key not in ("data", "stringData")
            }
            artefacts.add("objects of the cluster", secret["metadata"]["name"], json.dumps(bare))
            if secret["type"] == "helm.sh/release.v1":
                # In base64 twice; kubectl shows it so.
                packed = secret["data"]["release"]
                artefacts.add("Helm record", secret["metadata"]["name"], unpacked(packed))
        self._collect_objects()

    def _collect_objects(self) -> None:
        """Every object of every kind in every namespace, but Secrets: those are what is kept."""
        listing = ("api-resources", "--verbs=list", "-o", "name")
        kinds = set(self._kubectl(*listing).split()) - {"secrets"}
        everything = json.loads(self._kubectl("get", ",".join(sorted(kinds)), "-A", "-o", "json"))
        for item in everything["items"]:
            kind = "Events" if item["kind"] == "Event" else "objects of the cluster"
            name = f"{item['kind']} {item['metadata']['name']}"
            self.life.artefacts.add(kind, name, json.dumps(item))

    def _kubectl(self, *arguments: str) -> str:
        return cluster.kubectl(self.sandbox.state, self.sandbox.tools, *arguments)

    def operate(self, verb: str, *options: str) -> None:
        """`make VERB`, which reads Secrets itself."""
        own = {**self.sandbox.variables, "PYTHONPATH": str(ROOT), MARK: PLANTED}
        with watching(f"{MARK}=", self.sandbox.state.directory("tmp")) as seen:
            done = subprocess.run(
                [sys.executable, "-m", "operations", verb, "local", *options],
                cwd=ROOT,
                env=own,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        self.life.watched.append(seen)
        assert "Traceback" not in done.stderr, done.stderr
        self.life.artefacts.add("printed", f"make {verb}", done.stdout + done.stderr)

    def plant_event(self) -> None:
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "planted", "namespace": NAMESPACE},
            "involvedObject": {"kind": "Namespace", "name": NAMESPACE, "namespace": NAMESPACE},
            "message": PLANTED,
            "type": "Normal",
        }
        apply = ("apply", "-f", "-")
        cluster.kubectl(self.sandbox.state, self.sandbox.tools, *apply, stdin=json.dumps(event))


@pytest.fixture(scope="module")
def life(
    sandbox: Sandbox,
    deployer: Path,  # noqa: F811
    pytestconfig: pytest.Config,
) -> Iterator[Life]:
    stack = sandbox.stack(KUBECONFIG=str(deployer))
    stack.ensure()
    witness = Witness(sandbox, stack, Life())
    lived(witness)
    yield witness.life
    if SOVEREIGN not in pytestconfig.stash:  # else left_as_committed makes it anew
        file = f"Pulumi.{stack.name}.yaml"
        shutil.copyfile(ROOT / file, sandbox.project / file)


def lived(witness: Witness) -> None:
    """From the first `up` over a rotation and refusals to the end."""
    sandbox, stack, life = witness.sandbox, witness.stack, witness.life
    key = sandbox.state.credentials()["s3SecretKey"]
    life.secrets["secret key of the bucket"] = key
    users = yaml.safe_load(Path(stack.environment["KUBECONFIG"]).read_text())["users"]
    life.secrets["token of the deployer"] = users[0]["user"]["token"]
    sandbox.configure(
        storage={**sandbox.section("storage"), "versioning": {"noncurrentDays": 30}},
        # Backups of another database, which other files left, would be refused.
        backup={"destination": {**DESTINATION, "bucket": "leaks-backup"}},
        backupAccessKey="${SANDBOX_S3_ACCESS_KEY}",
        metrics=METRICS,
        monitoring=SECTION,
        # Of the debug log, only the names of resources are left (components/debug_log.py).
        registry={**sandbox.section("registry"), "labels": {PLANTED: {}}},
        harbor={"tolerations": [OF_NODES, {**OF_NODES, "key": "planted", "value": PLANTED}]},
    )
    # As people give a secret: encrypted in the stack's file, decrypted by the engine.
    stack.run("config", "set", "--secret", "backupSecretKey", key, "-s", stack.name)
    witness.run("printed", "up", "--yes", "--skip-preview")
    witness.know()
    witness.plant_event()
    witness.collect()
    sandbox.configure(rotation={"valkeyPassword": 2, "registryAccount": 2})
    witness.run("preview as JSON", "preview", "--json", "--show-sames")
    witness.run("printed", "preview", "--diff", "--show-sames")
    witness.run("debug log", "up", "--yes", "--skip-preview", "--debug", watched=True)
    witness.know()
    for verb, options in (("doctor", ("--json",)), ("registry-export", ()), ("bundle", ())):
        witness.operate(verb, *options)
    refusals(witness)
    witness.collect()
    empty_bucket(sandbox, stack.outputs())  # one that holds anything is not deleted
    # The deployer may not delete the namespace.
    let_go(stack)
    Witness(sandbox, sandbox.stack(), life).run("printed", "destroy", "--yes", "--skip-preview")
    witness.collect()


def refusals(witness: Witness) -> None:
    """Runs that end badly: refused by the program, without a cluster, and by the storage."""
    stack = ("up", "--yes", "--skip-preview")
    with witness.sandbox.configured(fqdn=f"{PLANTED}.Not_A_Name"):
        witness.run("refusal", *stack, "--debug", fails=True)
    witness.run("refusal", *stack, "--debug", fails=True, KUBECONFIG="/nonexistent/kubeconfig")
    with witness.sandbox.configured(rotation={"valkeyPassword": 3, "registryAccount": 2}):
        witness.run(
            "refusal", *stack, "--debug", fails=True, SANDBOX_S3_SECRET_KEY="not-the-key" * 4
        )


def test_what_a_life_leaves_has_no_secret_in_it(life: Life) -> None:
    assert len(life.secrets) >= 25, [*life.secrets]
    assert any(BACKUP_SECRET in name for name in life.secrets)
    assert leaks(life.artefacts, life.secrets) == []


def test_no_process_has_a_secret_in_its_arguments(life: Life) -> None:
    artefacts = Artefacts()
    for each in life.watched:
        artefacts.add("process arguments", "all", "\n".join(each.arguments))
    assert leaks(artefacts, life.secrets) == []


def test_no_process_has_a_secret_in_its_environment_but_the_program(life: Life) -> None:
    allowed = ALLOWED | OF_SANDBOX
    assert leaks(environments(life.watched, allowed), life.secrets) == []
    holders = {
        command
        for each in life.watched
        for command, name in each.environments
        if name.startswith("PULUMI_CONFIG") and command in ("sh", "kubectl")
    }
    assert holders == set(), "kubectl starts commands that the kubeconfig names"


def test_no_temporary_file_has_a_secret_in_it(life: Life) -> None:
    artefacts = Artefacts()
    for each in life.watched:
        for name, text in each.files.items():
            # The Kubernetes provider copies the kubeconfig (pulumi-kubernetes), for its user alone.
            if not Path(name).name.startswith("kubeconfig"):
                artefacts.add("temporary files", name, text)
    assert leaks(artefacts, life.secrets) == []


def test_the_search_finds_what_is_planted_in_every_kind_of_artefact(life: Life) -> None:
    everything = Artefacts({**life.artefacts.kinds})
    for each in life.watched:
        everything.add("process arguments", "all", "\n".join(each.arguments))
        for name, text in each.files.items():
            everything.add("temporary files", name, text)
    everything.kinds |= environments(life.watched, ALLOWED | OF_SANDBOX).kinds
    assert set(everything.kinds) == KINDS
    assert kinds_with(everything, PLANTED) == KINDS
    seen = {command for each in life.watched for command, _ in each.environments}
    assert {"pulumi", "kubectl"} <= seen
    assert any(
        "__main__" in each or "pulumi-language-python-exec" in each
        for watched in life.watched
        for each in watched.arguments
    )
