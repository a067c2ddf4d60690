"""A container that runs: a process with a root folder, mounts, user and network of its own."""

from __future__ import annotations

import datetime as dt
import http.client
import os
import shlex
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.pods import networks, rules
from sandbox.pods.spec import Mount

Manifest = Mapping[str, Any]

ROOT_FOLDER: Final = "/run/container"
_QUICK_SECONDS: Final = 10
"""How long after a start probes are asked at once, not after their period: `up` waits for them."""

_LEAST_SECONDS: Final = 5
"""How long a probe may take, whatever it says: it is a process here, on a machine that is busy."""

_SYSTEM: Final = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_OF_ETC: Final = ("group", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "services")


@dataclass(frozen=True)
class Launch:
    """All that a container is started with. `network`: by its name."""

    command: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    binaries: Mapping[str, str]
    folders: Sequence[str]
    """Folders of this machine that are there under the same path, to be read."""
    hosts: Path
    network: str
    user: tuple[int, int] = (0, 0)
    working_folder: str = "/"
    read_only: bool = False

    def arguments(self) -> list[str]:
        """The process: enters the network, makes the root folder, becomes the command.

        No value of a variable is in it, so that no secret is among the arguments of a process.
        """
        script = "\n".join(self._script())
        return [
            *("nsenter", f"--net={networks.FOLDER / self.network}"),
            *("unshare", "--mount", "--propagation", "private"),
            *("/bin/sh", "-ec", script, "sh", *self.command),
        ]

    def _script(self) -> list[str]:
        lines = [
            f"mount -t tmpfs -o mode=0755 sandbox {ROOT_FOLDER}",
            f"cd {ROOT_FOLDER}",
            "mkdir -p etc proc dev tmp usr var/tmp sandbox/bin",
            *_bound("/usr", "usr", read_only=True),
            "mount --rbind /proc proc",
            "mount --rbind /dev dev",
        ]
        for name in _SYSTEM:
            system = Path("/", name)
            if system.is_symlink():
                lines.append(f"ln -s {shlex.quote(os.readlink(system))} {name}")
            elif system.is_dir():
                lines += [f"mkdir {name}", *_bound(f"/{name}", name, read_only=True)]
        files = " ".join(f"/etc/{name}" for name in _OF_ETC if Path("/etc", name).is_file())
        lines += [f"cp {files} etc/", "echo > etc/resolv.conf", "touch etc/hosts"]
        lines += _bound(str(self.hosts), "etc/hosts")
        for name in ("/etc/ssl", "/etc/alternatives", *self.folders):
            if Path(name).is_dir():
                inside = shlex.quote(name.lstrip("/"))
                lines += [f"mkdir -p {inside}", *_bound(name, name.lstrip("/"), read_only=True)]
        for name, file in self.binaries.items():
            lines.append(f"touch sandbox/bin/{shlex.quote(name)}")
            lines += _bound(file, f"sandbox/bin/{name}", read_only=True)
        for mount in self.mounts:
            target = mount.target.strip("/")
            quoted, parent = shlex.quote(target), shlex.quote(os.path.dirname(target) or ".")
            make = f"mkdir -p {quoted}" if mount.source.is_dir() else f"touch {quoted}"
            lines += [f"mkdir -p {parent}", make]
            lines += _bound(str(mount.source), target, read_only=mount.read_only)
        if self.read_only:
            lines.append(f"mount -o remount,ro {ROOT_FOLDER}")
        user, group = self.user
        lines.append(
            f"exec unshare --user --map-user={user} --map-group={group} --root={ROOT_FOLDER} "
            f'--wd={shlex.quote(self.working_folder)} -- "$@"'
        )
        return lines


def _bound(source: str, target: str, *, read_only: bool = False) -> list[str]:
    """Mounts below a source are left out, but for those of folders that are not read only."""
    quoted = shlex.quote(target)
    lines = [f"mount --bind {shlex.quote(source)} {quoted}"]
    if read_only:
        lines.append(f"mount -o remount,bind,ro {quoted}")
    return lines


@dataclass
class _Probe:
    """A probe and how it went."""

    spec: Manifest
    due: float
    passed: int = 0
    failed: int = 0

    @property
    def succeeds(self) -> bool:
        return self.passed >= self.spec.get("successThreshold", 1)

    @property
    def fails(self) -> bool:
        return self.failed >= self.spec.get("failureThreshold", 3)


@dataclass
class _Life:
    """One process of the container, until it ends."""

    process: subprocess.Popen[bytes]
    began: float
    probes: dict[str, _Probe] = field(default_factory=dict)


