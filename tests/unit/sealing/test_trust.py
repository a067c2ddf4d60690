"""The certificate that a stack seals with: the first one is told, another one needs consent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pulumi.runtime.rpc import UNKNOWN

from components.context import Context
from components.sealing import trust
from components.sealing.trust import SealingTrust, SealingTrustProvider
from tests.support.builders import Build
from tests.support.certificates import NOW, certificate_of
from tests.support.mocks import SEALING_TRUST, Engine
from tests.unit.sealing.test_sealing import YEAR


@pytest.fixture(scope="module")
def other() -> str:
    return certificate_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def inputs(certificate: str, **changes: Any) -> dict[str, Any]:
    return {
        "certificate": certificate,
        "pinned": False,
        "controllerNamespace": "sealing",
        "stack": "omantel",
        **changes,
    }


def test_another_unpinned_certificate_is_refused_with_how_to_check_it(
    sealing_certificate: str, other: str
) -> None:
    olds = inputs(sealing_certificate)
    (failure,) = SealingTrustProvider().check(olds, inputs(other)).failures
    before, after = trust.fingerprint(sealing_certificate), trust.fingerprint(other)
    for part in (
        f"before:  {before}",
        f"now:     {after}",
        "every 30 days",
        "kubectl get secret -n sealing -l sealedsecrets.bitnami.com/sealed-secrets-key",
        f"pulumi config set --path 'sealing.acceptedFingerprint' {after} -s omantel",
        "docs/runbooks/sealing-key.md",
    ):
        assert part in failure.reason


@pytest.mark.parametrize("consent", ["pinned", "accepted"])
def test_another_certificate_is_taken_with_consent(
    consent: str, sealing_certificate: str, other: str
) -> None:
    accepted = {"pinned": {"pinned": True}, "accepted": {"accepted": trust.fingerprint(other)}}
    news = inputs(other, **accepted[consent])
    olds = inputs(sealing_certificate)
    assert SealingTrustProvider().check(olds, news).failures == []
    assert SealingTrustProvider().diff("omantel", olds, news).changes is True


def test_consent_to_one_certificate_is_none_to_the_next(
    sealing_certificate: str, other: str
) -> None:
    accepted = inputs(other, accepted=trust.fingerprint(sealing_certificate))
    assert SealingTrustProvider().check(inputs(sealing_certificate), accepted).failures


def test_unpinning_the_controller_s_own_certificate_needs_no_consent(
    sealing_certificate: str,
) -> None:
    olds = inputs(f"comment\n{sealing_certificate}", pinned=True)
    assert SealingTrustProvider().check(olds, inputs(sealing_certificate)).failures == []


def test_the_certificate_before_may_have_expired(
    sealing_key: rsa.RSAPrivateKey, other: str
) -> None:
    expired = certificate_of(sealing_key, begins=NOW - 2 * YEAR, ends=NOW - YEAR)
    assert SealingTrustProvider().check(inputs(expired), inputs(other)).failures


@pytest.mark.parametrize("unknown", ["olds", "news"])
def test_without_a_certificate_there_is_nothing_to_compare(
    unknown: str, sealing_certificate: str
) -> None:
    known = inputs(sealing_certificate)
    olds, news = ({}, known) if unknown == "olds" else (known, inputs(UNKNOWN))
    assert SealingTrustProvider().check(olds, news).failures == []


def test_the_first_one_is_told_with_its_fingerprint(sealing_certificate: str) -> None:
    words = trust.first_use(str(trust.fingerprint(sealing_certificate)), "omantel")
    assert "trusted on first use" in words
    assert str(trust.fingerprint(sealing_certificate)) in words


def test_the_state_remembers_the_certificate_and_nothing_else(
    sealing_certificate: str, other: str
) -> None:
    provider, news = SealingTrustProvider(), inputs(sealing_certificate)
    made = provider.create(news)
    assert (made.id, made.outs) == ("omantel", {"certificate": sealing_certificate})
    assert provider.update("omantel", made.outs or {}, inputs(other)).outs == {"certificate": other}
    for accepted in (provider.check({}, news), provider.check(news, inputs(other, pinned=True))):
        assert accepted.inputs["stack"] == "omantel"
    diff = provider.diff("omantel", made.outs or {}, news)
    assert (diff.changes, diff.replaces) == (False, [])
    assert provider.diff("omantel", made.outs or {}, inputs(other)).replaces == []


def test_what_is_no_certificate_has_no_fingerprint(sealing_certificate: str) -> None:
    assert trust.fingerprint("no PEM") is None
    assert trust.fingerprint(None) is None


@pytest.mark.parametrize("pinned", [True, False])
def test_only_a_certificate_that_nobody_checked_is_warned_of(
    pinned: bool,
    engine: Engine,
    build: Build,
    sealing_certificate: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks: list[tuple[Any, ...]] = []
    warnings: list[str] = []
    binding = pulumi.ResourceHook

    def hook(*arguments: Any) -> pulumi.ResourceHook:
        hooks.append(arguments)
        return binding(*arguments)

    monkeypatch.setattr(pulumi, "ResourceHook", hook)
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)

    def create(given: Context) -> SealingTrust:
        return SealingTrust(
            "sealing-trust",
            certificate=given.certificate,
            pinned=pinned,
            accepted="ab",
            controller_namespace="sealing",
            opts=pulumi.ResourceOptions(protect=True),
        )

    build(create)
    registered = engine.one(SEALING_TRUST)
    assert (registered.name, registered.protect) == ("sealing-trust", True)
    expected = inputs(sealing_certificate, pinned=pinned, accepted="ab")
    assert {key: registered[key] for key in expected} == expected
    assert bool(registered.hooks) is bool(hooks) is not pinned
    for name, before_create, options in hooks:
        assert name == "sealing-trust-before-create"
        assert options.on_dry_run is True
        for given in (registered.inputs, {}, None):
            before_create(SimpleNamespace(new_inputs=given))
        assert warnings == [trust.first_use(str(trust.fingerprint(sealing_certificate)), "omantel")]
