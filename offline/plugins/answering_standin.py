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
_ACCOUNT = "000000000000"
_REGION = "eu-central-1"


class AnsweredResource(ResourceKind):
    """Any resource at all: what was asked for is what there is."""

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


def _load_balancers(args: Mapping[str, Any]) -> dict[str, Any]:
    return {**args, "id": "standin-load-balancers", "loadBalancers": [_load_balancer({})]}


def _zone(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": args.get("id", 1),
        "name": args.get("name", "standin.example"),
        "mode": "primary",
        "ttl": 3600,
        "labels": {},
        "deleteProtection": False,
        "primaryNameservers": [],
        "authoritativeNameservers": {"assigneds": []},
        "registrar": "unknown",
        "withSelector": args.get("withSelector", ""),
    }


def _caller_identity(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": _ACCOUNT,
        "accountId": _ACCOUNT,
        "arn": f"arn:aws:iam::{_ACCOUNT}:user/standin",
        "userId": "standin",
    }


def _partition(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "aws",
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def _region(args: Mapping[str, Any]) -> dict[str, Any]:
    region = args.get("region") or args.get("name") or _REGION
    return {
        "id": region,
        "name": region,
        "region": region,
        "endpoint": f"ec2.{region}.amazonaws.com",
        "description": "stand-in",
    }


INVOCATIONS: Mapping[str, Mapping[str, Invocation]] = {
    "hcloud": {
        "hcloud:index/getLoadBalancer:getLoadBalancer": _load_balancer,
        "hcloud:index/getLoadBalancers:getLoadBalancers": _load_balancers,
        "hcloud:index/getZone:getZone": _zone,
    },
    "aws": {
        "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
        "aws:index/getPartition:getPartition": _partition,
        "aws:index/getRegion:getRegion": _region,
    },
}


def provider(package: str, engine_address: str = "") -> StandInProvider:
    return StandInProvider(
        package,
        kind_of,
        INVOCATIONS[package],
        # An answer about somebody's real estate would be a lie.
        reads_elsewhere=False,
        engine_address=engine_address,
    )


def main(package: str, arguments: list[str]) -> None:
    serve(provider(package, arguments[-1] if arguments else ""))
