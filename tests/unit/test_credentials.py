"""Credentials: minted once, sealed, and given to the pods that read them."""

from dataclasses import replace

import pytest

from components.context import Context
from components.credentials import (
    CREDENTIALS,
    create,
    read_by_component,
    revision_by_component,
    secret_names,
)
from components.data_services.postgres import SECRET as DATABASE_SECRET
from components.sealing.kept import KEPT, NAMES
from components.settings.rotation import RotationSettings
from tests.support import builders
from tests.support.builders import Build
from tests.support.mocks import (
    CERTIFICATE,
    MARK,
    PASSWORD,
    PRIVATE_KEY,
    SEAL,
    SEALED_SECRET,
    Engine,
    is_secret,
    minted,
)


def test_every_credential_is_minted_and_sealed_once(engine: Engine, build: Build) -> None:
    credentials = build(builders.credentials)
    names = engine.resolve(credentials.secret_names).value
    of = {
        what: minted(f"credentials-{what}")
        for what in (
            "admin-password",
            "core-secret",
            "csrf-key",
            "jobservice-secret",
            "registry-http-secret",
            "registry-user",
        )
    }
    assert engine.sealed(names.admin_password) == {"HARBOR_ADMIN_PASSWORD": of["admin-password"]}
    assert engine.sealed(names.secret_key) == {"secretKey": minted("credentials-secret-key", 16)}
    assert engine.sealed(names.core_secret) == {"secret": of["core-secret"]}
    assert engine.sealed(names.csrf_key) == {"CSRF_KEY": of["csrf-key"]}
    assert engine.sealed(names.jobservice_secret) == {"JOBSERVICE_SECRET": of["jobservice-secret"]}
    assert engine.sealed(names.registry_http_secret) == {
        "REGISTRY_HTTP_SECRET": of["registry-http-secret"]
    }
    assert engine.sealed("harbor-minted-registry-account") == {
        "password": minted("credentials-registry-account")
    }
    assert engine.sealed(names.registry_user) == {
        "REGISTRY_PASSWD": of["registry-user"],
        "REGISTRY_HTPASSWD": f"harbor_registry_user:$2a$10${MARK}credentials-registry-user",
    }
    assert engine.sealed(names.token_certificate).keys() == {"tls.key", "tls.crt"}
    for seal in engine.all(SEAL):
        assert seal["namespace"] == "registry"


@pytest.mark.parametrize(
    ("what", "length"), [("secret-key", 16), ("csrf-key", 32), ("admin-password", 32)]
)
def test_keys_have_the_length_that_harbor_demands(
    what: str, length: int, engine: Engine, build: Build
) -> None:
    build(builders.credentials)
    assert engine.one(PASSWORD, f"credentials-{what}")["length"] == length


def test_passwords_fit_into_urls_unescaped(engine: Engine, build: Build) -> None:
    build(builders.credentials)
    passwords = engine.all(PASSWORD)
    assert len(passwords) == 10
    for password in passwords:
        assert password["special"] is False
        assert "overrideSpecial" not in password.inputs


def test_what_is_left_with_the_database_includes_the_password_that_it_keeps(
    engine: Engine, build: Build
) -> None:
    """`destroy --exclude-protected` leaves what a protected resource stands on."""
    build(builders.credentials)
    key = engine.one(PASSWORD, "credentials-secret-key")
    password = engine.one(PASSWORD, "credentials-admin-password")
    assert key.protect
    assert password.urn in key.dependencies
    assert not password.protect  # a protected one could not be rotated


def test_what_a_harbor_brought_along_is_sealed_and_not_minted(engine: Engine, build: Build) -> None:
    given = {
        what: f"{MARK}-of-the-estate-{what}"
        for what in ("secret-key", "admin-password", "database-password")
    }
    credentials = build(builders.credentials, given=given)
    names = engine.resolve(credentials.secret_names).value
    # Harbor's Deployment tells by this name that the key has to be given.
    assert names.secret_key == "harbor-given-secret-key"
    assert engine.sealed(names.secret_key) == {"secretKey": given["secret-key"]}
    assert engine.sealed(names.admin_password) == {"HARBOR_ADMIN_PASSWORD": given["admin-password"]}
    assert engine.resolve(credentials.admin_password) == (given["admin-password"], True, True)
    assert engine.resolve(credentials.database_password) == (given["database-password"], True, True)
    still_minted = {password.name for password in engine.all(PASSWORD)}
    assert still_minted == {
        f"credentials-{what}"
        for what in (
            "core-secret",
            "csrf-key",
            "jobservice-secret",
            "registry-account",
            "registry-http-secret",
            "registry-user",
            "valkey-password",
        )
    }


def test_a_rotation_mints_one_credential_anew(engine: Engine, build: Build) -> None:
    build(builders.credentials, valkey_password=2)
    epochs = {password.name: password["keepers"]["epoch"] for password in engine.all(PASSWORD)}
    assert epochs.pop("credentials-valkey-password") == "2"
    assert set(epochs.values()) == {"1"}


