"""The shell of `make env` serves the sandbox's stack and no other."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox import guard

BACKEND = "file:///sandbox/pulumi-state?metadata=skip"
SANDBOXES = {"PULUMI_CONFIG_PASSPHRASE": "sandbox", "PULUMI_BACKEND_URL": BACKEND}
FOR_ANOTHER = [
    "stack init omantel",
    "stack init omantel --no-select",
    "-C . stack init --secrets-provider passphrase omantel",
    "stack init acme/sovereign-harbor/omantel",
    "stack select omantel",
    "config set --secret s3AccessKey -s omantel",
    "config set --secret s3AccessKey --stack omantel",
    "config set --secret s3AccessKey --stack=omantel",
    "config set --secret s3AccessKey -somantel",
    "up -s omantel --yes",
    "up --yes --message local -s omantel",
    "preview -s nobody-has-a-file",
    "import -s omantel --file local",
]


@pytest.mark.parametrize("line", FOR_ANOTHER)
def test_no_other_stack_is_served(line: str) -> None:
    told = guard.refusal(line.split(), SANDBOXES, backend=BACKEND)
    assert told is not None
    assert "nothing was touched" in told
    assert "Open a new shell" in told


@pytest.mark.parametrize(
    "line",
    [
        "stack init local",
        "up -s local",
        "preview --stack=local",
        "stack output registryFqdn -s local",
        "stack ls",
        "version",
        "config set --secret s3AccessKey omantel -s local",
        "up -s local --message omantel",
        "login --help",
        "",
    ],
)
def test_the_sandbox_s_stack_is_served(line: str) -> None:
    assert guard.refusal(line.split(), SANDBOXES, backend=BACKEND) is None


def test_a_stack_that_was_selected_counts_as_named(tmp_path: Path) -> None:
    (tmp_path / "workspaces").mkdir()
    selected = tmp_path / "workspaces" / "sovereign-harbor-0a1b-workspace.json"
    environ = {**SANDBOXES, "PULUMI_HOME": str(tmp_path)}
    line = ["config", "set", "--secret", "s3AccessKey"]
    selected.write_text('{"stack": "organization/sovereign-harbor/omantel"}')
    assert guard.refusal(line, environ, backend=BACKEND)
    selected.write_text('{"stack": "local"}')
    assert guard.refusal(line, environ, backend=BACKEND) is None
    selected.write_text("[broken")
    assert guard.refusal(line, environ, backend=BACKEND) is None


@pytest.mark.parametrize(
    ("own", "is_served"),
    [
        ({"PULUMI_CONFIG_PASSPHRASE": "ours"}, False),
        ({"PULUMI_BACKEND_URL": "s3://ours"}, False),
        ({"PULUMI_CONFIG_PASSPHRASE": "ours", "PULUMI_BACKEND_URL": "s3://ours"}, True),
    ],
    ids=["the sandbox's backend", "the sandbox's passphrase", "neither"],
)
def test_a_backend_and_a_passphrase_of_its_own_serve_any_stack(
    own: dict[str, str], is_served: bool
) -> None:
    told = guard.refusal(["up", "-s", "omantel"], {**SANDBOXES, **own}, backend=BACKEND)
    assert (told is None) is is_served


def test_another_sandbox_is_served(tmp_path: Path) -> None:
    config = 'config:\n  sovereign-harbor:sandbox: "true"\n'
    (tmp_path / "Pulumi.second.yaml").write_text(config)
    line = ["up", "-s", "second"]
    assert guard.refusal(line, SANDBOXES, backend=BACKEND, root=tmp_path) is None


def test_the_command_becomes_the_engine_or_refuses(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    real.chmod(0o755)
    guard.write(tmp_path / "guard", real, BACKEND)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(tmp_path / "guard" / "pulumi"), *arguments],
            env={**os.environ, **SANDBOXES},
            capture_output=True,
            text=True,
        )

    served = run("up", "-s", "local", "--message", "two words")
    assert served.stdout == "up|-s|local|--message|two words|"
    refused = run("config", "set", "--secret", "s3AccessKey", "-s", "omantel")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: this shell has the sandbox's environment")
