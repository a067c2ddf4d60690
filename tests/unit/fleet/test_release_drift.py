"""What counts as drift of an object that Helm made."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from components.kubernetes.unreachable import ClusterUnreachable
from fleet.release_drift import differences, manifests


@pytest.mark.parametrize(
    ("manifest", "live"),
    [
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 1, "paused": False}}),
        ({"a": {"cpu": "0.5"}}, {"a": {"cpu": "500m"}}),
        ({"a": {"memory": "1Gi"}}, {"a": {"memory": "1024Mi"}}),
        ({"a": {"port": "8080"}}, {"a": {"port": 8080}}),
        ({"a": {"empty": {}, "none": None, "list": []}}, {"a": {}}),
        ({"a": {"text": "", "off": False}}, {"a": {}}),
        ({"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": {"a": "c"}}}),
    ],
)
def test_what_the_api_server_writes_otherwise_is_no_drift(manifest: Any, live: Any) -> None:
    assert list(differences(manifest, live)) == []


@pytest.mark.parametrize(
    ("manifest", "live", "path"),
    [
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 0}}, "spec.replicas"),
        ({"spec": {"replicas": 1}}, {}, "spec"),
        ({"a": [{"image": "x:1"}]}, {"a": [{"image": "x:2"}]}, "a[0].image"),
        ({"a": [{"image": "x:1"}]}, {"a": []}, "a"),
        ({"data": {"k": "v"}}, {"data": {"k": "V"}}, "data.k"),
        ({"a": {"cpu": "0.5"}}, {"a": {"cpu": "250m"}}, "a.cpu"),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": "text"}}, "a.b"),
    ],
)
def test_a_difference_is_named_by_its_path(manifest: Any, live: Any, path: str) -> None:
    assert list(differences(manifest, live)) == [path]


def record(release: bytes) -> str:
    return base64.b64encode(base64.b64encode(gzip.compress(release, mtime=0))).decode()


@pytest.mark.parametrize(
    "release",
    [
        "x",
        base64.b64encode(b"x").decode(),
        record(b"[" * 100_000),
        record(b'{"manifest": 7}'),
        record(b'{"manifest": "[a"}'),
        record(b'{"manifest": "a: b"}'),
        None,
    ],
    ids=range(7),
)
def test_a_record_that_is_none_is_told_and_no_traceback(release: Any) -> None:
    with pytest.raises(ClusterUnreachable, match="no record of Helm's"):
        list(manifests({"metadata": {"name": "r"}, "data": {"release": release}}))
