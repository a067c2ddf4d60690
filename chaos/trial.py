"""A Sovereign in a sandbox whose every request goes through a proxy, and runs that can be hit."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import yaml

from chaos.parts import Keeper
from chaos.proxy import Proxy, calm
from components.object_storage.s3.contents import delete_own
from engine.stack import Stack
from sandbox import harbor_api, processes, storage
from tests.support.sandbox import NAMESPACE, Sandbox, bucket_client

SENTINEL: Final = "docker/registry/v2/blobs/sha256/chaos/data"
"""Key of the blob that has to outlive every fault."""

RUN_SECONDS: Final = 240
"""After that long a run that was hit is taken for one that hangs."""


DISK_BYTES: Final = 256 * 1024**2


@dataclass(kw_only=True)
class Run:
    """`pulumi …` while it runs. `code`: None until it ended; -9 if it was killed."""

    child: subprocess.Popen[bytes]
    output: IO[bytes]

    @property
    def code(self) -> int | None:
        return self.child.poll()

    def wait(self, seconds: float = RUN_SECONDS) -> int | None:
        """Its exit code; None if it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.child.wait(seconds)
        return None

    def send(self, number: signal.Signals) -> bool:
        """Whether it was still running when the signal was sent."""
        if self.code is not None:
            return False
        self.child.send_signal(number)
        return True

    def text(self) -> str:
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def close(self) -> None:
        """Forgets what it printed."""
        self.output.close()


