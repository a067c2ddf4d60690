"""Sealing certificates for tests, made as the sealed-secrets controller makes its own."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC)
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def certificate_of(
    key: PrivateKey, *, begins: dt.datetime | None = None, ends: dt.datetime | None = None
) -> str:
    """PEM of a self-signed certificate, valid from an hour ago for ten years unless said."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secrets")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins or NOW - dt.timedelta(hours=1))
        .not_valid_after(ends or NOW + dt.timedelta(days=3650))
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()
