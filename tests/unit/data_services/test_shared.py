"""SharedCredentials: the password of a service that somebody else runs."""

import pulumi
import pytest

from tests.support import builders
from tests.support.builders import PASSWORD, Build, Cluster
from tests.support.mocks import SEAL, Engine, is_secret, unknown_inputs


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster().stand_in(monkeypatch)
    cluster.put_secret(builders.SHARED, PASSWORD)
    return cluster


def test_somebody_else_s_password_is_brought_as_a_sealed_copy(
    engine: Engine, cluster: Cluster, build: Build
) -> None:
    copy = build(builders.shared_credentials)
    assert engine.resolve(copy.secret_name).value == "harbor-shared-valkey"
    assert engine.sealed("harbor-shared-valkey") == {
        "password": PASSWORD,
        "url": f"redis://:{PASSWORD}",
    }
    assert is_secret(engine.one(SEAL).inputs["data"])
    assert cluster.contexts == ["admin@omantel"]


def test_a_missing_key_of_theirs_is_refused_by_name(
    engine: Engine, cluster: Cluster, build: Build
) -> None:
    cluster.objects.clear()
    with pytest.raises(pulumi.RunError, match="valkey/valkey has no key valkey-password"):
        build(builders.shared_credentials)
    assert engine.all(SEAL) == []


def test_without_a_cluster_an_update_is_refused(
    engine: Engine, cluster: Cluster, build: Build
) -> None:
    cluster.is_up = False
    with pytest.raises(pulumi.RunError, match="valkey/valkey was not read: connection refused"):
        build(builders.shared_credentials)


def test_without_a_cluster_a_preview_goes_on_with_an_unknown_password(
    engine: Engine, cluster: Cluster, build: Build
) -> None:
    cluster.is_up = False
    build(builders.shared_credentials, preview=True)
    assert unknown_inputs(engine.one(SEAL)) == {"data"}
    (warning,) = engine.log
    assert "Secret valkey/valkey was not read" in warning
