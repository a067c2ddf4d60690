"""Whatever comes from outside is read, or refused in the program's own words.

Random answers in which parts are missing, of another type, cut or huge. The percentages are of the
cases of stack files, and come on top of them (tests/support/fuzzing.py).
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from hypothesis import given
from hypothesis import strategies as st

from components.harbor import chart, chart_download, recovery
from components.kubernetes import client as kubernetes
from components.kubernetes.unreachable import ClusterUnreachable
from components.object_storage.location import BucketLocation
from components.object_storage.s3 import client as s3
from components.object_storage.s3 import contents, features, policy
from components.object_storage.s3.errors import BucketError, explained
from components.preflight.adoption import running
from components.registry.api import Harbor, Logins
from components.registry.connection import Answer
from components.registry.errors import HarborError
from components.sealing import crypto
from fleet import release_drift
from operations import bundle_list, drill_report
from operations.bucket_truth import inventory, sweep
from operations.oci_folder import FolderError, OciFolder
from tests.support import builders
from tests.support.faulty_store import CREDENTIALS
from tests.support.fuzzing import cases
from tests.support.odd_answers import ODD_TEXTS, odd_json, odd_text, odd_value

pytestmark = [
    pytest.mark.fuzz,
    # cryptography only warns of a serial number below 1; a later version refuses it as malformed.
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive"),
]

# --- Certificates ------------------------------------------------------------------------------


@cases(20)
@given(data=st.data())
def test_a_sealing_certificate(data: st.DataObject, sealing_certificate: str) -> None:
    der = base64.b64decode("".join(sealing_certificate.splitlines()[1:-1]))
    changed = data.draw(odd_text(der))
    wrapped = base64.encodebytes(changed).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{wrapped}-----END CERTIFICATE-----\n"
    for content in (pem.encode(), data.draw(odd_text(sealing_certificate.encode())), changed):
        with suppress(crypto.SealingError):
            certificate = crypto.load_certificate(crypto.certificate_text(content, "sealing.pem"))
            assert crypto.seal(b"x", namespace="n", name="s", certificate=certificate)


# --- The API server ----------------------------------------------------------------------------

RECORD = {
    "manifest": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: core\nspec: {}\n",
    "config": {"externalURL": "https://registry.nizwa.test", "existingSecretSecretKey": "k"},
    "chart": {"metadata": {"version": "1.18.3"}},
}


def packed(release: bytes) -> str:
    return base64.b64encode(base64.b64encode(gzip.compress(release))).decode()


SECRETS = {
    "kind": "SecretList",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "1"},
    "items": [
        {
            "metadata": {
                "name": "sh.helm.release.v1.harbor.v1",
                "labels": {"version": "1", "status": "deployed"},
            },
            "data": {"release": packed(json.dumps(RECORD).encode())},
        }
    ],
}
REGISTRY = "storage:\n  s3:\n    bucket: nizwa\n    region: fsn1\n  cache:\n    layerinfo: redis\n"


@dataclass
class Server:
    """A ClusterClient whose answers are given, as they come over the wire."""

    answers: Mapping[str, bytes]
    rest: bytes = b'{"metadata": {}}'

    def get(self, path: str) -> Any:
        body = next((body for key, body in self.answers.items() if key in path), self.rest)
        return kubernetes._object(path, kubernetes._Answer(status=200, body=body))


@cases(20)
@given(odd_json(SECRETS))
def test_records_of_helm(body: bytes) -> None:
    server: Any = Server({"secrets": body})
    with suppress(ClusterUnreachable):
        for record in recovery.records(server, "harbor"):
            assert isinstance(record.revision, int)
    with suppress(ClusterUnreachable):
        release_drift.drifted(server, "harbor")
    with suppress(ClusterUnreachable):
        kubernetes.secret_value(server, namespace="n", name="secrets", key="release")


@cases(10)
@given(odd_json(RECORD))
def test_the_content_of_a_record_of_helm(release: bytes) -> None:
    secret = {"metadata": {"name": "r"}, "data": {"release": packed(release)}}
    recovery._record("/secrets", secret)
    with suppress(ClusterUnreachable):
        list(release_drift.manifests(secret))


@cases(10)
@given(odd_text(REGISTRY.encode()))
def test_the_configuration_of_a_registry_that_runs(text: bytes) -> None:
    configuration = json.dumps({"data": {"config.yml": text.decode(errors="replace")}}).encode()
    server: Any = Server({"harbor-registry": configuration})
    with suppress(ClusterUnreachable):
        running.running_harbor(server, "harbor")


# --- Charts ------------------------------------------------------------------------------------

CHART_FILES = {
    "Chart.yaml": b"name: harbor\nversion: 1.18.3\nappVersion: 2.14.3\n",
    "values.yaml": b"core:\n  image:\n    repository: goharbor/harbor-core\n    tag: v2.14.3\n",
}
FOLDERS = ("harbor/", "harbor/", "", "../", "/", "harbor/x/", "./")
KINDS = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


@st.composite
def packages(draw: st.DrawFn) -> bytes:
    """Packages with odd members, odd files, and of odd bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, right in CHART_FILES.items():
            folder = draw(st.sampled_from(FOLDERS))
            member = tarfile.TarInfo(f"{folder}{name}")
            member.type = draw(st.sampled_from((tarfile.REGTYPE, tarfile.REGTYPE, *KINDS)))
            member.linkname = draw(st.sampled_from(["", "/etc/passwd", "../../x", member.name]))
            text = draw(odd_text(right)) if draw(st.booleans()) else right
            member.size = len(text) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(text))
    plain = content.getvalue()
    plain = draw(odd_text(plain)) if draw(st.booleans()) else plain
    whole = gzip.compress(plain, 1) if draw(st.integers(0, 9)) else plain
    return draw(odd_text(whole)) if draw(st.integers(0, 3)) == 0 else whole


