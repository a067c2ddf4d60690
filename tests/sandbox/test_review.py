"""Previews as a pull request gets them, by the real engine and the real policy pack."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.credentials import CREDENTIALS
from engine import scratch
from engine import workplace as engine
from engine.project import ROOT
from engine.pulumi import EngineError
from engine.stack import Stack
from fleet import run as fleet
from fleet.board import Board
from review import base, preview, rules
from sandbox import cluster
from tests.sandbox.conftest import Sandbox

STACKS = ["local", "gitlabbda", "omantel", "otech"]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SECRETS = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "KUBECONFIG")


@pytest.fixture
def fork(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a pull request from a fork: no backend, no secret, no cluster."""
    for name in [*SECRETS, *(name for name in os.environ if name.startswith("SANDBOX_S"))]:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def copy(fork: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the project to change."""
    for name in ("__main__.py", "policy"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    for name in ("components", "offline", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copyfile(file, tmp_path / file.name)
    fork.setattr(engine, "ROOT", tmp_path)
    fork.setattr(scratch, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_is_previewed_without_backend_cluster_and_secret(
    stack: str, fork: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    committed = engine.stack_file(stack).read_bytes()
    done = preview.preview(stack)
    assert done.code == 0, done.markdown
    assert done.plan.count("create") > 50
    assert "empty state" in done.markdown
    assert "```mermaid" in done.markdown
    assert "RandomPassword `credentials-secret-key`**" in done.markdown
    assert engine.stack_file(stack).read_bytes() == committed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_previewed_and_keeps_every_rule(
    example: Path, copy: Path, sandbox: Sandbox
) -> None:
    shutil.copyfile(example, copy / "Pulumi.example.yaml")
    done = preview.preview("example")
    assert done.code == 0, done.markdown
    assert (done.violations, done.plan.violations) == ((), ())


OFFENCES = {
    "no-plaintext-secret": """
from pulumi_kubernetes.helm.v3 import Release
Release("more-no-plaintext-secret", chart="offline/harbor-chart", namespace="harbor",
        values={"adminPassword": "x"}, opts=context.options)
""",
    "no-wildcard-access": """
from pulumi_kubernetes.rbac.v1 import Role
Role("more-no-wildcard-access", metadata={"namespace": "harbor"}, opts=context.options,
     rules=[{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}])
""",
    "objects-are-at-home": """
from pulumi_kubernetes.core.v1 import ConfigMap
ConfigMap("more-objects-are-at-home", metadata={"namespace": "kube-system"}, data={"a": "b"},
          opts=context.options)
""",
}


def test_what_breaks_a_rule_fails_the_preview_with_the_rule_s_name(
    copy: Path, sandbox: Sandbox
) -> None:
    """Offences of the program, and two of the stack's file: no protection, and a salt by which the
    sandbox's passphrase would decrypt its secrets."""
    program = (copy / "__main__.py").read_text()
    (copy / "__main__.py").write_text(program + "".join(OFFENCES.values()))
    file, local = copy / "Pulumi.omantel.yaml", copy / "Pulumi.local.yaml"
    salt = yaml.safe_load(local.read_text())["encryptionsalt"]
    text = file.read_text().replace(
        "config:\n", 'config:\n  sovereign-harbor:protect: "false"\n', 1
    )
    file.write_text(f"{text}encryptionsalt: {salt}\n")
    done = preview.preview("omantel")
    assert done.code != 0
    by_resource = {
        (violation.rule, violation.resource)
        for violation in done.plan.violations
        if violation.rule in OFFENCES
    }
    assert by_resource == {(rule, f"more-{rule}") for rule in OFFENCES}
    for rule in OFFENCES:
        assert f"- **{rule}** — `more-{rule}`: " in done.markdown
    others = {violation.rule for violation in done.plan.violations} - OFFENCES.keys()
    # The release in OFFENCES says nothing of nodes either.
    assert others == {"data-is-protected", "harbor-runs-on-amd64"}
    assert "**data-is-protected** — `object-storage-bucket`" in done.markdown
    assert "**no-plaintext-secret** — `Pulumi.omantel.yaml`" in done.markdown
    assert "pulumi stack init omantel" in done.markdown


# --- Head compared with base ---------------------------------------------------------------------


@pytest.fixture
def repository(copy: Path) -> Path:
    """The copy as a git repository whose HEAD is the base of what a test changes in it."""
    (copy / ".gitignore").write_text(".venv\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "base"]):
        subprocess.run(["git", *command], cwd=copy, check=True, timeout=300)
    return copy


@pytest.fixture
def one_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is one commit for all previews of a test, so it is previewed once."""
    kept: list[base.Base] = []

    def base_of(*given: Any, **options: Any) -> base.Base:
        kept[:] = kept or [base.base_of(*given, **options)]
        return kept[0]

    monkeypatch.setattr(preview, "base_of", base_of)


def test_without_a_backend_a_change_is_compared_with_its_base(
    repository: Path, one_base: None
) -> None:
    unchanged = preview.preview("omantel", base="HEAD")
    assert unchanged.code == 0, unchanged.markdown
    assert unchanged.markdown.startswith("## omantel: no changes\n")

    file = repository / "Pulumi.omantel.yaml"
    file.write_text(
        file.read_text()
        + "  sovereign-harbor:sandbox: 'true'\n"
        + "  sovereign-harbor:harbor: {replicas: {core: 3}}\n"
        + "  sovereign-harbor:rotation: {valkeyPassword: 2}\n"
    )
    changed = preview.preview("omantel", base="HEAD")
    assert changed.markdown.startswith("## omantel: 1 to replace, 5 to change\n")
    for words in (
        "### Guards that are off\n\n- **`sandbox: true`**",
        "- `rotation.valkeyPassword`: set",
        "`values.core.replicas`: `1` → `3`",
        "The number of pods changes: core 1 → 3.",
        "`keepers.epoch`: `1` → `2`",
        "restart if their credentials change: harbor-valkey, jobservice, registry, trivy",
    ):
        assert words in changed.markdown, changed.markdown

    file.write_text(file.read_text().replace("bucket: omantel-harbor", "bucket: other-harbor"))
    # It calls itself a sandbox, and its base is a Sovereign.
    refused = preview.preview("omantel", base="HEAD")
    assert refused.code != 0
    assert "**data-stays** — `object-storage-bucket`" in refused.markdown


def test_a_new_stack_has_nothing_to_be_compared_with(repository: Path) -> None:
    text = (repository / "Pulumi.omantel.yaml").read_text()
    (repository / "Pulumi.dhofar.yaml").write_text(text.replace("omantel", "dhofar"))
    done = preview.preview("dhofar", base="HEAD")
    assert done.code == 0, done.markdown
    assert "it has no Pulumi.dhofar.yaml: the stack is new" in done.markdown
    assert done.plan.count("create") > 50


@pytest.mark.parametrize("reference", ["no-such-branch", "--output=/tmp/x"])
def test_a_base_that_git_does_not_know_is_refused_in_words(
    reference: str, repository: Path
) -> None:
    with pytest.raises(EngineError, match="fix: git fetch"):
        preview.preview("omantel", base=reference)


# --- Another vendor ------------------------------------------------------------------------------


@pytest.fixture
def on_aws(copy: Path) -> Path:
    """A copy whose stack salalah is the example of docs/howto/storage-aws.md."""
    (example, *_) = re.findall(
        r"^```yaml\n(.*?)^```",
        (ROOT / "docs" / "howto" / "storage-aws.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    (copy / "Pulumi.salalah.yaml").write_text(example)
    return copy


ACCESS = {
    "access-key": ("iam/user:User", "iam/userPolicy:UserPolicy", "iam/accessKey:AccessKey"),
    "node-role": ("iam/rolePolicy:RolePolicy",),
}


@pytest.mark.parametrize("mode", ACCESS)
def test_the_documented_stack_of_another_vendor_is_previewed_and_keeps_every_rule(
    mode: str, on_aws: Path, sandbox: Sandbox
) -> None:
    file = on_aws / "Pulumi.salalah.yaml"
    document = yaml.safe_load(file.read_text())
    if mode == "node-role":
        access = {"mode": "node-role", "role": "salalah-nodes"}
        document["config"]["sovereign-harbor:storage"]["access"] = access
    file.write_text(yaml.safe_dump(document))
    done = preview.preview("salalah")
    assert done.code == 0, done.markdown
    assert done.violations == ()
    made = {change.type for change in done.plan.changes if change.type.startswith("aws:")}
    assert {typ for typ in made if typ.startswith("aws:iam")} == {f"aws:{t}" for t in ACCESS[mode]}
    assert len(made) == 7 + len(ACCESS[mode])
    assert "s3AccessKey" not in done.markdown


def test_what_the_registry_may_do_there_is_seen_by_the_rules(
    on_aws: Path, sandbox: Sandbox
) -> None:
    (on_aws / "components").unlink()
    shutil.copytree(ROOT / "components", on_aws / "components")
    policy = on_aws / "components" / "object_storage" / "aws" / "policy.py"
    policy.write_text(policy.read_text().replace('"s3:PutObject",', '"s3:*",'))
    done = preview.preview("salalah")
    assert done.code != 0
    assert [(v.rule, v.resource) for v in done.plan.violations] == [
        ("no-wildcard-access", "object-storage-user-policy")
    ]


def test_settings_that_are_refused_show_the_words_of_the_refusal(
    copy: Path, sandbox: Sandbox
) -> None:
    file = copy / "Pulumi.omantel.yaml"
    file.write_text(file.read_text().replace("region: fsn1", "region: ash"))
    done = preview.preview("omantel")
    assert done.code != 0
    assert "ash is a compute-only location without object storage" in done.markdown
    assert "in Pulumi.omantel.yaml set storage.region: fsn1" in done.markdown


def test_a_stack_file_with_somebody_s_secrets_is_previewed_without_their_key(
    copy: Path, sandbox: Sandbox
) -> None:
    file = copy / "Pulumi.omantel.yaml"
    encrypted = "v1:AAAAAAAAAAA=:AAAA"
    file.write_text(
        file.read_text()
        + f"  sovereign-harbor:s3AccessKey:\n    secure: {encrypted}\n"
        + "encryptionsalt: v1:AAAAAAAAAAA=:v1:AAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"
    )
    done = preview.preview("omantel")
    assert done.code == 0, done.markdown
    assert "s3AccessKey" in done.markdown


def test_a_pull_request_that_drops_the_bucket_is_stopped(
    sandbox: Sandbox, sovereign: Stack, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the backend in the environment the preview is of what changes."""
    for name, value in sandbox.variables.items():
        monkeypatch.setenv(name, value)
    # As it stands after whatever tests ran before.
    file = copy / "Pulumi.local.yaml"
    shutil.copyfile(sandbox.project / file.name, file)
    unchanged = preview.preview("local")
    assert unchanged.code == 0
    assert unchanged.markdown.startswith("## local: no changes\n")
    kept = sandbox.state.credentials()["s3SecretKey"]
    assert kept not in unchanged.markdown

    def other_storage(**more: str) -> preview.Preview:
        document = yaml.safe_load(file.read_text())
        kept = {"kind": "filesystem", "size": "50Gi", **more}
        document["config"]["sovereign-harbor:storage"] = kept
        file.write_text(yaml.safe_dump(document))
        return preview.preview("local")

    # The program itself asks first whether the images were moved.
    refused = other_storage()
    assert refused.code != 0
    assert "pulumi config set --path 'storage.movedTo' 'filesystem'" in refused.markdown

    changed = other_storage(movedTo="filesystem")
    assert "S3Bucket `object-storage-bucket`**" in changed.markdown
    # The sandbox's own data may go; a Sovereign's may not.
    assert changed.violations == ()
    broken = rules.violations(changed.plan, sandbox=False)
    assert ("data-stays", "object-storage-bucket") in [(v.rule, v.resource) for v in broken]


# --- The fleet ----------------------------------------------------------------------------------


@pytest.fixture
def connected(
    sandbox: Sandbox, sovereign: Stack, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], fleet.Outcome]:
    """The fleet's verbs with the sandbox's Sovereign, as configured by now, as the whole fleet."""
    for name, value in sandbox.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(engine, "ROOT", sandbox.project)
    monkeypatch.setattr(engine, "_LISTED", {})

    def run(verb: str) -> fleet.Outcome:
        with Board(verb, ["local"], io.StringIO()) as board:
            [outcome] = fleet.run(verb, ["local"], parallel=1, board=board)
        return outcome

    return run


def test_status_tells_what_the_backend_knows(connected: Callable[[str], fleet.Outcome]) -> None:
    outcome = connected("status")
    assert outcome.ok, outcome.error
    assert outcome.facts["registryFqdn"] == "registry.local.harbor.test"
    assert outcome.facts["resources"] > 50


def test_the_documented_rotation_of_valkey_is_an_update_of_one_annotation(
    connected: Callable[[str], fleet.Outcome], sandbox: Sandbox, sovereign: Stack
) -> None:
    """And no rule refuses it: the volume with the job queues stays. A second `up` does nothing."""
    runbook = (ROOT / "docs" / "runbooks" / "rotate-a-credential.md").read_text()
    (command,) = re.findall(
        r"`pulumi (config set --path 'rotation.valkeyPassword') 2 -s omantel`", runbook
    )
    epoch = (sandbox.section("rotation") or {}).get("valkeyPassword", 1) + 1
    sovereign.run(*shlex.split(command), str(epoch), "-s", sovereign.name)

    planned = preview.preview("local").plan
    assert planned.errors == ()
    assert list(rules.violations(planned, sandbox=False)) == []
    (server,) = [change for change in planned.changes if change.name == "cache-server"]
    assert server.act == "update"
    assert [difference.path for difference in server.differences] == [
        'spec.template.metadata.annotations["sovereign-harbor/secrets"]'
    ]
    (release,) = [change for change in planned.changes if change.name == "harbor-release"]
    hidden = {difference.path for difference in release.differences}
    assert hidden == {
        f'values.{component}.podAnnotations["sovereign-harbor/secrets"]'
        for component in CREDENTIALS["valkey-password"].readers
    }
    changed = {change.name for change in planned.changes if change.act != "same"}
    assert {name for name in changed if not name.startswith("c")} == {"harbor-release"}

    outcome = connected("up")
    assert outcome.ok, outcome.error
    assert connected("up").changes == {}


def test_drift_is_found_named_left_alone_and_mended_by_the_commands_told(
    connected: Callable[[str], fleet.Outcome], sandbox: Sandbox
) -> None:
    """Of an object of the state, and of two that Helm made, which the state does not have."""
    assert connected("drift").ok

    def kubectl(*arguments: str) -> str:
        return cluster.kubectl(sandbox.state, sandbox.tools, *arguments, "-n", "harbor")

    def serves(port: int) -> None:
        patch = [{"op": "replace", "path": "/spec/ingress/0/ports/0/port", "value": port}]
        kubectl("patch", "networkpolicy", "harbor-core", "--type=json", "-p", json.dumps(patch))

    serves(9)
    kubectl("scale", "deployment/harbor-core", "--replicas=3")
    kubectl("patch", "configmap", "harbor-core", "-p", '{"data": {"LOG_LEVEL": "fatal"}}')
    try:
        outcome = connected("drift")
        left = kubectl("get", "networkpolicy", "harbor-core", "-o", "yaml")
    finally:
        serves(8080)
    assert not outcome.ok
    facts = dict(outcome.facts)
    assert "spec.ingress" in facts.pop("network-policies-core")[0]
    assert facts == {
        "Deployment/harbor-core": ["spec.replicas"],
        "ConfigMap/harbor-core": ["data.LOG_LEVEL"],
    }
    assert outcome.error == "differs: " + ", ".join(
        ["ConfigMap/harbor-core", "Deployment/harbor-core", "network-policies-core"]
    )
    assert "port: 9\n" in left
    of_the_state, *of_helm = outcome.mend
    assert of_the_state == "pulumi up -s local --refresh"
    assert "kubectl scale deployment/harbor-core --replicas=1 -n harbor" in of_helm
    for mend in of_helm:
        subprocess.run(
            ["sh", "-c", mend],
            env={**os.environ, **sandbox.variables},
            capture_output=True,
            check=True,
        )
    assert connected("drift").ok
