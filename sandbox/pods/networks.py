"""Network namespaces: one for each Pod, joined by a bridge in one more. None is the machine's own.

The process that imports this is root of a user namespace, with mounts of its own: all of it ends
with that process, and the machine's own interfaces and nft tables are never touched.
"""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

Made = TypeVar("Made")

FOLDER: Final = Path("/run/sandbox-networks")
NODE: Final = "node"
NODE_ADDRESS: Final = "10.244.0.1"
_SPARE: Final = 3
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Networks:
    """Makes and removes the networks of Pods, by any thread."""

    def __init__(self) -> None:
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        FOLDER.mkdir()
        _make(NODE)
        _ip(NODE, "link add bridge0 type bridge")
        _ip(NODE, f"addr add {NODE_ADDRESS}/16 dev bridge0")
        _ip(NODE, "link set bridge0 up")
        self._number = 1
        self._spare: queue.Queue[tuple[str, str]] = queue.Queue(_SPARE)
        # To make a namespace may take the kernel seconds on a busy machine: some are made ahead.
        threading.Thread(target=self._make_ahead, name="networks", daemon=True).start()

    def _make_ahead(self) -> None:
        while True:
            self._number += 1
            high, low = divmod(self._number, 256)
            name, address = f"pod{self._number}", f"10.244.{high}.{low}"
            try:
                self._join_to_node(name, address)
            except subprocess.SubprocessError as error:
                print(f"{name}: {error}: {getattr(error, 'stderr', '')}", flush=True)
                time.sleep(1)
                continue
            self._spare.put((name, address))

    def _join_to_node(self, name: str, address: str) -> None:
        _make(name)
        _ip(NODE, f"link add {name} type veth peer name eth0 netns {FOLDER / name}")
        _ip(NODE, f"link set {name} master bridge0 up")
        _ip(name, f"addr add {address}/16 dev eth0")
        _ip(name, "link set eth0 up")
        _ip(name, f"route add default via {NODE_ADDRESS}")

    def take(self) -> tuple[str, str]:
        """The name of a network and the address in it."""
        return self._spare.get()


def remove(name: str) -> None:
    """The kernel removes the interfaces with the last user of the namespace."""
    with suppress(subprocess.CalledProcessError):
        _ip(NODE, f"link delete {name}")
    with suppress(subprocess.CalledProcessError):
        run("umount", "--lazy", str(FOLDER / name))
    (FOLDER / name).unlink(missing_ok=True)


def apply(name: str, ruleset: str) -> None:
    """Replaces the rules of a network. Raises CalledProcessError."""
    run("nsenter", f"--net={FOLDER / name}", "nft", "-f", "-", text=ruleset)


def inside(name: str, make: Callable[[], Made]) -> Made:
    """What `make` returns when it is called in that network: a socket stays in it."""
    made: list[Made] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            descriptor = os.open(FOLDER / name, os.O_RDONLY)
            try:
                if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(descriptor)
            made.append(make())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


class Relay:
    """Takes connections at `listener`, and leads each to one that `connect` makes."""

    def __init__(self, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._listener, self._connect = listener, connect
        self.port: int = listener.getsockname()[1]
        threading.Thread(target=self._run, name=f"relay {self.port}", daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(taken,), daemon=True).start()

    def _join(self, taken: socket.socket) -> None:
        try:
            target = self._connect()
        except OSError:
            taken.close()
            return
        back = threading.Thread(target=_copy, args=(target, taken), daemon=True)
        back.start()
        _copy(taken, target)
        back.join()
        taken.close()
        target.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(262144):
            target.sendall(data)
    except OSError:
        pass  # the other side went away, which ends this direction
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def listening(port: int = 0) -> socket.socket:
    """A socket that listens on 127.0.0.1 of the caller's network."""
    return socket.create_server(("127.0.0.1", port), backlog=64)


def _make(name: str) -> None:
    (FOLDER / name).touch()
    run("unshare", "--net", "mount", "--bind", "/proc/self/ns/net", str(FOLDER / name))
    _ip(name, "link set lo up")


def _ip(name: str, arguments: str) -> None:
    run("nsenter", f"--net={FOLDER / name}", "ip", *arguments.split())


def run(*command: str, text: str | None = None) -> None:
    """Raises CalledProcessError, with what the command said as its output."""
    subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)