@cases(20)
@given(package=packages())
def test_a_chart_s_package(package: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "harbor-1.18.3.tgz"
    path.write_bytes(package)
    with suppress(chart.ChartError):
        chart.chart_reference(str(path), "1.18.3")
    with suppress(chart.ChartError):
        assert isinstance(chart.default_values(path), dict)


INDEX = {
    "apiVersion": "v1",
    "entries": {"harbor": [{"version": "1.18.3", "urls": ["harbor-1.18.3.tgz"], "digest": None}]},
}
MANIFEST = {
    "layers": [{"digest": f"sha256:{'0' * 64}", "mediaType": chart_download._CHART_LAYER}],
}


@cases(20)
@given(odd_json(INDEX), odd_json(MANIFEST))
def test_a_repository_of_charts(index: bytes, manifest: bytes) -> None:
    def get(url: str, headers: Mapping[str, str]) -> bytes:
        return index if url.endswith("index.yaml") else manifest

    for source in ("https://charts.nizwa.test/harbor", "oci://registry.nizwa.test/harbor"):
        with suppress(chart.ChartError):
            chart_download.package(source, "1.18.3", get)


# --- Harbor ------------------------------------------------------------------------------------

STATUSES = (200, 200, 200, 201, 204, 400, 403, 404, 409)
ROWS = [{"name": "p", "project_id": 1, "metadata": {}, "id": 1}]
OBJECT = {
    "name": "p",
    "project_id": 1,
    "status": "healthy",
    "components": [{"name": "core", "status": "healthy"}],
    "robot_name_prefix": {"value": "robot$", "editable": True},
    "errors": [{"code": "NOT_FOUND", "message": "not found"}],
}


@dataclass
class OddHarbor:
    """A Harbor that answers each call alike."""

    status: int
    body: bytes

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, *, silence: float
    ) -> Answer:
        del method, headers, body, silence
        if path.endswith("/users/current"):
            return Answer(status=412, headers={}, body=b"{}")
        return Answer(status=self.status, headers={"retry-after": "0"}, body=self.body)

    def secret(self, name: str, key: str) -> str | None:
        return f"secret-of-{name}-{key}"

    def close(self) -> None:
        pass


@cases(40)
@given(
    st.sampled_from([200, 200, 200, 201, 204, 400, 403, 404, 409]),
    odd_json(ROWS) | odd_json(OBJECT),
)
def test_harbor(status: int, body: bytes) -> None:
    logins = Logins(admin_secret="a", account="sovereign", account_secret="b")
    connection: Any = OddHarbor(status, body)
    harbor = Harbor(connection=connection, logins=logins, patience=0)
    assert harbor.is_healthy() in (True, False)
    for call in (
        lambda: harbor.get("/systeminfo"),
        lambda: harbor.listed("/projects"),
        lambda: harbor.project("p"),
        lambda: harbor.project_number("p"),
        lambda: harbor.ask_prefix(),
        lambda: harbor.post("/labels", {}),
        lambda: harbor.delete("/labels/1"),
    ):
        with suppress(HarborError):
            call()


# --- S3 ----------------------------------------------------------------------------------------

