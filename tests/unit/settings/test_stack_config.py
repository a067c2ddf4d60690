"""The config of the running stack, and of the committed files: settings, secrets, warnings."""

import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.settings.database import SharedDatabase
from components.settings.reading import spec
from components.settings.reading.refusals import Refusal, SettingsRefused
from components.settings.reading.secrets import SECRETS
from components.settings.storage.keyed import HetznerStorage
from tests.support.loading import PROJECT, Stack
from tests.support.project import ROOT
from tests.support.raw_settings import (
    ACCESS_KEY,
    DNS,
    DNS_TOKEN,
    GOOD,
    SANDBOX_ENVIRONMENT,
    SECRET_KEY,
    SHARED_DATABASE,
    merged,
    read,
)

BOTH = {"s3AccessKey": ACCESS_KEY, "s3SecretKey": SECRET_KEY}


def test_secrets_stay_secret_outputs(stack: Stack) -> None:
    config = stack.load(GOOD, secrets=BOTH)
    assert config.settings.fqdn == "omantel.omani.works"
    assert stack.resolve(config.secrets["s3AccessKey"]) == (ACCESS_KEY, True, True)
    assert stack.resolve(config.secrets["s3SecretKey"]) == (SECRET_KEY, True, True)
    assert SECRET_KEY not in repr(config)
    assert stack.warnings == []


def test_a_preview_without_secrets_goes_on_with_unknown_ones_and_one_warning(
    stack: Stack,
) -> None:
    config = stack.load(GOOD, preview=True)
    for output in (config.secrets["s3AccessKey"], config.secrets["s3SecretKey"]):
        _, known, secret = stack.resolve(output)
        assert (known, secret) == (False, True)
    (warning,) = stack.warnings
    assert "s3AccessKey, s3SecretKey" in warning
    assert "pulumi config set --secret s3SecretKey -s omantel" in warning


def test_an_update_without_secrets_is_refused_beside_all_other_problems(
    stack: Stack,
) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        stack.load(merged("fqdn", "Omantel"), secrets={"s3AccessKey": ACCESS_KEY})
    assert isinstance(raised.value, SettingsRefused)
    fqdn, secret = raised.value.refusals
    assert fqdn.key == "fqdn"
    assert secret == Refusal(
        key="s3SecretKey",
        value="(not set)",
        allowed="8 to 256 characters without spaces, encrypted",
        fix="pulumi config set --secret s3SecretKey -s omantel",
    )
    assert stack.warnings == []


@pytest.mark.parametrize(
    ("access_key", "secret_key"),
    [
        pytest.param("admin", "password", id="MinIO"),
        pytest.param("0" * 25, "K" * 31, id="Backblaze B2"),
        pytest.param("a" * 32, "b" * 64, id="Cloudflare R2"),
        pytest.param("GOOG1E" + "A" * 55, "c" * 40, id="Google's HMAC"),
        pytest.param("GK" + "d" * 24, "e" * 64, id="Garage"),
        pytest.param("user@example.com", "f" * 200, id="a user name"),
    ],
)
def test_keys_of_every_vendor_are_accepted(stack: Stack, access_key: str, secret_key: str) -> None:
    config = stack.load(GOOD, secrets={"s3AccessKey": access_key, "s3SecretKey": secret_key})
    assert stack.resolve(config.secrets["s3SecretKey"]) == (secret_key, True, True)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("s3AccessKey", "ab", "3 to 128 characters"),
        ("s3AccessKey", "x" * 129, "3 to 128 characters"),
        ("s3SecretKey", "x" * 7, "8 to 256 characters"),
        ("s3SecretKey", "x" * 257, "8 to 256 characters"),
        ("s3SecretKey", "topmost-" * 5 + "\n", "white space"),
        ("s3SecretKey", "${SANDBOX_S3_SECRET_KEY}", "only a sandbox's stack"),
        ("harborSecretKey", "x" * 15, "exactly 16 characters"),
        ("harborSecretKey", "x" * 17, "exactly 16 characters"),
        ("harborAdminPassword", "x" * 7, "8 to 128 characters"),
        ("databasePassword", "a password of several words", "white space"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(
    stack: Stack, *, key: str, value: str, reason: str, preview: bool
) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets={**BOTH, key: value}, preview=preview)
    (refusal,) = raised.value.refusals
    assert refusal.key == key
    assert reason in refusal.allowed
    assert refusal.fix == f"pulumi config set --secret {key} -s omantel"
    if not value.startswith("$"):
        assert refusal.value == f"<secret, {len(value)} characters>"
        assert value.strip() not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "needed"),
    [
        ({"harbor": {"adopt": True}}, ["harborAdminPassword", "harborSecretKey"]),
        ({"database": {"adopt": True}}, ["databasePassword"]),
        ({"harbor": {"adopt": False}, "database": {"adopt": False}}, list[str]()),
    ],
    ids=str,
)
def test_what_is_taken_over_needs_the_secrets_that_it_is_bound_to(
    stack: Stack, section: dict[str, Any], needed: list[str]
) -> None:
    if not needed:
        assert stack.load({**GOOD, **section}, secrets=BOTH).secrets.keys() == BOTH.keys()
        return
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, **section}, secrets=BOTH)
    assert sorted(refusal.key for refusal in raised.value.refusals) == needed


