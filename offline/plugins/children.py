"""Processes that a plugin starts; they end with it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

_GRACE_SECONDS = 2.0


class Children:
    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    @contextmanager
    def running(
        self,
        command: Sequence[str],
        *,
        folder: str,
        environment: Mapping[str, str],
        output: int | IO[bytes] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The started process; whatever ends the block ends it too."""
        with self._lock:
            if self._ended:
                raise ChildProcessError("the engine is shutting down")
            child = subprocess.Popen(
                command,
                cwd=folder or None,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            self._running.add(child)
        try:
            yield child
        finally:
            end_process(child)
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
            with self._lock:
                self._running.discard(child)

    def end(self) -> None:
        """Ends them all, and lets no further one start."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for child in running:
            child.terminate()
        for child in running:
            end_process(child)


def end_process(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
