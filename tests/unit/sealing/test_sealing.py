"""Sealing: what the controller will make of it, and when anything is sealed again."""

import base64
import datetime as dt
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pulumi.dynamic.dynamic import serialize_provider

from components.cluster import sealing_certificate as sealing_certificate_of
from components.sealing.crypto import (
    SealingError,
    certificate_fingerprint,
    load_certificate,
    seal,
)
from components.sealing.digests import revision
from components.sealing.seal import SealProvider
from components.sealing.unsealed import UnsealedProvider
from components.settings.cluster import ClusterSettings
from components.settings.sealing import SealingSettings
from tests.support.certificates import NOW, certificate_of

YEAR = dt.timedelta(days=365)


def opened(ciphertext: str, key: rsa.RSAPrivateKey, *, label: str) -> bytes:
    """HybridDecrypt of the controller (bitnami/sealed-secrets, pkg/crypto/crypto.go)."""
    packed = base64.b64decode(ciphertext, validate=True)
    (length,) = struct.unpack(">H", packed[:2])
    wrapped, sealed = packed[2 : 2 + length], packed[2 + length :]
    oaep = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=label.encode())
    return AESGCM(key.decrypt(wrapped, oaep)).decrypt(bytes(12), sealed, None)


# --- The format --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"", b"secret", "Schlüssel\n".encode(), bytes(range(256)) * 40])
def test_the_controller_opens_what_was_sealed(
    value: bytes, sealing_key: rsa.RSAPrivateKey, sealing_certificate: str
) -> None:
    certificate = load_certificate(sealing_certificate)
    ciphertext = seal(value, namespace="registry", name="harbor", certificate=certificate)
    assert opened(ciphertext, sealing_key, label="registry/harbor") == value


@pytest.mark.parametrize("label", ["registry/other", "other/harbor", "registry", ""])
def test_a_ciphertext_opens_in_no_other_secret(
    label: str, sealing_key: rsa.RSAPrivateKey, sealing_certificate: str
) -> None:
    certificate = load_certificate(sealing_certificate)
    ciphertext = seal(b"value", namespace="registry", name="harbor", certificate=certificate)
    with pytest.raises((ValueError, InvalidTag)):
        opened(ciphertext, sealing_key, label=label)


def test_the_same_value_never_seals_to_the_same_text_twice(sealing_certificate: str) -> None:
    # With a session key used twice, AES-GCM under a fixed nonce would give both values away.
    certificate = load_certificate(sealing_certificate)
    texts = {seal(b"v", namespace="n", name="s", certificate=certificate) for _ in range(5)}
    assert len(texts) == 5


# --- The certificate ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def test_a_certificate_may_come_with_text_around_it_and_in_a_chain(
    sealing_certificate: str,
) -> None:
    other = certificate_of(ec.generate_private_key(ec.SECP256R1()))
    certificate = load_certificate(f"subject: sealed-secrets\n{sealing_certificate}{other}")
    assert certificate == x509.load_pem_x509_certificate(sealing_certificate.encode())


def test_an_expired_certificate_is_refused_with_its_date(sealing_key: rsa.RSAPrivateKey) -> None:
    ended = NOW - dt.timedelta(days=1)
    pem = certificate_of(sealing_key, begins=NOW - YEAR, ends=ended)
    with pytest.raises(SealingError, match=f"expired on {ended:%Y-%m-%d}"):
        load_certificate(pem)


def test_a_certificate_of_tomorrow_is_refused_with_its_date(
    sealing_key: rsa.RSAPrivateKey,
) -> None:
    begins = NOW + dt.timedelta(days=1)
    pem = certificate_of(sealing_key, begins=begins)
    with pytest.raises(SealingError, match=f"not valid before {begins:%Y-%m-%d %H:%M}"):
        load_certificate(pem)


def test_the_clock_may_be_given(sealing_key: rsa.RSAPrivateKey, sealing_certificate: str) -> None:
    load_certificate(sealing_certificate, now=NOW + YEAR)
    with pytest.raises(SealingError, match="expired"):
        load_certificate(sealing_certificate, now=NOW + 11 * YEAR)


