"""What is built: one row of TOOLS for each Go module in ``toolchain/modules``.

A module's ``go.mod`` and ``go.sum`` pin every version. A build is named by a key made of exactly
its inputs: the row, the module's files and the kind of machine. Only the standard library is used:
this is read before the project's virtual environment exists.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from toolchain.go import ToolchainError, Version, cache_dir, target

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True)
class Assets:
    """Files needed at run time; out of the tool's own module unless `source` names another."""

    name: str
    root: str
    patterns: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class Cli:
    """A command that people install themselves: one on PATH is used instead of a built one."""

    name: str
    arguments: tuple[str, ...]
    at_least: Version
    below: Version
    needs: str = ""
    """Another command that has to be there too."""


@dataclass(frozen=True)
class Tool:
    name: str
    """Also the folder of its Go module."""
    source: str
    """The module whose version in go.mod is the tool's version."""
    packages: tuple[tuple[str, str], ...]
    """What is built: (name of the binary, Go package)."""
    variables: tuple[tuple[str, str], ...] = ()
    """What the linker sets; {version} is the tool's version without its v, {minor} part of it."""
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Further names of the first binary, which acts by the name it is called."""
    clis: tuple[Cli, ...] = ()
    assets: tuple[Assets, ...] = ()
    companion_of: str = ""
    """Needed only where that other tool is built here too."""

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    @property
    def version(self) -> str:
        requirement = re.search(
            rf"^(?:require)?\s+{re.escape(self.source)} v([^\s+]+)",
            (self.folder / "go.mod").read_text(),
            re.MULTILINE,
        )
        if not requirement:
            raise ToolchainError(f"{self.folder / 'go.mod'} does not require {self.source}")
        return requirement[1]

    @property
    def binaries(self) -> tuple[str, ...]:
        return (*(binary for binary, _ in self.packages), *self.links)

    @property
    def is_cli(self) -> bool:
        """Whether every binary may come from PATH, so that possibly nothing is built."""
        return set(self.binaries) == {cli.name for cli in self.clis}

    def relative_path(self, binary: str) -> str:
        """The binary's path below the tool's folder.

        Commands that may come from PATH lie in a folder of their own (`cli`): the other folder can
        go in front of PATH then without hiding them.
        """
        is_separate = not self.is_cli and binary in {cli.name for cli in self.clis}
        return f"{'cli' if is_separate else 'bin'}/{binary}"

    def key(self) -> str:
        """The name of its build: a hash of everything that goes into it."""
        digest = hashlib.sha256(repr((self, *target())).encode())
        inputs = [self.folder / "go.mod", self.folder / "go.sum", *self.folder.rglob("*.go")]
        for path in sorted(inputs):
            content = path.read_bytes()
            digest.update(f"\0{path.relative_to(self.folder)}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]

    def cached(self) -> Path:
        """The folder of its build, whether or not it has been built."""
        return cache_dir() / "tools" / self.name / self.key()


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="pulumi",
        source="github.com/pulumi/pulumi/pkg/v3",
        packages=(("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),),
        variables=(("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", "v{version}"),),
        assets=(
            # The official language host starts a Python program with it.
            Assets(
                name="python",
                root="python/cmd",
                patterns=("pulumi-language-python-exec",),
                source="github.com/pulumi/pulumi/sdk/v3",
            ),
        ),
        clis=(
            # Without its language host a pulumi cannot run a Python program.
            Cli("pulumi", ("version",), (3, 250, 0), (4, 0, 0), needs="pulumi-language-python"),
        ),
    ),
    Tool(
        name="pulumi-resource-kubernetes",
        source="github.com/pulumi/pulumi-kubernetes/sdk/v4",
        packages=(("pulumi-resource-kubernetes", "."),),
        variables=(
            (
                "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version",
                "{version}",
            ),
        ),
        companion_of="pulumi",
    ),
    Tool(
        name="kubernetes",
        source="k8s.io/kubernetes",
        packages=(("kubernetes", "."),),
        variables=(
            ("k8s.io/component-base/version.gitVersion", "v{version}"),
            ("k8s.io/component-base/version.gitMajor", "1"),
            ("k8s.io/component-base/version.gitMinor", "{minor}"),
        ),
        links=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubectl"),
        # One minor version either side of the server's, which is what Kubernetes supports.
        clis=(Cli("kubectl", ("version", "--client"), (1, 34, 0), (1, 37, 0)),),
    ),
    Tool(
        name="kwok",
        source="sigs.k8s.io/kwok",
        packages=(
            ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
            ("kwokctl", "sigs.k8s.io/kwok/cmd/kwokctl"),
        ),
        assets=(
            Assets(
                name="stages",
                root="kustomize/stage",
                patterns=(
                    "node/fast/*.yaml",
                    "node/heartbeat-with-lease/*.yaml",
                    "pod/fast/*.yaml",
                ),
            ),
        ),
    ),
    Tool(
        name="versitygw",
        source="github.com/versity/versitygw",
        packages=(("versitygw", "github.com/versity/versitygw/cmd/versitygw"),),
        variables=(("main.Version", "v{version}"),),
    ),
    Tool(
        name="sealed-secrets",
        source="github.com/bitnami-labs/sealed-secrets",
        packages=(
            ("sealed-secrets-controller", "github.com/bitnami-labs/sealed-secrets/cmd/controller"),
            ("kubeseal", "github.com/bitnami-labs/sealed-secrets/cmd/kubeseal"),
        ),
        variables=(("main.VERSION", "v{version}"),),
        clis=(Cli("kubeseal", ("--version",), (0, 27, 0), (1, 0, 0)),),
        assets=(Assets("crds", "helm/sealed-secrets/crds", ("*.yaml",)),),
    ),
    Tool(
        name="helm",
        source="helm.sh/helm/v3",
        packages=(("helm", "helm.sh/helm/v3/cmd/helm"),),
        variables=(
            ("helm.sh/helm/v3/internal/version.version", "v{version}"),
            # The Kubernetes that `helm template` takes for granted: that of its client library.
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"),
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "36"),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", "1"),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", "36"),
        ),
        clis=(Cli("helm", ("version", "--short"), (3, 14, 0), (4, 0, 0)),),
    ),
    Tool(
        name="crane",
        source="github.com/google/go-containerregistry",
        packages=(("crane", "github.com/google/go-containerregistry/cmd/crane"),),
        variables=(("github.com/google/go-containerregistry/cmd/crane/cmd.Version", "v{version}"),),
        clis=(Cli("crane", ("version",), (0, 1, 0), (1, 0, 0)),),
    ),
    Tool(
        name="registry",
        source="github.com/docker/distribution",
        packages=(("registry", "."),),
        variables=(("github.com/docker/distribution/version.Version", "v{version}"),),
        tags=("include_oss",),
    ),
    Tool(
        name="gateway-api",
        source="sigs.k8s.io/gateway-api",
        packages=(),
        assets=(
            Assets(
                name="crds",
                root="config/crd/standard",
                patterns=("gateway.networking.k8s.io_*.yaml",),
            ),
        ),
    ),
    Tool(
        name="kyverno",
        source="github.com/kyverno/kyverno",
        packages=(
            ("kyverno", "github.com/kyverno/kyverno/cmd/kyverno"),
            ("reports-controller", "github.com/kyverno/kyverno/cmd/reports-controller"),
        ),
        variables=(("github.com/kyverno/kyverno/pkg/version.BuildVersion", "v{version}"),),
        assets=(Assets("crds", "config/crds", ("**/*.yaml",)),),
    ),
)

EXTRA_TOOLS: tuple[Tool, ...] = (
    Tool(
        name="promtool",
        source="github.com/prometheus/prometheus",
        packages=(("promtool", "github.com/prometheus/prometheus/cmd/promtool"),),
        variables=(("github.com/prometheus/common/version.Version", "{version}"),),
    ),
    Tool(
        name="conformance",
        source="github.com/opencontainers/distribution-spec/conformance",
        packages=(("conformance", "github.com/opencontainers/distribution-spec/conformance"),),
    ),
)
"""Built only when they are asked for by name: the sandbox runs without them. promtool runs the unit
tests of the alert rules (tests/unit/monitoring/test_promtool.py), conformance tests the registry
(`make conformance`)."""
