"""What a restore drill makes in the cluster, and what may reach it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.settings.model import Settings
from operations.drill_objects import CLUSTER, Manifest, manifests, namespace_of, policies
from tests.support.builders import BACKUP, settings

NETWORK = {"cni": "cilium", "gateway": {"kind": "cilium"}}
PLAIN = {
    "cni": "other",
    "gateway": {"kind": "namespace", "namespace": "ingress"},
    "apiServer": {"cidr": "10.0.0.1/32"},
}


def made(image: str | None = None, **sections: Any) -> list[Manifest]:
    given: Any = settings(backup=BACKUP, **sections)
    return [
        *manifests(
            given,
            given.database,
            given.backup,
            server="harbor-pg-1a2b3c4d",
            credentials={"access-key": "ACCESS", "secret-key": "SECRET"},
            image=image,
            run="run",
        )
    ]


def bodies(**sections: Any) -> dict[str, Any]:
    return {str(each.body["kind"]): each.body for each in made(**sections)}


@pytest.mark.parametrize(
    ("harbor", "namespace"),
    [
        ("harbor", "harbor-drill"),
        ("h" * 63, "h" * 57 + "-drill"),
        ("h" * 56 + "-" + "i" * 6, "h" * 56 + "-drill"),
    ],
)
def test_the_namespace_is_named_after_harbor_s_and_is_another_one(
    harbor: str, namespace: str
) -> None:
    assert namespace_of(harbor) == namespace
    assert namespace != harbor
    assert len(namespace) <= 63


def test_everything_is_in_the_drill_s_namespace_and_the_cluster_comes_last() -> None:
    first, *rest = made()
    assert (first.body["kind"], first.body["metadata"]["name"]) == ("Namespace", "harbor-drill")
    assert {each.body["metadata"]["namespace"] for each in rest} == {"harbor-drill"}
    assert all("/namespaces/harbor-drill/" in each.collection for each in rest)
    assert rest[-1].path.endswith("/clusters/harbor-pg-drill")


def test_the_database_is_restored_to_the_last_moment_and_archives_nowhere() -> None:
    spec = bodies()["Cluster"]["spec"]
    assert "plugins" not in spec
    assert "backup" not in spec
    assert list(spec["bootstrap"]) == ["recovery"]
    assert "recoveryTarget" not in spec["bootstrap"]["recovery"]
    (source,) = spec["externalClusters"]
    assert source["plugin"]["parameters"] == {
        "barmanObjectName": "harbor-pg",
        "serverName": "harbor-pg-1a2b3c4d",
    }
    assert source["name"] == spec["bootstrap"]["recovery"]["source"]
    assert spec["instances"] == 1


def test_the_bucket_is_only_read() -> None:
    store = bodies()["ObjectStore"]["spec"]
    assert "retentionPolicy" not in store
    assert store["configuration"]["destinationPath"] == "s3://omantel-backup/"


def test_the_keys_are_copied_as_they_are() -> None:
    data = bodies()["Secret"]["data"]
    assert base64.b64decode(data["secret-key"]) == b"SECRET"


@pytest.mark.parametrize(
    ("living", "image"),
    [
        ("example.com/postgresql:16.4", "example.com/postgresql:16.4"),
        (None, "ghcr.io/cloudnative-pg/postgresql:17.5"),
    ],
)
def test_the_postgresql_that_made_the_backup_restores_it(living: str | None, image: str) -> None:
    database = {"image": "ghcr.io/cloudnative-pg/postgresql:17.5"}
    cluster = made(living, database=database)[-1].body
    assert cluster["spec"]["imageName"] == image


def test_the_restored_database_is_as_large_as_the_living_one_and_evicts_nobody() -> None:
    spec = bodies(
        database={
            "storageSize": "40Gi",
            "storageClass": "fast",
            "walStorageSize": "8Gi",
            "maxConnections": 300,
            "instances": 3,
            "priorityClass": "registry",
            "nodeSelector": {"disk": "nvme"},
        }
    )["Cluster"]["spec"]
    assert spec["storage"] == {"size": "40Gi", "storageClass": "fast"}
    assert spec["walStorage"] == {"size": "8Gi", "storageClass": "fast"}
    assert spec["postgresql"]["parameters"]["max_connections"] == "300"
    assert spec["affinity"]["nodeSelector"] == {"disk": "nvme"}
    assert "priorityClassName" not in spec


def without_policies() -> Settings:
    return settings(backup=BACKUP, networkPolicies={**NETWORK, "enabled": False})


def test_without_network_policies_none_is_written() -> None:
    assert policies(without_policies()) == []


@pytest.mark.parametrize("network", [NETWORK, PLAIN], ids=["cilium", "plain"])
def test_no_pod_of_harbor_reaches_the_drill_and_it_reaches_none(network: dict[str, Any]) -> None:
    sections: dict[str, Any] = {
        "networkPolicies": network,
        "metrics": {"enabled": True, "serviceMonitor": True},
        "monitoring": {"enabled": True, "recordedMetrics": True},
    }
    written = policies(settings(backup=BACKUP, **sections))
    (plain,) = [each for each in written if each.kind == "NetworkPolicy"]
    assert plain.spec["podSelector"] == {"matchLabels": {"cnpg.io/cluster": CLUSTER}}
    assert plain.spec["policyTypes"] == ["Ingress", "Egress"]
    (incoming,) = plain.spec["ingress"]
    (operator,) = incoming["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "cnpg-system"
    }
    assert [port["port"] for port in incoming["ports"]] == [5432, 8000]
    assert "harbor" not in str(plain.spec["egress"])
    egress = [peer for rule in plain.spec["egress"] for peer in rule["to"]]
    assert all("ipBlock" in peer or "namespaceSelector" in peer for peer in egress)


def test_the_drill_reaches_what_the_estate_lets_the_database_reach() -> None:
    extra = {"party": "database", "direction": "egress", "cidr": "10.9.0.0/16", "ports": [9000]}
    inward = {**extra, "direction": "ingress", "cidr": "10.8.0.0/16"}
    network = {**PLAIN, "extraRules": [extra, inward]}
    (plain,) = policies(settings(backup=BACKUP, networkPolicies=network))
    assert "10.9.0.0/16" in str(plain.spec["egress"])
    assert "10.8.0.0/16" not in str(plain.spec)


def test_policies_are_posted_where_the_api_server_serves_them() -> None:
    collections = {
        str(each.body["kind"]): each.collection for each in made(networkPolicies=NETWORK)
    }
    base = "/namespaces/harbor-drill/"
    assert collections["NetworkPolicy"] == f"/apis/networking.k8s.io/v1{base}networkpolicies"
    assert collections["CiliumNetworkPolicy"] == f"/apis/cilium.io/v2{base}ciliumnetworkpolicies"
    assert collections["ObjectStore"] == f"/apis/barmancloud.cnpg.io/v1{base}objectstores"
    assert collections["Secret"] == f"/api/v1{base}secrets"
