"""How tools are built: from source, into a cache outside the repository.

    python3 -m toolchain build [TOOL…] | status | clean [caches]

A second clone, and a second run, build nothing: a tool lies in the cache under its key
(``Tool.key``). Only the standard library is used: this runs before the project's virtual
environment exists.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from toolchain import catalogue, closed_pipe
from toolchain.catalogue import Assets, Cli, Tool
from toolchain.go import (
    Go,
    Progress,
    Report,
    ToolchainError,
    Version,
    cache_dir,
    caches_in_use,
    elapsed,
    find_go,
    locked,
    parse_version,
    remove_caches,
    run,
    temporary_folder,
)


def find_cli(cli: Cli) -> tuple[Path, str] | None:
    """The command on PATH and its version; None unless the sandbox can work with that version."""
    own = [cache_dir().resolve(), *map(Path.resolve, sandbox_folders())]
    path = os.pathsep.join(
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if folder and not any(Path(folder).resolve().is_relative_to(each) for each in own)
    )
    executable = shutil.which(cli.name, path=path)
    if not executable or (cli.needs and not shutil.which(cli.needs, path=path)):
        return None
    try:
        answer = subprocess.run(
            [executable, *cli.arguments], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # a version manager's shim without a version, a binary of another machine
    version = parse_version(answer)
    if version is None or not cli.at_least <= version < cli.below:
        return None
    return Path(executable), ".".join(map(str, version))


def sandbox_folders() -> list[Path]:
    """Where `make env` finds its commands: those were built here, whatever PATH they are on."""
    chosen = os.environ.get("SANDBOX_DIR")
    return [Path(__file__).parent.parent / ".sandbox", *([Path(chosen)] if chosen else [])]


def required_go(tools: Iterable[Tool]) -> Version:
    """The lowest version of Go that builds all of these modules."""
    lines = (re.search(r"^go .*$", (tool.folder / "go.mod").read_text(), re.M) for tool in tools)
    versions = (parse_version(line[0]) for line in lines if line)
    return max((version for version in versions if version), default=(0, 0, 0))


def build(tool: Tool, go: Go, progress: Progress) -> bool:
    """Puts the tool into the cache; whether this process built it."""
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
        # Listing what a build needs downloads it; `go mod download` also downloads what tests need.
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
    # -trimpath, -s, -w: no paths and no symbols; binaries are smaller, and equal on every machine.
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
        destination = folder / tool.relative_path(binary)
        destination.parent.mkdir(exist_ok=True)
        (built / (tool.name if package == "." else Path(package).name)).rename(destination)
    for link in tool.links:
        destination = folder / tool.relative_path(link)
        destination.parent.mkdir(exist_ok=True)
        destination.symlink_to(Path("..") / tool.relative_path(tool.binaries[0]))


def copy_assets(module: Path, into: Path, assets: Assets) -> None:
    """Copies files out of a module: Go's cache of modules may be emptied (`clean caches`)."""
    root = module / assets.root
    for pattern in assets.patterns:
        files = sorted(root.glob(pattern))
        if not files:
            raise ToolchainError(f"{assets.root}/{pattern} matches nothing in {module}")
        for file in files:
            destination = into / assets.name / file.relative_to(root)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, destination)


@dataclass(frozen=True)
class Toolbox:
    """Tools that can be used now: from PATH, or in the cache."""

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
        """The folder of a tool's run-time files: below it one folder for each of its Assets."""
        folder = self.built.get(tool, Path()) / "assets"
        if tool not in self.built or not folder.is_dir():
            raise ToolchainError(f"{tool} has no assets in this toolbox")
        return folder

    def bin_dirs(self) -> list[Path]:
        """The folders to put in front of PATH; none of them holds a command that PATH provides."""
        folders = [path.parent for path in self.binaries.values()]
        cached = [*self.built.values()]
        return [
            folder
            for folder in dict.fromkeys(folders)
            if any(folder.is_relative_to(built) for built in cached)
        ]


