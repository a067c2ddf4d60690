"""The bill of materials that `make sbom` writes: Go modules as go.mod and go.sum have them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from checks.sbom import PRODUCTION, Module, hashes, merged, modules
from tests.support.project import ROOT
from toolchain.catalogue import TOOLS

GO_MOD = """\
module sovereign-harbor/tools/example

go 1.26.0

tool example.org/Tool/cmd/tool

require example.org/Tool v1.2.3

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/old/name v2.0.0+incompatible // indirect
	k8s.io/api v0.0.0
)

// As in its own go.mod.
replace github.com/old/name => github.com/new/name v2.1.0
replace (
	k8s.io/api v0.0.0 => k8s.io/api v0.35.4
)
"""
ROOT_COMPONENT = {"type": "application", "name": "sovereign-harbor", "version": "0.1.0"}
PYTHON: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {**ROOT_COMPONENT, "bom-ref": "root-component"}},
    "components": [
        {
            "bom-ref": "requirements-L1",
            "description": "requirements line 1: boto3==1.40.0 --hash=sha256:ab",
            "name": "boto3",
            "purl": "pkg:pypi/boto3@1.40.0",
            "type": "library",
            "version": "1.40.0",
        }
    ],
}


def test_modules_are_those_that_are_required_as_they_are_replaced() -> None:
    assert modules(GO_MOD) == {
        Module("example.org/Tool", "v1.2.3"),
        Module("github.com/BurntSushi/toml", "v1.6.0"),
        Module("github.com/new/name", "v2.1.0"),
        Module("k8s.io/api", "v0.35.4"),
    }


def test_a_replacement_by_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="no version"):
        modules("module m\n\nreplace example.org/a => ../a\n")


def test_a_package_url_is_in_lower_case_and_escaped() -> None:
    module = Module("github.com/BurntSushi/toml", "v2.0.0+incompatible")
    assert module.purl == "pkg:golang/github.com/burntsushi/toml@v2.0.0%2Bincompatible"


def test_a_hash_is_that_of_the_content_in_hexadecimal_digits() -> None:
    content, go_mod = bytes(range(32)), bytes(32)
    lines = [
        f"example.org/a v1.0.0 h1:{base64.b64encode(content).decode()}",
        f"example.org/a v1.0.0/go.mod h1:{base64.b64encode(go_mod).decode()}",
    ]
    assert hashes("\n".join(lines)) == {Module("example.org/a", "v1.0.0"): content.hex()}


def real() -> dict[str, Any]:
    return merged(PYTHON, {tool: modules((tool.folder / "go.mod").read_text()) for tool in TOOLS})


def test_every_tool_stands_in_it_with_its_modules() -> None:
    document = real()
    components = {each["bom-ref"]: each for each in document["components"]}
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    for tool in TOOLS:
        assert components[f"toolchain/{tool.name}"]["version"] == tool.version
        assert needs[f"toolchain/{tool.name}"], tool.name
    (root, *_) = document["dependencies"]
    assert set(root["dependsOn"]) == {
        "pkg:pypi/boto3@1.40.0",
        *(f"toolchain/{tool.name}" for tool in TOOLS),
    }
    assert {name for names in needs.values() for name in names} == set(components)


def test_every_module_has_its_hash_but_those_of_which_nothing_is_built() -> None:
    listed = [each for each in real()["components"] if each.get("purl", "").startswith("pkg:go")]
    with_hash = [each for each in listed if "hashes" in each]
    assert len(listed) > 500
    assert len(with_hash) / len(listed) > 0.9


def test_what_only_the_sandbox_needs_is_marked() -> None:
    scopes = {each["name"]: each["scope"] for each in real()["components"]}
    assert {tool.name for tool in TOOLS if scopes[tool.name] == "required"} == PRODUCTION
    assert scopes["github.com/pulumi/pulumi/sdk/v3"] == "required"
    assert scopes["github.com/kyverno/kyverno"] == "excluded"


def test_no_line_of_the_lock_is_repeated() -> None:
    (package,) = [each for each in real()["components"] if each["name"] == "boto3"]
    assert "description" not in package
    assert package["bom-ref"] == package["purl"]


def test_locks_name_no_index() -> None:
    for file in ROOT.glob("requirements*.lock"):
        assert "--index-url" not in file.read_text()
        assert "--find-links" not in file.read_text()
