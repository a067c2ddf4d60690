"""`pulumi` and its plugins for a process: official, or built here and stand-ins."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.project import ROOT, data_folder
from offline.plugins.launchers import write_launchers
from toolchain import closed_pipe
from toolchain.build import Toolbox, ensure


def tools_environment() -> dict[str, str]:
    """This process's environment, with pulumi and its plugins on PATH; they are built if missing.

    Raises ToolchainError.
    """
    folder = data_folder()
    tools = ensure(["pulumi", "pulumi-resource-kubernetes"], report=lambda _: None)
    own = own_pulumi(folder, tools)
    before = os.environ.get("PATH", "").split(os.pathsep)
    first = [*own, *map(str, tools.bin_dirs())]
    path = os.pathsep.join([*first, *(part for part in before if part not in first)])
    result = {**os.environ, "PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if own:
        result["PULUMI_HOME"] = str(folder / "pulumi-home")
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return result


def as_shell(environment: Mapping[str, str]) -> str:
    """Lines for `eval` that put pulumi and its plugins into a POSIX shell, and nothing else."""
    names = ("PATH", "PULUMI_HOME", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION")
    return "\n".join(
        f"export {name}={shlex.quote(environment[name])}" for name in names if name in environment
    )


def own_pulumi(folder: Path, tools: Toolbox) -> list[str]:
    """The folder, below `folder`, with the pulumi built here and its stand-in plugins.

    Empty with an official pulumi. The engine warns of every plugin that it finds on PATH, but not
    of those beside itself and in its plugin folder, so they are put there.
    """
    if "pulumi" not in tools.built:
        return []
    binaries, home = folder / "bin", folder / "pulumi-home"
    binaries.mkdir(parents=True, exist_ok=True)
    _place(tools.path("pulumi"), binaries / "pulumi")
    plugin = tools.path("pulumi-resource-kubernetes")
    version = importlib.metadata.version("pulumi-kubernetes")
    cached = home / "plugins" / f"resource-kubernetes-v{version}"
    cached.mkdir(parents=True, exist_ok=True)
    if not (cached / plugin.name).exists():
        (cached / plugin.name).unlink(missing_ok=True)
        (cached / plugin.name).symlink_to(plugin)
    write_launchers(
        binaries,
        python=Path(sys.executable),
        root=ROOT,
        language_exec=tools.assets("pulumi") / "python" / "pulumi-language-python-exec",
        path_dirs=[],
        pulumi_home=home,
        in_plugin_cache=True,
    )
    return [str(binaries)]


def _place(source: Path, target: Path) -> None:
    """`target` becomes the same file as `source`; no symbolic link, which the engine would follow
    when it looks for the plugins beside itself."""
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, draft)
    except OSError:  # another file system
        shutil.copy2(source, draft)
    draft.replace(target)


def main(_: list[str]) -> int:
    """Prints what puts pulumi into a shell; the exit code."""
    print(as_shell(tools_environment()))
    return 0


if __name__ == "__main__":
    closed_pipe.run(main)
