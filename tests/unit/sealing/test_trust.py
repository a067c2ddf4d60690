"""The certificate that a stack seals with: the first one is told, another one needs consent."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pulumi.runtime.rpc import UNKNOWN

from components.sealing import trust
from components.sealing.trust import SealingTrustProvider
from tests.support.certificates import NOW, certificate_of
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
