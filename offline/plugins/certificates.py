"""Self-signed X.509 certificates from the inputs of tls.SelfSignedCert."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# `allowedUses` that are key usages, in cryptography's words.
_KEY_USAGES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
# `allowedUses` that are extended key usages. The last five have no name in cryptography.
_EXTENDED_USAGES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "ipsec_end_system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "microsoft_server_gated_crypto": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "country": NameOID.COUNTRY_NAME,
    "postalCode": NameOID.POSTAL_CODE,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


def is_use(name: str) -> bool:
    return name in _KEY_USAGES or name in _EXTENDED_USAGES


def self_signed(
    inputs: Mapping[str, Any], start: datetime, end: datetime
) -> tuple[x509.Certificate, str]:
    """The certificate and its key's algorithm. ValueError if the inputs cannot be used."""
    key = serialization.load_pem_private_key(inputs["privateKeyPem"].encode(), password=None)
    if not isinstance(key, Key):
        raise ValueError(f"privateKeyPem holds a {type(key).__name__}")
    public = key.public_key()
    name = _name(inputs.get("subject") or {})
    is_ca = bool(inputs["isCaCertificate"])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(is_ca, inputs.get("maxPathLength")), critical=True)
    )
    uses = inputs.get("allowedUses", [])
    usages = {attribute: use in uses for use, attribute in _KEY_USAGES.items()}
    if any(usages.values()):
        builder = builder.add_extension(x509.KeyUsage(**usages), critical=True)
    extended = [_EXTENDED_USAGES[use] for use in uses if use in _EXTENDED_USAGES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    alternatives = _alternatives(inputs)
    if alternatives:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(alternatives), critical=not list(name)
        )
    # A certificate authority's key has an identifier whether asked for or not (RFC 5280 4.2.1.2).
    if inputs["setSubjectKeyId"] or is_ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    if inputs["setAuthorityKeyId"]:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False
        )
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return builder.sign(key, None), "ED25519"
    algorithm = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "ECDSA"
    return builder.sign(key, hashes.SHA256()), algorithm


def _name(subject: Mapping[str, Any]) -> x509.Name:
    attributes: list[x509.NameAttribute[str]] = []
    for part, oid in _SUBJECT.items():
        value = subject.get(part) or []
        for text in [value] if isinstance(value, str) else value:
            attributes.append(x509.NameAttribute(oid, text))
    return x509.Name(attributes)


def _alternatives(inputs: Mapping[str, Any]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in inputs.get("dnsNames", [])),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in inputs.get("ipAddresses", [])),
        *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris", [])),
    ]
