"""The README's two commands on a machine that has nothing: `make fresh-machine`.

Clones the current commit into a new folder and runs `make up`, `make test` and `make down` there,
with an empty home and an empty cache. Times each step, and looks for what they left behind:
processes, and files outside the clone's ignored folders and the cache. With --cache the tools are
those of that folder. With --readme the figures go into README.md.

Only the standard library is used: this runs before the project's virtual environment exists.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import closed_pipe

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
COMMANDS = ("up", "test", "down")
HOURS = 2
"""Longest time that one command may take."""

_BEGIN, _END = "<!-- fresh machine -->", "<!-- end of fresh machine -->"
_OF_A_USED_MACHINE = re.compile(
    r"(XDG_.*|SOVEREIGN_HARBOR_.*|SANDBOX_.*|PULUMI_.*|KUBE.*|HELM_.*|HARBOR_CHART|GIT_.*"
    r"|VIRTUAL_ENV|PYTHON.*|MAKE.*|MFLAGS|GOPATH|GOCACHE|GOMODCACHE|KEEP_CACHES)"
)
"""Variables that a fresh machine has not. Those that say how registries are reached stay."""

_OF_OTHERS = frozenset({".rustup/settings.toml"})
"""Files in the home that other software of the machine writes: pip tells its index the version of
rustc, and rustup, where rustc is its, writes its settings whenever rustc is asked."""


@dataclass(frozen=True)
class Step:
    """A command that ended, with wall and processor seconds."""

    command: str
    seconds: float
    processor: float


class Failed(Exception):
    """A command failed, or something was left behind; the text says what."""


def environment(before: Mapping[str, str], *, folder: Path, cache: Path) -> dict[str, str]:
    """The variables of a fresh machine, with its home and its temporary files below `folder`."""
    kept = {k: v for k, v in before.items() if not _OF_A_USED_MACHINE.fullmatch(k)}
    return {
        **kept,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "SOVEREIGN_HARBOR_CACHE": str(cache),
    }


def clone(folder: Path) -> str:
    """Puts the current commit into `folder`/clone; its hash. Raises Failed."""
    commit = git("rev-parse", "HEAD", folder=ROOT)
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder / "clone"), folder=folder)
    git("checkout", "--quiet", "--detach", commit, folder=folder / "clone")
    return commit


def git(*arguments: str, folder: Path) -> str:
    """What git prints. Raises Failed."""
    ran = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if ran.returncode != 0:
        raise Failed(f"git {arguments[0]}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def run(command: str, folder: Path, variables: Mapping[str, str]) -> Step:
    """Runs `make <command>` in the clone. Raises Failed, with its last lines."""
    log = folder / f"{command}.log"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["make", command],
            cwd=folder / "clone",
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            child.wait(HOURS * 3600)
        except subprocess.TimeoutExpired:
            raise Failed(f"make {command} took longer than {HOURS} hours{tail(log)}") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode != 0:
        raise Failed(f"make {command} ended with {child.returncode}{tail(log)}")
    return Step(
        f"make {command}",
        time.monotonic() - begun,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def tail(log: Path) -> str:
    """The last lines of a log, to follow a sentence."""
    lines = log.read_text(errors="replace").splitlines()[-30:]
    return "".join(f"\n  | {line}" for line in lines)


def left_behind(folder: Path) -> list[str]:
    """Processes and files that should not be there any more, one sentence each."""
    problems = [f"process {pid} still runs: {command}" for pid, command in processes(folder)]
    for name in ("home", "tmp"):
        problems += [
            f"left in the {name} folder: {path.relative_to(folder / name)}"
            for path in sorted((folder / name).rglob("*"))
            if not path.is_dir() and str(path.relative_to(folder / name)) not in _OF_OTHERS
        ]
    changed = git("status", "--porcelain", "--untracked-files=normal", folder=folder / "clone")
    return problems + [f"changed in the clone: {line}" for line in changed.splitlines()]


def processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Processes that run a file below the folder, work there or name it in their command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [command, os.readlink(entry / "cwd"), os.readlink(entry / "exe")]
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if any(str(folder) in place for place in places):
            yield pid, command.strip()


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() or p.is_symlink())


def report(steps: Sequence[Step], *, commit: str, cache_bytes: int | None) -> str:
    """The figures as Markdown. `cache_bytes`: None where the cache was there before. Pure."""
    tools = (
        "with cached tools"
        if cache_bytes is None
        else f"with all tools built, {cache_bytes / 1e9:.1f} GB in the cache afterwards"
    )
    now = dt.datetime.now(dt.UTC)
    rows = [f"| `{s.command}` | {duration(s.seconds)} | {duration(s.processor)} |" for s in steps]
    return "\n".join(
        [
            f"Measured by `make fresh-machine` in an empty home {tools}: {now:%Y-%m-%d}, commit "
            f"{commit[:10]}, {os.cpu_count()} processors, Python {platform.python_version()}, "
            f"load {os.getloadavg()[0]:.1f} at the end.",
            "",
            "| Command | Wall time | Processor time |",
            "|---|---|---|",
            *rows,
        ]
    )


def duration(seconds: float) -> str:
    """65.2 → "1 min 5 s". Pure."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def written(readme: str, text: str) -> str:
    """The README with the figures in their place. Raises Failed without that place. Pure."""
    before, begin, after = readme.partition(_BEGIN)
    _, end, after = after.partition(_END)
    if not begin or not end:
        raise Failed(f"README.md has no place for the figures: {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}"


def prove(cache: Path | None, commands: Sequence[str] = COMMANDS) -> str:
    """Runs everything; the figures as Markdown. Raises Failed."""
    folder = Path(tempfile.mkdtemp(prefix="fresh-machine-")).resolve()
    for name in ("home", "tmp", "cache"):
        (folder / name).mkdir()
    variables = environment(os.environ, folder=folder, cache=cache or folder / "cache")
    try:
        commit = clone(folder)
        steps: list[Step] = []
        try:
            for command in commands:
                print(f"make {command} …", flush=True)
                steps.append(run(command, folder, variables))
                print(f"  {duration(steps[-1].seconds)}", flush=True)
        except BaseException:
            subprocess.run(["make", "down"], cwd=folder / "clone", env=variables, timeout=120)
            raise
        time.sleep(1)  # Processes that were told to end have ended.
        if problems := left_behind(folder):
            raise Failed("\n".join(problems))
        return report(steps, commit=commit, cache_bytes=None if cache else size(folder / "cache"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m checks.fresh_machine")
    parser.add_argument("--cache", type=Path, help="a cache of tools; an empty one unless given")
    parser.add_argument("--readme", action="store_true", help="write the figures into README.md")
    parser.add_argument("--steps", nargs="+", default=COMMANDS, help="make targets, to try some")
    chosen = parser.parse_args(arguments)
    try:
        text = prove(chosen.cache.resolve() if chosen.cache else None, chosen.steps)
        if chosen.readme:
            README.write_text(written(README.read_text(), text))
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(f"\n{text}\n\nNothing is left: no process, and no file outside the cache.")
    return 0


if __name__ == "__main__":
    closed_pipe.run(main)