@pytest.mark.parametrize(
    ("mangle", "reason"),
    [
        (lambda pem: "", "no PEM certificate"),
        (lambda pem: "not a certificate", "no PEM certificate"),
        (lambda pem: pem.replace("CERTIFICATE", "PRIVATE KEY"), "no PEM certificate"),
        (lambda pem: pem[: len(pem) // 2], "no PEM certificate"),
        (lambda pem: pem[:60] + "!!!!" + pem[64:], "malformed"),
        (lambda pem: "\n".join([*pem.splitlines()[:5], *pem.splitlines()[-1:]]), "malformed"),
    ],
    ids=["empty", "text", "private key", "cut off", "no base64", "lines missing"],
)
def test_a_malformed_certificate_is_refused(
    mangle: Callable[[str], str], reason: str, sealing_certificate: str
) -> None:
    with pytest.raises(SealingError, match=reason):
        load_certificate(mangle(sealing_certificate))


def test_a_key_that_cannot_seal_is_refused(small_key: rsa.RSAPrivateKey) -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), small_key):
        with pytest.raises(SealingError, match="RSA key of at least 2048 bits"):
            load_certificate(certificate_of(key))


def test_the_fingerprint_is_sha256_of_the_certificate(sealing_certificate: str) -> None:
    certificate = load_certificate(sealing_certificate)
    assert certificate_fingerprint(certificate) == certificate.fingerprint(SHA256()).hex()


# --- The revision ------------------------------------------------------------------------------

SALT = bytes(range(16))
data = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4)


@given(data, data)
def test_revisions_are_equal_exactly_when_the_plaintexts_are(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (revision(one, salt=SALT) == revision(other, salt=SALT)) is (one == other)


def test_a_revision_is_short_enough_for_an_annotation_and_long_enough_to_differ() -> None:
    assert len(bytes.fromhex(revision({"password": "harbor"}, salt=SALT))) == 8


def test_a_revision_tells_where_a_key_ends_and_its_value_begins() -> None:
    alike = [{"ab": "c"}, {"a": "bc"}, {"a": "b", "c": ""}, {"a": "", "b": "c"}, {"abc": ""}]
    assert len({revision(each, salt=SALT) for each in alike}) == len(alike)


@given(data)
def test_the_order_of_keys_does_not_matter(forwards: dict[str, str]) -> None:
    backwards = dict(reversed(forwards.items()))
    assert revision(forwards, salt=SALT) == revision(backwards, salt=SALT)


def test_without_the_salt_nobody_can_try_out_guesses() -> None:
    guess = {"password": "harbor"}
    assert revision(guess, salt=SALT) != revision(guess, salt=bytes(16))


# --- The Seal resource -------------------------------------------------------------------------

State = dict[str, Any]


@pytest.fixture
def inputs(sealing_certificate: str) -> State:
    return {
        "namespace": "registry",
        "name": "harbor",
        "data": {"user": "harbor", "password": "old"},
        "certificate": sealing_certificate,
        "__provider": "…",
    }


@pytest.fixture
def state(inputs: State) -> State:
    outs = SealProvider().create(inputs).outs
    assert outs is not None
    return outs


def updated(state: State, news: State) -> State:
    outs = SealProvider().update("registry/harbor", state, news).outs
    assert outs is not None
    return outs


def test_create_seals_every_key_for_this_secret_alone(
    state: State, inputs: State, sealing_key: rsa.RSAPrivateKey
) -> None:
    assert SealProvider().create(inputs).id == "registry/harbor"
    for key, ciphertext in state["ciphertexts"].items():
        value = opened(ciphertext, sealing_key, label="registry/harbor")
        assert value.decode() == inputs["data"][key]
    assert state["ciphertexts"].keys() == inputs["data"].keys()
    assert "__provider" not in state


def test_two_secrets_with_the_same_content_do_not_have_the_same_revision(
    state: State, inputs: State
) -> None:
    # Pod annotations are readable to more people than Secrets are.
    outs = SealProvider().create(inputs).outs
    assert outs is not None
    assert outs["revision"] != state["revision"]


def test_unchanged_inputs_are_no_change(state: State, inputs: State) -> None:
    result = SealProvider().diff("registry/harbor", state, inputs)
    assert (result.changes, result.replaces) == (False, [])


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"data": {"user": "harbor", "password": "new"}}, []),
        ({"data": {"user": "harbor"}}, []),
        ({"certificate": "another"}, []),
        ({"namespace": "other"}, ["namespace"]),
        ({"name": "other"}, ["name"]),
    ],
    ids=str,
)
def test_a_change_is_seen_and_another_secret_is_a_replacement(
    change: State, replaces: list[str], state: State, inputs: State
) -> None:
    result = SealProvider().diff("registry/harbor", state, {**inputs, **change})
    assert (result.changes, result.replaces) == (True, replaces)


