"""The section `imagePolicy.signatures`: which images need our Cosign signature. Pure."""

import binascii
from dataclasses import replace
from typing import Annotated, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AfterValidator, model_validator

from components.settings.registry.names import project_problem
from components.settings.schema.rules import (
    ENDPOINT,
    OBJECT_NAME,
    Section,
    SettingRule,
    matching,
    refuse,
    whole_number,
)


def _p256(pem: str) -> ec.EllipticCurvePublicKey | None:
    """The key; None unless it is an EC P-256 public key, the kind that Cosign makes."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def _public_key(pem: str) -> str | None:
    if "PRIVATE KEY" in pem:
        return "this is a private key: whoever reads the stack's file could sign; replace it"
    if pem.count("-----BEGIN") > 1:
        return "one key, not several"
    return None if _p256(pem) is not None else ""


def _canonical(pem: str) -> str:
    """The key in one spelling, so that blank lines and line ends do not change the policy."""
    key = _p256(pem)
    if key is None:
        raise ValueError("not a P-256 public key")
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


PUBLIC_KEY = SettingRule(
    allowed="an EC P-256 public key in PEM (-----BEGIN PUBLIC KEY-----), which "
    "`cosign generate-key-pair` writes to cosign.pub",
    example="< cosign.pub",
    check=_public_key,
    conceal=True,
)
HARBOR_PROJECT = SettingRule(
    allowed="the name of a Harbor project: at most 255 lower-case letters, digits, and '.', '_' or "
    "'-' between",
    example="<project>",
    check=project_problem,
)
TIMEOUT = replace(
    whole_number(1, 20, example=10),
    allowed="a whole number from 1 to 20: one pod waits for it twice, besides 10 seconds for each "
    "other policy, and the API server gives up on a request after 60",
)


LOG = SettingRule(
    allowed="a URL https://host[:port]",
    example="https://rekor.sigstore.dev",
    check=matching(r"https://.*"),
    suggest=ENDPOINT.suggest,
)


class SignaturesSettings(Section):
    """Which images need our Cosign signature, and what happens to those without."""

    projects: tuple[Annotated[str, HARBOR_PROJECT], ...]
    """Harbor projects whose images have to be signed."""
    public_key: Annotated[str, PUBLIC_KEY, AfterValidator(_canonical)]
    """The only key whose signatures count."""
    action: Literal["Audit", "Enforce"] = "Audit"
    """Report images without our signature, or refuse them."""
    accept_refusals: bool = False
    """Enforce without Audit's reports, or although they name images that would be refused."""
    failure_policy: Literal["Ignore", "Fail"] = "Ignore"
    """Whether a pod is admitted (Ignore) or refused (Fail) while Kyverno does not answer, under
    Enforce."""
    timeout_seconds: Annotated[int, TIMEOUT] = 10
    """Seconds that the API server waits for Kyverno, which waits for Harbor. At least 10 with kind
    ClusterPolicy."""
    rekor_url: Annotated[str, LOG, ENDPOINT] | None = None
    """Transparency log in which every signature must be recorded; none when unset. With a log,
    Kyverno needs Sigstore's trust root from the internet."""
    pull_secret: (
        Annotated[str, replace(OBJECT_NAME, example="harbor-signatures", conceal=True)] | None
    ) = None
    """Secret in Kyverno's namespace with the credentials that read signatures; they are read
    anonymously when unset."""

    @model_validator(mode="after")
    def _names_projects(self) -> Self:
        if not self.projects:
            refuse("at least one; without signatures remove the section", at=("projects",))
        if len(set(self.projects)) < len(self.projects):
            refuse("the same one twice", at=("projects",))
        return self
