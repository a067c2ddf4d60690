"""Stand-ins for pulumi-hcloud and pulumi-aws that only answer: nothing is sent anywhere.

Made-up ids begin with `standin-`, addresses are the documentation ranges of RFC 5737 and RFC 3849.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from offline.plugins.provider import Invocation, StandInProvider, serve
from offline.plugins.resources import CannotError, ResourceKind

# Inputs whose change makes a new resource, for the types a Sovereign uses.
_REPLACED_BY = {
    "hcloud:index/zone:Zone": {"name", "mode"},
    "hcloud:index/zoneRrset:ZoneRrset": {"zone", "name", "type"},
    "hcloud:index/zoneRecord:ZoneRecord": {"zone", "name", "type", "value"},
    "aws:s3/bucket:Bucket": {"bucket", "bucketPrefix", "objectLockEnabled"},
    "aws:iam/accessKey:AccessKey": {"user"},
}


class AnsweredResource(ResourceKind):
    """A resource of any type: its state is its inputs."""

    def __init__(self, token: str) -> None:
        self._token = token

    def replaces(self, key: str) -> bool:
        return key in _REPLACED_BY.get(self._token, ())

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return f"standin-{name}-{uuid.uuid4().hex[:8]}", {}

    def adopt(self, identifier: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        raise CannotError(f"cannot look up {identifier!r}: it asks no cloud")


class Bucket(AnsweredResource):
    computed = ("bucket", "arn")

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        made_up, _ = super().create(name, inputs)
        bucket = inputs.get("bucket") or made_up
        return bucket, {"bucket": bucket, "arn": f"arn:aws:s3:::{bucket}"}


class AccessKey(AnsweredResource):
    computed = ("secret",)
    secret = frozenset(computed)

    def create(self, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        made_up, _ = super().create(name, inputs)
        return made_up, {"secret": f"secret-of-{made_up}"}


_KINDS: Mapping[str, type[AnsweredResource]] = {
    "aws:s3/bucket:Bucket": Bucket,
    "aws:iam/accessKey:AccessKey": AccessKey,
}


def kind_of(token: str) -> ResourceKind:
    return _KINDS.get(token, AnsweredResource)(token)


def _load_balancer(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "algorithms": [{"type": "round_robin"}],
        "deleteProtection": False,
        "id": args.get("id", 1),
        "ipv4": "192.0.2.10",
        "ipv4Id": 1,
        "ipv6": "2001:db8::10",
        "ipv6Id": 2,
        "labels": {},
        "loadBalancerType": "lb11",
        "location": "fsn1",
        "name": args.get("name", "standin-load-balancer"),
        "networkId": 0,
        "networkIp": "",
        "networkZone": "eu-central",
        "services": [],
        "targets": [],
        "withSelector": args.get("withSelector", ""),
    }


_INVOCATIONS: Mapping[str, Mapping[str, Invocation]] = {
    "hcloud": {"hcloud:index/getLoadBalancer:getLoadBalancer": _load_balancer},
    "aws": {},
}


def provider(package: str, engine_address: str = "") -> StandInProvider:
    return StandInProvider(
        package,
        kind_of,
        _INVOCATIONS[package],
        # What exists at the vendor is not known here, and an invented answer would mislead.
        reads_elsewhere=False,
        engine_address=engine_address,
    )


def main(package: str, arguments: list[str]) -> None:
    serve(provider(package, arguments[-1] if arguments else ""))
