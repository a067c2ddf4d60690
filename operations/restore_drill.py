"""`make restore-drill`: restores the database's backup beside the living one, asks it, throws it
away.

The database that lives is not touched. The drill makes a namespace with a Cluster in it that is
restored from the bucket of the backups (drill_objects.py), waits until it is Ready, reads from it
by psql in its pod, asks Harbor's registry for one image of each project by HEAD, and deletes the
namespace again, however it ends.

psql in the pod needs no password and no driver: the operator lets the container's own user in over
the pod's socket, as its plugin `kubectl cnpg psql` does. The registry is asked at its pod, not
through Harbor's core: core answers from the database that lives, and for a proxy cache from another
registry, where the drill asks what lies in the storage. The registry reads the manifest from there
for each HEAD, whatever kind of storage it is.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import signal
import time
import urllib.parse
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import urllib3

from components.backup.objects import SECRET, STORE
from components.commands import run as command
from components.credentials import secret_name
from components.data_services.instance import DATABASE
from components.data_services.origin import server_of
from components.harbor_inputs import REGISTRY_USER
from components.kubernetes import kubectl
from components.kubernetes.client import ClusterClient, dig, secret_value
from components.kubernetes.naming import DATABASE_CLUSTER, SOVEREIGN_LABEL
from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring.own_metrics import CONFIG_MAP, config_map
from components.network.rules import REGISTRY
from components.preflight import identity
from components.registry.connection import ready_pod
from components.settings.backup import BackupSettings
from components.settings.database import FIRST_SERVER, DedicatedDatabase
from components.settings.model import Settings
from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.stack_file import StackFileRefused
from engine import stacks
from engine.terminal import Steps, fail
from operations.bundle import settings_of
from operations.drill_objects import (
    CLUSTER,
    PREPARED,
    RUN_ANNOTATION,
    SELECTOR,
    Manifest,
    manifests,
    namespace_of,
)
from operations.drill_report import (
    SQL,
    DrillFailed,
    Restored,
    Result,
    Sample,
    figures,
    last_backup,
    read_rows,
    report,
)
from toolchain.closed_pipe import ReaderGone

MINUTES: Final = 30
"""How long the database may take to be Ready, unless MINUTES says another limit."""
_ANSWER_SECONDS: Final = 120
"""For psql: choosing an image of each project by chance sorts all of them."""
_LEAVING_SECONDS: Final = 180
_WRITER: Final = "restore-drill"
_MANIFESTS: Final = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)


class DrillRefused(Exception):
    """The drill does not begin. Nothing was made."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. `minutes`: until the database has to be Ready."""

    stack: str
    minutes: int = MINUTES


def run(request: Request) -> int:
    """The command; its exit code: 0 for a drill that passed and left nothing."""
    try:
        with _ended_as_interrupted():
            return _run(request)
    except FileNotFoundError:
        return fail(f"there is no Pulumi.{request.stack}.yaml: {', '.join(stacks.names())}")
    except (StackFileRefused, SettingsRefused, DrillRefused) as error:
        return fail(str(error))
    except ClusterUnreachable as error:
        return fail(f"{error}\n  nothing was made")
    except KeyboardInterrupt:
        return fail("interrupted; the drill recorded nothing")
    finally:
        kubectl.close_all()


def _run(request: Request) -> int:
    settings = settings_of(request.stack)
    database, backup = settings.database, settings.backup
    if not isinstance(database, DedicatedDatabase):
        raise DrillRefused(
            f"the database of stack {request.stack} is shared (database.mode): whoever runs its "
            "server restores it, see docs/howto/backup.md"
        )
    if backup is None:
        raise DrillRefused(
            f"stack {request.stack} has no section backup, so nothing can be restored: "
            "docs/howto/backup.md says how it gets one"
        )
    drill = Drill(
        stack=request.stack,
        settings=settings,
        database=database,
        backup=backup,
        client=ClusterClient(settings.cluster.context),
        seconds=request.minutes * 60,
    )
    drill.refuse_what_is_in_the_way()
    try:
        outcome = drill.run()
    except (KeyboardInterrupt, ReaderGone):
        for each in drill.left:
            fail(each)
        raise
    print(report(request.stack, outcome), flush=True)
    troubles = drill.left
    try:
        drill.record(outcome)
    except ClusterUnreachable as error:
        troubles = [*troubles, f"the drill's metrics are not recorded: {error}"]
    for each in troubles:
        fail(each)
    return 0 if outcome.has_passed and not troubles else 1


