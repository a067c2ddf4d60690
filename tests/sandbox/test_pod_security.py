"""Each pod that the program asks for keeps to Kubernetes' Pod Security Standard `restricted`.

The API server's own admission judges: a namespace enforces the standard, and a dry run creates
there a pod of each template. CloudNativePG's pods are the operator's: their template is not known
here, so the Cluster is asked for nothing that loosens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from sandbox.processes import SandboxError
from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_monitoring import SECTION
from tests.support.monitoring import METRICS
from tests.support.sandbox import objects

JUDGE = "judge-of-pods"
IMAGE = "registry.local.harbor.test/apps/judged:1"
CONTAINERS = ("containers", "initContainers")
STANDARD = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
WORKLOADS = "deployments,statefulsets,daemonsets,jobs,cronjobs"
LOOSER = {
    "seccompProfile",
    "podSecurityContext",
    "securityContext",
    "hostNetwork",
    "env",
    "envFrom",
}
"""Keys of a Cluster's spec with which the operator's template could be weakened, or fed secrets."""
SOUND: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "a",
            "image": "example.org/a:1",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
UNSOUND: list[dict[str, Any]] = [
    {**SOUND, "hostNetwork": True},
    {**SOUND, "securityContext": {"runAsNonRoot": True}},
    {**SOUND, "volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
    {**SOUND, "containers": [{"name": "a", "image": "example.org/a:1"}]},
]


def templates(workloads: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Kind/name → spec of its pods."""
    specs: dict[str, dict[str, Any]] = {}
    for each in workloads:
        spec = each["spec"]
        spec = spec["jobTemplate"]["spec"] if each["kind"] == "CronJob" else spec
        pod: dict[str, Any] = spec["template"]["spec"]
        # The controller of a StatefulSet adds a volume for each of its claims.
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        volumes = [*pod.get("volumes", []), *({"name": name, "emptyDir": {}} for name in claims)]
        specs[f"{each['kind']}/{each['metadata']['name']}"] = {**pod, "volumes": volumes}
    return specs


def with_images_of_harbor(containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image policy would refuse others in the judge's namespace."""
    return [{**each, "image": IMAGE} for each in containers]


def refused(sandbox: Sandbox, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Those whose pod the API server does not take, with what it says."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": JUDGE, "labels": STANDARD},
    }
    apply = ("apply", "--server-side", "-f", "-")
    cluster.kubectl(sandbox.state, sandbox.tools, *apply, stdin=json.dumps(namespace))
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "any", "namespace": JUDGE},
    }
    cluster.kubectl(sandbox.state, sandbox.tools, *apply, stdin=json.dumps(account))
    words: dict[str, str] = {}
    for name, spec in specs.items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "judged-", "namespace": JUDGE},
            "spec": {
                **spec,
                **{kind: with_images_of_harbor(spec[kind]) for kind in CONTAINERS if kind in spec},
                "serviceAccountName": "any",
                "serviceAccount": "any",
            },
        }
        dry_run = ("create", "--dry-run=server", "-f", "-")
        try:
            cluster.kubectl(sandbox.state, sandbox.tools, *dry_run, stdin=json.dumps(pod))
        except SandboxError as error:
            words[name] = str(error)
    return words


@pytest.fixture(scope="module")
def monitored(sandbox: Sandbox, sovereign: Stack) -> Iterator[Stack]:
    """With the pods that monitoring brings."""
    with sandbox.configured(metrics=METRICS, monitoring=SECTION):
        sovereign.up()
        yield sovereign
    sovereign.up()


def test_the_judge_refuses_what_is_not_restricted_and_takes_what_is(sandbox: Sandbox) -> None:
    rows = {f"unsound {index}": spec for index, spec in enumerate(UNSOUND)}
    words = refused(sandbox, {**rows, "sound": SOUND})
    assert words.keys() == rows.keys()
    assert all('violates PodSecurity "restricted' in each for each in words.values()), words


def test_every_pod_of_the_program_is_restricted(sandbox: Sandbox, monitored: Stack) -> None:
    specs = templates(objects(sandbox, WORKLOADS))
    assert {name.partition("/")[2] for name in specs} >= {
        *("harbor-core", "harbor-jobservice", "harbor-portal", "harbor-registry", "harbor-trivy"),
        *("harbor-valkey", "harbor-exporter", "harbor-recorded-metrics"),
    }
    assert refused(sandbox, specs) == {}


def test_the_pod_of_a_scheduled_drill_is_restricted(sandbox: Sandbox) -> None:
    documents = yaml.safe_load_all((ROOT / "docs/howto/restore-drill.yaml").read_text())
    specs = templates([each for each in documents if each["kind"] == "CronJob"])
    assert len(specs) == 1
    assert refused(sandbox, specs) == {}


def test_the_database_is_asked_for_nothing_that_loosens_its_pods(
    sandbox: Sandbox, monitored: Stack
) -> None:
    (database,) = objects(sandbox, "clusters.postgresql.cnpg.io")
    assert not LOOSER & database["spec"].keys()
