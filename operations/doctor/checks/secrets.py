"""Secrets, certificates and logins that end. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from cryptography import x509

from components.commands import for_stack, run, set_value
from components.delivery.delivered import Delivered, is_observed, is_ready, reason
from components.sealing.crypto import SealingError, load_certificate
from components.sealing.opened import Opened
from components.settings.secrets import ExternalDelivery
from operations.doctor.findings import Finding, Reading, State, few, of_two_degrees

_SEALING = "docs/runbooks/sealing-key.md"
_DELIVERY = "docs/howto/external-secrets.md"
_CERTIFICATES = "docs/runbooks/certificate-expiry.md"
CRITICAL_DAYS = 3
"""As the alert that is critical (components/settings/monitoring.py)."""


def delivered(read: Reading) -> Iterator[Finding]:
    """Whether each Secret of this program is there as it was declared last."""
    is_external = isinstance(read.settings.secrets, ExternalDelivery)
    yield from (synced if is_external else unsealed)(read)


def synced(read: Reading) -> Iterator[Finding]:
    """Whether each ExternalSecret has its Secret, and each PushSecret brought its value."""
    objects: list[tuple[str, Delivered, str]] = read.of("delivered")
    bad = {name: (why, kind) for name, each, kind in objects if (why := _why_not(each))}
    number = sum(kind == "externalsecret" for _, _, kind in objects)
    if not objects:
        yield Finding(
            check="secrets",
            state="ill",
            what="no ExternalSecret of this program is in the cluster",
            command=run("up --refresh", read.stack),
        )
    elif bad:
        told = few([f"{name} ({why})" for name, (why, _) in bad.items()], most=2)
        first, (_, kind) = next(iter(bad.items()))
        name, _, secret = first.partition("/")
        yield Finding(
            check="secrets",
            state="ill",
            what=f"{len(bad)} of {number} Secrets are not synced with the store: {told}",
            command=f"kubectl describe {kind} {secret} -n {name} ({_DELIVERY})",
        )
    else:
        yield Finding(check="secrets", state="ok", what=f"{number} Secrets are synced")


def _why_not(each: Delivered) -> str:
    """Why the operator did not do what an object says; "" if it did."""
    made = each.push if each.external is None else each.external
    if not is_ready(made) or not is_observed(made):
        return reason(None, made)
    if each.external is not None and each.secret is None:
        return "no Secret"
    return "" if each.is_of_this_one else "the Secret is of an ExternalSecret that is gone"


def unsealed(read: Reading) -> Iterator[Finding]:
    """Whether each SealedSecret has its Secret, as it was sealed last."""
    sealed: list[tuple[str, Opened]] = read.of("sealed")
    bad = {name: _why(each) for name, each in sealed if _why(each)}
    if not sealed:
        yield Finding(
            check="secrets",
            state="ill",
            what="no SealedSecret of this program is in the cluster",
            command=run("up --refresh", read.stack),
        )
    elif bad:
        told = few([f"{name} ({why})" for name, why in bad.items()], most=2)
        name, _, secret = next(iter(bad)).partition("/")
        yield Finding(
            check="secrets",
            state="ill",
            what=f"{len(bad)} of {len(sealed)} Secrets are not unsealed: {told}",
            command=f"kubectl describe sealedsecret {secret} -n {name} ({_SEALING})",
        )
    else:
        yield Finding(check="secrets", state="ok", what=f"{len(sealed)} Secrets are unsealed")


def _why(each: Opened) -> str:
    """Why a Secret is not as its SealedSecret says; "" if it is."""
    if each.secret is None:
        return "no Secret" if each.is_synced or not each.has_status else each.message
    if not each.is_of_this_one:
        return "the Secret is of a SealedSecret that is gone"
    return "" if each.is_synced or not each.has_status else each.message


def sealing_certificate(read: Reading) -> Iterator[Finding]:
    """How long the program can seal. What is sealed already stays readable."""
    if isinstance(read.settings.secrets, ExternalDelivery):
        what = "nothing is sealed here: the estate's secret store delivers"
        yield Finding(check="sealing-certificate", state="ok", what=what)
        return
    try:
        certificate = load_certificate(read.of("sealing certificate"), check_dates=False)
    except SealingError as error:
        yield Finding(
            check="sealing-certificate",
            state="ill",
            what=f"the program cannot seal with its certificate: {error}",
            command=_SEALING,
        )
        return
    yield _end(
        read,
        "sealing-certificate",
        "the sealing certificate",
        certificate.not_valid_after_utc,
        command=_SEALING,
    )


def tls_certificate(read: Reading) -> Iterator[Finding]:
    """The certificate of the registry's host, in the Secret that this stack knows."""
    known = read.of("tls certificate")
    check = "tls-certificate"
    if known is None:
        what = "the listener's own certificate, which this stack does not know"
        yield Finding(check=check, state="ok", what=what)
        return
    name, pem = known
    if pem is None:
        namespace, _, secret = name.partition("/")
        yield Finding(
            check=check,
            state="ill",
            what=f"Secret {name} is not there, or has no tls.crt: no client trusts the registry",
            command=f"kubectl describe certificate,secret -n {namespace} {secret}",
        )
        return
    yield _of_pem(read, check, f"the certificate in Secret {name}", pem, command=_CERTIFICATES)


