"""The executables by which the Pulumi engine finds the stand-in plugins on PATH."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from offline.plugins.interpreters import EXEC_VARIABLE

# Executable and the kind that `python -m offline.plugins` calls it.
KINDS = {
    "pulumi-language-python": "language",
    "pulumi-resource-pulumi-python": "dynamic",
    "pulumi-resource-random": "random",
    "pulumi-resource-tls": "tls",
    "pulumi-resource-hcloud": "hcloud",
    "pulumi-resource-aws": "aws",
}
# The ones that the engine bundles; it looks for them beside itself, not among the downloaded.
_BUNDLED = ("pulumi-language-python", "pulumi-resource-pulumi-python")
_MARK = "# Sovereign Harbor's stand-in plugin"


def write_launchers(
    directory: Path,
    *,
    python: Path,
    root: Path,
    language_exec: Path,
    names: Iterable[str] | None = None,
    path_dirs: Iterable[Path] | None = None,
    pulumi_home: Path | None = None,
    in_plugin_cache: bool = False,
) -> list[Path]:
    """Writes a script for each name (all, by default) that has no official plugin.

    A stand-in of an earlier run is removed once its official plugin is installed. `root` is the
    folder of the package `offline`. PATH and PULUMI_HOME are the environment's unless given.

    With `in_plugin_cache` the providers go among the downloaded plugins of `pulumi_home`, by the
    version `X+standin`: of a plugin on PATH the engine warns at every command. That is for a
    PULUMI_HOME of the sandbox's own only; elsewhere it would keep the official ones from download.
    """
    if path_dirs is None:
        path_dirs = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p]
    folders = list(path_dirs)
    home = pulumi_home or Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    written: list[Path] = []
    for name in KINDS if names is None else names:
        launcher = directory / name
        if in_plugin_cache and name not in _BUNDLED:
            launcher = _cached_launcher(name, home)
        is_needed = not official_plugin(name, folders, home)
        for earlier in [directory / name, *home.glob(f"plugins/*+standin/{name}")]:
            if is_stand_in(earlier) and not (is_needed and earlier == launcher):
                earlier.unlink()
                if earlier.parent != directory:
                    earlier.parent.rmdir()
        if is_needed:
            written.append(_write(launcher, _script(name, python, root, language_exec)))
    return written


def official_plugin(name: str, path_dirs: Iterable[Path], pulumi_home: Path) -> Path | None:
    """The plugin of that file name that is no stand-in: on PATH, beside pulumi or downloaded."""
    folders = list(path_dirs)
    search = os.pathsep.join(map(str, folders))
    pulumi = shutil.which("pulumi", path=search) if search else None
    if pulumi:
        # The engine looks for its bundled plugins beside itself, behind symbolic links.
        folders.append(Path(pulumi).resolve().parent)
    for folder in folders:
        executable = shutil.which(name, path=str(folder))
        if executable and not is_stand_in(Path(executable)):
            return Path(executable)
    kind, _, package = name.removeprefix("pulumi-").partition("-")
    for folder in sorted(pulumi_home.glob(f"plugins/{kind}-{package}-v*"), reverse=True):
        executable = folder / name
        # The engine puts a `.partial` file beside what it has not finished downloading.
        unfinished = folder.with_name(f"{folder.name}.partial").exists()
        if executable.is_file() and not unfinished and not is_stand_in(executable):
            return executable
    return None


def is_stand_in(file: Path) -> bool:
    """Whether `write_launchers` wrote it."""
    try:
        with file.open("rb") as stream:
            return _MARK.encode() in stream.read(200)
    except OSError:
        return False


def _cached_launcher(name: str, pulumi_home: Path) -> Path:
    package = name.removeprefix("pulumi-resource-")
    version = importlib.metadata.version(f"pulumi-{package}")
    return pulumi_home / "plugins" / f"resource-{package}-v{version}+standin" / name


def _write(launcher: Path, script: str) -> Path:
    launcher.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place: another command may be starting the old one just now.
    fresh = launcher.with_name(f".{launcher.name}.{os.getpid()}")
    fresh.write_text(script, encoding="utf-8")
    fresh.chmod(0o755)
    return fresh.rename(launcher)


def _script(name: str, python: Path, root: Path, language_exec: Path) -> str:
    kind = KINDS[name]
    lines = [
        "#!/bin/sh",
        f"{_MARK}: it answers as {name} where the official one cannot be had.",
        f"PYTHONPATH={shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONPATH",
    ]
    interpreter = shlex.quote(str(python))
    if kind == "language":
        lines += [
            f"{EXEC_VARIABLE}={shlex.quote(str(language_exec))}",
            f"export {EXEC_VARIABLE}",
        ]
    if kind == "dynamic":
        # The engine hands on the `virtualenv` of Pulumi.yaml, relative to the folder it starts in.
        lines.append('own="${PULUMI_RUNTIME_VIRTUALENV:+$PULUMI_RUNTIME_VIRTUALENV/bin/python}"')
        lines.append(f'[ -x "$own" ] || own={interpreter}')
        interpreter = '"$own"'
    # -P: no module of the project's folder takes the place of one of the plugin's own.
    lines.append(f'exec {interpreter} -P -u -m offline.plugins {kind} "$@"')
    return "\n".join(lines) + "\n"
