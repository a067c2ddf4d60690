"""The Sovereign's own Valkey."""

from typing import Any

import pytest

from components.context import Context
from components.data_services import cache
from components.data_services.cache import CacheAccess
from components.harbor_inputs import cache_secret
from tests.support import builders
from tests.support.builders import PASSWORD, Build, Cluster, config
from tests.support.mocks import MARK, SERVICE, STATEFUL_SET, Engine, is_secret
from tests.support.raw_settings import PEM


def pod_of(engine: Engine) -> dict[str, Any]:
    return engine.one(STATEFUL_SET)["spec"]["template"]


def test_the_cache_is_known_once_its_pod_is_ready(engine: Engine, build: Build) -> None:
    cache = build(builders.valkey)
    address, _, secret = engine.resolve(cache.cache)
    assert (address.host, address.port) == ("harbor-valkey", 6379)
    assert engine.sealed(address.secret_name) == cache_secret(address, PASSWORD)
    assert not secret


def test_the_service_leads_to_the_pods(engine: Engine, build: Build) -> None:
    build(builders.valkey)
    service, pod = engine.one(SERVICE), pod_of(engine)
    assert service["metadata"]["name"] == "harbor-valkey"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    selector = engine.one(STATEFUL_SET)["spec"]["selector"]["matchLabels"]
    assert selector == service["spec"]["selector"]
    (port,) = service["spec"]["ports"]
    (container,) = pod["spec"]["containers"]
    assert port["targetPort"] in {port["name"] for port in container["ports"]}


def test_the_password_stands_in_no_argument_of_the_pod(engine: Engine, build: Build) -> None:
    build(builders.valkey)
    server = engine.one(STATEFUL_SET)
    assert not is_secret(server.inputs)
    assert MARK not in str(server.inputs)
    (container,) = pod_of(engine)["spec"]["containers"]
    for variable in container["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert engine.sealed(reference["name"])[reference["key"]] == PASSWORD


def test_a_rotated_password_restarts_the_cache(engine: Engine, build: Build) -> None:
    cache = build(builders.valkey)
    revision = engine.resolve(cache.revision).value
    assert revision
    assert revision in pod_of(engine)["metadata"]["annotations"].values()


def test_the_cache_keeps_its_data_and_evicts_none(engine: Engine, build: Build) -> None:
    build(builders.valkey, maxMemory="128Mi")
    spec = engine.one(STATEFUL_SET)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    configuration = container["command"][-1]
    for line in ("appendonly yes", f"maxmemory {128 * 1024**2}", "maxmemory-policy noeviction"):
        assert f"\n{line}\n" in configuration
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == claim["metadata"]["name"]
    assert f"\ndir {mount['mountPath']}\n" in configuration


@pytest.mark.parametrize("storage_class", [None, "fast"])
def test_the_cluster_s_storage_class_is_used_unless_one_is_named(
    storage_class: str | None, engine: Engine, build: Build
) -> None:
    build(builders.valkey, storageClass=storage_class)
    (claim,) = engine.one(STATEFUL_SET)["spec"]["volumeClaimTemplates"]
    assert claim["spec"].get("storageClassName") == storage_class
    assert ("storageClassName" in claim["spec"]) is (storage_class is not None)


PLACED: dict[str, Any] = {
    "nodeSelector": {"disk": "nvme"},
    "tolerations": [{"key": "caches", "operator": "Exists", "effect": "NoSchedule"}],
}


def test_the_cache_runs_where_its_placement_says(engine: Engine, build: Build) -> None:
    build(builders.valkey, **PLACED, priorityClass="business-critical")
    pod = pod_of(engine)["spec"]
    assert {key: pod[key] for key in PLACED} == PLACED
    assert pod["priorityClassName"] == "business-critical"


def test_a_cache_without_a_placement_has_none(engine: Engine, build: Build) -> None:
    build(builders.valkey)
    assert not {*PLACED, "priorityClassName"} & set(pod_of(engine)["spec"])
    assert not {"ipFamilyPolicy", "ipFamilies"} & set(engine.one(SERVICE)["spec"])


def cache_of(context: Context, **sections: Any) -> CacheAccess:
    return cache.create(config(**sections), context, builders.credentials(context))


def test_the_cache_s_service_has_the_ip_families_of_harbor_s(engine: Engine, build: Build) -> None:
    family = {"policy": "PreferDualStack", "families": ["IPv6", "IPv4"]}
    build(cache_of, harbor={"ipFamily": family})
    spec = engine.one(SERVICE)["spec"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])


def test_a_shared_cache_with_tls_brings_its_authority(
    engine: Engine, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cluster().stand_in(monkeypatch).put_secret(builders.SHARED, PASSWORD)
    shared = {
        "mode": "shared",
        "host": "fd00::7",
        "tls": True,
        "caBundle": PEM,
        "secret": builders.SHARED.model_dump(),
    }
    access = build(cache_of, valkey=shared)
    known = engine.resolve(access.cache).value
    assert (known.address, known.tls, known.trusts_own_ca) == ("[fd00::7]:6379", True, True)
    sealed = engine.sealed("harbor-shared-valkey")
    assert sealed["ca.crt"] == PEM
    assert sealed["trivyRedisUrl"] == f"rediss://:{PASSWORD}@[fd00::7]:6379/5"


def test_the_cache_runs_in_the_restricted_profile(engine: Engine, build: Build) -> None:
    build(builders.valkey)
    pod = pod_of(engine)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
