"""HarborRegistry: the release, and what it waits for."""

from pathlib import Path

import pulumi
import pytest

from components.credentials import read_by_component
from tests.support import builders
from tests.support.builders import Build
from tests.support.mocks import (
    BUCKET,
    POSTGRES_CLUSTER,
    RELEASE,
    SEAL,
    STATEFUL_SET,
    UNSEALED,
    Engine,
)


def test_the_release_is_awaited_and_stays_to_be_looked_at(engine: Engine, build: Build) -> None:
    harbor = build(builders.harbor)
    release = engine.one(RELEASE)
    assert (release["name"], release["namespace"]) == ("harbor", "registry")
    assert release["chart"] == "harbor"
    assert release["version"] == "1.18.3"
    assert release["repositoryOpts"] == {"repo": "https://helm.goharbor.io"}
    assert release["timeout"] == 900
    assert not release.inputs.get("atomic")
    assert not release.inputs.get("skipAwait")
    assert engine.resolve(harbor.version).value == "2.14.3"


def test_what_interrupted_runs_leave_is_looked_for_before_the_release(
    engine: Engine, build: Build
) -> None:
    build(builders.harbor)
    assert engine.one(RELEASE).hooks == {
        "before_create": ["harbor-before-create"],
        "before_update": ["harbor-before-update"],
    }
    assert sorted(engine.hooks.registered) == ["harbor-before-create", "harbor-before-update"]


def test_the_release_waits_for_all_that_it_stands_on(engine: Engine, build: Build) -> None:
    build(builders.harbor)
    needed = engine.one(RELEASE).dependencies
    for typ in (BUCKET, POSTGRES_CLUSTER, STATEFUL_SET):
        assert engine.one(typ).urn in needed, typ
    # Flux's, and that of the account by which the running Harbor is configured.
    others = {"object-storage-seam-unsealed", "credentials-registry-account-unsealed"}
    for unsealed in engine.all(UNSEALED):
        assert (unsealed.urn in needed) is (unsealed.name not in others), unsealed


def test_every_secret_that_the_values_name_was_sealed(engine: Engine, build: Build) -> None:
    build(builders.harbor)
    sealed = {seal["name"]: seal["data"].keys() for seal in engine.all(SEAL)}
    values = engine.one(RELEASE)["values"]
    named = {values["existingSecretAdminPassword"]: values["existingSecretAdminPasswordKey"]}
    named[values["existingSecretSecretKey"]] = "secretKey"
    named[values["core"]["existingXsrfSecret"]] = values["core"]["existingXsrfSecretKey"]
    named[values["core"]["existingSecret"]] = "secret"
    named[values["core"]["secretName"]] = "tls.key"
    for component in ("jobservice", "registry"):
        named[values[component]["existingSecret"]] = values[component]["existingSecretKey"]
    named[values["registry"]["credentials"]["existingSecret"]] = "REGISTRY_HTPASSWD"
    named[values["database"]["external"]["existingSecret"]] = "password"
    storage = values["persistence"]["imageChartStorage"]["s3"]["existingSecret"]
    named[storage] = "REGISTRY_STORAGE_S3_SECRETKEY"
    for secret, key in named.items():
        assert key in sealed[secret], f"{secret} has {sorted(sealed[secret])}"


def test_components_restart_on_what_they_read(engine: Engine, build: Build) -> None:
    build(builders.harbor)
    values = engine.one(RELEASE)["values"]
    for component, read in read_by_component().items():
        revision = values[component]["podAnnotations"]["sovereign-harbor/secrets"]
        assert len(revision.split(".")) == len(read)


def test_with_filesystem_storage_no_key_pair_is_sealed_for_harbor(
    engine: Engine, build: Build
) -> None:
    build(builders.harbor, storage=builders.FILESYSTEM)
    assert engine.all(BUCKET) == []
    keys = {"REGISTRY_STORAGE_S3_ACCESSKEY", "REGISTRY_STORAGE_S3_SECRETKEY"}
    assert keys not in [seal["data"].keys() for seal in engine.all(SEAL)]
    store = engine.one(RELEASE)["values"]["persistence"]["imageChartStorage"]
    assert store == {"type": "filesystem"}


def test_a_chart_that_is_not_the_one_named_is_refused_before_anything_is_installed(
    engine: Engine, tmp_path: Path, build: Build
) -> None:
    (tmp_path / "Chart.yaml").write_text("version: 1.17.0\n")
    chart = {"chart": {"source": str(tmp_path)}}
    with pytest.raises(pulumi.RunError, match=r"holds 1\.17\.0"):
        build(builders.harbor, harbor=chart)
    assert engine.all(RELEASE) == []