XML = {
    "buckets": "<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name><CreationDate>"
    "2026-11-26T00:00:00Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>",
    "objects": "<ListBucketResult><Contents><Key>k</Key><Size>1</Size><LastModified>"
    "2026-11-26T00:00:00Z</LastModified></Contents><IsTruncated>false</IsTruncated>"
    "</ListBucketResult>",
    "lifecycle": "<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Expiration>"
    "<Date>2027-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>",
    "versioning": "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    "error": "<Error><Code>NoSuchKey</Code><Message>x</Message></Error>",
    "bomb": '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><ListBucketResult>&c;</ListBucketResult>',
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Sid": "x", "Principal": {"AWS": ["*"]}}]}
OWNER = {"owner": "sovereign-harbor/nizwa", "claim": "1"}


class Raw:
    """What urllib3 gives botocore."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body.read()

    def read(self, amount: int | None = None) -> bytes:
        return self._body.read(-1 if amount is None else amount)


LOCATION = BucketLocation(
    bucket="b", region="fsn1", endpoint="https://s3.nizwa.test", path_style=True, root_directory=""
)


@cases(6)
@given(
    st.sampled_from([200, 200, 200, 204, 301, 403, 404, 409, 501]),
    st.one_of(
        st.sampled_from(sorted(XML.values())).flatmap(lambda right: odd_text(right.encode())),
        odd_json(POLICY),
        odd_json(OWNER),
    ),
    st.sampled_from(["5", "x", "", "-1", "1e9", None]),
)
def test_a_store(status: int, body: bytes, length: str | None) -> None:
    headers = HTTPHeaders()
    if length is not None:
        headers["Content-Length"] = length
    given = {"send": lambda request: AWSResponse(request.url, status, headers, Raw(body))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.endpoint.time.sleep", lambda _: None)
        for call in CALLS:
            with suppress(BucketError), explained("bucket b", hidden=()):
                call(client_answered_by(given))


@functools.cache
def odd_client() -> tuple[Any, dict[str, Any]]:
    given: dict[str, Any] = {}
    client = s3.s3_client(LOCATION, CREDENTIALS)
    client.meta.events.register("before-send.s3", lambda request, **_: given["send"](request))
    return client, given


def client_answered_by(given: dict[str, Any]) -> Any:
    client, answers = odd_client()
    answers.update(given)
    return client


CALLS: tuple[Any, ...] = (
    lambda client: client.list_buckets()["Buckets"][0]["CreationDate"],
    lambda client: contents.read_owner(client, "b"),
    lambda client: contents.holds_data(client, "b", [""]),
    lambda client: contents.holds_blobs(client, "b", ""),
    lambda client: features.observed(client, "b"),
    lambda client: features.foreign_rules(client, "b"),
    lambda client: policy.read_policy(client, "b"),
)


# --- Files of a bundle, a drill, a sweep -------------------------------------------------------


def stored(folder: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


@cases(20)
@given(data=st.data())
def test_a_folder_of_images(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("images")
    outside = folder.parent / f"{folder.name}-outside"
    outside.write_text("kept")
    leaf = stored(folder, b"layer")
    manifest = stored(folder, data.draw(odd_json({"config": leaf, "layers": [leaf]})))
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "x"}}
    index = {"schemaVersion": 2, "manifests": [named]}
    (folder / "index.json").write_bytes(data.draw(odd_json(index)))
    (folder / "oci-layout").write_text("{}")
    images, digest = OciFolder(folder), manifest["digest"]
    for call in (
        lambda: images.prepare(),
        lambda: images.damage("x", digest),
        lambda: images.remove_damaged("x", digest),
        lambda: images.call(digest, "y"),
    ):
        with suppress(FolderError):
            call()
    assert outside.read_text() == "kept"


ITEM = {
    "component": "core",
    "role": "harbor",
    "source": "docker.io/goharbor/harbor-core:v2.14.3",
    "reference": "docker.io/goharbor/harbor-core:v2.14.3",
    "alternatives": [],
    "chartKey": None,
    "platform": None,
    "digest": None,
}
CHART = {"version": "1.18.3", "source": "https://x", "url": None, "sha256": "0" * 64}
LIST = {"images": [ITEM], "databases": [ITEM], "charts": [CHART]}


@cases(10)
@given(odd_json(LIST))
def test_a_list_of_a_bundle(content: bytes) -> None:
    folder = Path("/nonexistent")
    settings = builders.settings()
    with pytest.MonkeyPatch.context() as patch, suppress(bundle_list.BundleRefused):
        patch.setattr(Path, "read_bytes", lambda file: content)
        bundle_list.read(folder, settings, "nizwa")


ROW = {
    "schema": 160,
    "projects": 1,
    "repositories": 1,
    "artifacts": 1,
    "newestPush": None,
    "samples": [{"project": "p", "repository": "r", "digest": "d"}],
    "isDirty": False,
}
PLAN = {"stack": "nizwa", "bucket": "b", "at": "2026-11-26T00:00:00+00:00", "blobs": {"d": 1}}
LEAVES = {"config": {"digest": "d"}, "layers": [{"digest": "e"}], "subject": {"digest": "f"}}


@cases(20)
@given(odd_json(ROW), odd_json(PLAN), odd_json(LEAVES), odd_value({"job_parameters": "{}"}))
def test_rows_of_a_drill_a_plan_of_a_sweep_and_a_manifest(
    row: bytes, plan: bytes, manifest: bytes, run: Any
) -> None:
    with suppress(drill_report.DrillFailed):
        drill_report.read_rows(row.decode(errors="replace"))
    with suppress(sweep.PlanRefused):
        sweep.read_plan(plan.decode(errors="replace"), "nizwa", "b")
    with suppress(inventory.Unreadable):
        inventory.references(manifest, "d")
    if isinstance(run, dict):
        sweep._ended_since(run, dt.datetime.now(dt.UTC))


def test_there_are_texts_of_every_kind() -> None:
    assert len(ODD_TEXTS) >= 20
