"""Stand-in for pulumi-tls: private keys and self-signed certificates, really generated.

Names and defaults are those of pulumi-tls 5.6.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from offline.plugins import certificates
from offline.plugins.provider import StandInProvider, serve
from offline.plugins.resources import CannotError, ResourceKind, from_table

_CURVES: Mapping[str, Callable[[], ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}

_PEM = serialization.Encoding.PEM


class PrivateKey(ResourceKind):
    defaults: ClassVar[Mapping[str, Any]] = {"ecdsaCurve": "P224", "rsaBits": 2048}
    computed: ClassVar[tuple[str, ...]] = (
        "privateKeyPem",
        "privateKeyPemPkcs8",
        "privateKeyOpenssh",
        "publicKeyPem",
        "publicKeyOpenssh",
        "publicKeyFingerprintMd5",
        "publicKeyFingerprintSha256",
    )
    secret: ClassVar[frozenset[str]] = frozenset(computed[:3])

    def problems(self, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        problems: list[tuple[str, str]] = []
        algorithm, curve = inputs.get("algorithm"), inputs["ecdsaCurve"]
        if algorithm not in ("RSA", "ECDSA", "ED25519"):
            problems.append(("algorithm", f"is {algorithm!r}; it must be RSA, ECDSA or ED25519"))
        if curve not in _CURVES:
            problems.append(("ecdsaCurve", f"is {curve!r}; it must be one of {', '.join(_CURVES)}"))
        if inputs["rsaBits"] < 1024:
            problems.append(("rsaBits", f"is {inputs['rsaBits']}; it must be at least 1024"))
        return problems

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        key = _generate(inputs)
        public = key.public_key()
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # OpenSSH knows no P-224; pulumi-tls leaves these empty for it.
        has_openssh = not isinstance(getattr(key, "curve", None), ec.SECP224R1)
        openssh = public.public_bytes(*_OPENSSH).decode() if has_openssh else ""
        blob = base64.b64decode(openssh.split()[1]) if openssh else b""
        sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        pkcs8 = _private(key, serialization.PrivateFormat.PKCS8)
        outputs = {
            # The algorithm's own format; Ed25519 has none but PKCS#8.
            "privateKeyPem": pkcs8
            if isinstance(key, ed25519.Ed25519PrivateKey)
            else _private(key, serialization.PrivateFormat.TraditionalOpenSSL),
            "privateKeyPemPkcs8": pkcs8,
            "privateKeyOpenssh": _private(key, serialization.PrivateFormat.OpenSSH)
            if openssh
            else "",
            "publicKeyPem": public.public_bytes(
                _PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            "publicKeyOpenssh": f"{openssh}\n" if openssh else "",
            "publicKeyFingerprintMd5": hashlib.md5(blob, usedforsecurity=False).digest().hex(":")
            if openssh
            else "",
            "publicKeyFingerprintSha256": f"SHA256:{sha256}" if openssh else "",
        }
        return hashlib.sha1(der, usedforsecurity=False).hexdigest(), outputs


class SelfSignedCert(ResourceKind):
    defaults: ClassVar[Mapping[str, Any]] = {
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "setAuthorityKeyId": False,
        "setSubjectKeyId": False,
    }
    computed: ClassVar[tuple[str, ...]] = (
        "certPem",
        "keyAlgorithm",
        "readyForRenewal",
        "validityStartTime",
        "validityEndTime",
    )
    secret: ClassVar[frozenset[str]] = frozenset({"privateKeyPem"})

    def problems(self, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        problems: list[tuple[str, str]] = []
        if not inputs.get("privateKeyPem"):
            problems.append(("privateKeyPem", "is missing; the stand-in needs it"))
        if not isinstance(inputs.get("validityPeriodHours"), int):
            problems.append(("validityPeriodHours", "must be a whole number of hours"))
        unknown = [use for use in inputs.get("allowedUses", []) if not certificates.is_use(use)]
        if unknown:
            problems.append(("allowedUses", f"has no such use: {', '.join(unknown)}"))
        return problems

    def replaces(self, key: str) -> bool:
        return key != "earlyRenewalHours"

    def expired(self, state: Mapping[str, Any]) -> list[str]:
        return ["readyForRenewal"] if _ready_for_renewal(state) else []

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        now = datetime.now(UTC).replace(microsecond=0)
        end = now + timedelta(hours=inputs["validityPeriodHours"])
        try:
            certificate, algorithm = certificates.self_signed(inputs, now, end)
        except ValueError as error:
            raise CannotError(f"cannot make the certificate {name!r}: {error}") from error
        return str(certificate.serial_number), {
            "certPem": certificate.public_bytes(_PEM).decode(),
            "keyAlgorithm": algorithm,
            "readyForRenewal": False,
            "validityStartTime": _rfc3339(now),
            "validityEndTime": _rfc3339(end),
        }

    def update(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        ready = _ready_for_renewal({**state, **inputs})
        return {**super().update(state, inputs), "readyForRenewal": ready}


KINDS: Mapping[str, ResourceKind] = {
    "tls:index/privateKey:PrivateKey": PrivateKey(),
    "tls:index/selfSignedCert:SelfSignedCert": SelfSignedCert(),
}

_OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def provider(engine_address: str = "") -> StandInProvider:
    return StandInProvider("tls", from_table(KINDS), engine_address=engine_address)


def main(arguments: list[str]) -> None:
    serve(provider(arguments[-1] if arguments else ""))


def _generate(inputs: Mapping[str, Any]) -> certificates.Key:
    if inputs["algorithm"] == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=inputs["rsaBits"])
    if inputs["algorithm"] == "ECDSA":
        return ec.generate_private_key(_CURVES[inputs["ecdsaCurve"]]())
    return ed25519.Ed25519PrivateKey.generate()


def _private(key: certificates.Key, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(_PEM, form, serialization.NoEncryption()).decode()


def _ready_for_renewal(state: Mapping[str, Any]) -> bool:
    end = state.get("validityEndTime")
    early = state.get("earlyRenewalHours") or 0
    # A preview of a new certificate has no dates yet.
    if not isinstance(end, str) or not isinstance(early, int):
        return False
    return datetime.now(UTC) >= datetime.fromisoformat(end) - timedelta(hours=early)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
