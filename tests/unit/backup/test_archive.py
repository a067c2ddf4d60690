"""What is looked for in the bucket before a database is deleted or made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pulumi.dynamic import Config, ConfigureRequest

from components.backup.archive import ArchiveProofProvider, location, place
from components.object_storage.s3.client import S3Credentials, s3_client
from components.object_storage.s3.errors import BucketError
from components.settings.backup import DestinationSettings
from tests.support.builders import BACKUP

KEYS = {"backupAccessKey": "ACCESS", "backupSecretKey": "a-secret-key"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Bucket:
    """A bucket of a test's own, and the proof that looks into it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.destination = DestinationSettings.model_validate(
            {**BACKUP["destination"], "endpoint": endpoint, "bucket": name, "prefix": "pg"}
        )
        credentials = S3Credentials(access_key="ACCESS", secret_key="a-secret-key")
        self.client = s3_client(location(self.destination), credentials)
        self.client.create_bucket(Bucket=name)
        self.name = name

    def put(self, *keys: str) -> None:
        for key in keys:
            self.client.put_object(Bucket=self.name, Key=key, Body=b"x")

    def prove(self, *, server: str = "harbor-pg-new", **changes: Any) -> dict[str, Any]:
        props = {
            "server": server,
            "isNew": True,
            "destination": place(self.destination),
            "source": None,
            **changes,
        }
        provider = ArchiveProofProvider()
        config = {f"sovereign-harbor:{key}": value for key, value in KEYS.items()}
        provider.configure(ConfigureRequest(Config(config, "sovereign-harbor")))
        return provider.create(props).outs or {}

    def source(self, target: str | None = None) -> dict[str, Any]:
        return place(self.destination, server="harbor-pg", targetTime=target)


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    return Bucket(endpoint, f"backup-{secrets.token_hex(8)}")


def test_a_new_database_archives_into_a_folder_of_its_own(bucket: Bucket) -> None:
    bucket.put(".sovereign-harbor/owner.json", "pg/harbor-pg/wals/1", "harbor-pg-new/wals/1")
    assert bucket.prove() == {"server": "harbor-pg-new"}


def test_a_new_database_never_archives_over_another_one(bucket: Bucket) -> None:
    bucket.put("pg/harbor-pg/wals/0000000100000000/000000010000000000000001.gz")
    with pytest.raises(BucketError, match=r"holds backups of a database in pg/harbor-pg/") as words:
        bucket.prove(server="harbor-pg")
    assert "--path 'database.restore.server' harbor-pg" in str(words.value)
    assert "--path 'backup.destination.prefix'" in str(words.value)


def test_a_database_that_lives_archives_on(bucket: Bucket) -> None:
    bucket.put("pg/harbor-pg/wals/1")
    assert bucket.prove(server="harbor-pg", isNew=False) == {"server": "harbor-pg"}


def test_a_restore_needs_a_base_backup(bucket: Bucket) -> None:
    bucket.put("pg/harbor-pg/wals/1", "pg/harbor-pg-1a2b3c4d/base/20261101T020000/backup.info")
    with pytest.raises(BucketError, match=r"no base backup of server harbor-pg; .* harbor-pg-1a2b"):
        bucket.prove(source=bucket.source())


@pytest.mark.parametrize(
    ("target", "is_there"),
    [
        (None, True),
        ("2026-11-01T02:00:00Z", True),
        ("2026-11-01T03:00:01+01:00", True),
        ("2026-11-01T01:59:59Z", False),
        ("2026-11-01T02:30:00+01:00", False),
    ],
)
def test_a_moment_needs_a_base_backup_before_it(
    target: str | None, is_there: bool, bucket: Bucket
) -> None:
    bucket.put(
        "pg/harbor-pg/base/20261101T020000/backup.info",
        "pg/harbor-pg/base/20261102T020000/backup.info",
    )
    if is_there:
        bucket.prove(source=bucket.source(target))
        return
    with pytest.raises(BucketError, match=r"began at 2026-11-01T02:00:00Z, after"):
        bucket.prove(source=bucket.source(target))


def test_without_backups_only_the_source_is_looked_at(bucket: Bucket) -> None:
    bucket.put("pg/harbor-pg/base/20261101T020000/backup.info", "pg/harbor-pg-new/wals/1")
    bucket.prove(destination=None, source=bucket.source())


@pytest.mark.parametrize(("server", "is_change"), [("harbor-pg", False), ("harbor-pg-new", True)])
def test_each_server_is_looked_for_once(server: str, is_change: bool) -> None:
    news = {"server": server, "isNew": False, "destination": None, "source": None}
    diff = ArchiveProofProvider().diff("harbor-pg", {"server": "harbor-pg"}, news)
    assert diff.changes is is_change
