"""A real PostgreSQL is backed up by the real barman-cloud, lost, and restored to a moment.

No operator runs in the sandbox, so the test does by hand what CloudNativePG and its plugin do, with
what this program tells them: the options are read from the ObjectStore's spec, the moment from the
Cluster's. The bucket of the backups and that of the images are versitygw's, the images are those
of Harbor's registry, and the restored database is asked as a restore drill asks it.

It needs two things that the project does not install, and is skipped without them:

- PostgreSQL's server: `apt-get install postgresql`, or REAL_POSTGRES_BIN=folder with initdb
- barman-cloud: `pip install 'barman[cloud]'` into an environment of its own, which the user
  postgres can read, and REAL_BARMAN_BIN=its folder bin, or that folder on PATH

    REAL_BARMAN_BIN=/opt/barman/bin .venv/bin/pytest tests/sandbox/test_restore_real.py
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from pulumi.dynamic import Config, ConfigureRequest

from components.backup.archive import ArchiveProofProvider, location, place
from components.backup.objects import SECRET, STORE, archiver, store_spec
from components.data_services.instance import DATABASE
from components.data_services.origin import Origin, recovery
from components.object_storage.s3.client import S3Credentials, s3_client
from components.settings.backup import BackupSettings
from components.settings.database import FIRST_SERVER, RestoreSettings
from operations.drill_report import SQL, Restored, Sample, read_rows
from operations.restore_drill import has
from sandbox import processes, storage
from sandbox.state import REGION, State
from sandbox.waiting import wait_until
from toolchain.build import Toolbox, ensure

IMAGES = "real-images"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SECONDS = 280
"""For one command. A base backup of an empty server takes seconds on a quiet machine."""

# The columns of Harbor's tables that a drill reads (goharbor/harbor make/migrations/postgresql).
TABLES = """
CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
CREATE TABLE project (project_id serial PRIMARY KEY, name text, deleted boolean DEFAULT false);
CREATE TABLE repository (repository_id serial PRIMARY KEY, name text, project_id int);
CREATE TABLE artifact (id serial PRIMARY KEY, project_id int, repository_id int, digest text,
                       push_time timestamp DEFAULT now());
INSERT INTO schema_migrations VALUES (170, false);
INSERT INTO project (name) VALUES ('apps'), ('infra'), ('library');
INSERT INTO repository (name, project_id) VALUES ('apps/web', 1), ('infra/proxy', 2);
"""


def _postgres() -> Path | None:
    given = os.environ.get("REAL_POSTGRES_BIN")
    folders = [Path(given)] if given else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def _barman() -> Path | None:
    given = os.environ.get("REAL_BARMAN_BIN")
    found = shutil.which("barman-cloud-backup", path=given)
    return Path(found).parent if found else None


POSTGRES, BARMAN = _postgres(), _barman()
pytestmark = [
    pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL server: apt-get install postgresql"),
    pytest.mark.skipif(
        BARMAN is None,
        reason="no barman-cloud: pip install 'barman[cloud]', and REAL_BARMAN_BIN=its folder bin",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """versitygw with both buckets. `client`: for them."""

    state: State
    tools: Toolbox
    backup: BackupSettings
    client: Any


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    state, tools = State(tmp_path_factory.mktemp("real")), ensure(report=lambda _: None)
    endpoint = storage.start(state, tools)
    destination = {"bucket": "real-backup", "endpoint": endpoint, "region": REGION, "prefix": "pg"}
    backup = BackupSettings.model_validate({"destination": destination}, context={"sandbox": True})
    kept = state.credentials()
    credentials = S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"])
    client = s3_client(location(backup.destination), credentials)
    for bucket in (backup.destination.bucket, IMAGES):
        client.create_bucket(Bucket=bucket)
    try:
        yield Stores(state=state, tools=tools, backup=backup, client=client)
    finally:
        running = processes.find(state, storage.NAME)
        if running is not None:
            processes.stop(state, running)


# --- Harbor's registry --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(stores: Stores) -> Iterator[Any]:
    """Connections to Harbor's registry over the bucket of the images."""
    port, kept = processes.free_port(), stores.state.credentials()
    bucket = {
        "bucket": IMAGES,
        "region": REGION,
        "regionendpoint": stores.backup.destination.endpoint,
        "secure": False,
        "v4auth": True,
    }
    file = stores.state.path("registry.yml")
    file.write_text(
        yaml.safe_dump(
            {
                "version": 0.1,
                "storage": {"s3": bucket},
                "http": {"addr": f"127.0.0.1:{port}", "secret": "of-a-test"},
            }
        )
    )
    process = processes.start(
        stores.state,
        "real-registry",
        [str(stores.tools.path("registry")), "serve", str(file)],
        environment={
            "REGISTRY_STORAGE_S3_ACCESSKEY": kept["s3AccessKey"],
            "REGISTRY_STORAGE_S3_SECRETKEY": kept["s3SecretKey"],
            # The driver's old SDK panics on it.
            "AWS_CA_BUNDLE": "",
        },
        ready=lambda: processes.answers(port),
    )
    try:
        with urllib3.HTTPConnectionPool("127.0.0.1", port, headers={"Accept": MANIFEST}) as pool:
            yield pool
    finally:
        processes.stop(stores.state, process)


