"""The stand-in plugins' servicers, asked directly: no engine is running."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import bcrypt
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from offline.plugins import answering_standin, random_standin, tls_standin
from offline.plugins.provider import StandInProvider
from offline.plugins.values import UNKNOWN, Secret, decode, encode

PASSWORD = "random:index/randomPassword:RandomPassword"
STRING = "random:index/randomString:RandomString"
KEY = "tls:index/privateKey:PrivateKey"
CERTIFICATE = "tls:index/selfSignedCert:SelfSignedCert"
RECORD = "hcloud:index/zoneRrset:ZoneRrset"
BUCKET = "aws:s3/bucket:Bucket"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"


class Refused(Exception):
    pass


class Context:
    """As much of a gRPC context as the servicers use."""

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Refused(f"{code.name}: {details}")


def urn(token: str, stack: str = "local", name: str = "it") -> str:
    return f"urn:pulumi:{stack}::project::parent:index:Parent${token}::{name}"


def create(
    plugin: StandInProvider,
    token: str,
    inputs: Mapping[str, Any],
    *,
    stack: str = "local",
    preview: bool = False,
) -> tuple[str, dict[str, Any]]:
    request = provider_pb2.CreateRequest(
        urn=urn(token, stack), properties=encode(inputs), preview=preview
    )
    answer = plugin.Create(request, Context())
    return answer.id, decode(answer.properties)


def diff(
    plugin: StandInProvider,
    token: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
) -> tuple[bool, list[str]]:
    answer = plugin.Diff(
        provider_pb2.DiffRequest(
            urn=urn(token),
            olds=encode(old if state is None else state),
            old_inputs=encode(old),
            news=encode(new),
        ),
        Context(),
    )
    return answer.changes == provider_pb2.DiffResponse.DIFF_SOME, list(answer.replaces)


def check(plugin: StandInProvider, token: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    request = provider_pb2.CheckRequest(urn=urn(token), news=encode(inputs))
    answer = plugin.Check(request, Context())
    assert answer.inputs == encode(inputs)
    return {failure.property: failure.reason for failure in answer.failures}


@pytest.fixture
def random() -> StandInProvider:
    return random_standin.provider()


@pytest.fixture
def tls() -> StandInProvider:
    return tls_standin.provider()


# --- values ---------------------------------------------------------------------------------------


def test_secrets_and_unknowns_survive_a_round_trip_at_every_depth() -> None:
    value = {
        "secret": Secret({"list": [1, 2.5, UNKNOWN, None, True]}),
        "nested": {"deep": [Secret("x"), {"y": UNKNOWN}]},
    }
    assert decode(encode(value)) == value


def test_the_wire_form_of_secrets_and_unknowns_is_the_sdks() -> None:
    from pulumi.runtime import rpc

    secret = encode({"it": Secret("x")}).fields["it"].struct_value
    assert secret.fields[rpc._special_sig_key].string_value == rpc._special_secret_sig
    assert encode({"it": UNKNOWN}).fields["it"].string_value == rpc.UNKNOWN


# --- random ---------------------------------------------------------------------------------------


def test_password_has_the_demanded_length_and_alphabet(random: StandInProvider) -> None:
    inputs = {"length": 40, "special": False, "upper": False}
    _, state = create(random, PASSWORD, inputs)
    result = state["result"].value
    assert len(result) == 40
    assert set(result) <= set(string.ascii_lowercase + string.digits)


def test_password_has_the_demanded_minimum_of_each_kind(random: StandInProvider) -> None:
    minimums = {"minLower": 2, "minUpper": 3, "minNumeric": 4, "minSpecial": 5}
    _, state = create(random, PASSWORD, {"length": 14, "overrideSpecial": "#", **minimums})
    result = state["result"].value
    assert result.count("#") == 5
    assert sum(c.isdigit() for c in result) == 4
    assert sum(c.isupper() for c in result) == 3
    assert sum(c.islower() for c in result) == 2


def test_two_passwords_differ(random: StandInProvider) -> None:
    passwords = {create(random, PASSWORD, {"length": 20})[1]["result"] for _ in range(5)}
    assert len(passwords) == 5


@pytest.mark.parametrize("length", [16, 100])
def test_bcrypt_hash_verifies_at_cost_10(random: StandInProvider, length: int) -> None:
    _, state = create(random, PASSWORD, {"length": length})
    hashed = state["bcryptHash"].value
    assert hashed.startswith("$2a$10$")
    assert bcrypt.checkpw(state["result"].value.encode()[:72], hashed.encode())


def test_what_is_secret_is_marked_so(random: StandInProvider, tls: StandInProvider) -> None:
    _, password = create(random, PASSWORD, {"length": 8})
    _, text = create(random, STRING, {"length": 8})
    _, key = create(tls, KEY, {"algorithm": "ED25519"})
    marked = {k for s in (password, text, key) for k, v in s.items() if isinstance(v, Secret)}
    assert marked == {
        "result",
        "bcryptHash",
        "privateKeyPem",
        "privateKeyPemPkcs8",
        "privateKeyOpenssh",
    }
    assert isinstance(text["result"], str)


def test_a_secret_input_stays_secret_in_the_state(random: StandInProvider) -> None:
    _, state = create(random, PASSWORD, {"length": 8, "keepers": Secret({"epoch": "1"})})
    assert state["keepers"] == Secret({"epoch": "1"})


def test_changed_keepers_replace_the_password(random: StandInProvider) -> None:
    old, new = ({"length": 8, "keepers": {"epoch": epoch}} for epoch in ("1", "2"))
    assert diff(random, PASSWORD, old, new) == (True, ["keepers"])
    assert diff(random, PASSWORD, old, old) == (False, [])


def test_keepers_that_turn_secret_or_unknown(random: StandInProvider) -> None:
    old = {"length": 8, "keepers": {"epoch": "1"}}
    secret = {"length": 8, "keepers": Secret({"epoch": "1"})}
    unknown = {"length": 8, "keepers": {"epoch": UNKNOWN}}
    assert diff(random, PASSWORD, old, secret) == (False, [])
    assert diff(random, PASSWORD, old, unknown) == (True, ["keepers"])


def test_naming_a_default_changes_nothing(random: StandInProvider) -> None:
    old = {"length": 8}
    new = {"length": 8, "special": True, "numeric": True, "minLower": 0}
    assert diff(random, PASSWORD, old, new) == (False, [])


def test_preview_knows_the_inputs_and_not_the_result(random: StandInProvider) -> None:
    identifier, state = create(random, PASSWORD, {"length": 8}, stack="other", preview=True)
    assert identifier == ""
    assert (state["length"], state["special"]) == (8, True)
    assert state["result"] == state["bcryptHash"] == Secret(UNKNOWN)


@pytest.mark.parametrize(
    ("inputs", "property_"),
    [
        ({}, "length"),
        ({"length": 0}, "length"),
        ({"length": 3, "minUpper": 4}, "length"),
        (
            {"length": 3, "upper": False, "lower": False, "numeric": False, "special": False},
            "lower",
        ),
    ],
)
def test_impossible_passwords_are_refused_in_preview(
    random: StandInProvider, inputs: dict[str, Any], property_: str
) -> None:
    assert list(check(random, PASSWORD, inputs)) == [property_]
    assert check(random, PASSWORD, {"length": 12}) == {}


def test_importing_a_password_adopts_its_value(random: StandInProvider) -> None:
    request = provider_pb2.ReadRequest(urn=urn(PASSWORD), id="s3cret")
    answer = random.Read(request, Context())
    assert answer.id == "none"
    assert decode(answer.properties)["result"] == Secret("s3cret")
    assert decode(answer.inputs) == {"length": 6}


def test_refresh_leaves_the_state_as_it_was(random: StandInProvider) -> None:
    _, state = create(random, PASSWORD, {"length": 8})
    request = provider_pb2.ReadRequest(urn=urn(PASSWORD), id="none", properties=encode(state))
    assert decode(random.Read(request, Context()).properties) == state


def test_random_id_writes_one_number_in_four_forms(random: StandInProvider) -> None:
    inputs = {"byteLength": 4}
    identifier, state = create(random, "random:index/randomId:RandomId", inputs)
    assert int(state["hex"], 16) == int(state["dec"])
    assert identifier == state["b64Url"]


# --- tls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "algorithm", "header"),
    [
        ({"algorithm": "RSA", "rsaBits": 2048}, "RSA", "RSA PRIVATE KEY"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P256"}, "ECDSA", "EC PRIVATE KEY"),
        ({"algorithm": "ECDSA"}, "ECDSA", "EC PRIVATE KEY"),
        ({"algorithm": "ED25519"}, "ED25519", "PRIVATE KEY"),
    ],
)
def test_certificate_validates_against_its_key(
    tls: StandInProvider, inputs: dict[str, Any], algorithm: str, header: str
) -> None:
    _, key = create(tls, KEY, inputs)
    pem = key["privateKeyPem"].value
    assert pem.startswith(f"-----BEGIN {header}-----")
    request = {
        "privateKeyPem": Secret(pem),
        "subject": {"commonName": "issuer", "organization": "harbor"},
        "validityPeriodHours": 48,
        "allowedUses": ["digital_signature", "server_auth"],
        "dnsNames": ["harbor.example"],
    }
    assert check(tls, CERTIFICATE, request) == {}
    _, state = create(tls, CERTIFICATE, request)
    certificate = x509.load_pem_x509_certificate(state["certPem"].encode())
    certificate.verify_directly_issued_by(certificate)
    public = certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public.decode() == key["publicKeyPem"]
    assert certificate.subject.rfc4514_string() == "O=harbor,CN=issuer"
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=48)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["harbor.example"]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
    assert state["keyAlgorithm"] == algorithm
    assert state["privateKeyPem"] == Secret(pem)
    assert datetime.fromisoformat(state["validityEndTime"]) == certificate.not_valid_after_utc


def test_authority_certificate_says_so(tls: StandInProvider) -> None:
    _, key = create(tls, KEY, {"algorithm": "ED25519"})
    inputs = {
        "privateKeyPem": key["privateKeyPem"],
        "validityPeriodHours": 1,
        "allowedUses": ["cert_signing"],
        "isCaCertificate": True,
    }
    _, state = create(tls, CERTIFICATE, inputs)
    extensions = x509.load_pem_x509_certificate(state["certPem"].encode()).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_key_that_is_no_key_is_refused_without_showing_it(tls: StandInProvider) -> None:
    inputs = {"privateKeyPem": "hunter2", "validityPeriodHours": 1, "allowedUses": []}
    with pytest.raises(Refused) as refusal:
        create(tls, CERTIFICATE, inputs)
    assert "hunter2" not in str(refusal.value)


def test_unknown_use_algorithm_and_curve_are_refused_in_preview(tls: StandInProvider) -> None:
    certificate = {"privateKeyPem": "x", "validityPeriodHours": 1, "allowedUses": ["singing"]}
    assert "singing" in check(tls, CERTIFICATE, certificate)["allowedUses"]
    assert list(check(tls, KEY, {"algorithm": "DSA"})) == ["algorithm"]
    assert list(check(tls, KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P1"})) == ["ecdsaCurve"]


def test_certificate_near_its_end_is_replaced(tls: StandInProvider) -> None:
    inputs = {"privateKeyPem": "x", "validityPeriodHours": 48, "earlyRenewalHours": 24}
    for hours, expected in ((23, (True, ["readyForRenewal"])), (25, (False, []))):
        end = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
        state = {**inputs, "validityEndTime": end}
        assert diff(tls, CERTIFICATE, inputs, inputs, state) == expected


def test_earlier_renewal_keeps_the_certificate(tls: StandInProvider) -> None:
    old = {"privateKeyPem": "x", "validityPeriodHours": 48, "earlyRenewalHours": 1}
    assert diff(tls, CERTIFICATE, old, {**old, "earlyRenewalHours": 2}) == (True, [])
    assert diff(tls, CERTIFICATE, old, {**old, "validityPeriodHours": 2}) == (
        True,
        ["validityPeriodHours"],
    )
    request = provider_pb2.UpdateRequest(
        urn=urn(CERTIFICATE), olds=encode({**old, "certPem": "c"}), news=encode(old)
    )
    assert decode(tls.Update(request, Context()).properties)["certPem"] == "c"


# --- hcloud and aws -------------------------------------------------------------------------------


def test_made_up_ids_say_that_they_are() -> None:
    hcloud = answering_standin.provider("hcloud")
    identifier, state = create(hcloud, RECORD, {"zone": "z", "name": "n"})
    assert identifier.startswith("standin-")
    assert state == {"zone": "z", "name": "n"}


def test_a_bucket_without_a_name_gets_one_that_is_unknown_in_preview() -> None:
    aws = answering_standin.provider("aws")
    assert create(aws, BUCKET, {}, preview=True)[1]["bucket"] is UNKNOWN
    assert create(aws, BUCKET, {"bucket": "b"}, preview=True)[1]["bucket"] == "b"
    assert create(aws, BUCKET, {"bucket": "b"})[1]["arn"] == "arn:aws:s3:::b"


def test_an_access_key_has_a_secret_that_is_one() -> None:
    aws = answering_standin.provider("aws")
    assert create(aws, ACCESS_KEY, {"user": "u"}, preview=True)[1]["secret"] == Secret(UNKNOWN)
    identifier, state = create(aws, ACCESS_KEY, {"user": "u"})
    assert state["secret"] == Secret(f"secret-of-{identifier}")


def test_dns_record_is_updated_in_place_unless_it_is_another_record() -> None:
    hcloud = answering_standin.provider("hcloud")
    old = {"zone": "z", "name": "n", "ttl": 60}
    assert diff(hcloud, RECORD, old, {**old, "ttl": 90}) == (True, [])
    assert diff(hcloud, RECORD, old, {**old, "name": "m"}) == (True, ["name"])


def test_load_balancer_has_documentation_addresses() -> None:
    request = provider_pb2.InvokeRequest(
        tok="hcloud:index/getLoadBalancer:getLoadBalancer", args=encode({"name": "lb"})
    )
    answer = answering_standin.provider("hcloud").Invoke(request, Context())
    result = decode(getattr(answer, "return"))
    assert (result["name"], result["ipv4"], result["ipv6"]) == ("lb", "192.0.2.10", "2001:db8::10")


def test_a_question_without_an_answer_is_refused_by_its_name() -> None:
    request = provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi", args=Struct())
    with pytest.raises(Refused, match="no answer to aws:ec2/getAmi:getAmi"):
        answering_standin.provider("aws").Invoke(request, Context())


def test_somebody_elses_estate_is_not_made_up() -> None:
    hcloud = answering_standin.provider("hcloud")
    with pytest.raises(Refused, match="asks no cloud"):
        hcloud.Read(provider_pb2.ReadRequest(urn=urn(RECORD), id="1"), Context())
    state = encode({"zone": "z"})
    request = provider_pb2.ReadRequest(urn=urn(RECORD, "omantel"), id="1", properties=state)
    with pytest.raises(Refused, match="refuses to read"):
        hcloud.Read(request, Context())


# --- all of them ----------------------------------------------------------------------------------


PLUGINS = [
    (random_standin.provider, PASSWORD, {"length": 8}),
    (tls_standin.provider, KEY, {"algorithm": "ED25519"}),
    (lambda: answering_standin.provider("hcloud"), RECORD, {"name": "n"}),
    (lambda: answering_standin.provider("aws"), BUCKET, {}),
]


@pytest.mark.parametrize(("plugin", "token", "inputs"), PLUGINS)
def test_nothing_changes_on_another_stack(plugin: Any, token: str, inputs: dict[str, Any]) -> None:
    it, there, state = plugin(), urn(token, "omantel"), encode(inputs)
    calls = {
        "create": lambda: it.Create(
            provider_pb2.CreateRequest(urn=there, properties=state), Context()
        ),
        "update": lambda: it.Update(
            provider_pb2.UpdateRequest(urn=there, olds=state, news=state), Context()
        ),
        "delete": lambda: it.Delete(
            provider_pb2.DeleteRequest(urn=there, properties=state), Context()
        ),
    }
    for verb, call in calls.items():
        with pytest.raises(Refused, match=f"refuses to {verb} 'it' on stack 'omantel'") as refusal:
            call()
        assert "pulumi plugin install resource" in str(refusal.value)


@pytest.mark.parametrize(("plugin", "token", "inputs"), PLUGINS)
def test_previews_work_on_every_stack(plugin: Any, token: str, inputs: dict[str, Any]) -> None:
    it, state = plugin(), encode(inputs)
    create(it, token, inputs, stack="omantel", preview=True)
    request = provider_pb2.UpdateRequest(
        urn=urn(token, "omantel"), olds=state, news=state, preview=True
    )
    it.Update(request, Context())


@pytest.mark.parametrize(("plugin", "token", "inputs"), PLUGINS)
def test_every_stand_in_says_so(
    plugin: Any, token: str, inputs: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    it = plugin()
    assert it.GetPluginInfo(None, Context()).version.endswith("+standin")
    for _ in range(2):
        create(it, token, inputs, preview=True)
    assert capsys.readouterr().err.count("answered by Sovereign Harbor's stand-in plugin") == 1


def test_secrets_are_accepted_and_previews_supported(random: StandInProvider) -> None:
    configured = random.Configure(None, Context())
    assert configured.acceptSecrets and configured.supportsPreview
    shaken = random.Handshake(SimpleNamespace(engine_address="127.0.0.1:1"), Context())
    assert shaken.accept_secrets


def test_unknown_type_is_refused_by_its_name(random: StandInProvider) -> None:
    with pytest.raises(Refused, match="knows no resource type random:index:Nonsense"):
        create(random, "random:index:Nonsense", {})
