"""The sandbox's tools, built from source where the machine has none of its own.

One small Go module per tool lies in ``toolchain/modules``: its ``go.mod`` and ``go.sum`` pin every
version. ``TOOLS`` says what is built from each. Built tools are cached outside the repository under
a key made of exactly those inputs, so a second clone, and a second run, build nothing.

    python3 -m toolchain build [TOOL…] | status | clean [caches]

Only the standard library is used: this runs before the project's virtual environment exists.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.go import (
    Go,
    Progress,
    Report,
    ToolchainError,
    Version,
    cache_dir,
    elapsed,
    find_go,
    locked,
    parse_version,
    run,
    target,
    temporary_folder,
)

__all__ = [
    "TOOLS",
    "Tool",
    "ToolStatus",
    "Toolbox",
    "ToolchainError",
    "cache_dir",
    "clean",
    "ensure",
    "status",
]

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True)
class Assets:
    """Files of a module that are needed at run time; the tool's own unless `source` names one."""

    name: str
    root: str
    patterns: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class Cli:
    """A command people use themselves: one of theirs on PATH is taken instead of a built one."""

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
    """Wanted only where that other tool is built here too."""

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    @property
    def version(self) -> str:
        found = re.search(
            rf"^(?:require)?\s+{re.escape(self.source)} v([^\s+]+)",
            (self.folder / "go.mod").read_text(),
            re.MULTILINE,
        )
        if not found:
            raise ToolchainError(f"{self.folder / 'go.mod'} does not require {self.source}")
        return found[1]

    @property
    def binaries(self) -> tuple[str, ...]:
        return (*(binary for binary, _ in self.packages), *self.links)

    @property
    def is_cli(self) -> bool:
        """Whether people use all of it themselves, so that none of it may need building."""
        return set(self.binaries) == {cli.name for cli in self.clis}

    def place(self, binary: str) -> str:
        """Where a binary lies below the tool's folder.

        What PATH may provide lies apart from what it may not, so that putting the one in front of
        PATH never hides the other.
        """
        apart = not self.is_cli and binary in {cli.name for cli in self.clis}
        return f"{'cli' if apart else 'bin'}/{binary}"

    def key(self) -> str:
        """Names the build by everything that goes into it."""
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
            # What the official language host starts a program with.
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