# About the seconds on 2 processors: 20 minutes in all, shared out by the megabytes of source that
# each compiles. They are not in the catalogue, whose rows are inputs of a tool's key.
_COSTS: Mapping[str, float] = {
    tool: megabytes * 2.4
    for tool, megabytes in (
        ("pulumi", 75),
        ("pulumi-resource-kubernetes", 92),
        ("kubernetes", 85),
        ("kwok", 46),
        ("versitygw", 28),
        ("sealed-secrets", 30),
        ("helm", 39),
        ("crane", 3),
        ("registry", 10),
        ("kyverno", 96),
        # 8 min 12 s of processor time (Go 1.26.8), measured.
        ("promtool", 205),
        ("conformance", 5),
    )
}


def ensure(names: Iterable[str] | None = None, *, report: Report | None = None) -> Toolbox:
    """The named tools, or all that the sandbox runs: from PATH, from the cache, else built now.

    Tools of EXTRA_TOOLS have to be named. Go's caches are removed after a build (go.KEEP_CACHES).
    Raises ToolchainError.

    Progress goes to standard error, or line by line to `report`.
    """
    tools = selected(names)
    from_path = clis_on_path(tools)
    needed = [tool for tool in tools if is_needed(tool, from_path)]
    missing = [tool for tool in needed if not tool.cached().exists()]
    progress = Progress(report, len(missing), [_COSTS.get(tool.name, 0) for tool in missing])
    started = time.monotonic()
    built = 0
    if missing:
        with caches_in_use():
            go = find_go(required_go(missing), progress)
            for tool in missing:
                progress.begin(f"{tool.name} {tool.version}")
                if build(tool, go, progress):
                    built += 1
                    progress.end("built")
                else:
                    progress.end("built by another process")
        # Not after a failure: the next run goes on with what they hold.
        remove_caches()
    summary = f"tools: {built} built, {len(needed) - built} cached in {elapsed(started)}"
    progress.line(f"{summary}; from PATH: {', '.join(sorted(from_path)) or 'none'}")
    return toolbox(tools, needed, from_path)


def toolbox(
    tools: Iterable[Tool], needed: Sequence[Tool], from_path: Mapping[str, tuple[Path, str]]
) -> Toolbox:
    binaries: dict[str, Path] = {}
    for tool in tools:
        for binary in tool.binaries:
            if binary in from_path:
                binaries[binary] = from_path[binary][0]
            elif tool in needed:
                binaries[binary] = tool.cached() / tool.relative_path(binary)
    return Toolbox(binaries, {tool.name: tool.cached() for tool in needed})


def selected(names: Iterable[str] | None) -> list[Tool]:
    if names is None:
        return [*catalogue.TOOLS]
    chosen = [*names]
    tools = (*catalogue.TOOLS, *catalogue.EXTRA_TOOLS)
    known = [tool.name for tool in tools]
    if unknown := [name for name in chosen if name not in known]:
        raise ToolchainError(f"no tool called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [tool for tool in tools if tool.name in chosen]


def clis_on_path(tools: Sequence[Tool]) -> dict[str, tuple[Path, str]]:
    """Commands of these tools, and of those they are companions of, that PATH provides."""
    names = {name for tool in tools for name in (tool.name, tool.companion_of)}
    clis = [cli for tool in catalogue.TOOLS if tool.name in names for cli in tool.clis]
    commands = {cli.name: find_cli(cli) for cli in clis}
    return {name: command for name, command in commands.items() if command}


def is_needed(tool: Tool, from_path: Mapping[str, object]) -> bool:
    """Whether it has to be in the cache: PATH provides neither all of it nor its main tool."""
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
    from_path = clis_on_path(catalogue.TOOLS)
    rows: list[ToolStatus] = []
    for tool in catalogue.TOOLS:
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
    for tool in catalogue.EXTRA_TOOLS:
        cached = tool.cached()
        where = str(cached) if cached.exists() else "built when it is asked for by name"
        rows.append(ToolStatus(tool.name, tool.version, where, size_of(cached)))
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


def command() -> NoReturn:
    """The command line; ends the process."""
    closed_pipe.run(_told)


def _told(arguments: Sequence[str]) -> int:
    try:
        return main(arguments)
    except ToolchainError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what was built stays, the next run continues", file=sys.stderr)
        return 130
