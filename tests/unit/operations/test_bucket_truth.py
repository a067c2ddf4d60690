"""The bucket against the registry's manifests: a store that speaks S3, and a fake Harbor."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.registry.api import ADMIN_PASSWORD_KEY
from components.settings.database import SecretRef
from components.settings.model import Settings
from operations import __main__ as command
from operations.bucket_truth import command as bucket_truth
from operations.bucket_truth import sweep
from operations.bucket_truth.inventory import (
    Blob,
    Contents,
    Truth,
    Unreadable,
    contents,
    price_of,
    references,
    referred,
)
from operations.bucket_truth.sweep import Plan, PlanRefused
from operations.doctor import command as doctor
from operations.doctor.checks.data import INVENTORY
from operations.doctor.sources import Sovereign
from sandbox.fake_harbor.server import FakeHarbor
from tests.support import builders
from tests.support.builders import Cluster
from tests.support.faulty_store import Store
from tests.support.registry import ADMIN_PASSWORD, Direct, Registry

NOW = dt.datetime.now(dt.UTC)
LATER = NOW + dt.timedelta(days=2)
"""When what is written now is old enough to be an orphan."""
HOME = "docker/registry/v2"
NS = "harbor"
ADMIN = "harbor-minted-admin-password"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Bucket:
    """A bucket as the registry keeps it."""

    store: Store
    name: str
    root: str = ""

    def put(self, key: str, content: bytes) -> None:
        prefix = f"{self.root}/" if self.root else ""
        self.store.s3.put_object(Bucket=self.name, Key=f"{prefix}{HOME}/{key}", Body=content)

    def blob(self, content: bytes) -> str:
        digest = digest_of(content)
        hexadecimal = digest.partition(":")[2]
        self.put(f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data", content)
        return digest

    def link(self, repository: str, digest: str) -> None:
        hexadecimal = digest.partition(":")[2]
        place = f"repositories/{repository}/_manifests/revisions/sha256/{hexadecimal}/link"
        self.put(place, digest.encode())

    def image(self, repository: str, *layers: bytes) -> str:
        """Pushes an image of these layers; the digest of its manifest."""
        told = {
            "config": {"digest": self.blob(b"config of " + repository.encode())},
            "layers": [{"digest": self.blob(layer)} for layer in layers],
        }
        digest = self.blob(json.dumps(told).encode())
        self.link(repository, digest)
        return digest

    def digests(self) -> set[str]:
        listed = self.store.s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {*contents([{**row, "IsLatest": True} for row in listed], self.root).blobs}


@pytest.fixture
def images(store: Store, bucket: str) -> Bucket:
    store.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "fsn1"})
    made = Bucket(store, bucket)
    made.image("apps/web", b"base layer", b"layer of web")
    made.image("apps/api", b"base layer", b"layer of api")
    return made


@dataclass
class Ward:
    images: Bucket
    cluster: Cluster
    harbor: FakeHarbor
    settings: Settings
    connection: Direct

    def sovereign(self) -> Sovereign:
        client: Any = self.cluster
        return Sovereign(
            stack="omantel",
            settings=self.settings,
            environment={},
            client=client,
            connection=self.connection,
        )

    def read_only(self) -> None:
        Registry(self.harbor).ask("PUT", "/configurations", {"read_only": True})

    def collects(self, *, at: dt.datetime, status: str = "Success") -> None:
        row = self.harbor.world.insert("cleanings", {"kind": "gc", "parameters": {}})
        row.update(creation_time=at.isoformat(), status=status)


@pytest.fixture
def ward(images: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    storage = {
        "kind": "s3",
        "endpoint": images.store.upstream,
        "region": "fsn1",
        "bucket": images.name,
    }
    settings = builders.settings(storage=storage, sandbox=True, registry={"enabled": False})
    cluster = Cluster({"/api/v1/namespaces/harbor/configmaps/harbor-recorded-metrics": {}})
    keys = images.store.credentials
    data: dict[str, str] = {
        "REGISTRY_STORAGE_S3_ACCESSKEY": keys.access_key,
        "REGISTRY_STORAGE_S3_SECRETKEY": keys.secret_key,
    }
    place = "/api/v1/namespaces/harbor/secrets/harbor-objectstorage-credentials"
    for key, value in data.items():
        ref = SecretRef(namespace=NS, name="harbor-objectstorage-credentials", key=key)
        kept = cluster.objects.get(place, {"data": {}})["data"]
        cluster.put_secret(ref, value)
        cluster.objects[place]["data"].update(kept)
    with FakeHarbor(admin_password=ADMIN_PASSWORD) as harbor:
        connection = Direct(namespace=NS, api_url=harbor.url)
        connection.secrets = {(ADMIN, ADMIN_PASSWORD_KEY): ADMIN_PASSWORD}
        made = Ward(images, cluster, harbor, settings, connection)
        monkeypatch.setattr(doctor, "of_stack", lambda _stack: made.sovereign())
        yield made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run two days later than what the tests write."""
    monkeypatch.setattr(bucket_truth, "_now", lambda: LATER)