def test_a_given_key_is_a_secret_output_that_can_be_compared(stack: Stack) -> None:
    key = "sixteen-letters!"
    config = stack.load(GOOD, secrets={**BOTH, "harborSecretKey": key})
    assert stack.resolve(config.secrets["harborSecretKey"]) == (key, True, True)
    is_key = config.is_secret["harborSecretKey"]
    assert is_key(key)
    assert not is_key(key.upper())
    assert not is_key("")
    assert key not in repr(config)


def test_a_given_database_password_is_not_rotated_by_a_number(stack: Stack) -> None:
    given = {**BOTH, "databasePassword": "of-the-estate"}
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, "rotation": {"databasePassword": 2}}, secrets=given)
    (refusal,) = raised.value.refusals
    assert refusal.key == "rotation.databasePassword"
    assert "pulumi config rm databasePassword -s omantel" in refusal.fix
    assert stack.load({**GOOD, "rotation": {"databasePassword": 2}}, secrets=BOTH)


def test_a_secret_in_plain_text_is_refused_without_being_shown(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, **{key: f'{{"secret of": "{key}"}}' for key in SECRETS}})
    assert [refusal.key for refusal in raised.value.refusals] == list(SECRETS)
    for refusal in raised.value.refusals:
        assert "it stands readable in the stack's file" in refusal.allowed
    assert "secret of" not in str(raised.value)


def test_no_refusal_shows_a_secret_wherever_it_was_put(stack: Stack) -> None:
    raw = merged("storage.secretKey", SECRET_KEY, {"database": SHARED_DATABASE})
    raw["database"]["secret"] = SECRET_KEY
    raw |= {
        "s3_secret_key": SECRET_KEY,
        "adminPassword": SECRET_KEY,
        "harbour": {"a": SECRET_KEY},
    }
    raw["storage"]["endpoint"] = f"https://{ACCESS_KEY}:{SECRET_KEY}@s3.example.com"
    with pytest.raises(SettingsRefused) as raised:
        stack.load(raw, secrets={**BOTH, "somethingElse": SECRET_KEY, "valkeyy": SECRET_KEY})
    assert len(raised.value.refusals) == 8
    assert SECRET_KEY not in str(raised.value)


def test_storage_on_a_volume_needs_no_keys(stack: Stack) -> None:
    config = stack.load({**GOOD, "storage": {"kind": "filesystem", "size": "50Gi"}})
    assert config.secrets == {}


def test_records_of_a_vendor_need_its_token(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load({**GOOD, "dns": DNS}, secrets=BOTH)
    (refusal,) = raised.value.refusals
    assert refusal == Refusal(
        key="dnsToken",
        value="(not set)",
        allowed="32 to 256 characters without spaces, encrypted",
        fix="pulumi config set --secret dnsToken -s omantel",
    )
    config = stack.load({**GOOD, "dns": DNS}, secrets={**BOTH, "dnsToken": DNS_TOKEN})
    assert stack.resolve(config.secrets["dnsToken"]) == (DNS_TOKEN, True, True)


def test_a_preview_without_the_token_goes_on_with_an_unknown_one(stack: Stack) -> None:
    config = stack.load({**GOOD, "dns": DNS}, secrets=BOTH, preview=True)
    _, known, secret = stack.resolve(config.secrets["dnsToken"])
    assert (known, secret) == (False, True)
    (warning,) = stack.warnings
    assert "dnsToken" in warning


def test_empty_defaults_of_the_project_file_mean_not_set(stack: Stack) -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    defaults = {key: declared["default"] for key, declared in project["config"].items()}
    with pytest.raises(SettingsRefused) as raised:
        stack.load(defaults)
    assert {refusal.key for refusal in raised.value.refusals} == {
        "fqdn",
        "cluster.name",
        "storage",
    }
    assert stack.load({**defaults, **GOOD}, secrets=BOTH).settings == read(GOOD).settings


def test_harbor_chart_replaces_the_source_of_the_chart(stack: Stack) -> None:
    config = stack.load(GOOD, secrets=BOTH, environ={"HARBOR_CHART": "/charts/harbor"})
    assert config.settings.harbor.chart.source == "/charts/harbor"


def test_a_bad_harbor_chart_is_mended_where_it_was_set(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets=BOTH, environ={"HARBOR_CHART": "http://charts"})
    (refusal,) = raised.value.refusals
    assert (refusal.key, refusal.fix) == ("harbor.chart.source", "unset HARBOR_CHART")


@pytest.mark.parametrize("preview", [True, False])
def test_the_sandbox_s_environment_serves_no_other_stack(stack: Stack, *, preview: bool) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(
            GOOD, secrets=BOTH, preview=preview, environ={"PULUMI_CONFIG_PASSPHRASE": "sandbox"}
        )
    (refusal,) = raised.value.refusals
    assert refusal.key == "(PULUMI_CONFIG_PASSPHRASE)"
    assert "pulumi stack init omantel" in refusal.fix


@pytest.mark.parametrize("preview", [True, False])
def test_an_empty_passphrase_serves_no_sovereign(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, preview: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"PULUMI_CONFIG_PASSPHRASE": ""}
    stack.load(GOOD, secrets=BOTH, preview=preview, environ=environ)
    (tmp_path / "Pulumi.omantel.yaml").write_text("encryptionsalt: v1:AAAA\nconfig: {}\n")
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets=BOTH, preview=preview, environ=environ)
    (refusal,) = raised.value.refusals
    assert (refusal.key, refusal.value) == ("(PULUMI_CONFIG_PASSPHRASE)", "(empty)")
    assert "change-secrets-provider passphrase -s omantel" in refusal.fix
    stack.load({**GOOD, "sandbox": "true"}, secrets=BOTH, preview=preview, environ=environ)


