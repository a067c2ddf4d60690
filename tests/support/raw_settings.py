"""Raw configs of a stack, as they stand in its file, and what becomes of them."""

from __future__ import annotations

import json
import shlex
from typing import Any

from components.settings.model import Settings
from components.settings.reading import refusals
from components.settings.reading.refusals import Reading
from components.settings.schema.rules import is_for_the_shell

ACCESS_KEY = "ACCESSKEYOF20CHARACT"
SECRET_KEY = "a-secret-key-of-exactly-40-characters-xx"
DNS_TOKEN = "a-token-of-exactly-64-characters" * 2
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----\n"

GOOD: dict[str, Any] = {
    "fqdn": "omantel.omani.works",
    "cluster": {"name": "omantel"},
    "storage": {"kind": "hetzner", "region": "fsn1", "bucket": "omantel-harbor"},
}
S3: dict[str, Any] = {
    "kind": "s3",
    "endpoint": "https://s3.example.com",
    "region": "us-east-1",
    "bucket": "omantel-harbor",
}
AWS: dict[str, Any] = {"kind": "aws", "region": "eu-central-1", "bucket": "omantel-harbor"}
SHARED_DATABASE: dict[str, Any] = {
    "mode": "shared",
    "host": "pg-rw.databases",
    "username": "harbor",
    "secret": {"namespace": "databases", "name": "pg-app"},
}
TENANT_DATABASE: dict[str, Any] = {
    "mode": "shared",
    "create": {"cluster": "gitlab-postgres", "namespace": "gitlabbda"},
}
SHARED_VALKEY: dict[str, Any] = {
    "mode": "shared",
    "host": "valkey-primary.valkey",
    "secret": {"namespace": "valkey", "name": "valkey", "key": "valkey-password"},
}
DNS: dict[str, Any] = {
    "kind": "hetzner",
    "zone": "omani.works",
    "loadBalancer": {"name": "omantel"},
}
SANDBOX_ENVIRONMENT = {
    "SANDBOX_KUBE_CONTEXT": "kwok-sandbox",
    "SANDBOX_S3_ENDPOINT": "http://127.0.0.1:7070",
    "SANDBOX_S3_ACCESS_KEY": "sandbox",
    "SANDBOX_S3_SECRET_KEY": "sandbox-secret",
    "SANDBOX_SEALING_CERTIFICATE": "/tmp/sandbox/sealing.pem",
}


def merged(path: str, value: Any, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """GOOD with one value changed at a dotted path; `...` removes it."""
    raw: dict[str, Any] = json.loads(json.dumps({**GOOD, **(base or {})}))
    *parents, last = path.split(".")
    section = raw
    for key in parents:
        section = section.setdefault(key, {})
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return raw


def read(raw: dict[str, Any]) -> Reading:
    return refusals.read(raw, stack="omantel")


def accepted(path: str, value: Any, base: dict[str, Any] | None = None) -> Settings:
    reading = read(merged(path, value, base))
    assert reading.refusals == (), "\n".join(map(str, reading.refusals))
    assert reading.settings is not None
    return reading.settings


def set_path(path: str, value: str) -> str:
    """The command that sets a key of a section."""
    shown = value if is_for_the_shell(value) else shlex.quote(value)
    return f"pulumi config set --path '{path}' {shown} -s omantel"