def token_certificate(read: Reading) -> Iterator[Finding]:
    """The certificate with which core signs tokens; without it every pull fails."""
    pem, check = read.of("token certificate"), "token-certificate"
    number = read.settings.rotation.token_certificate + 1
    command = (
        f"{set_value('rotation.tokenCertificate', str(number), read.stack)} && "
        f"{run('up', read.stack)}"
    )
    if pem is None:
        yield Finding(
            check=check,
            state="ill",
            what="the Secret with the certificate that signs tokens is not there",
            command=run("up --refresh", read.stack),
        )
        return
    yield _of_pem(read, check, "the certificate that signs tokens", pem, command=command)


def _of_pem(read: Reading, check: str, what: str, pem: str, *, command: str) -> Finding:
    try:
        end = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        return Finding(check=check, state="ill", what=f"{what} is no certificate", command=command)
    return _end(read, check, what, end, command=command)


def _end(read: Reading, check: str, what: str, end: dt.datetime, *, command: str) -> Finding:
    left = end - read.now
    state: State = "ok"
    if left < dt.timedelta(days=CRITICAL_DAYS):
        state = "ill"
    elif left < dt.timedelta(days=read.settings.monitoring.thresholds.certificate_days):
        state = "warning"
    when = f"ended {read.age.of(end)} ago" if end <= read.now else f"ends in {read.age.of(end)}"
    return Finding(
        check=check,
        state=state,
        what=f"{what} {when} ({end:%Y-%m-%d})",
        command="" if state == "ok" else command,
    )


def robots(read: Reading) -> Iterator[Finding]:
    """Logins of machines that end soon, or have ended."""
    limit = dt.timedelta(days=read.settings.monitoring.thresholds.robot_days)
    ended: list[str] = []
    soon: list[str] = []
    rows = [row for row in read.of("robots") if not row["disable"]]
    for row in rows:
        if (row["expires_at"] or -1) <= 0:
            continue
        end = dt.datetime.fromtimestamp(row["expires_at"], dt.UTC)
        if end <= read.now:
            ended.append(f"{row['name']} on {end:%Y-%m-%d}")
        elif end - read.now <= limit:
            soon.append(f"{row['name']} in {read.age.of(end)}")
    yield from of_two_degrees(
        "robots",
        ill=("logins of robots have ended", ended),
        near=("logins of robots end soon", soon),
        ok=f"{len(rows)} robots, none ends soon",
        command="docs/runbooks/robot-expired.md",
    )


def login(read: Reading) -> Iterator[Finding]:
    """Whether Harbor takes the passwords that the cluster's Secrets have."""
    refused = {who: why for who, why in read.of("login").items() if why}
    if not refused:
        what = f"Harbor takes the logins of {', '.join(read.of('login'))}"
        yield Finding(check="login", state="ok", what=what)
    for who, why in refused.items():
        told = for_stack(why, read.stack)
        yield Finding(
            check="login",
            state="ill",
            what=f"Harbor refuses the login of {who}: {told.partition('. ')[0]}",
            command=told.partition(". ")[2] or run("up --refresh", read.stack),
        )
