"""Stacks for the Pulumi Kubernetes Operator.

tests/unit/golden/operator.yaml after a wanted change: UPDATE_GOLDEN=1 pytest <this file>.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import stacks
from fleet import operator
from fleet.__main__ import main as fleet_command

GOLDEN = Path(__file__).parent / "golden" / "operator.yaml"
OPERATOR = operator.Operator(
    repository="https://git.example.com/estate/sovereign-harbor.git",
    commit="0123456789abcdef0123456789abcdef01234567",
    backend="s3://estate-pulumi?endpoint=s3.example.com&region=fsn1&s3ForcePathStyle=true",
    namespace="pulumi",
)
# Of deploy/crds/pulumi.com_stacks.yaml in pulumi/pulumi-kubernetes-operator v2.9.0, with types.
SPEC: dict[str, type] = {
    "stack": str,
    "projectRepo": str,
    "commit": str,
    "backend": str,
    "useLocalStackOnly": bool,
    "destroyOnFinalize": bool,
    "retryOnUpdateConflict": bool,
    "continueResyncOnCommitMatch": bool,
    "resyncFrequencySeconds": int,
    "workspaceReclaimPolicy": str,
    "serviceAccountName": str,
    "envRefs": dict,
    "workspaceTemplate": dict,
}
WORKSPACE = {"image", "securityProfile", "resources", "podTemplate"}


def generated() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(operator.manifests(stacks.sovereigns(), OPERATOR)))


def test_the_manifests_are_as_agreed() -> None:
    made = operator.manifests(["omantel"], OPERATOR)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text(), "UPDATE_GOLDEN=1 if it is wanted"


def test_every_sovereign_with_a_file_has_one_and_the_sandbox_has_none() -> None:
    names = [manifest["metadata"]["name"] for manifest in generated()]
    assert names == stacks.sovereigns()
    assert "local" not in names


def test_the_fields_are_those_of_the_operator_s_resource() -> None:
    for manifest in generated():
        spec = manifest["spec"]
        assert {key: type(value) for key, value in spec.items()} == SPEC
        assert set(spec["workspaceTemplate"]["spec"]) == WORKSPACE
        for reference in spec["envRefs"].values():
            kind = reference["type"]
            assert set(reference) == {"type", {"Secret": "secret", "Literal": "literal"}[kind]}


def test_no_stack_is_destroyed_by_deleting_its_resource_or_follows_a_branch() -> None:
    for manifest in generated():
        assert manifest["spec"]["destroyOnFinalize"] is False
        assert manifest["spec"]["useLocalStackOnly"] is True
        assert manifest["spec"]["commit"] == OPERATOR.commit
        assert "branch" not in manifest["spec"]


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield str(value)


def test_secrets_are_only_referred_to() -> None:
    for manifest in generated():
        references = manifest["spec"]["envRefs"]
        for key in ("PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY"):
            assert references[key]["secret"] == {"name": OPERATOR.secret, "key": key}
        assert f"kubeconfig-{manifest['metadata']['name']}" in set(leaves(manifest))


def test_the_engine_is_the_one_that_the_program_is_pinned_to() -> None:
    text = (stacks.ROOT / "pyproject.toml").read_text()
    assert f'"pulumi=={operator.IMAGE.partition(":")[2].removesuffix("-nonroot")}"' in text


@pytest.mark.parametrize("missing", ["repository", "backend"])
def test_without_a_repository_or_a_backend_nothing_is_written(
    missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"repository": "https://r", "commit": "c", "backend": "s3://b", "namespace": "n"}
    options[missing] = ""
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    assert fleet_command(["operator", *words]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{missing.upper()} not set" in shown.err
    assert "make fleet-operator REPOSITORY=" in shown.err