@pytest.mark.parametrize("given", [{}, {"admin-password": f"{MARK}-of-the-estate"}])
def test_the_password_of_admin_is_rotated_with_those_before_it(
    given: dict[str, str], engine: Engine, build: Build
) -> None:
    """Harbor has one of them, also if the number was raised by two."""
    credentials = build(builders.credentials, given=given, admin_password=3)
    names = engine.resolve(credentials.secret_names).value
    first = given.get("admin-password") or minted("credentials-admin-password")
    newest = minted("credentials-admin-password-3")
    assert engine.sealed(names.admin_password) == {
        "HARBOR_ADMIN_PASSWORD": newest,
        "previous": "\n".join([minted("credentials-admin-password-2"), first]),
    }
    assert engine.resolve(credentials.admin_password) == (newest, True, True)
    seal = next(s for s in engine.all(SEAL) if s["name"] == names.admin_password)
    assert (seal["minted"]["epoch"], seal["minted"].get("rotation")) == (3, None)


def test_what_a_rotation_of_admin_leaves_stays_as_it_was(engine: Engine, build: Build) -> None:
    """A name or an epoch that changed would make a password anew that Harbor has."""
    build(builders.credentials, admin_password=3)
    epochs = {
        p.name: p["keepers"]["epoch"] for p in engine.all(PASSWORD) if "admin-password" in p.name
    }
    assert epochs == {
        "credentials-admin-password": "1",
        "credentials-admin-password-2": "2",
        "credentials-admin-password-3": "3",
    }


def test_a_rotation_of_the_token_certificate_makes_a_new_key(engine: Engine, build: Build) -> None:
    # pulumi-tls has no keepers: it is the name that changes.
    build(builders.credentials, token_certificate=7)
    assert engine.one(PRIVATE_KEY).name == "credentials-token-key-7"
    certificate = engine.one(CERTIFICATE)
    assert certificate.name == "credentials-token-certificate-7"
    assert is_secret(certificate.inputs["privateKeyPem"])


def test_passwords_of_data_services_are_secret_outputs(engine: Engine, build: Build) -> None:
    credentials = build(builders.credentials)
    for what, output in {
        "admin-password": credentials.admin_password,
        "database-password": credentials.database_password,
        "valkey-password": credentials.valkey_password,
    }.items():
        assert engine.resolve(output) == (minted(f"credentials-{what}"), True, True)


ELSEWHERE = {"database-password", "valkey-password", "object-storage"}
"""Sealed by the component whose service the credential opens."""


def test_every_credential_that_pods_read_has_a_revision(build: Build) -> None:
    credentials = build(builders.credentials)
    read = {what for read in read_by_component().values() for what in read}
    of_the_program = {"registry-account"}
    assert {*read, *of_the_program} == {*credentials.revisions, *ELSEWHERE} == CREDENTIALS.keys()


def test_the_programs_own_account_has_a_password_only_where_it_is_used(
    engine: Engine, build: Build
) -> None:
    config = builders.config(registry={"enabled": False})
    build(lambda context: create(config, context))
    assert "credentials-registry-account" not in {each.name for each in engine.all(PASSWORD)}
    with pytest.raises(AssertionError):
        engine.sealed("harbor-minted-registry-account")


def test_every_credential_that_is_minted_has_an_epoch_and_no_other() -> None:
    assert RotationSettings().epochs.keys() == CREDENTIALS.keys() - {"object-storage"}


def test_every_secret_that_gives_a_credential_is_one_of_the_settings() -> None:
    settings = builders.settings()
    declared = {*settings.harbor.secrets, *settings.database.secrets}
    given = {of.given_by for of in CREDENTIALS.values() if of.given_by is not None}
    assert given == declared


REVISIONS = {what: f"{number:08x}ffffffff" for number, what in enumerate(sorted(CREDENTIALS))}


@pytest.mark.parametrize("rotated", sorted(CREDENTIALS))
def test_a_rotation_restarts_the_pods_that_read_it_and_no_other(
    rotated: str, engine: Engine
) -> None:
    def annotations(revisions: dict[str, str]) -> dict[str, str]:
        built = engine.run(lambda: revision_by_component(revisions))
        return {component: engine.resolve(output).value for component, output in built.items()}

    before, after = annotations(REVISIONS), annotations({**REVISIONS, rotated: "new-revision"})
    restarted = {component for component in before if before[component] != after[component]}
    assert restarted == {c for c, read in read_by_component().items() if rotated in read}
    assert bool(restarted) == bool(CREDENTIALS[rotated].readers)


def test_what_a_kept_database_cannot_do_without_is_what_a_person_can_give() -> None:
    givable = {of.given_by: of.keys for of in CREDENTIALS.values() if of.given_by is not None}
    assert {kept.given_by for kept in KEPT} == givable.keys()
    names = {*secret_names(frozenset()), *secret_names(givable.keys()), DATABASE_SECRET}
    assert names >= NAMES
    for kept in KEPT:
        # The database's component seals its password itself.
        assert givable[kept.given_by] in ((kept.key,), ())


@pytest.mark.parametrize("retain", [True, False])
def test_the_secrets_that_the_database_needs_stay_with_it(
    retain: bool, engine: Engine, build: Build
) -> None:
    def both(context: Context) -> None:
        builders.postgres(replace(context, retain=retain))
        builders.credentials(replace(context, retain=retain))

    build(both)
    stay = {one["metadata"]["name"] for one in engine.all(SEALED_SECRET) if one.retain}
    assert stay == (NAMES - {"harbor-given-secret-key"} if retain else set())
    assert not any(one.protect for one in engine.all(SEALED_SECRET)), "so that they can be replaced"


def test_the_protected_key_keeps_the_admin_password_in_the_state(
    engine: Engine, build: Build
) -> None:
    build(builders.credentials)
    key, admin = (
        engine.one(PASSWORD, f"credentials-{w}") for w in ("secret-key", "admin-password")
    )
    assert admin.urn in key.dependencies
