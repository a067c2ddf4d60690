"""Sealing as the sealed-secrets controller opens it (bitnami/sealed-secrets, pkg/crypto). Pure."""

from __future__ import annotations

import base64
import datetime as dt
import os
import struct
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

SESSION_KEY_BYTES: Final = 32
ZERO_NONCE: Final = bytes(12)
"""Safe because each session key seals exactly one message."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class SealingError(ValueError):
    """A certificate or a value cannot be used for sealing; the text says why."""


def load_certificate(
    pem: str, *, now: dt.datetime | None = None, check_dates: bool = True
) -> x509.Certificate:
    """The first certificate of `pem`, fit for sealing at `now` (default: the clock's time, UTC).

    Raises SealingError when it is malformed, not of an RSA key of at least 2048 bits or, with
    `check_dates`, expired or not valid yet. The controller opens what an expired certificate
    sealed; kubeseal refuses one all the same, since an expired certificate is most often one of a
    cluster that is gone.
    """
    begin = pem.find(_BEGIN)
    end = pem.find(_END, begin)
    if begin < 0 or end < 0:
        raise SealingError("no PEM certificate in it")
    try:
        certificate = x509.load_pem_x509_certificate(pem[begin : end + len(_END)].encode())
        key = certificate.public_key()
        dates = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise SealingError(f"malformed certificate ({error})") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise SealingError("not the certificate of an RSA key of at least 2048 bits")
    if not check_dates:
        return certificate
    moment = now or dt.datetime.now(dt.UTC)
    not_before, not_after = dates
    if moment > not_after:
        raise SealingError(f"expired on {not_after:%Y-%m-%d}")
    if moment < not_before:
        raise SealingError(f"not valid before {not_before:%Y-%m-%d %H:%M}")
    return certificate


def certificate_text(content: bytes, name: str) -> str:
    """The content of a certificate's file as text. Raises SealingError for DER and UTF-16."""
    if content.startswith(b"\x30\x82"):
        raise SealingError(
            f"it is DER, not PEM; openssl x509 -inform DER -in {name} -out sealing.pem converts it"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SealingError(f"it is UTF-16; iconv -f UTF-16 -t UTF-8 {name} converts it")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SealingError("it is no text, so not PEM") from None


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate as 64 hex digits."""
    return certificate.fingerprint(SHA256()).hex()


def seal(value: bytes, *, namespace: str, name: str, certificate: x509.Certificate) -> str:
    """`value` as base64 text of SealedSecret.spec.encryptedData, in strict scope.

    Strict scope binds the ciphertext to `namespace` and `name`: in any other Secret the
    controller cannot open it. Different at every call (fresh session key).
    """
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise SealingError("not an RSA certificate")
    session_key = os.urandom(SESSION_KEY_BYTES)
    wrapped = key.encrypt(
        session_key,
        padding.OAEP(
            mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=f"{namespace}/{name}".encode()
        ),
    )
    sealed = AESGCM(session_key).encrypt(ZERO_NONCE, value, None)
    return base64.b64encode(struct.pack(">H", len(wrapped)) + wrapped + sealed).decode()
