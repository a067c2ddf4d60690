"""What an interrupted run leaves in Helm's records is removed if it is ours, and only then."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from components.harbor import recovery as interrupted

OURS = "https://registry.omantel.omani.works"
THEIRS = "https://registry.elsewhere.example"
SECRETS = "/api/v1/namespaces/harbor/secrets"


def helm_record(
    revision: int,
    status: str,
    external_url: str | None,
    secret_key: str = "harbor-minted-secret-key",
) -> dict[str, Any]:
    values = {"externalURL": external_url, "existingSecretSecretKey": secret_key}
    release = {"name": "harbor", "config": values if external_url else None}
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    return {
        "metadata": {
            "name": f"sh.helm.release.v1.harbor.v{revision}",
            "labels": {"version": str(revision), "status": status},
        },
        "data": {"release": base64.b64encode(packed).decode()},
    }


class FakeClient:
    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = records
        self.deleted: list[str] = []

    def get(self, path: str) -> Any:
        assert path == f"{SECRETS}?labelSelector=owner%3Dhelm%2Cname%3Dharbor"
        return {"items": list(self.records)} if self.records else None

    def delete(self, path: str) -> None:
        self.deleted.append(path.rpartition("v")[2])


CREATE_CASES = [
    pytest.param([], [], id="nothing there"),
    pytest.param([(1, "pending-install", OURS)], ["1"], id="killed while installing"),
    pytest.param([(1, "deployed", OURS)], ["1"], id="killed before the state was saved"),
    pytest.param([(2, "deployed", OURS), (1, "failed", OURS)], ["1", "2"], id="two of ours"),
]


@pytest.mark.parametrize(("records", "deleted"), CREATE_CASES)
def test_before_a_create_our_own_lost_release_is_forgotten(
    records: list[tuple[int, str, str]], deleted: list[str]
) -> None:
    client = FakeClient(*(helm_record(*record) for record in records))
    interrupted.forget_unknown_release(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    assert client.deleted == deleted


@pytest.mark.parametrize("foreign", [THEIRS, None])
def test_before_a_create_somebody_elses_release_stops_everything(foreign: str | None) -> None:
    client = FakeClient(helm_record(1, "deployed", OURS), helm_record(2, "deployed", foreign))
    with pytest.raises(interrupted.ForeignRelease, match=r"adopt-a-release\.md"):
        interrupted.forget_unknown_release(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    assert client.deleted == []


def test_a_harbor_at_the_same_address_with_a_secret_key_of_its_own_is_not_taken_over() -> None:
    client = FakeClient(helm_record(1, "deployed", OURS, secret_key=""))
    with pytest.raises(interrupted.ForeignRelease, match="encrypted with a key"):
        interrupted.forget_unknown_release(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    assert client.deleted == []


UPDATE_CASES = [
    pytest.param([(1, "deployed", OURS)], [], id="nothing pending"),
    pytest.param([(1, "deployed", OURS), (2, "pending-upgrade", OURS)], ["2"], id="killed"),
    pytest.param([(10, "pending-upgrade", OURS), (9, "deployed", OURS)], ["10"], id="by number"),
    pytest.param([(1, "pending-rollback", THEIRS)], [], id="not ours"),
    pytest.param([(1, "pending-upgrade", OURS), (2, "deployed", OURS)], [], id="an old one"),
]


@pytest.mark.parametrize(("records", "deleted"), UPDATE_CASES)
def test_before_an_update_only_our_newest_pending_record_is_removed(
    records: list[tuple[int, str, str]], deleted: list[str]
) -> None:
    client = FakeClient(*(helm_record(*record) for record in records))
    interrupted.forget_pending_upgrade(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    assert client.deleted == deleted


def packed(content: bytes) -> str:
    return base64.b64encode(base64.b64encode(content)).decode()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"release": "garbage"},
        {"release": base64.b64encode(b"\xff\xfe").decode()},
        {"release": packed(b"not gzip")},
        {"release": packed(gzip.compress(b"not JSON"))},
        {"release": packed(gzip.compress(b'["a list"]'))},
        {"release": packed(gzip.compress(b'{"config": "a text"}'))},
        {"release": packed(gzip.compress(b"[" * 100_000))},
        {"release": packed(gzip.compress(b"x")[:-4])},
    ],
    ids=["none", "text", "bytes", "no gzip", "no JSON", "list", "no object", "deep", "cut off"],
)
@pytest.mark.parametrize("labels", [{}, {"version": "two", "status": "deployed"}, {"version": "9"}])
def test_a_secret_that_only_looks_like_helms_is_somebody_elses(
    data: dict[str, str], labels: dict[str, str]
) -> None:
    foreign = {"metadata": {"name": "sh.helm.release.v1.harbor.v9", "labels": labels}, "data": data}
    client = FakeClient(helm_record(1, "deployed", OURS), foreign)
    with pytest.raises(interrupted.ForeignRelease):
        interrupted.forget_unknown_release(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    interrupted.forget_pending_upgrade(client, "harbor", OURS)  # pyright: ignore[reportArgumentType]
    assert client.deleted == []


def test_a_record_is_not_unpacked_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupted, "_LARGEST_RECORD", 1000)
    record = helm_record(1, "deployed", OURS)
    record["data"]["release"] = packed(gzip.compress(b'{"config": {}}' + b" " * 10**6))
    client = FakeClient(record)
    (read,) = interrupted.records(client, "harbor")  # pyright: ignore[reportArgumentType]
    assert not read.made_here
