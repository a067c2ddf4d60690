"""A Secret of somebody else under a name of this program's is found before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from components.preflight import plain_secrets
from tests.support import builders
from tests.support.builders import AWS, AZURE, FILESYSTEM, KEYLESS_GCS, NODE_ROLE, Cluster

PATH = "/api/v1/namespaces/harbor/secrets/harbor-valkey-credentials"
MANAGED = "sealedsecrets.bitnami.com/managed"


def secret(owner: str | None = None, **annotations: str) -> dict[str, Any]:
    owners = [] if owner is None else [{"kind": owner}]
    return {"metadata": {"ownerReferences": owners, "annotations": annotations}}


@pytest.mark.parametrize("in_the_way", [secret(), secret("ExternalSecret"), {"metadata": {}}])
def test_it_is_refused_with_the_command_that_mends_it(in_the_way: dict[str, Any]) -> None:
    client: Any = Cluster({PATH: in_the_way})
    (problem,) = plain_secrets.problems(client, builders.config())
    command = f"kubectl annotate secret harbor-valkey-credentials -n harbor {MANAGED}=true"
    assert problem.endswith(command)


@pytest.mark.parametrize(
    "accepted",
    [
        None,
        secret("SealedSecret"),
        secret(**{MANAGED: "true"}),
        secret(**{"sealedsecrets.bitnami.com/patch": "true"}),
    ],
)
def test_what_the_controller_writes_over_is_accepted(accepted: dict[str, Any] | None) -> None:
    client: Any = Cluster({PATH: accepted})
    assert plain_secrets.problems(client, builders.config()) == []


@pytest.mark.parametrize(
    ("storage", "has_credentials", "has_seam"),
    [
        (builders.BUCKET, True, True),
        (AWS, True, True),
        (NODE_ROLE, False, True),
        (AZURE, True, False),
        (KEYLESS_GCS, False, False),
        (FILESYSTEM, False, False),
    ],
)
def test_every_storage_kind_is_asked_for_the_secrets_that_it_makes(
    storage: dict[str, Any], has_credentials: bool, has_seam: bool
) -> None:
    made = {
        name for _, name in plain_secrets.names(builders.settings(storage=storage), given=set())
    }
    assert ("harbor-objectstorage-credentials" in made) is has_credentials
    assert ("object-storage" in made) is has_seam