def push(pool: Any, repository: str) -> str:
    """An image of one small blob; its digest."""
    config = json.dumps({"repository": repository}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    begun = pool.request("POST", f"/v2/{repository}/blobs/uploads/")
    upload = begun.headers["Location"]
    joined = "&" if "?" in upload else "?"
    done = pool.request("PUT", f"{upload}{joined}digest={digest}", body=config)
    assert done.status == 201, done.data
    described = {"mediaType": "application/vnd.oci.image.config.v1+json"}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {**described, "digest": digest, "size": len(config)},
            "layers": [],
        }
    )
    pushed = pool.request(
        "PUT",
        f"/v2/{repository}/manifests/latest",
        body=manifest,
        headers={"Content-Type": MANIFEST},
    )
    assert pushed.status == 201, pushed.data
    return pushed.headers["Docker-Content-Digest"]


# --- PostgreSQL and barman-cloud ----------------------------------------------------------------


class Server:
    """PostgreSQL's programs and barman-cloud's, told what the ObjectStore's spec says."""

    def __init__(self, folder: Path, spec: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        assert POSTGRES is not None
        assert BARMAN is not None
        self.folder, self.port = folder, processes.free_port()
        configuration = spec["configuration"]
        self.path = configuration["destinationPath"]
        self.store = f"--endpoint-url {configuration['endpointURL']} --cloud-provider aws-s3"
        self.wal = f"--{configuration['wal']['compression']}"
        self.data = f"--{configuration['data']['compression']}"
        self.environment = {
            "PATH": f"{POSTGRES}:{BARMAN}:/usr/bin:/bin",
            "HOME": str(folder),
            "PGHOST": str(folder),
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "TZ": "UTC",
            "AWS_ACCESS_KEY_ID": keys["s3AccessKey"],
            "AWS_SECRET_ACCESS_KEY": keys["s3SecretKey"],
            "AWS_DEFAULT_REGION": REGION,
            **{each["name"]: each["value"] for each in spec["instanceSidecarConfiguration"]["env"]},
        }

    def run(self, command: str, stdin: str = "") -> str:
        """A shell's command, as a user that PostgreSQL runs as: not root."""
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shell = ["bash", "-euo", "pipefail", "-c", command]
        # Files, not pipes: a server that pg_ctl starts would keep a pipe open.
        out, err = self.folder / "stdout", self.folder / "stderr"
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                [*(as_postgres if os.geteuid() == 0 else []), *shell],
                cwd=self.folder,
                env=self.environment,
                input=stdin,
                stdout=stdout,
                stderr=stderr,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        said = out.read_text()
        assert done.returncode == 0, f"{command}: {said}{err.read_text()}"
        return said

    def start(self, data: str, **settings: str) -> None:
        lines = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "port": str(self.port),
            **settings,
        }
        text = "".join(f"{key} = '{value}'\n" for key, value in lines.items())
        self.run(f"cat >> {data}/postgresql.conf", text)
        self.run(
            f"pg_ctl -D {data} -w -t 200 -l {data}.log start || {{ tail {data}.log; exit 1; }}"
        )

    def sql(self, text: str, database: str = DATABASE) -> str:
        return self.run(f"psql -XqAt -v ON_ERROR_STOP=1 -d {database}", text).strip()

    def stop(self, data: str) -> None:
        self.run(f"pg_ctl -D {data} -m immediate stop || true")

    def archived(self) -> bool:
        """Whether all that was written so far is in the bucket."""
        return self.sql("SELECT last_archived_wal FROM pg_stat_archiver") >= self._switched

    def switch(self) -> None:
        self._switched = self.sql("SELECT pg_walfile_name(pg_switch_wal())")