@dataclass(kw_only=True)
class Trial:
    """One Sovereign under trial. `api`, `s3`, `harbor`: what its runs reach the servers through.

    `keeper`: who starts parts that end by themselves again.
    `backend`: the folder of the state; `disk`: a file system of its own below it, or why not.
    `changes`: how many values a setting of the stack had, with that of the committed file.
    `runs`: those of the try that goes on; `last`: the one that was hit."""

    sandbox: Sandbox
    stack: Stack
    api: Proxy
    s3: Proxy
    harbor: Proxy
    keeper: Keeper
    backend: Path
    client: ssl.SSLContext
    has_own_disk: bool
    calls: dict[str, int] = field(default_factory=dict[str, int])
    measured: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    verb: str = "up"
    hung: bool = False
    is_lost: bool = False
    changes: int = 1
    namespaces: tuple[str, ...] = ("harbor", "flux-system")
    last: Run | None = None
    runs: list[Run] = field(default_factory=list[Run])
    _connection: http.client.HTTPSConnection | None = None

    def begin(self, **variables: str) -> Run:
        """Begins a run and does not wait for it. `variables`: of its environment, besides."""
        self.stack.drop_dead_lock()
        output = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the run is asked)
        child = subprocess.Popen(
            [
                *("pulumi", self.verb, "-s", self.stack.name, "--yes", "--skip-preview"),
                "--non-interactive",
            ],
            cwd=self.stack.folder,
            env={**os.environ, **self.stack.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.last = Run(child=child, output=output)
        self.runs.append(self.last)
        return self.last

    def forget_runs(self) -> None:
        """Nobody asks any more about the runs until now, nor about how many calls they made."""
        for proxy in self.proxies.values():
            proxy.plan(calm)
        self._close_runs()
        self.last, self.hung = None, False

    @property
    def proxies(self) -> dict[str, Proxy]:
        return {"api": self.api, "s3": self.s3, "harbor": self.harbor}

    def calm(self) -> None:
        """The proxies let everything through."""
        for proxy in self.proxies.values():
            proxy.calm()

    @property
    def bucket(self) -> str:
        return self.sandbox.section("storage")["bucket"]

    @property
    def bucket_outputs(self) -> dict[str, str]:
        """The bucket as outputs name it, at the store's address that no fault hits."""
        kept = self.sandbox.state.load("object-storage.json") or {}
        return {"bucket": self.bucket, "bucketEndpoint": f"http://127.0.0.1:{kept['port']}"}

    @property
    def s3_client(self) -> Any:
        """A client for the store that no fault hits."""
        return bucket_client(self.sandbox, self.bucket_outputs)

    def put_sentinel(self) -> None:
        """Puts the blob that has to outlive every fault, unless it is there."""
        s3 = self.s3_client
        if not s3.list_objects_v2(Bucket=self.bucket, Prefix=SENTINEL).get("KeyCount"):
            s3.put_object(Bucket=self.bucket, Key=SENTINEL, Body=b"a layer")

    def take_sentinel(self) -> None:
        """Removes that blob again, with its versions."""
        delete_own(self.s3_client, self.bucket, SENTINEL)

    def empty_bucket(self) -> None:
        """Deletes all that lies in the bucket, where there is one."""
        if self.bucket in {bucket["Name"] for bucket in self.s3_client.list_buckets()["Buckets"]}:
            delete_own(self.s3_client, self.bucket, "")

    def get(self, path: str) -> Any:
        """An object or list at an API path, past the proxy; None if there is none.

        Raises SandboxError.
        """
        for is_last in (False, True):
            try:
                if self._connection is None:
                    server = urlsplit(self.api_server)
                    self._connection = http.client.HTTPSConnection(
                        server.hostname or "", server.port, context=self.client, timeout=30
                    )
                self._connection.request("GET", path, headers={"Accept": "application/json"})
                answer = self._connection.getresponse()
                content = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                # The API server may have ended since the last call.
                self._disconnect()
                if is_last:
                    raise processes.SandboxError(f"{path}: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise processes.SandboxError(f"{path}: {answer.status} {content[:300]!r}")
        return json.loads(content)

    def close(self) -> None:
        """Closes what is open, as far as this opened it."""
        self._close_runs()
        self._disconnect()

    def _close_runs(self) -> None:
        for run in self.runs:
            run.close()
        self.runs.clear()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def objects(self, *, besides: Container[str]) -> list[dict[str, Any]]:
        """All objects of the cluster, but those of the kinds with these plural names."""
        items: list[dict[str, Any]] = []
        for path, plural, kind in self._kinds():
            if plural not in besides:
                listed = self.get(f"{path}/{plural}") or {"items": []}
                items += [{**item, "kind": kind} for item in listed["items"]]
        return items

    def _kinds(self) -> list[tuple[str, str, str]]:
        """API path of group and version, plural and name of each kind that can be listed."""
        groups = self.get("/apis")["groups"]
        paths = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
        return [
            (path, kind["name"], kind["kind"])
            for path in ["/api/v1", *paths]
            for kind in (self.get(path) or {}).get("resources", [])
            if "list" in kind["verbs"] and "/" not in kind["name"]
        ]

    @property
    def api_server(self) -> str:
        """https://host:port of the API server itself."""
        return self._cluster["server"]

    @property
    def _cluster(self) -> dict[str, str]:
        return yaml.safe_load(self.sandbox.state.kubeconfig.read_text())["clusters"][0]["cluster"]


@contextlib.contextmanager
def opened(sandbox: Sandbox) -> Iterator[Trial]:
    """The trial of the Sovereign in a running sandbox, which need not be up yet.

    At the end everything answers at its own address again.
    """
    state = sandbox.state
    kubeconfig = yaml.safe_load(state.kubeconfig.read_text())
    entry, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    client = ssl.create_default_context(cafile=entry["certificate-authority"])
    client.load_cert_chain(user["client-certificate"], user["client-key"])
    api = Proxy(entry["server"], client=client)
    # kubectl and client-go send no credentials over plain HTTP: the proxy has the account.
    kubeconfig["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{api.port}"}
    kubeconfig["users"][0]["user"] = {}
    through = state.path("chaos", "kubeconfig")
    through.write_text(yaml.safe_dump(kubeconfig))
    # The state remembers the store's address, so the proxy has the gateway's, which moves.
    address = (state.load("object-storage.json") or {})["port"]
    s3 = Proxy(_moved_gateway(sandbox, processes.free_port()), port=address)
    kept = state.load("harbor-api.json") or {}
    harbor = Proxy(f"http://{kept['host']}:{kept['port']}")
    harbor_api.forward(state, sandbox.tools, "127.0.0.1", harbor.port, NAMESPACE)
    stack = sandbox.stack(
        KUBECONFIG=str(through), SANDBOX_S3_ENDPOINT=f"http://127.0.0.1:{address}"
    )
    backend = Path(urlsplit(stack.environment["PULUMI_BACKEND_URL"]).path)
    try:
        with (
            _own_disk(backend) as has_own_disk,
            contextlib.closing(Keeper(sandbox)) as keeper,
        ):
            trial = Trial(
                sandbox=sandbox,
                stack=stack,
                api=api,
                s3=s3,
                harbor=harbor,
                keeper=keeper,
                backend=backend,
                client=client,
                has_own_disk=has_own_disk,
            )
            with contextlib.closing(trial):
                yield trial
    finally:
        for proxy in (api, s3, harbor):
            proxy.close()
        _moved_gateway(sandbox, address)
        harbor_api.start(state, sandbox.tools)


def _moved_gateway(sandbox: Sandbox, port: int) -> str:
    """Lets the gateway listen on another port; its address."""
    running = processes.find(sandbox.state, storage.NAME)
    if running is not None:
        processes.stop(sandbox.state, running)
    sandbox.state.save("object-storage.json", {"port": port})
    return storage.start(sandbox.state, sandbox.tools)


@contextlib.contextmanager
def _own_disk(folder: Path) -> Iterator[bool]:
    """Has a folder on a small file system of its own meanwhile; whether the machine allows that."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "chaos", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            yield False
            return
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True)
            yield True
        finally:
            shutil.rmtree(aside)
            shutil.copytree(folder, aside)
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
            shutil.copytree(aside, folder, dirs_exist_ok=True)
