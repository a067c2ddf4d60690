"""Rule: no secret stands readable in a property. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from policy.resource import RELEASE, UNKNOWN, Problems, Resource, Sovereign, words

SECRET: Final = "kubernetes:core/v1:Secret"
_OWNER_KEY: Final = "sovereign-harbor-owner"
_PUSHED: Final = "-pushed"
"""Key of the Secrets from which values are pushed, and how their names end
(components/delivery/objects.py)."""
_ENCRYPTED: Final = frozenset(
    {
        ("pulumi-python:dynamic/delivery:Handover", "data"),
        (SECRET, "data"),
        ("pulumi-python:dynamic/sealing:Seal", "data"),
        ("tls:index/selfSignedCert:SelfSignedCert", "privateKeyPem"),
        ("sovereign-registry:index:Configuration", "secrets"),
        ("sovereign-registry:index:Endpoint", "password"),
        ("sovereign-registry:index:Robot", "secret"),
        ("sovereign-registry:index:Webhook", "authorization"),
    }
)
_SECRET_NAMES: Final = frozenset(
    {
        ("pulumi:providers:sovereign-registry", "adminSecret"),
        ("pulumi:providers:sovereign-registry", "accountSecret"),
    }
)
"""Inputs that name a Secret of the cluster, as their own names do not say."""


def is_encrypted(type_: str, key: str) -> bool:
    """Whether an input is meant to hold a secret: those of _ENCRYPTED, and tokens of providers.

    The engine encrypts such inputs in the state but hands them to policies in plain text, so a
    policy cannot see whether they are secrets to the engine; review/rules.py checks that.
    """
    if (type_, key) in _SECRET_NAMES:
        return False
    is_provider = type_.startswith("pulumi:providers:")
    return (type_, key) in _ENCRYPTED or (is_provider and names_a_secret(key))


# Values of these shapes are secrets, whatever their property is called.
_SHAPES: Final[Mapping[str, re.Pattern[str]]] = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "an access key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abprs]-[\w-]{10,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+"),
    "a password's hash": re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"),
    # A password that is a reference, $(NAME) or ${NAME}, is none.
    "a URL with a password": re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:(?!\$[({])[^/\s@]+@"),
    "a kubeconfig's key": re.compile(r"client-key-data:"),
}

_SECRET_WORDS: Final = frozenset(
    {
        "password",
        "passwd",
        "htpasswd",
        "passphrase",
        "secret",
        "token",
        "credential",
        "credentials",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
    }
)
_SECRET_PAIRS: Final = frozenset(
    {
        ("access", "key"),
        ("secret", "key"),
        ("api", "key"),
        ("private", "key"),
        ("admin", "pass"),
        ("csrf", "key"),
        ("xsrf", "key"),
        ("storage", "key"),
        ("account", "key"),
    }
)
# existingSecret, tlsSecret …: names of Secrets, not secrets.
_REFERENCES: Final = frozenset({"existing", "tls", "pull", "ca", "image"})

_LABELS: Final = frozenset({"labels", "annotations", "podLabels", "podAnnotations"})

_SHORTEST_SEALED: Final = 300
"""In base64 characters. A sealed value begins with 258 bytes (a length, and a key encrypted by RSA
2048), which are 344."""


PUBLIC: Final = (
    "the stack's file is encrypted with a passphrase that everybody knows, the sandbox's or an "
    "empty one: whoever has the file has its secrets"
)


def no_plaintext_secret(resource: Resource, sovereign: Sovereign) -> Problems:
    """No value is a secret, by its shape or its property's name; names of Secrets and references to
    variables are none. Encryption with a passphrase that everybody knows counts as none."""
    # Every stack has one release, so the file is reported once.
    if resource.type == RELEASE and sovereign.has_public_secrets:
        yield PUBLIC
    if resource.type == SECRET:
        if resource.props.get("stringData") or (
            resource.props.get("data") and not _is_pushed(resource)
        ):
            yield "a Secret's data would stand readable in the state; use a SealedSecret"
        return
    for path, value in resource.leaves():
        if not isinstance(value, str) or is_encrypted(resource.type, path[0]):
            continue
        where = ".".join(path)
        if path[:2] == ("spec", "encryptedData"):
            if resource.kind == "SealedSecret" and not _is_sealed(value):
                yield f"{where} is not sealed"
            continue
        shape = next((what for what, shape in _SHAPES.items() if shape.search(value)), None)
        if shape is not None:
            yield f"{where} holds {shape}"
        elif (
            _names_a_key(resource.kind, path)
            or _LABELS & set(path)
            or (resource.type, path[0]) in _SECRET_NAMES
        ):
            continue  # keys chosen by others, whose words say nothing about the value
        elif names_a_secret(_property(path, resource.props)) and not _is_reference(value):
            yield f"{where} holds a secret in plain text"


def _names_a_key(kind: str, path: Sequence[str]) -> bool:
    """Whether a value is the name of a key of a Secret, and not what the key holds."""
    return kind in ("ExternalSecret", "PushSecret") and path[-1] == "secretKey"


def _is_pushed(resource: Resource) -> bool:
    """Whether a Secret is one from which a value goes into the estate's store. review/rules.py
    checks that the engine encrypts its data."""
    data = resource.props.get("data")
    if data is UNKNOWN:  # as a whole, in a preview without a cluster
        return str(resource.at("metadata.name")).endswith(_PUSHED)
    return isinstance(data, Mapping) and _OWNER_KEY in data


def _property(path: Sequence[str], props: Mapping[str, Any]) -> str:
    """The name that says what a value is: its key, or the `name` of an environment variable."""
    if path[-1] != "value" or len(path) < 2:
        return path[-1]
    owner: Any = props
    for key in path[:-1]:
        owner = owner[int(key)] if isinstance(owner, list | tuple) else owner[key]
    return str(owner.get("name", path[-1]))


def names_a_secret(name: str) -> bool:
    """Whether a property of this name holds a secret, as `password` and `s3SecretKey` do."""
    parts = words(name)
    if not parts or _REFERENCES & set(parts):
        return False
    return parts[-1] in _SECRET_WORDS or tuple(parts[-2:]) in _SECRET_PAIRS


def _is_reference(value: str) -> bool:
    variable = re.fullmatch(r"\$(\(\w+\)|\{\w+\})", value)
    # In an ExternalSecret: the value that the operator fetches.
    template = re.fullmatch(r"\{\{ \.\w+( \|[^{}]*)? \}\}", value)
    return value == "" or variable is not None or template is not None


def _is_sealed(value: str) -> bool:
    return len(value) >= _SHORTEST_SEALED and re.fullmatch(r"[A-Za-z0-9+/=]+", value) is not None
