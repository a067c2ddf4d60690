"""What dynamic providers find in the raw config, where Settings are not at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from components.settings import provider_config
from components.settings.schema.environment import UnsetVariable
from tests.support.raw_settings import SANDBOX_ENVIRONMENT

PAIR = {"s3AccessKey": "id", "s3SecretKey": "key"}
BACKUP = {"backupAccessKey": "id", "backupSecretKey": "key"}


@pytest.mark.parametrize("missing", [None, "id", "key"])
def test_a_pair_of_keys_is_whole_or_none(missing: str | None) -> None:
    for find, config in (
        (provider_config.key_pair, PAIR),
        (provider_config.backup_key_pair, BACKUP),
    ):
        given = {name: value for name, value in config.items() if value != missing}
        assert find(given.get) == (None if missing else ("id", "key"))
        assert find(dict.fromkeys(config, "").get) is None


def test_references_to_the_sandbox_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SANDBOX_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    config: Mapping[str, str] = {
        "s3AccessKey": "${SANDBOX_S3_ACCESS_KEY}",
        "s3SecretKey": "${SANDBOX_S3_SECRET_KEY}",
        "cluster": '{"context": "${SANDBOX_KUBE_CONTEXT}"}',
        "harborSecretKey": "${SANDBOX_S3_SECRET_KEY}",
        "databasePassword": "given",
    }
    assert provider_config.key_pair(config.get) == ("sandbox", "sandbox-secret")
    assert provider_config.cluster_context(config.get) == "kwok-sandbox"
    assert provider_config.given_credentials(config.get) == {
        "harborSecretKey": "sandbox-secret",
        "databasePassword": "given",
    }
    monkeypatch.delenv("SANDBOX_S3_SECRET_KEY")
    with pytest.raises(UnsetVariable):
        provider_config.key_pair(config.get)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"nizwa": "nizwa.om"}, "nizwa"),
        ({"nizwa": "nizwa.om", "sur": "sur.om"}, "nizwa"),
        ({"nizwa": "'nizwa.om'", "sur": "sur.om"}, "nizwa"),
        ({"nizwa": '"nizwa.om"'}, "nizwa"),
        ({"nizwa": "nizwa.om", "copy": "nizwa.om"}, None),
        ({"sur": "sur.om"}, None),
        ({}, None),
    ],
)
def test_a_stack_is_known_by_its_fqdn(
    files: dict[str, str], name: str | None, tmp_path: Path
) -> None:
    for stack, fqdn in files.items():
        text = f"config:\n  sovereign-harbor:fqdn: {fqdn}\n  sovereign-harbor:sandbox: 'true'\n"
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(text)
    (tmp_path / "Pulumi.yaml").write_text("name: sovereign-harbor\n")
    assert provider_config.stack_name({"fqdn": "nizwa.om"}.get, tmp_path) == name
    assert provider_config.stack_name({}.get, tmp_path) is None
