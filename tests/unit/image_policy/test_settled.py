"""The policies as they are applied, whole: a cluster that runs sees no change of them by chance.

What they admit is tried in tests/sandbox/, where a real Kyverno reads them: it ignores no key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.image_policy import component
from tests.support.builders import Build, config
from tests.support.golden import compare, registered
from tests.support.mocks import Engine
from tests.unit.image_policy.test_signatures import pem_of

GOLDEN = Path(__file__).parent / "golden"
SIGNATURES: dict[str, Any] = {
    "projects": ["platform", "tools"],
    "publicKey": pem_of(ec.derive_private_key(7, ec.SECP256R1())),
}
ENFORCED: dict[str, Any] = {
    **SIGNATURES,
    **{"action": "Enforce", "failurePolicy": "Fail", "timeoutSeconds": 20},
    **{"rekorUrl": "https://rekor.example.com", "pullSecret": "harbor-pull"},
}
CACHES: dict[str, Any] = {
    "proxyCaches": {
        "ghcr": {"upstream": {"type": "github-ghcr"}},
        "hub": {"upstream": {"type": "docker-hub"}},
    }
}
GATEWAY: dict[str, Any] = {
    "gateway": {"kind": "namespace", "namespace": "traefik"},
    "apiServer": {"cidr": "10.0.0.0/24"},
}


@pytest.mark.parametrize(
    ("estate", "policy", "sections"),
    [
        ("reports", {}, {}),
        ("reports-unsigned", {"signatures": SIGNATURES}, {}),
        (
            "refuses",
            {"enforcement": "Enforce", "rewrite": {"enabled": True}, "signatures": ENFORCED},
            {"registry": CACHES, "networkPolicies": GATEWAY},
        ),
        (
            "old-refuses",
            {
                **{"kind": "ClusterPolicy", "enforcement": "Enforce"},
                "signatures": {**ENFORCED, "failurePolicy": "Ignore"},
                "extraPrefixes": ["harbor.example.com/tools/"],
            },
            {},
        ),
        (
            "old-reports-unsigned",
            {
                **{"kind": "ClusterPolicy", "signatures": SIGNATURES},
                "unchangedPods": {"ofOperators": False, "labels": []},
            },
            {},
        ),
    ],
)
def test_a_stack_that_says_nothing_new_keeps_its_policies(
    engine: Engine, build: Build, estate: str, policy: dict[str, Any], sections: dict[str, Any]
) -> None:
    def create(context: Context) -> None:
        harbor = CustomResource("harbor", api_version="v1", kind="ConfigMap")
        component.create(config(imagePolicy=policy, **sections), context, harbor.id)

    build(create)
    compare(registered(engine), GOLDEN / f"{estate}.yaml")