def find_cli(cli: Cli) -> tuple[Path, str] | None:
    """The command on PATH and its version, if it is one the sandbox can work with."""
    own = cache_dir().resolve()
    path = os.pathsep.join(
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if folder and not Path(folder).resolve().is_relative_to(own)
    )
    found = shutil.which(cli.name, path=path)
    if not found or (cli.needs and not shutil.which(cli.needs, path=path)):
        return None
    try:
        answer = subprocess.run(
            [found, *cli.arguments], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # a version manager's shim without a version, a binary of another machine
    version = parse_version(answer)
    if version is None or not cli.at_least <= version < cli.below:
        return None
    return Path(found), ".".join(map(str, version))


def required_go(tools: Iterable[Tool]) -> Version:
    """The newest Go that one of the modules asks for."""
    wanted = (0, 0, 0)
    for tool in tools:
        found = re.search(r"^go (\S+)$", (tool.folder / "go.mod").read_text(), re.MULTILINE)
        wanted = max(wanted, (found and parse_version(found[1])) or wanted)
    return wanted


def build(tool: Tool, go: Go, progress: Progress) -> bool:
    """Puts the tool into the cache; says whether that took a build."""
    final = tool.cached()
    if final.exists():
        return False
    with locked(final.parent / ".lock", progress):
        if final.exists():
            return False
        (cache_dir() / "logs" / f"{tool.name}.log").unlink(missing_ok=True)
        with temporary_folder(final.parent) as folder:
            compile_into(folder, tool, go, progress)
            folder.rename(final)
    return True


def compile_into(folder: Path, tool: Tool, go: Go, progress: Progress) -> None:
    work = folder / "work"
    work.mkdir()
    environment = go.environment(work)
    go_run = functools.partial(
        run, tool=tool.name, progress=progress, environment=environment, folder=tool.folder
    )
    packages = [package for _, package in tool.packages]
    tags = ["-tags", ",".join(tool.tags)] if tool.tags else []

    progress.now("downloading")
    if packages:
        # Listing what a build needs downloads that; `go mod download` would get what tests need.
        go_run([go.executable, "list", "-deps", "-f", '{{""}}', *tags, *packages])
    else:
        go_run([go.executable, "mod", "download", tool.source])
    sources = {
        module: go_run([go.executable, "list", "-m", "-f", "{{.Dir}}", module]).strip()
        for module in {assets.source or tool.source for assets in tool.assets}
    }

    if packages:
        progress.now("building")
        build_binaries(folder, work / "bin", tool, go_run, go.executable)
    for assets in tool.assets:
        copy_assets(Path(sources[assets.source or tool.source]), folder / "assets", assets)
    shutil.rmtree(work)


def build_binaries(
    folder: Path, built: Path, tool: Tool, go_run: Callable[[list[str]], str], executable: str
) -> None:
    # Neither paths nor symbols of this machine: the binaries are smaller, and equal on every one.
    _, minor, _ = tool.version.split(".")
    variables = [
        f"-X {name}={value.format(version=tool.version, minor=minor)}"
        for name, value in tool.variables
    ]
    tags = ["-tags", ",".join(tool.tags)] if tool.tags else []
    flags = ["-trimpath", *tags, "-ldflags", " ".join(["-s", "-w", *variables])]
    packages = [package for _, package in tool.packages]
    go_run([executable, "build", *flags, "-o", f"{built}{os.sep}", *packages])
    for binary, package in tool.packages:
        place = folder / tool.place(binary)
        place.parent.mkdir(exist_ok=True)
        (built / (tool.name if package == "." else Path(package).name)).rename(place)
    for link in tool.links:
        place = folder / tool.place(link)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(Path("..") / tool.place(tool.binaries[0]))


def copy_assets(module: Path, into: Path, assets: Assets) -> None:
    """Copies files out of a module: its cache may be emptied, and is not everywhere writable."""
    root = module / assets.root
    for pattern in assets.patterns:
        files = sorted(root.glob(pattern))
        if not files:
            raise ToolchainError(f"{assets.root}/{pattern} matches nothing in {module}")
        for file in files:
            place = into / assets.name / file.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


@dataclass(frozen=True)
class Toolbox:
    """Tools that are there: from PATH, or in the cache."""

    binaries: Mapping[str, Path]
    built: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """The cache folder of each tool that is in the cache."""

    def path(self, binary: str) -> Path:
        try:
            return self.binaries[binary]
        except KeyError:
            raise ToolchainError(
                f"{binary} is not in this toolbox; it has: {', '.join(sorted(self.binaries))}"
            ) from None

    def assets(self, tool: str) -> Path:
        """The folder with the files copied from a tool's module, below it those of each name."""
        folder = self.built.get(tool, Path()) / "assets"
        if tool not in self.built or not folder.is_dir():
            raise ToolchainError(f"{tool} has no assets in this toolbox")
        return folder

    def bin_dirs(self) -> list[Path]:
        """The folders to put in front of PATH. What comes from PATH is in none of them."""
        folders = [path.parent for path in self.binaries.values()]
        cached = [*self.built.values()]
        return [
            folder
            for folder in dict.fromkeys(folders)
            if any(folder.is_relative_to(built) for built in cached)
        ]


def ensure(names: Iterable[str] | None = None, *, report: Report | None = None) -> Toolbox:
    """Makes sure of the named tools, or of all: from PATH, from the cache, else built now.

    Progress goes to standard error, or line by line to `report`.
    """
    tools = selected(names)
    from_path = clis_on_path(tools)
    wanted = [tool for tool in tools if is_needed(tool, from_path)]
    missing = [tool for tool in wanted if not tool.cached().exists()]
    progress = Progress(report, len(missing))
    started = time.monotonic()
    built = 0
    if missing:
        go = find_go(required_go(missing), progress)
        for tool in missing:
            progress.begin(f"{tool.name} {tool.version}")
            if build(tool, go, progress):
                built += 1
                progress.end("built")
            else:
                progress.end("built by another process")
    summary = f"tools: {built} built, {len(wanted) - built} cached in {elapsed(started)}"
    progress.line(f"{summary}; from PATH: {', '.join(sorted(from_path)) or 'none'}")
    return toolbox(tools, wanted, from_path)


def toolbox(
    tools: Iterable[Tool], wanted: Sequence[Tool], from_path: Mapping[str, tuple[Path, str]]
) -> Toolbox:
    binaries: dict[str, Path] = {}
    for tool in tools:
        for binary in tool.binaries:
            if binary in from_path:
                binaries[binary] = from_path[binary][0]
            elif tool in wanted:
                binaries[binary] = tool.cached() / tool.place(binary)
    return Toolbox(binaries, {tool.name: tool.cached() for tool in wanted})


def selected(names: Iterable[str] | None) -> list[Tool]:
    if names is None:
        return [*TOOLS]
    wanted = [*names]
    known = [tool.name for tool in TOOLS]
    if unknown := [name for name in wanted if name not in known]:
        raise ToolchainError(f"no tool called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [tool for tool in TOOLS if tool.name in wanted]


def clis_on_path(tools: Sequence[Tool]) -> dict[str, tuple[Path, str]]:
    """What PATH provides of these tools, and of those they go with."""
    names = {name for tool in tools for name in (tool.name, tool.companion_of)}
    clis = [cli for tool in TOOLS if tool.name in names for cli in tool.clis]
    found = {cli.name: find_cli(cli) for cli in clis}
    return {name: place for name, place in found.items() if place}


def is_needed(tool: Tool, from_path: Mapping[str, object]) -> bool:
    """Whether it has to be in the cache: not all of it is on PATH, nor what it goes with."""
    if tool.companion_of:
        return tool.companion_of not in from_path
    return not tool.binaries or not all(binary in from_path for binary in tool.binaries)


@dataclass(frozen=True)
class ToolStatus:
    name: str
    version: str
    where: str
    """A path, or "missing", or "not needed"."""
    size: int = 0


def status() -> list[ToolStatus]:
    from_path = clis_on_path(TOOLS)
    rows: list[ToolStatus] = []
    for tool in TOOLS:
        if is_needed(tool, from_path):
            cached = tool.cached()
            where = str(cached) if cached.exists() else "missing"
            rows.append(ToolStatus(tool.name, tool.version, where, size_of(cached)))
        elif tool.companion_of:
            rows.append(ToolStatus(tool.name, tool.version, "not needed"))
        for cli in tool.clis:
            if cli.name in from_path:
                path, version = from_path[cli.name]
                rows.append(ToolStatus(cli.name, version, str(path), path.stat().st_size))
    return rows


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def clean(*, built: bool = True) -> None:
    """Removes Go's caches, which only the next build needs, and unless told otherwise the tools."""
    for name in ("go", "logs", "tools") if built else ("go",):
        folder = cache_dir() / name
        if folder.exists():
            shutil.rmtree(folder)


def main(arguments: Sequence[str]) -> int:
    match [*arguments]:
        case ["build", *names]:
            ensure(names or None)
        case ["status"]:
            for row in status():
                size = f"{row.size / 1e6:.0f} MB" if row.size else ""
                print(f"{row.name:28}{row.version:12}{size:>8}  {row.where}")
        case ["clean"]:
            clean()
        case ["clean", "caches"]:
            clean(built=False)
        case _:
            print("usage: python3 -m toolchain build [TOOL…] | status | clean [caches]")
            return 2
    return 0


def command() -> None:
    """The command line; ends the process."""
    try:
        sys.exit(main(sys.argv[1:]))
    except ToolchainError as error:
        print(f"\n{error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; what was built stays, the next run continues", file=sys.stderr)
        sys.exit(130)
