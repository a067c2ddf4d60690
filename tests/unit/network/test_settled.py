"""What the perimeter registers, whole: a Sovereign that runs sees no change of it by chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

from components.context import Context
from components.network import dns, exposure, policies
from tests.support.builders import Build, config
from tests.support.golden import compare, registered
from tests.support.mocks import Engine

GOLDEN = Path(__file__).parent / "golden"
PERIMETER: dict[str, Any] = {
    "exposure": {"kind": "ingress", "className": "nginx", "clusterIssuer": "letsencrypt"},
    "dns": {"kind": "hetzner", "zone": "omani.works", "loadBalancer": {"name": "ingress"}},
    "networkPolicies": {
        **{"cni": "cilium", "gateway": {"kind": "namespace", "namespace": "ingress-nginx"}},
    },
}


def test_a_stack_that_says_nothing_new_keeps_its_perimeter(engine: Engine, build: Build) -> None:
    def create(context: Context) -> None:
        stack = config(secrets={"dnsToken": pulumi.Output.secret("token")}, **PERIMETER)
        policies.create(stack, context)
        exposure.create(stack, context)
        dns.create(stack, context)

    build(create)
    compare(registered(engine), GOLDEN / "registered.yaml")