@pytest.fixture(scope="module")
def server(stores: Stores) -> Iterator[Server]:
    # A socket's path has 107 bytes at most, and the user postgres has to reach it.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
    spec = store_spec(
        stores.backup.destination,
        SECRET,
        retention=stores.backup.retention,
        compression=stores.backup.compression,
    )
    running = Server(folder, spec, stores.state.credentials())
    try:
        yield running
    finally:
        for data in ("living", "restored"):
            if (folder / data / "postmaster.pid").exists():
                running.stop(data)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def restored(stores: Stores, registry: Any, server: Server) -> Restored:
    """What a drill reads from a database that was lost and restored to the moment before an
    accident. One image was pushed before the base backup, one after it."""
    name = archiver(STORE, FIRST_SERVER)["parameters"]["serverName"]
    server.run("initdb -D living -U postgres -A trust")
    server.start(
        "living",
        wal_level="replica",
        archive_mode="on",
        archive_command=f"barman-cloud-wal-archive {server.store} {server.wal} {server.path} "
        f"{name} %p",
    )
    server.sql(f"CREATE DATABASE {DATABASE}", "postgres")
    server.sql(TABLES)
    add = "INSERT INTO artifact (project_id, repository_id, digest) VALUES ({0}, {0}, '{1}')"
    server.sql(add.format(1, push(registry, "apps/web")))
    server.run(
        f"barman-cloud-backup {server.store} {server.data} --immediate-checkpoint "
        f"-h {server.folder} -p {server.port} -U postgres {server.path} {name}"
    )
    server.sql(add.format(2, push(registry, "infra/proxy")))
    time.sleep(1.1)
    moment = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    time.sleep(1.1)
    server.sql("DELETE FROM artifact; UPDATE project SET deleted = true")
    server.switch()
    assert wait_until(server.archived, seconds=SECONDS), "the log is not archived"

    server.stop("living")
    shutil.rmtree(server.folder / "living")

    made_of = recovery(
        Origin(server="new", restore=RestoreSettings.model_validate({"targetTime": moment})),
        STORE,
        database=DATABASE,
        owner="harbor",
        secret_name=None,
    )
    source = made_of["externalClusters"][0]["plugin"]["parameters"]["serverName"]
    listed = server.run(
        f"barman-cloud-backup-list --format json {server.store} {server.path} {source}"
    )
    (backup,) = json.loads(listed)["backups_list"]
    server.run(
        f"barman-cloud-restore {server.store} {server.path} {source} {backup['backup_id']} restored"
    )
    server.run("chmod 700 restored && touch restored/recovery.signal")
    server.start(
        "restored",
        archive_mode="off",
        restore_command=f"barman-cloud-wal-restore {server.store} {server.path} {source} %f %p",
        recovery_target_time=made_of["bootstrap"]["recovery"]["recoveryTarget"]["targetTime"],
        recovery_target_action="promote",
    )
    assert wait_until(lambda: server.sql("SELECT pg_is_in_recovery()") == "f", seconds=SECONDS), (
        "the recovery does not end"
    )
    return read_rows(server.sql(SQL))


def test_the_database_is_that_of_the_moment_before_the_accident(restored: Restored) -> None:
    assert restored.schema == 170
    assert (restored.projects, restored.artifacts) == (3, 2)
    assert [sample.repository for sample in restored.samples] == ["apps/web", "infra/proxy", None]


def test_every_image_that_the_restored_database_names_is_in_the_registry(
    restored: Restored, registry: Any
) -> None:
    asked = {each: has(registry, each) for each in restored.samples if each.digest}
    assert list(asked.values()) == [True, True]


def test_the_program_sees_barman_s_base_backup_and_never_archives_over_it(
    stores: Stores, restored: Restored
) -> None:
    kept = stores.state.credentials()
    config = {
        "sovereign-harbor:backupAccessKey": kept["s3AccessKey"],
        "sovereign-harbor:backupSecretKey": kept["s3SecretKey"],
    }
    provider = ArchiveProofProvider()
    provider.configure(ConfigureRequest(Config(config, "sovereign-harbor")))
    destination = stores.backup.destination
    props = {
        "isNew": True,
        "server": "harbor-pg-1a2b3c4d",
        "destination": place(destination),
        "source": place(destination, server=FIRST_SERVER, targetTime=None),
    }
    assert provider.create(props).outs == {"server": "harbor-pg-1a2b3c4d"}
    with pytest.raises(Exception, match="holds backups of a database in pg/harbor-pg/"):
        provider.create({**props, "server": FIRST_SERVER})


def test_a_manifest_that_is_gone_from_the_bucket_is_missing(
    stores: Stores, restored: Restored, registry: Any
) -> None:
    sample = next(each for each in restored.samples if each.project == "infra")
    hexadecimal = str(sample.digest).partition(":")[2]
    stores.client.delete_object(
        Bucket=IMAGES,
        Key=f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data",
    )
    assert not has(registry, sample)
    assert not has(registry, Sample(project="apps", repository="apps/none", digest=sample.digest))
