"""What import-linter cannot see: who reads the config, and where vendors are named."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import vendor_coupling
from tests.support.project import ROOT


def reads_config(file: Path) -> bool:
    """Whether a module touches pulumi.Config or its runtime's config."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "pulumi.Config",
            "pulumi.runtime.config",
            "pulumi.runtime.get_config",
        ):
            return True
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and (
            node.module == "pulumi.runtime.config"
            or (node.module == "pulumi" and "Config" in names)
        ):
            return True
    return False


def is_given_config(file: Path) -> bool:
    """Whether a module has a dynamic provider that is given the config, or reads such a config.

    Pulumi calls a provider's method `configure` for nothing else than to hand it the config.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(item, ast.FunctionDef) and item.name == "configure" for item in node.body
        ):
            return True
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith(("get", "require"))
            and isinstance(node.value, ast.Attribute)
            and node.value.attr == "config"
        ):
            return True
    return False


def those_that(reads: Callable[[Path], bool]) -> set[str]:
    files = [ROOT / "__main__.py", *(ROOT / "components").rglob("*.py")]
    return {file.relative_to(ROOT).as_posix() for file in files if reads(file)}


def test_only_one_module_of_the_program_reads_the_stack_config() -> None:
    assert those_that(reads_config) == {"components/stack_config.py"}


CONFIGURED_PROVIDERS = {
    "components/object_storage/blob_place.py": ("stack_name",),
    "components/object_storage/s3/provider.py": ("key_pair", "backup_key_pair", "stack_name"),
    "components/ownership/state_mark.py": ("given_credentials",),
    "components/sealing/cluster_provider.py": ("cluster_context",),
    "components/sealing/waiting.py": ("stack_name",),
}
"""Module with a dynamic provider that reads the config → its readers in provider_config.py."""


def test_dynamic_providers_read_the_stack_config_by_one_module() -> None:
    assert those_that(is_given_config) == CONFIGURED_PROVIDERS.keys()
    for file, readers in CONFIGURED_PROVIDERS.items():
        tree = ast.parse((ROOT / file).read_text())
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and "req.config" in ast.unparse(node)
        ]
        expected = [f"{reader}(req.config.get)" for reader in readers]
        assert [ast.unparse(call) for call in calls] == expected
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and node.module == "components.settings.provider_config"
            for alias in node.names
        }
        assert names == {*readers}


@pytest.mark.parametrize(
    ("source", "is_reader"),
    [
        ("class P:\n    def configure(self, req):\n        self.key = req.config.get('k')", True),
        ("class P:\n    def configure(self, req):\n        remember(self, req)", True),
        ("def key(request):\n    return request.config.require('k')", True),
        ("def key(request):\n    return request.config.require_secret('k')", True),
        ("def configure(region):\n    return region", False),
        ("class P:\n    def create(self, props):\n        return props.get('config')", False),
    ],
)
def test_a_provider_that_reads_the_config_is_recognised(
    tmp_path: Path, source: str, is_reader: bool
) -> None:
    file = tmp_path / "module.py"
    file.write_text(source)
    assert is_given_config(file) is is_reader


@pytest.mark.parametrize(
    ("source", "is_reader"),
    [
        ("import pulumi\nc = pulumi.Config()", True),
        ("from pulumi import Config", True),
        ("from pulumi.runtime.config import CONFIG", True),
        ("import pulumi\npulumi.export('a', 1)", False),
    ],
)
def test_a_reader_of_the_config_is_recognised(tmp_path: Path, source: str, is_reader: bool) -> None:
    file = tmp_path / "module.py"
    file.write_text(source)
    assert reads_config(file) is is_reader


def test_main_stays_thin() -> None:
    source = (ROOT / "__main__.py").read_text()
    tree = ast.parse(source)
    logic = (ast.If, ast.For, ast.While, ast.FunctionDef, ast.ClassDef, ast.Try, ast.Lambda)
    assert not [node for node in ast.walk(tree) if isinstance(node, logic)]
    assert len(source.splitlines()) <= 50


def test_no_vendor_is_named_outside_its_room() -> None:
    assert [str(hit) for hit in vendor_coupling.find_hits(ROOT)] == []


CASES = [
    ("components/kubernetes/naming.py", "NAME = 'hetzner-object-storage'", True),
    ("components/kubernetes/naming.py", "x = regionOverlay.aws.fsn1", True),
    ("platform/x/values.yaml", "azureObjectStorage: {}", True),
    ("components/kubernetes/naming.py", "# made for Hetzner", True),
    ("components/settings/storage/keyed.py", "kind = 'hetzner'", False),
    ("components/network/dns.py", "import pulumi_hcloud", False),
    ("components/kubernetes/naming.py", "import pulumi_aws", False),
    ("components/kubernetes/naming.py", "# see hetznercloud/x #1114", False),
    ("platform/x/README.md", "hetzner-object-storage", False),
    ("infra/hetzner/main.tf", "hetzner-object-storage", False),
]


@pytest.mark.parametrize(("path", "line", "is_hit"), CASES)
def test_the_check_finds_coupling_and_nothing_else(
    tmp_path: Path, path: str, line: str, is_hit: bool
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    assert bool(list(vendor_coupling.find_hits(tmp_path))) is is_hit


def test_its_exit_codes_are_the_estates(tmp_path: Path) -> None:
    def run(*arguments: str) -> int:
        return vendor_coupling.main(["--root", str(tmp_path), *arguments])

    assert run() == 0
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "values.yaml").write_text("awsObjectStorage: {}\n")
    assert run() == 0, "a warning only while there is no seam"
    assert run("--force-hard-fail") == 1
    (tmp_path / "internal" / "objectstorage").mkdir(parents=True)
    assert run() == 1
    assert vendor_coupling.main(["--root", str(tmp_path / "nowhere")]) == 2
    with pytest.raises(SystemExit) as stopped:
        run("--no-such-option")
    assert stopped.value.code == 2