def test_an_address_like_that_of_a_pooler_is_a_warning_only(stack: Stack) -> None:
    database = {**SHARED_DATABASE, "host": "gitlab-postgres-pooler"}
    config = stack.load({**GOOD, "database": database}, secrets=BOTH)
    assert isinstance(config.settings.database, SharedDatabase)
    (warning,) = stack.warnings
    assert "database.poolMode" in warning
    stack.load({**GOOD, "database": {**database, "poolMode": "session"}}, secrets=BOTH)
    assert len(stack.warnings) == 1


def test_enforcing_beside_others_says_what_they_may_run(stack: Stack) -> None:
    harbor = {"namespace": "gitlab", "sharedNamespace": True}
    stack.load({**GOOD, "harbor": harbor}, secrets=BOTH)
    assert stack.warnings == []
    stack.load({**GOOD, "harbor": harbor, "imagePolicy": {"enforcement": "Enforce"}}, secrets=BOTH)
    (warning,) = stack.warnings
    assert "imagePolicy leaves out namespace gitlab" in warning


# --- The committed files -----------------------------------------------------------------------


def committed(name: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    assert config["pulumi:disable-default-providers"] == ["kubernetes"]
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }


@pytest.mark.parametrize("name", ["omantel", "otech"])
def test_a_sovereign_previews_with_nothing_but_its_committed_file(stack: Stack, name: str) -> None:
    config = committed(name)
    secrets = {key: config.pop(key)["secure"] for key in SECRETS if key in config}
    settings = stack.load(config, preview=True, stack=name).settings
    assert settings.fqdn == f"{name}.omani.works"
    assert settings.cluster.name == name
    assert isinstance(settings.storage, HetznerStorage)
    assert (settings.storage.bucket, settings.storage.region) == (
        f"{name}-harbor",
        "fsn1",
    )
    assert settings.protect
    assert len(stack.warnings) == 1
    (hint,) = stack.backup_hints
    assert "nothing backs up this Sovereign's database" in hint
    assert secrets == {} or set(secrets) >= set(settings.storage.needed_secrets)


def test_the_sandbox_takes_everything_else_from_its_environment(stack: Stack) -> None:
    config = stack.load(committed("local"), stack="local", environ=SANDBOX_ENVIRONMENT)
    assert config.settings.sandbox
    assert config.settings.storage.endpoint_url == "http://127.0.0.1:7070"
    assert config.settings.cluster.context == "kwok-sandbox"
    assert config.settings.sealing.certificate_is_path
    assert stack.resolve(config.secrets["s3SecretKey"]) == ("sandbox-secret", True, True)


def test_the_sandbox_that_does_not_run_says_so(stack: Stack) -> None:
    assert not any(name in os.environ for name in SANDBOX_ENVIRONMENT)
    with pytest.raises(SettingsRefused) as raised:
        stack.load(committed("local"), stack="local", preview=True)
    assert len(raised.value.refusals) == 5
    assert {refusal.fix for refusal in raised.value.refusals} == {'eval "$(make -s env)"'}