class Container(threading.Thread):
    """Runs a container, asks its probes, and starts it again when it ends or is not alive.

    `prepare` makes the Launch, and raises an exception with the reason why it cannot yet.
    `changed` is called after each change of `status`.
    """

    def __init__(
        self,
        pod: Manifest,
        spec: Manifest,
        *,
        address: str,
        prepare: Callable[[], Launch],
        log: Path,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(name=f"{pod['metadata']['name']}/{spec['name']}", daemon=True)
        self.spec = spec
        self._pod, self._address, self._prepare = pod, address, prepare
        self._log, self._changed = log, changed
        self._ending = threading.Event()
        self._restarts = 0
        self._network = ""
        self._environment: Mapping[str, str] = {}
        self._last: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self._tell(waiting={"reason": "ContainerCreating"})

    # --- The life of it --------------------------------------------------------------------------

    def run(self) -> None:
        pause = 1.0
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                launch = self._prepare()
                self._live(launch)
            except Exception as error:  # whatever it is, it is the Pod's reason
                reason = {"reason": "CreateContainerConfigError", "message": str(error)}
                self._tell(waiting=reason)
                self._ending.wait(0.5)
                continue
            if self._ending.is_set():
                return
            pause = 1.0 if time.monotonic() - began > 60 else min(pause * 2, 30)
            self._restarts += 1
            self._tell(waiting={"reason": "CrashLoopBackOff", "message": f"again in {pause:.0f} s"})
            self._ending.wait(pause)

    def end(self, seconds: float) -> None:
        """Ends the process: by SIGTERM, after `seconds` by SIGKILL."""
        self._ending.set()
        process = self._process
        if process is not None:
            for number, limit in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10)):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(limit)
                    break
        if self.is_alive():
            self.join(10)

    _process: subprocess.Popen[bytes] | None = None

    def _live(self, launch: Launch) -> None:
        self._network, self._environment = launch.network, launch.environment
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                launch.arguments(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(launch.environment),
                cwd="/",
                start_new_session=True,
            )
        self._process = process
        life = _Life(process, time.monotonic())
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in self.spec:
                probe = self.spec[kind]
                # Failures that come early are not counted, so only liveness has to wait.
                delay = probe.get("initialDelaySeconds", 0) if kind == "livenessProbe" else 0
                life.probes[kind] = _Probe(probe, life.began + delay)
        started = _now()
        while process.poll() is None:
            self._ask(life)
            ready = all(
                life.probes[kind].succeeds
                for kind in ("startupProbe", "readinessProbe")
                if kind in life.probes
            )
            self._tell(ready=ready, running={"startedAt": started})
            dead = any(
                life.probes[kind].fails
                for kind in ("startupProbe", "livenessProbe")
                if kind in life.probes
            )
            if dead and not self._ending.is_set():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                break
            if self._ending.wait(0.1):
                break
        # `end` waits for the process; two waiters are one too many only for its return code.
        code = process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind
        reason = "Completed" if code == 0 else "Error"
        ended = {"exitCode": code % 256, "reason": reason, "startedAt": started}
        self._last = {"terminated": {**ended, "finishedAt": _now()}}

    def _tell(self, *, ready: bool = False, **state: Mapping[str, Any]) -> None:
        status = {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": "",
            "ready": ready,
            "started": "running" in state,
            "restartCount": self._restarts,
            "state": state,
            "lastState": self._last,
        }
        if status != self.status:
            self.status = status
            self._changed()

    # --- Its probes ------------------------------------------------------------------------------

    def _ask(self, life: _Life) -> None:
        """Asks what is due; nothing but the startup probe before that has succeeded."""
        startup = life.probes.get("startupProbe")
        waits = startup is not None and not startup.succeeds
        for kind, probe in life.probes.items():
            is_startup = kind == "startupProbe"
            if time.monotonic() < probe.due or is_startup != waits:
                continue
            if self._passes(probe.spec, life.process.pid):
                probe.passed, probe.failed = probe.passed + 1, 0
            else:
                probe.passed = 0
                is_new = time.monotonic() - life.began < _QUICK_SECONDS
                if is_new and kind != "livenessProbe":
                    probe.due = time.monotonic() + 0.1
                    continue  # not counted: a kubelet would not have asked so often
                probe.failed += 1
            probe.due = time.monotonic() + probe.spec.get("periodSeconds", 10)

    def _passes(self, probe: Manifest, pid: int) -> bool:
        seconds = max(probe.get("timeoutSeconds", 1), _LEAST_SECONDS)
        try:
            if "exec" in probe:
                return self._executes(probe["exec"]["command"], pid, seconds)
            if "httpGet" in probe:
                return self._answers(probe["httpGet"], seconds)
            if "tcpSocket" in probe:
                self._connection(probe["tcpSocket"]["port"], seconds).close()
        except (OSError, http.client.HTTPException, subprocess.SubprocessError):
            return False
        return True  # a probe by gRPC is not asked

    def _executes(self, command: Sequence[str], pid: int, seconds: float) -> bool:
        enter = ["nsenter", f"--target={pid}", "--user", "--mount", "--net", "--root", "--wd"]
        return (
            subprocess.run(
                [*enter, "--preserve-credentials", "--", *command],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            ).returncode
            == 0
        )

    def _answers(self, get: Manifest, seconds: float) -> bool:
        connection = self._connection(get["port"], seconds)
        if get.get("scheme") == "HTTPS":
            context = ssl._create_unverified_context()  # as a kubelet, which verifies none
            connection = context.wrap_socket(connection)
        client = http.client.HTTPConnection(self._address)
        client.sock = connection
        try:
            headers = {each["name"]: each["value"] for each in get.get("httpHeaders", ())}
            client.request("GET", get.get("path", "/"), headers=headers)
            return 200 <= client.getresponse().status < 400
        finally:
            client.close()

    def _connection(self, port: int | str, seconds: float) -> socket.socket:
        number = rules.container_port(self._pod, port)
        if number is None:
            raise OSError(f"no port {port}")
        address = (self._address, number)
        return networks.inside(
            self._network, lambda: socket.create_connection(address, timeout=seconds)
        )


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
