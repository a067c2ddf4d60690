"""Whether the estate's secret store serves: what is missing, and the ways out."""

from typing import Any

import pulumi
import pytest

from components.preflight import plain_secrets, requirements, secret_store
from components.sealing.opened import REVISION_ANNOTATION
from components.stack_config import StackConfig
from tests.support import builders
from tests.support.builders import Cluster

STORE = "/apis/external-secrets.io/v1/clustersecretstores/platform"
OF_HARBOR = "/apis/external-secrets.io/v1/namespaces/harbor/secretstores/platform"
OF_SEAM = "/apis/external-secrets.io/v1/namespaces/flux-system/secretstores/platform"


def store(
    status: str | None = "True", *, capabilities: str = "ReadWrite", **spec: Any
) -> dict[str, Any]:
    conditions = [] if status is None else [{"type": "Ready", "status": status, "message": "no!"}]
    return {"spec": spec, "status": {"conditions": conditions, "capabilities": capabilities}}


def problems(objects: dict[str, Any], kind: str = "ClusterSecretStore", **more: Any) -> list[str]:
    section = {"delivery": "external", "store": {"kind": kind, "name": "platform"}}
    settings = builders.settings(secrets=section, **more)
    return secret_store.problems(Cluster(objects=objects), settings)  # pyright: ignore[reportArgumentType]


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_stack", lambda: "omantel")


@pytest.mark.parametrize(
    "found",
    [
        store(),
        store(capabilities=""),
        store(conditions=[{"namespaces": ["harbor", "flux-system"]}]),
        store(conditions=[{"namespaces": ["harbor"]}, {"namespaceRegexes": ["^flux-"]}]),
        store(conditions=[{"namespaceSelector": {"matchExpressions": [{"key": "a"}]}}]),
    ],
)
def test_a_store_that_serves_is_no_problem(found: dict[str, Any]) -> None:
    assert problems({STORE: found}) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "missing: ClusterSecretStore platform"),
        (store(None), "has not looked at it"),
        (store("False"), "is not Ready: no!"),
        (store(capabilities="ReadOnly"), "is ReadOnly, and this program writes there"),
        (store(conditions=[{"namespaces": ["flux-system"]}]), "does not serve namespace harbor"),
        (
            store(
                conditions=[
                    {"namespaces": ["harbor"]},
                    {"namespaceSelector": {"matchLabels": {"team": "registry"}}},
                ]
            ),
            "does not serve namespace flux-system",
        ),
    ],
)
def test_a_store_that_does_not_serve_is_refused(found: dict[str, Any] | None, said: str) -> None:
    (problem,) = problems({STORE: found})
    assert said in problem
    assert "\n  fix: " in problem


def test_labels_of_a_namespace_let_it_in() -> None:
    selector = {"namespaceSelector": {"matchLabels": {"team": "registry"}}}
    namespaces = {
        f"/api/v1/namespaces/{name}": {"metadata": {"labels": {"team": "registry"}}}
        for name in ("harbor", "flux-system")
    }
    assert problems({STORE: store(conditions=[selector]), **namespaces}) == []


def test_a_secret_store_has_to_be_in_each_namespace() -> None:
    (problem,) = problems({OF_HARBOR: store()}, kind="SecretStore")
    assert "missing: SecretStore platform in namespace flux-system" in problem
    assert "name a ClusterSecretStore" in problem
    assert problems({OF_HARBOR: store(), OF_SEAM: store()}, kind="SecretStore") == []


def test_a_secret_store_has_to_be_where_the_role_of_the_database_has_its_password() -> None:
    tenant = {"mode": "shared", "create": {"cluster": "pg", "namespace": "databases"}}
    there = {OF_HARBOR: store(), OF_SEAM: store()}
    (problem,) = problems(there, kind="SecretStore", database=tenant)
    assert "missing: SecretStore platform in namespace databases" in problem


def test_sealing_asks_for_no_store() -> None:
    cluster: Any = Cluster()
    assert secret_store.problems(cluster, builders.settings()) == []
    assert cluster.asked == []


def test_the_operator_s_kinds_are_asked_for_instead_of_sealed_secrets() -> None:
    section = {"delivery": "external", "store": {"name": "platform"}}
    needed = requirements.requirements(builders.settings(secrets=section))
    asked = {(each.path, each.kind) for each in needed}
    assert ("/apis/external-secrets.io/v1", "ExternalSecret") in asked
    assert ("/apis/external-secrets.io/v1alpha1", "PushSecret") in asked
    assert not any("sealed" in each.path or "bitnami" in each.path for each in needed)


NAME = "harbor-minted-csrf-key"
PLACE = f"/api/v1/namespaces/harbor/secrets/{NAME}"


def secret(kind: str | None = None, revision: str | None = None) -> dict[str, Any]:
    owners = [] if kind is None else [{"kind": kind, "name": NAME}]
    annotations = {} if revision is None else {REVISION_ANNOTATION: revision}
    return {"metadata": {"ownerReferences": owners, "annotations": annotations}}


def in_the_way(found: dict[str, Any] | None, *, external: bool) -> list[str]:
    section = {"secrets": {"delivery": "external", "store": {"name": "platform"}}}
    settings = builders.settings(**(section if external else {}))
    config = StackConfig(settings=settings, secrets={}, is_secret={})
    cluster: Any = Cluster(objects={PLACE: found})
    return plain_secrets.problems(cluster, config)


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (None, None),
        (secret("ExternalSecret"), None),
        (secret(revision="left-when-its-maker-was-deleted"), None),
        (secret("SealedSecret", "r"), f"kubectl delete sealedsecret {NAME} -n harbor --cascade"),
        (secret(), f"kubectl delete secret {NAME} -n harbor"),
        (secret("Certificate"), f"kubectl delete secret {NAME} -n harbor"),
    ],
)
def test_a_secret_of_others_is_not_written_over_by_the_operator(
    found: dict[str, Any] | None, command: str | None
) -> None:
    told = in_the_way(found, external=True)
    assert (told == []) if command is None else (command in told[0])


def test_the_way_back_to_sealing_takes_the_secret_from_its_external_secret() -> None:
    (told,) = in_the_way(secret("ExternalSecret", "r"), external=False)
    assert f"kubectl delete externalsecret {NAME} -n harbor --cascade=orphan && " in told
    assert "sealedsecrets.bitnami.com/managed=true" in told