def test_the_project_file_declares_every_setting_and_requires_none_by_itself() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == {*spec.keys_at((), {}), *SECRETS}
    for key, about in declared.items():
        assert about["description"], key
        # Without a default the engine would refuse the stack itself, one key at a time.
        assert about["default"] in ("", {}), key


# --- Secrets that the section registry names ------------------------------------------------------

ROBOT_SECRET = "Robot-secret-1"
NAMED: dict[str, Any] = {
    **GOOD,
    "registry": {
        "robots": {"ci": {"system": ["project:list"], "secret": {"secret": "ciRobot"}}},
        "proxyCaches": {
            "ghcr": {
                "upstream": {"type": "ghcr", "username": "u", "password": {"secret": "ghcrToken"}}
            }
        },
    },
}
NAMED_SECRETS = {**BOTH, "ciRobot": ROBOT_SECRET, "ghcrToken": '{"a": "json"}'}


def test_a_secret_that_the_registry_names_stays_a_secret_output(stack: Stack) -> None:
    config = stack.load(NAMED, secrets=NAMED_SECRETS)
    assert stack.resolve(config.secrets["ciRobot"]) == (ROBOT_SECRET, True, True)
    assert stack.resolve(config.secrets["ghcrToken"]) == ('{"a": "json"}', True, True)
    assert ROBOT_SECRET not in repr(config)


def test_a_named_secret_that_is_missing_is_unknown_in_preview_and_refused_in_up(
    stack: Stack,
) -> None:
    config = stack.load(NAMED, secrets=BOTH, preview=True)
    _, known, secret = stack.resolve(config.secrets["ciRobot"])
    assert (known, secret) == (False, True)
    (warning,) = stack.warnings
    assert "ciRobot" in warning and "pulumi config set --secret ghcrToken -s omantel" in warning
    with pytest.raises(SettingsRefused) as raised:
        stack.load(NAMED, secrets=BOTH)
    assert {refusal.key for refusal in raised.value.refusals} == {"ciRobot", "ghcrToken"}


def test_a_named_secret_in_plain_text_or_of_the_wrong_shape_is_refused(stack: Stack) -> None:
    with pytest.raises(SettingsRefused, match="it stands readable") as raised:
        stack.load({**NAMED, "ciRobot": ROBOT_SECRET}, secrets={**BOTH, "ghcrToken": "x"})
    assert ROBOT_SECRET not in str(raised.value)
    with pytest.raises(SettingsRefused, match="as Harbor demands") as raised:
        stack.load(NAMED, secrets={**NAMED_SECRETS, "ciRobot": "lower-case"})
    assert "lower-case, " not in str(raised.value)


def test_a_secret_that_nothing_names_is_refused(stack: Stack) -> None:
    with pytest.raises(SettingsRefused) as raised:
        stack.load(GOOD, secrets={**BOTH, "ciRobot": ROBOT_SECRET})
    (refusal,) = raised.value.refusals
    assert refusal.key == "ciRobot"
    assert ROBOT_SECRET not in str(refusal)


@pytest.mark.parametrize("preview", [True, False])
def test_a_misspelt_name_of_a_secret_is_one_refusal_that_names_both(
    stack: Stack, *, preview: bool
) -> None:
    secrets = {**NAMED_SECRETS, "ciRobott": ROBOT_SECRET}
    del secrets["ciRobot"]
    with pytest.raises(SettingsRefused) as raised:
        stack.load(NAMED, secrets=secrets, preview=preview)
    (refusal,) = raised.value.refusals
    assert refusal.key == "ciRobott"
    assert "registry.robots.ci.secret.secret refers to ciRobot, which is not set" in refusal.allowed
    assert refusal.fix == (
        "pulumi config set --secret ciRobot -s omantel\npulumi config rm ciRobott -s omantel"
    )
    assert ROBOT_SECRET not in str(refusal)


def test_a_registry_that_is_switched_off_needs_no_secret(stack: Stack) -> None:
    registry = {**NAMED["registry"], "enabled": False}
    assert set(stack.load({**NAMED, "registry": registry}, secrets=BOTH).secrets) == set(BOTH)
    both = stack.load({**NAMED, "registry": registry}, secrets=NAMED_SECRETS)
    assert set(both.secrets) == set(NAMED_SECRETS)


def test_a_sandbox_may_refer_to_its_environment_for_a_named_secret(stack: Stack) -> None:
    raw = {**NAMED, "sandbox": "true", "ciRobot": "${SANDBOX_S3_SECRET_KEY}"}
    config = stack.load(
        raw,
        secrets={**BOTH, "ghcrToken": "x"},
        environ={"SANDBOX_S3_SECRET_KEY": ROBOT_SECRET},
    )
    assert stack.resolve(config.secrets["ciRobot"]) == (ROBOT_SECRET, True, True)
