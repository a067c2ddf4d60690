"""A second consumer, wired from the seam alone, as docs/howto/seam.md says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.config import Config

from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from tests.sandbox.conftest import Sandbox

TEMPLATE = ROOT / "docs" / "howto" / "seam-velero.gotmpl"


@pytest.fixture
def manifests(sandbox: Sandbox, sovereign: Stack) -> dict[str, Any]:
    """What the documented command applies, by kind."""
    wired = ("-n", "flux-system", "-o", f"go-template-file={TEMPLATE}")
    rendered = cluster.kubectl(
        sandbox.state, sandbox.tools, "get", "secret", "object-storage", *wired
    )
    return {found["kind"]: found for found in yaml.safe_load_all(rendered)}


def velero_client(manifests: dict[str, Any], credentials: Path) -> Any:
    """An S3 client out of nothing but the two manifests, as Velero's plugin makes one."""
    location = manifests["BackupStorageLocation"]["spec"]
    reference, secret = location["credential"], manifests["Secret"]
    assert reference["name"] == secret["metadata"]["name"]
    credentials.write_text(secret["stringData"][reference["key"]])
    session = botocore.session.Session(profile="default")
    session.set_config_variable("credentials_file", str(credentials))
    config = location["config"]
    assert config["checksumAlgorithm"] == ""
    return session.create_client(
        "s3",
        endpoint_url=config["s3Url"],
        region_name=config["region"],
        config=Config(
            s3={"addressing_style": "path" if config["s3ForcePathStyle"] == "true" else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def test_velero_reaches_the_bucket_with_what_is_wired_from_the_seam(
    manifests: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = velero_client(manifests, tmp_path / "cloud")
    place = manifests["BackupStorageLocation"]["spec"]["objectStorage"]
    key = f"{place['prefix']}/backups/first/velero-backup.json"
    made = client.put_object(Bucket=place["bucket"], Key=key, Body=b"{}")
    try:
        listed = client.list_objects_v2(Bucket=place["bucket"], Prefix=f"{place['prefix']}/")
        assert [entry["Key"] for entry in listed["Contents"]] == [key]
        assert client.get_object(Bucket=place["bucket"], Key=key)["Body"].read() == b"{}"
    finally:
        client.delete_object(Bucket=place["bucket"], Key=key, VersionId=made["VersionId"])
        client.close()


def test_the_api_server_takes_the_consumer_s_secret(
    sandbox: Sandbox, manifests: dict[str, Any]
) -> None:
    text = yaml.safe_dump(
        manifests["Secret"] | {"metadata": {"name": "velero", "namespace": "default"}}
    )
    told = cluster.kubectl(
        sandbox.state, sandbox.tools, "apply", "--dry-run=server", "-f", "-", stdin=text
    )
    assert "secret/velero created (server dry run)" in told
