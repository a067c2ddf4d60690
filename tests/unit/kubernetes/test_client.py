"""Calls to the API server, from the threads of a dynamic provider."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.kubernetes.client import ClusterClient, ClusterUnreachable, KubeConfig


def test_one_thread_at_a_time_reads_the_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once end the process: reproduced with msgspec 0.22.0 in 8 of 30 processes."""
    reading = threading.Semaphore(1)
    met: list[bool] = []

    class Config:
        def get(self, **_: object) -> None:
            time.sleep(0.01)
            reading.release()

    def from_env() -> Config:
        met.append(not reading.acquire(blocking=False))
        return Config()

    monkeypatch.setattr(KubeConfig, "from_env", from_env)

    def client() -> None:
        with pytest.raises(ClusterUnreachable):
            ClusterClient("omantel")

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(client) for _ in range(6)]:
            done.result()
    assert met == [False] * 6
