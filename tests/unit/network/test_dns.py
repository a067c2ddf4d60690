"""The registry's address records."""

from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc

from components.network import dns
from components.network.dns_records import public_address
from tests.support.builders import config, context_of
from tests.support.mocks import (
    DNS_PROVIDER,
    DNS_RECORD,
    LOAD_BALANCER,
    MARK,
    Engine,
    Recorder,
    is_secret,
    plain,
    unknown_inputs,
)

TO_A_LOAD_BALANCER: dict[str, Any] = {
    "kind": "hetzner",
    "zone": "omani.works",
    "loadBalancer": {"name": "omantel"},
}
FIXED: dict[str, Any] = {
    "kind": "hetzner",
    "zone": "omantel.omani.works",
    "addresses": {"ipv4": "198.51.100.1", "ipv6": "2001:db8::1"},
}


class Invocations:
    """What was asked of the vendor: arguments, and through which provider."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], str]] = []

    def keep(self, request: Any) -> None:
        assert request.tok == LOAD_BALANCER
        arguments = rpc.deserialize_properties(request.args)
        self.asked.append((arguments, request.provider))


@pytest.fixture
def invocations(monkeypatch: pytest.MonkeyPatch) -> Invocations:
    invocations, answer = Invocations(), Recorder.Invoke

    def invoke(recorder: Recorder, request: Any) -> Any:
        invocations.keep(request)
        return answer(recorder, request)

    monkeypatch.setattr(Recorder, "Invoke", invoke)
    return invocations


def build(engine: Engine, section: dict[str, Any]) -> dict[str, Any]:
    """Type of record → (name, value)."""
    token = pulumi.Output.secret(f"{MARK}token")
    stack = config(secrets={"dnsToken": token}, dns=section)
    options = pulumi.ResourceOptions()
    engine.run(lambda: dns.create(stack, context_of(options=options)))
    return {
        record["type"]: (record["name"], *[one["value"] for one in record["records"]])
        for record in engine.all(DNS_RECORD)
    }


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"name": "omantel"}, {"name": "omantel"}),
        ({"selector": "role=gateway"}, {"withSelector": "role=gateway"}),
    ],
)
def test_records_point_to_both_addresses_of_the_load_balancer(
    engine: Engine, invocations: Invocations, given: dict[str, str], asked: dict[str, str]
) -> None:
    records = build(engine, {**TO_A_LOAD_BALANCER, "loadBalancer": given})
    assert records == {
        "A": ("registry.omantel", "203.0.113.7"),
        "AAAA": ("registry.omantel", "2001:db8::7"),
    }
    ((arguments, provider),) = invocations.asked
    assert arguments == asked
    # A default provider would read the token of whoever runs this.
    assert provider.startswith(engine.one(DNS_PROVIDER).urn)


def test_records_point_to_given_addresses_without_asking(
    engine: Engine, invocations: Invocations
) -> None:
    assert build(engine, FIXED) == {
        "A": ("registry", "198.51.100.1"),
        "AAAA": ("registry", "2001:db8::1"),
    }
    assert invocations.asked == []


def test_without_an_address_of_a_kind_there_is_no_record_of_it(engine: Engine) -> None:
    dns = {**FIXED, "addresses": {"ipv4": "198.51.100.1"}}
    assert set(build(engine, dns)) == {"A"}


def test_a_zone_of_the_registrys_own_has_the_record_at_its_top(engine: Engine) -> None:
    records = build(engine, {**FIXED, "zone": "registry.omantel.omani.works"})
    assert records["A"][0] == "@"


def test_the_token_stays_a_secret_and_is_the_providers_alone(engine: Engine) -> None:
    build(engine, {**FIXED, "ttl": 60})
    provider = engine.one(DNS_PROVIDER)
    assert is_secret(provider.inputs["token"])
    for record in engine.all(DNS_RECORD):
        assert provider.urn in record.provider
        assert record.parent_name == "dns"
        assert record["ttl"] == 60
        assert MARK not in str(plain(record.inputs))


def test_a_load_balancer_without_public_addresses_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"set dns\.addresses instead"):
        public_address("")


def test_where_nobody_could_be_asked_the_addresses_are_unknown(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine answers for a provider whose token it does not know yet: with nothing."""
    monkeypatch.setattr(engine.provider, "call", lambda token: {})
    engine.run(
        lambda: dns.create(
            config(secrets={"dnsToken": pulumi.Output.secret("token")}, dns=TO_A_LOAD_BALANCER),
            context_of(options=pulumi.ResourceOptions()),
        ),
        preview=True,
    )
    assert [unknown_inputs(record) for record in engine.all(DNS_RECORD)] == [{"records"}] * 2


def test_where_somebody_else_writes_them_there_is_neither_record_nor_provider(
    engine: Engine,
) -> None:
    context = context_of(options=pulumi.ResourceOptions())
    assert engine.run(lambda: dns.create(config(), context)) is None
    assert engine.resources == []