def told(ward: Ward, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert command.main(["bucket-truth", "omantel", "--json", *options]) in (0, 1)
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("later")
def test_a_bucket_of_images_alone_has_no_orphans(
    ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(ward, capsys) | {"at": "", "bytes": 0, "objects": 0} == {
        "at": "",
        "bytes": 0,
        "objects": 0,
        "blobs": 7,
        "manifests": 2,
        "orphans": 0,
        "orphanBytes": 0,
        "young": 0,
        "cost": "",
        "missing": [],
    }


@pytest.mark.usefixtures("later")
def test_a_blob_of_no_manifest_is_an_orphan_with_its_price(
    ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    ward.images.blob(b"of a push that never ended")
    found = told(ward, capsys, "--price", "999999 EUR")
    assert (found["orphans"], found["orphanBytes"]) == (1, 26)
    assert found["cost"] == "0.00 EUR"


def test_a_young_blob_is_no_orphan(ward: Ward, capsys: pytest.CaptureFixture[str]) -> None:
    ward.images.blob(b"of a push that goes on")
    found = told(ward, capsys)
    assert (found["orphans"], found["young"]) == (0, 1)


@pytest.mark.usefixtures("later")
def test_a_manifest_that_the_bucket_lost_is_an_image_that_cannot_be_pulled(
    ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = digest_of(b"lost")
    ward.images.link("apps/old", lost)
    assert command.main(["bucket-truth", "omantel"]) == 1
    assert f"  apps/old@{lost}" in capsys.readouterr().out


@pytest.mark.usefixtures("later")
def test_the_doctor_finds_what_was_recorded(ward: Ward, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(ward, capsys, "--record")
    ((path, merged),) = ward.cluster.merged
    assert "configmaps/harbor-recorded-metrics" in path
    kept = json.loads(merged["data"][INVENTORY])
    assert kept["bytes"] == found["bytes"] > 0


def test_a_storage_without_a_bucket_is_refused(
    ward: Ward, capsys: pytest.CaptureFixture[str]
) -> None:
    ward.settings = builders.settings(storage=builders.FILESYSTEM)
    assert command.main(["bucket-truth", "omantel"]) == 1
    assert "storage of kind filesystem is no bucket" in capsys.readouterr().err


def test_a_price_is_a_number_and_a_currency() -> None:
    assert price_of("4.99 EUR").of(2 * 10**12) == "9.98 EUR"
    for text in ("4,99 EUR", "EUR", "-1 EUR", "4.99"):
        with pytest.raises(ValueError, match="a number and a currency"):
            price_of(text)


# --- Sweep --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("later")
def test_a_sweep_deletes_what_its_dry_run_named_and_nothing_else(
    ward: Ward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(tmp_path / "sweep.json")
    images, before = ward.images, ward.images.digests()
    images.blob(b"one orphan")
    later_needed = images.blob(b"needed by the time of the sweep")
    with_orphans = images.digests()
    assert command.main(["bucket-sweep", "omantel", "--plan", plan]) == 0
    assert "dry run: 2 blobs" in capsys.readouterr().out
    assert images.digests() == with_orphans
    # Meanwhile one of them became part of an image, and another orphan came.
    images.image("apps/new", b"needed by the time of the sweep")
    unplanned = images.blob(b"not in the plan")
    now = images.digests()
    confirm = ["bucket-sweep", "omantel", "--plan", plan, "--confirm", "2"]

    assert command.main(confirm) == 1
    refused = capsys.readouterr().err
    assert "Harbor takes pushes" in refused
    assert "pulumi config set --path 'registry.system.readOnly' true -s omantel" in refused
    assert "no garbage collection has begun since the dry run" in refused
    assert images.digests() == now

    ward.read_only()
    ward.collects(at=LATER + dt.timedelta(hours=1))
    assert command.main(confirm) == 0
    assert "deleted: 1 of 2 blobs" in capsys.readouterr().out
    assert now - images.digests() == {digest_of(b"one orphan")}
    assert {later_needed, unplanned} | before <= images.digests()


@pytest.mark.usefixtures("later")
def test_a_plan_is_not_written_over(
    ward: Ward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "sweep.json"
    plan.write_text("{}")
    assert command.main(["bucket-sweep", "omantel", "--plan", str(plan)]) == 1
    assert f"{plan} exists" in capsys.readouterr().err
    assert command.main(["bucket-sweep", "omantel", "--plan", str(plan), "--confirm", "1"]) == 1
    assert "no plan of a dry run" in capsys.readouterr().err


ORPHAN = Blob(digest="sha256:" + "1" * 64, key="a", size=3, written=NOW - dt.timedelta(days=9))
FOUND = Truth(
    contents=Contents(blobs={}, manifests={}, uploads={}, bytes=0, objects=0),
    orphans=(ORPHAN,),
    young=0,
    missing=(),
)
PLAN = Plan(stack="omantel", bucket="b", at=NOW, blobs={ORPHAN.digest: 3})
DONE = {"job_status": "Success", "creation_time": LATER.isoformat(), "job_parameters": "{}"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"confirmed": 2}, "CONFIRM=2, and the plan has 1 blobs"),
        ({"read_only": False}, "Harbor takes pushes"),
        ({"collections": []}, "no garbage collection has begun"),
        ({"collections": [{**DONE, "job_status": "Error"}]}, "no garbage collection has begun"),
        ({"collections": [{**DONE, "job_parameters": '{"dry_run":true}'}]}, "no garbage"),
        (
            {"collections": [{**DONE, "creation_time": (NOW - dt.timedelta(1)).isoformat()}]},
            "no garbage collection has begun",
        ),
        ({"collections": [{**DONE, "job_status": "Running"}, DONE]}, "a garbage collection runs"),
    ],
)
def test_nothing_is_deleted_while(changed: dict[str, Any], words: str) -> None:
    right: dict[str, Any] = {
        "collections": [DONE],
        "read_only": True,
        "confirmed": 1,
        "now": LATER,
    }
    told = [*sweep.refusals(PLAN, FOUND, **{**right, **changed})]
    assert len(told) == bool(words)
    assert words in "".join(told)


def test_nothing_is_deleted_while_an_upload_runs() -> None:
    running = replace(FOUND.contents, uploads={"apps/web": LATER - dt.timedelta(hours=3)})
    found = replace(FOUND, contents=running)
    (told,) = sweep.refusals(
        PLAN, found, collections=[DONE], read_only=True, confirmed=1, now=LATER
    )
    assert told.startswith("an upload to apps/web runs")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"stack": "omantel"}', '{"stack":"omantel","bucket":"b","at":"x","blobs":{}}'],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanRefused, match="no plan of a dry run"):
        sweep.read_plan(text, "omantel", "b")


def test_a_plan_of_another_stack_is_refused() -> None:
    assert sweep.read_plan(PLAN.as_json(), "omantel", "b").blobs == PLAN.blobs
    with pytest.raises(PlanRefused, match="of stack omantel and bucket b, not of otech and b"):
        sweep.read_plan(PLAN.as_json(), "otech", "b")


# --- What a manifest leads to -------------------------------------------------------------------


def test_an_index_leads_to_its_images_and_a_signature_to_its_subject() -> None:
    manifests = {
        "index": {"manifests": [{"digest": "amd64"}, {"digest": "not fetched"}]},
        "amd64": {"config": {"digest": "c"}, "layers": [{"digest": "l"}]},
        "signature": {"layers": [{"digest": "s"}], "subject": {"digest": "amd64"}},
        "schema 1": {"fsLayers": [{"blobSum": "f"}]},
    }
    found = referred(
        ["index", "signature", "schema 1"],
        lambda digest: json.dumps(manifests[digest]).encode() if digest in manifests else None,
    )
    assert found == {*manifests, "not fetched", "c", "l", "s", "f"}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b'{"layers": [{}]}', b'{"config": 1}']
)
def test_a_manifest_that_cannot_be_read_ends_the_inventory(content: bytes) -> None:
    with pytest.raises(Unreadable, match="manifest d in the bucket cannot be read"):
        references(content, "d")


def test_a_bucket_that_others_use_too_is_read_below_the_root_directory_only() -> None:
    place = f"blobs/sha256/11/{'1' * 64}/data"
    row = {"Size": 5, "LastModified": NOW, "IsLatest": True}
    rows = [
        {**row, "Key": f"ours/{HOME}/{place}"},
        {**row, "Key": f"theirs/{HOME}/{place.replace('1', '2')}"},
        {**row, "Key": f"ours/{HOME}/{place.replace('1', '3')}", "IsLatest": False},
        {**row, "Key": f"ours/{HOME}/repositories/apps/web/_uploads/u/data"},
        {"Key": f"ours/{HOME}/deleted", "LastModified": NOW, "IsLatest": True},
    ]
    found = contents(rows, "/ours")
    assert found.blobs.keys() == {"sha256:" + "1" * 64}
    assert found.uploads == {"apps/web": NOW}
    assert (found.bytes, found.objects) == (20, 5)