def test_a_new_value_is_sealed_alone_and_changes_the_revision(
    state: State, inputs: State, sealing_key: rsa.RSAPrivateKey
) -> None:
    after = updated(state, {**inputs, "data": {"user": "harbor", "password": "new"}})
    assert after["ciphertexts"]["user"] == state["ciphertexts"]["user"]
    assert opened(after["ciphertexts"]["password"], sealing_key, label="registry/harbor") == b"new"
    assert after["revision"] != state["revision"]


def test_a_removed_key_leaves_no_ciphertext_behind(state: State, inputs: State) -> None:
    after = updated(state, {**inputs, "data": {"user": "harbor"}})
    assert after["ciphertexts"] == {"user": state["ciphertexts"]["user"]}


def test_going_back_to_an_old_value_goes_back_to_its_revision(state: State, inputs: State) -> None:
    between = updated(state, {**inputs, "data": {"user": "harbor", "password": "new"}})
    assert updated(between, inputs)["revision"] == state["revision"]


def test_a_new_certificate_seals_all_again_and_restarts_nothing(
    state: State, inputs: State
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    after = updated(state, {**inputs, "certificate": certificate_of(key)})
    for name, value in inputs["data"].items():
        assert opened(after["ciphertexts"][name], key, label="registry/harbor") == value.encode()
    assert after["revision"] == state["revision"]
    assert after["certificateFingerprint"] != state["certificateFingerprint"]


def test_an_expired_certificate_seals_nothing(
    inputs: State, sealing_key: rsa.RSAPrivateKey
) -> None:
    pem = certificate_of(sealing_key, begins=NOW - 2 * YEAR, ends=NOW - YEAR)
    with pytest.raises(SealingError, match="expired"):
        SealProvider().create({**inputs, "certificate": pem})


@pytest.mark.parametrize("provider", [SealProvider, UnsealedProvider])
def test_a_provider_is_serialized_to_the_same_bytes_each_time(
    provider: Callable[[], SealProvider | UnsealedProvider],
) -> None:
    # It is an input of every resource; if it changed, so would all of them, at each run.
    assert serialize_provider(provider()) == serialize_provider(provider())
    assert provider().serialize_as_secret_always is False


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (
            lambda pem: x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER),
            "openssl x509 -inform DER -in sealing-nizwa.crt",
        ),
        (lambda pem: b"\xfe\xff" + pem.encode("utf-16-be"), "iconv -f UTF-16 -t UTF-8"),
        (lambda pem: pem.encode("utf-16"), "iconv -f UTF-16 -t UTF-8 sealing-nizwa.crt"),
        (lambda pem: b"\x80" + pem.encode(), "it is no text"),
        (lambda pem: pem[: len(pem) // 2].encode(), "no PEM certificate in it"),
        (lambda pem: pem.replace("MII", "AAA").encode(), "malformed certificate"),
        (lambda _: b"", "no PEM certificate in it"),
    ],
)
def test_a_pinned_file_that_is_no_pem_is_refused_with_the_command_that_converts_it(
    encoded: Callable[[str], bytes],
    words: str,
    sealing_certificate: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sealing-nizwa.crt").write_bytes(encoded(sealing_certificate))
    settings = SealingSettings(certificate="sealing-nizwa.crt")
    with pytest.raises(pulumi.RunError) as raised:
        sealing_certificate_of(settings, ClusterSettings())
    assert "sovereign-harbor:sealing.certificate = 'sealing-nizwa.crt'" in str(raised.value)
    assert words in str(raised.value)


def test_a_file_of_nothing_but_beginnings_is_refused_at_once() -> None:
    """A search from each of them to the end took minutes for a megabyte."""
    with pytest.raises(SealingError, match="no PEM certificate"):
        load_certificate("-----BEGIN CERTIFICATE-----\n" * 100_000)
