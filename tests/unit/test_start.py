"""What the processes of a run import: each import that is not needed is paid for in every run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.project import ROOT

PROGRAM = (ROOT / "__main__.py").read_text().partition("gc.freeze()")[0]
# As the state names them (test_state_memory.py), of a stack with S3 that changes nothing.
PROVIDERS = "\n".join(
    f"import {module}"
    for module in (
        "components.network.accepted",
        "components.object_storage.blob_place",
        "components.object_storage.key_proof",
        "components.object_storage.s3_bucket",
        "components.ownership.state_mark",
        "components.sealing.seal",
        "components.sealing.trust",
        "components.sealing.unsealed",
    )
)
PLUGIN = "import components.registry.plugin.provider, components.registry.plugin.sdk"


@pytest.mark.parametrize(
    ("imports", "unneeded"),
    [
        (
            PROGRAM,
            {"boto3", "pulumi_aws", "pulumi_hcloud", "pulumi_kubernetes.core.v1"},
        ),
        (PROVIDERS, {"boto3", "pydantic", "pulumi_kubernetes"}),
        (PLUGIN, {"cryptography", "pydantic", "pulumi_kubernetes"}),
    ],
    ids=["program", "dynamic providers", "plugin"],
)
def test_a_process_imports_nothing_that_it_does_not_need(imports: str, unneeded: set[str]) -> None:
    shown = f"print(*({unneeded} & sys.modules.keys()))"
    code = f"{imports}\nimport sys\n{shown}"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stdout.split() == []