@dataclass(kw_only=True)
class Drill:
    """One drill. `seconds`: until the database has to be Ready. `left`: what could not be deleted,
    in words, known after `run`."""

    stack: str
    settings: Settings
    database: DedicatedDatabase
    backup: BackupSettings
    client: ClusterClient
    seconds: float
    left: list[str] = field(default_factory=list[str])
    pause: float = 2.0
    _is_prepared: bool = False
    _made: list[str] = field(default_factory=list[str])
    """API paths of the objects that this drill has made, or has begun to make."""
    _run: str = field(default_factory=lambda: secrets.token_hex(8))

    # --- Before -----------------------------------------------------------------------------------

    def refuse_what_is_in_the_way(self) -> None:
        """Raises DrillRefused, and ClusterUnreachable."""
        if problems := identity.problems(self.client, self.settings.cluster, self.stack):
            raise DrillRefused("\n".join(problems))
        harbor = self._harbor
        namespace = self.client.get(f"/api/v1/namespaces/{harbor}")
        fqdn = dig(namespace, "metadata", "labels", SOVEREIGN_LABEL)
        if fqdn != self.settings.fqdn:
            there = (
                "does not exist" if namespace is None else f"is that of {fqdn or 'no Sovereign'}"
            )
            raise DrillRefused(
                f"namespace {harbor} {there} in this cluster, and stack {self.stack} is for "
                f"{self.settings.fqdn}: the kubeconfig leads to another cluster, or the stack was "
                f"never brought up (`{command('up', self.stack)}`)"
            )
        left = self.client.get(self._namespace_path)
        if dig(left, "metadata", "deletionTimestamp"):
            raise DrillRefused(
                f"namespace {self._namespace} of an earlier drill is still being deleted: try "
                "again in a minute"
            )
        self._is_prepared = dig(left, "metadata", "annotations", RUN_ANNOTATION) == PREPARED
        if left is not None and not self._is_prepared:
            raise DrillRefused(
                f"namespace {self._namespace} is there already: an earlier drill left it, or "
                f"another one runs now. If none runs:\n  {self._kubectl_delete()}"
            )
        for path in self._paths() if self._is_prepared else ():
            if self.client.get(path) is not None:
                raise DrillRefused(
                    f"{path} is there already: an earlier drill left it, or another one runs now. "
                    f"If none runs:\n  {self._kubectl_delete()}"
                )
        self._refuse_under_an_enforced_policy()

    def _refuse_under_an_enforced_policy(self) -> None:
        policy = self.settings.image_policy
        excluded = {*(policy.excluded_namespaces or ()), *policy.extra_excluded_namespaces}
        if policy.enabled and policy.enforcement == "Enforce" and self._namespace not in excluded:
            setting = (
                f"imagePolicy.extraExcludedNamespaces[{len(policy.extra_excluded_namespaces)}]"
            )
            raise DrillRefused(
                f"imagePolicy.enforcement is Enforce, and the operator's images may not run in "
                f"namespace {self._namespace}. Let them, once:\n  "
                + command(f"config set --path '{setting}' {self._namespace}", self.stack)
                + f"\n  {command('up', self.stack)}"
            )

    # --- The drill --------------------------------------------------------------------------------

    def run(self) -> Result:
        """The drill from its first object to its last. What it finds is in the result, and so is
        why it failed; an interruption is raised once all is deleted."""
        outcome = Result(began=dt.datetime.now(dt.UTC))
        begun = time.monotonic()
        steps = Steps(5)
        try:
            self._restore(steps, outcome)
            with steps.step("asking the restored database") as told:
                outcome.restored = self._ask()
                told.append(f"{outcome.restored.artifacts} artifacts")
            with steps.step("asking the registry for one image of each project") as told:
                for sample, is_there in self._heads(outcome.restored):
                    outcome.found[sample] = is_there
                told.append(f"{len(outcome.found) - len(outcome.missing)} of {len(outcome.found)}")
        except DrillFailed as error:
            outcome.failure = str(error)
        except ClusterUnreachable as error:
            outcome.failure = f"the cluster did not do what the drill needs: {error}"
        finally:
            outcome.seconds = time.monotonic() - begun
            try:
                self.left = self._delete(steps)
            except ReaderGone:
                self.left = self._delete(steps)  # which nobody is told any more
                raise
        return outcome

    def _restore(self, steps: Steps, outcome: Result) -> None:
        harbor = self._harbor
        with steps.step("looking for the backup") as told:
            path = f"/apis/postgresql.cnpg.io/v1/namespaces/{harbor}/clusters/{DATABASE_CLUSTER}"
            living = self.client.get(path)
            outcome.server = server_of(living) or self.settings.restored_server or FIRST_SERVER
            path = f"/apis/barmancloud.cnpg.io/v1/namespaces/{harbor}/objectstores/{STORE}"
            store = self.client.get(path)
            if store is None:
                raise DrillFailed(
                    f"ObjectStore {harbor}/{STORE} is not there: `{command('up', self.stack)}`"
                )
            outcome.backup_ended = last_backup(store, outcome.server)
            if outcome.backup_ended is None:
                raise DrillFailed(
                    f"there is no base backup of server {outcome.server} in bucket "
                    f"{self.backup.destination.bucket}: docs/runbooks/backup-too-old.md"
                )
            told.append(f"server {outcome.server}")
        with steps.step(f"restoring it in namespace {self._namespace}"):
            image = dig(living, "spec", "imageName")
            credentials = self._credentials()
            for manifest in self._manifests(
                server=outcome.server, credentials=credentials, image=image
            ):
                self._post(manifest)
            self._await_ready()

    def _manifests(
        self, *, server: str, credentials: Mapping[str, str], image: str | None
    ) -> list[Manifest]:
        """The objects of the drill, without the namespace where that is prepared."""
        whole = manifests(
            self.settings,
            self.database,
            self.backup,
            server=server,
            credentials=credentials,
            image=image,
            run=self._run,
        )
        return [*whole][1 if self._is_prepared else 0 :]

    def _post(self, manifest: Manifest) -> None:
        # Before: an interruption may come after the API server made it, and before it says so.
        self._made.append(manifest.path)
        try:
            self.client.post(manifest.collection, manifest.body)
        except ClusterUnreachable as error:
            if error.status == 409:
                self._made.remove(manifest.path)  # somebody else's
            raise

    def _credentials(self) -> dict[str, str]:
        secret = self.client.get(f"/api/v1/namespaces/{self._harbor}/secrets/{SECRET}")
        data: Mapping[str, str] = dig(secret, "data") or {}
        if not data:
            raise DrillFailed(
                f"Secret {self._harbor}/{SECRET} is not there: `{command('up', self.stack)}`"
            )
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _await_ready(self) -> None:
        path = f"/apis/postgresql.cnpg.io/v1/namespaces/{self._namespace}/clusters/{CLUSTER}"
        deadline = time.monotonic() + self.seconds
        cluster: Any = None
        while True:
            try:
                cluster = self.client.get(path)
            except ClusterUnreachable as error:
                if error.status is not None and error.status < 500:
                    raise
            if any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in cast("list[Any]", dig(cluster, "status", "conditions") or [])
            ):
                return
            if time.monotonic() > deadline:
                phase = dig(cluster, "status", "phase") or "the operator has not begun"
                raise DrillFailed(
                    f"the restored database is not Ready after {self.seconds / 60:.0f} minutes: "
                    f"{phase}{self._warnings()}. A larger database needs a larger limit: "
                    f"make restore-drill STACK={self.stack} MINUTES=<minutes>"
                )
            time.sleep(self.pause)

    def _warnings(self) -> str:
        """The last warnings in the drill's namespace, to follow a sentence; its events go too."""
        try:
            listed = self.client.get(
                f"/api/v1/namespaces/{self._namespace}/events?fieldSelector=type%3DWarning"
            )
        except ClusterUnreachable:
            return ""
        events = cast("list[dict[str, Any]]", dig(listed, "items") or [])
        said = dict.fromkeys(
            f"{dig(event, 'involvedObject', 'kind')} {dig(event, 'involvedObject', 'name')}: "
            f"{' '.join(str(event.get('message', '')).split())}"
            for event in events
        )
        return "".join(f"; {each[:300]}" for each in [*said][-3:])

    def _ask(self) -> Restored:
        path = f"/apis/postgresql.cnpg.io/v1/namespaces/{self._namespace}/clusters/{CLUSTER}"
        primary = dig(self.client.get(path), "status", "currentPrimary") or f"{CLUSTER}-1"
        psql = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]
        answer = kubectl.run_in_pod(
            self.settings.cluster.context,
            [*psql, "--set=ON_ERROR_STOP=1", "--username=postgres", f"--dbname={DATABASE}"],
            namespace=self._namespace,
            pod=primary,
            container="postgres",
            stdin=SQL,
            seconds=_ANSWER_SECONDS,
        )
        return read_rows(answer)

    def _heads(self, restored: Restored) -> Iterator[tuple[Sample, bool]]:
        """Each sample that has an image, and whether the registry has it."""
        asked = [sample for sample in restored.samples if sample.digest is not None]
        if not asked:
            return
        with self._registry() as pool:
            for sample in asked:
                yield sample, has(pool, sample)

    @contextmanager
    def _registry(self) -> Generator[Any]:
        """Harbor's registry, through a port-forward to its pod."""
        harbor = self._harbor
        pod = ready_pod(self.client, harbor, "registry")
        if pod is None:
            raise DrillFailed(f"no pod of Harbor's registry in namespace {harbor} is Ready")
        name = secret_name("registry-user")
        password = secret_value(self.client, namespace=harbor, name=name, key="REGISTRY_PASSWD")
        if password is None:
            raise DrillFailed(f"Secret {harbor}/{name} has no key REGISTRY_PASSWD")
        forward = kubectl.PortForward(
            self.settings.cluster.context, namespace=harbor, pod=pod, port=REGISTRY
        )
        try:
            login = urllib3.make_headers(basic_auth=f"{REGISTRY_USER}:{password}")
            headers = {**login, "Accept": _MANIFESTS}
            with urllib3.HTTPConnectionPool(
                "127.0.0.1", forward.local_port(), headers=headers
            ) as pool:
                yield pool
        finally:
            forward.close()

    # --- After ------------------------------------------------------------------------------------

    def _delete(self, steps: Steps) -> list[str]:
        """Deletes what this drill made: the namespace, or all in it; what is left, in words."""
        # The last one first: the Cluster, which reads the others.
        doomed = self._made[::-1] if self._is_prepared else self._made[:1]
        if not doomed:
            return []
        left = (
            f"namespace {self._namespace} is left, with a copy of the keys of the backups: "
            f"{self._kubectl_delete()}"
        )
        try:
            namespace = self.client.get(self._namespace_path)
            made_by = dig(namespace, "metadata", "annotations", RUN_ANNOTATION)
            if not self._is_prepared and made_by != self._run:
                return []  # somebody else's of the same name
            with steps.step(f"deleting what was made in namespace {self._namespace}"):
                volumes = self._volumes_that_stay()
                for path in doomed:
                    # The Cluster stays until its pods and claims are gone.
                    self.client.delete(f"{path}?propagationPolicy=Foreground")
                deadline = time.monotonic() + _LEAVING_SECONDS
                while any(self.client.get(path) is not None for path in doomed):
                    if time.monotonic() > deadline:
                        return [
                            f"namespace {self._namespace} is not empty {_LEAVING_SECONDS} s after "
                            "all in it was deleted; kubectl get -o yaml says what each object "
                            f"waits for\n  {left}",
                            *volumes,
                        ]
                    time.sleep(min(self.pause, 1.0))
        except ClusterUnreachable as error:
            return [f"{error}\n  {left}"]
        except KeyboardInterrupt:
            fail(left)
            raise
        return volumes

    def _volumes_that_stay(self) -> list[str]:
        """Volumes of a StorageClass that retains them, in words; none where it may not look."""
        words: list[str] = []
        try:
            listed = self.client.get(f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims")
            for claim in cast("list[Any]", dig(listed, "items") or []):
                name = dig(claim, "spec", "volumeName")
                path = f"/api/v1/persistentvolumes/{name}"
                volume = self.client.get(path) if name else None
                if dig(volume, "spec", "persistentVolumeReclaimPolicy") == "Retain":
                    words.append(
                        f"volume {name} is left, as its StorageClass retains it: kubectl delete "
                        f"persistentvolume {name}, and the disk behind it at its vendor"
                    )
        except ClusterUnreachable:
            return words
        return words

    def record(self, outcome: Result) -> None:
        """Writes the drill's metrics. Raises ClusterUnreachable."""
        path = f"/api/v1/namespaces/{self._harbor}/configmaps/{CONFIG_MAP}"
        before = dig(self.client.get(path), "data", _WRITER) or ""
        written = figures(outcome, now=time.time(), recorded=before)
        manifest = config_map(self._harbor, _WRITER, written)
        self.client.apply(path, manifest, manager=f"sovereign-harbor-{_WRITER}")

    @property
    def _harbor(self) -> str:
        return self.settings.harbor.namespace

    @property
    def _namespace(self) -> str:
        return namespace_of(self._harbor)

    @property
    def _namespace_path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}"

    def _kubectl_delete(self) -> str:
        context = self.settings.cluster.context
        chosen = f" --context {context}" if context else ""
        if not self._is_prepared:
            return f"kubectl{chosen} delete namespace {self._namespace}"
        kinds = ",".join(sorted({_kind(path) for path in self._paths()}))
        return f"kubectl{chosen} delete {kinds} -n {self._namespace} -l {SELECTOR}"

    def _paths(self) -> list[str]:
        """API paths of the objects that a drill makes."""
        whole = self._manifests(server=FIRST_SERVER, credentials={}, image=None)
        return [each.path for each in whole]


