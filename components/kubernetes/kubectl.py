"""kubectl as the one reader of the kubeconfig (docs/decisions/0014).

`kubectl proxy` serves the API server on a socket that only this user can reach. It finds the
context, runs the credential plugin and chooses the proxy by client-go, as pulumi-kubernetes does.
One process serves all threads of this program, and it ends with the program.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from components import parsed
from components.kubernetes.unreachable import ClusterUnreachable

_START_SECONDS: Final = 20
"""For kubectl to read the kubeconfig and to listen: 0.1 s on a quiet machine."""

_SOCKET_PATH_BYTES: Final = 100
"""The longest path of a socket: 107 bytes on Linux, 103 on macOS."""

_PRINTED_BYTES: Final = 4096

_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

# The shell starts kubectl, and then reads until the program's end closes its input: also where the
# program is killed. Then it ends kubectl and the plugins that kubectl started, and removes the
# folder. PR_SET_PDEATHSIG would not do: it follows the thread that started the process, not the
# program, and exists on Linux only.
_UNTIL_THE_PROGRAM_ENDS: Final = """
folder=$1
shift
"$@" 2>"$folder/errors" &
exec >/dev/null
read -r _
trap '' TERM
kill -TERM 0
rm -rf "$folder"
"""


class Child:
    """A running `kubectl …` that ends with the program. Raises ClusterUnreachable.

    `arguments`: of kubectl, after the context. `{folder}` in one of them is the private folder of
    the child, which is removed at its end.
    """

    def __init__(self, context: str | None, arguments: Sequence[str]) -> None:
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise ClusterUnreachable(
                "kubectl is not on PATH. The program reads the kubeconfig and reaches the cluster "
                "with it: https://kubernetes.io/docs/tasks/tools"
            )
        self._kubectl = [kubectl, *([] if context is None else [f"--context={context}"])]
        self._environment = _environment()
        self._name = f"kubectl {arguments[0]}"
        self._output = b""
        self._ended = False
        self._starting = threading.Lock()
        self.started = time.monotonic()
        try:
            self._start(arguments)
        except OSError as error:
            raise ClusterUnreachable(f"kubectl did not start: {error}") from None

    def _start(self, arguments: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kubectl-"))
        if len(os.fsencode(self._folder / "socket")) > _SOCKET_PATH_BYTES:
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="kubectl-", dir="/tmp"))
        command = [part.replace("{folder}", str(self._folder)) for part in arguments]
        try:
            self._process = subprocess.Popen(
                [
                    *("/bin/sh", "-c", _UNTIL_THE_PROGRAM_ENDS, "sh", self._folder),
                    *(*self._kubectl, *command),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                # An interrupt from the terminal is for the program, which still needs the cluster
                # to finish what it has begun.
                start_new_session=True,
            )
        except OSError:
            self._folder.rmdir()
            raise

    def first_line(self) -> str:
        """What kubectl prints once it has begun to listen. Raises ClusterUnreachable."""
        with self._starting:
            deadline = time.monotonic() + _START_SECONDS
            while b"\n" not in self._output and not self._ended:
                if not self._read(max(0.0, deadline - time.monotonic())):
                    raise ClusterUnreachable(
                        f"{self._name} did not listen within {_START_SECONDS} s{self.complaints()}"
                    )
            if self._ended:
                raise ClusterUnreachable(self._why_it_ended())
            return self._output.partition(b"\n")[0].decode(errors="replace")

    def is_running(self) -> bool:
        """Whether kubectl has not ended: its end closes its output."""
        with self._starting:
            while not self._ended and self._read(0):
                pass
            return not self._ended

    def complaints(self, *, besides: str = "") -> str:
        """What kubectl and the credential plugin wrote last, to follow a sentence; or nothing.

        `besides`: what that sentence says already.
        """
        return complaints(self._errors(), besides=besides)

    def close(self) -> None:
        """Ends kubectl and removes its folder."""
        self._ended = True
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.stdout.close()
        # The shell has removed it, unless it was killed.
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, seconds: float) -> bool:
        """Whether kubectl printed something or ended within so many seconds."""
        assert self._process.stdout is not None
        output = self._process.stdout
        if self._ended:
            return True
        # poll, as select refuses descriptors above 1023.
        poll = select.poll()
        poll.register(output, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        # A port-forward prints a line for each connection: they are read, so that the pipe never
        # fills up, and only the first ones are kept.
        printed = os.read(output.fileno(), _PRINTED_BYTES)
        self._output = (self._output + printed)[:_PRINTED_BYTES]
        self._ended = not printed
        return True

    def _errors(self) -> str:
        with suppress(OSError):
            return (self._folder / "errors").read_text(errors="replace")
        return ""

    def _why_it_ended(self) -> str:
        # A context without a user, or a user without credentials: kubectl asks the terminal.
        if b"Please enter" in self._output:
            return (
                "kubeconfig: the context has no user with credentials, so a call would be anonymous"
                "; kubectl config set-context <context> --user=<user> gives it one"
            )
        return f"{self._name} ended{self.complaints()}"


class Proxy(Child):
    """A running `kubectl proxy` for one context. Raises ClusterUnreachable.

    `cluster_name`: the cluster entry of the context; None for the account of a pod, which has none.
    """

    cluster_name: str | None

    def __init__(self, context: str | None) -> None:
        # Beside each other: each needs 0.1 s to start.
        super().__init__(context, ["proxy", "--unix-socket={folder}/socket"])
        try:
            self.cluster_name = (
                None
                if _is_for_the_pod(context)
                else _cluster_name(self._kubectl, self._environment)
            )
        except BaseException:
            self.close()
            raise

    def socket(self) -> str:
        """The path of the socket, once kubectl listens there. Raises ClusterUnreachable."""
        self.first_line()
        return str(self._folder / "socket")


class PortForward(Child):
    """A running `kubectl port-forward` to one pod. Raises ClusterUnreachable.

    It ends when the connection to the pod is lost.
    """

    def __init__(self, context: str | None, *, namespace: str, pod: str, port: int) -> None:
        forward = ["port-forward", f"--namespace={namespace}", "--address=127.0.0.1"]
        super().__init__(context, [*forward, f"pod/{pod}", f":{port}"])

    def local_port(self) -> int:
        """The port of 127.0.0.1, once kubectl listens there. Raises ClusterUnreachable."""
        line = self.first_line()
        listens = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line)
        if listens is None:
            raise ClusterUnreachable(f"kubectl port-forward printed {line!r}, which names no port")
        return int(listens.group(1))


def run_in_pod(
    context: str | None,
    command: Sequence[str],
    *,
    namespace: str,
    pod: str,
    container: str,
    stdin: str,
    seconds: float,
) -> str:
    """What a command in a running container prints. `stdin`: what it reads; no process shows that.

    Raises ClusterUnreachable, also if the command fails or takes longer than `seconds`.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ClusterUnreachable("kubectl is not on PATH")
    chosen = [] if context is None else [f"--context={context}"]
    at = [f"--namespace={namespace}", f"--container={container}", f"pod/{pod}"]
    what = f"{command[0]} in pod {namespace}/{pod}"
    try:
        ran = subprocess.run(
            [kubectl, *chosen, "exec", "--stdin", *at, "--", *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterUnreachable(f"{what} took longer than {seconds:.0f} s") from None
    except OSError as error:
        raise ClusterUnreachable(f"kubectl did not start: {error}") from None
    if ran.returncode != 0:
        raise ClusterUnreachable(f"{what} failed{complaints(ran.stderr)}")
    return ran.stdout


_PROXIES: dict[tuple[str | None, ...], Proxy] = {}
_LOCK = threading.Lock()


def proxy(context: str | None) -> Proxy:
    """The running proxy for that context of the kubeconfig; None means its current context.

    It is started at the first call, and again when it has ended. Raises ClusterUnreachable.
    """
    key = (context, *(os.environ.get(name) for name in ("KUBECONFIG", "HOME", "PATH")))
    with _LOCK:
        running = _PROXIES.get(key)
        if running is None or not running.is_running():
            if running is not None:
                running.close()
                del _PROXIES[key]
            running = _PROXIES[key] = Proxy(context)
        return running


def close_all() -> None:
    """Ends every proxy of this program."""
    with _LOCK:
        while _PROXIES:
            _PROXIES.popitem()[1].close()


atexit.register(close_all)


def complaints(errors: str, *, besides: str = "") -> str:
    """The last lines of kubectl's standard error, to follow a sentence. Pure."""
    lines = [line.strip() for line in errors.splitlines()]
    said = [
        line
        for line in lines
        # klog's lines repeat what is in the answer, behind a time and a place in kubectl's source.
        if line and line not in besides and not re.match(r"[IWEF]\d{4} ", line)
    ]
    return (
        f": {' '.join([*dict.fromkeys(said)][-5:]).removeprefix('error: ')[-500:]}" if said else ""
    )


def _environment() -> dict[str, str]:
    """What kubectl, and the credential plugin that it starts, find in their environment.

    The program has the stack's secrets in PULUMI_CONFIG, decrypted by the engine
    (pulumi-language-python, main.go), and the passphrase in PULUMI_CONFIG_PASSPHRASE. A command
    that a kubeconfig names needs neither.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PULUMI_CONFIG")
    }
    # kuberc (kubectl 1.34) could set other defaults for the options of every command.
    return {**inherited, "KUBERC": "off"}


def _is_for_the_pod(context: str | None) -> bool:
    """Whether kubectl uses the account of the pod that this program runs in.

    client-go takes it also where KUBECONFIG names only files that do not exist. The program does
    not: the cluster of a CI runner must not be taken for the Sovereign's because of a wrong path.
    """
    return (
        context is None
        and not os.environ.get("KUBECONFIG")
        and not Path("~/.kube/config").expanduser().exists()
        and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        and bool(os.environ.get("KUBERNETES_SERVICE_PORT"))
        and _ACCOUNT_TOKEN.is_file()
    )


def _cluster_name(arguments: list[str], environment: Mapping[str, str]) -> str:
    """The cluster entry of the context, as kubectl merges the files. Raises ClusterUnreachable.

    Without a context or a server `kubectl proxy` would serve whatever listens on
    localhost:8080: that is refused here.
    """
    try:
        viewed = subprocess.run(
            [*arguments, "config", "view", "--minify", "--output=json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterUnreachable(f"kubectl did not read the kubeconfig: {error}") from None
    if viewed.returncode != 0:
        raise ClusterUnreachable(f"kubeconfig{_way_out(complaints(viewed.stderr))}")
    try:
        config: dict[str, Any] = parsed.json_of(viewed.stdout)
        name = str(config["contexts"][0]["context"]["cluster"])
        servers = {entry["name"]: entry["cluster"].get("server") for entry in config["clusters"]}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ClusterUnreachable(
            "kubeconfig: the output of `kubectl config view --minify --output=json` has no context"
        ) from None
    if not servers.get(name):
        raise ClusterUnreachable(f"kubeconfig: cluster {name} has no server")
    return name


def _way_out(words: str) -> str:
    if "current-context must exist" not in words:
        return words
    files = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return (
        f": no current-context in {files}; set KUBECONFIG to a file that exists, or choose a "
        "context by cluster.context or kubectl config use-context"
    )