def _kind(path: str) -> str:
    """The kind of an object's API path as kubectl is told it: others have Clusters, too."""
    match path.split("/"):
        case ["", "apis", group, _, "namespaces", _, resource, _]:
            return f"{resource}.{group}"
        case parts:
            return parts[-2]


def has(pool: Any, sample: Sample) -> bool:
    """Whether the registry has the manifest. Raises DrillFailed where it does not say."""
    repository = urllib.parse.quote(str(sample.repository))
    what = f"HEAD {sample.path}"
    try:
        answer = pool.request(
            "HEAD",
            f"/v2/{repository}/manifests/{sample.digest}",
            retries=urllib3.Retry(
                3, redirect=False, status_forcelist=(500, 502, 503), backoff_factor=1
            ),
            timeout=urllib3.Timeout(connect=10, read=60),
        )
    except urllib3.exceptions.HTTPError as error:
        raise DrillFailed(f"the registry did not answer {what}: {type(error).__name__}") from None
    if answer.status not in (200, 404):
        raise DrillFailed(
            f"the registry answered {answer.status} to {what}: docs/runbooks/storage-errors.md"
        )
    return answer.status == 200


@contextmanager
def _ended_as_interrupted() -> Generator[None]:
    """SIGTERM, by which a CI's job or a CronJob ends, is taken for an interruption: what was made
    is deleted."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
