"""`Stack` resources of the Pulumi Kubernetes Operator, one for each Sovereign's stack file. Pure.

For fleets that one machine or a CI matrix cannot carry: docs/howto/fleet.md says when. The fields
are those of pulumi.com/v1 in the operator's v2.9.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

API_VERSION: Final = "pulumi.com/v1"
IMAGE: Final = "pulumi/pulumi:3.250.0-nonroot"
"""The engine that CI uses too, as a user that the profile `restricted` takes."""

KUBECONFIG: Final = "/kubeconfig/config"
DAY: Final = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Where the operator gets the program, the state and its secrets from.

    `secret`: a Secret beside the Stack with PULUMI_CONFIG_PASSPHRASE, AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY (of the backend's bucket). `kubeconfig`: prefix of the Secrets, one for
    each Sovereign, whose key `config` is the kubeconfig of its cluster.
    """

    repository: str
    commit: str
    backend: str
    namespace: str
    secret: str = "sovereign-harbor-backend"
    kubeconfig: str = "kubeconfig-"
    service_account: str = "pulumi"


def stack(name: str, operator: Operator) -> dict[str, Any]:
    """The Stack of one Sovereign."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Stack",
        "metadata": {
            "name": name,
            "namespace": operator.namespace,
            "labels": {"app.kubernetes.io/part-of": "sovereign-harbor"},
        },
        "spec": {
            "stack": name,
            "projectRepo": operator.repository,
            # A commit, not a branch: what was reviewed is what runs.
            "commit": operator.commit,
            "backend": operator.backend,
            # Its settings are those of the stack file in that commit, and nothing else.
            "useLocalStackOnly": True,
            # Deleting the Stack forgets it; a registry is taken down by a person.
            "destroyOnFinalize": False,
            "retryOnUpdateConflict": False,
            "continueResyncOnCommitMatch": True,
            "resyncFrequencySeconds": DAY,
            "workspaceReclaimPolicy": "Delete",
            "serviceAccountName": operator.service_account,
            "envRefs": {
                **{
                    key: {"type": "Secret", "secret": {"name": operator.secret, "key": key}}
                    for key in (
                        "PULUMI_CONFIG_PASSPHRASE",
                        "AWS_ACCESS_KEY_ID",
                        "AWS_SECRET_ACCESS_KEY",
                    )
                },
                **{
                    key: {"type": "Literal", "literal": {"value": value}}
                    for key, value in (
                        ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
                        ("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required"),
                        ("KUBECONFIG", KUBECONFIG),
                    )
                },
            },
            "workspaceTemplate": {
                "spec": {
                    "image": IMAGE,
                    "securityProfile": "restricted",
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "512Mi"},
                        "limits": {"memory": "1Gi"},
                    },
                    "podTemplate": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "pulumi",
                                    "volumeMounts": [
                                        {
                                            "name": "kubeconfig",
                                            "mountPath": "/kubeconfig",
                                            "readOnly": True,
                                        }
                                    ],
                                }
                            ],
                            "volumes": [
                                {
                                    "name": "kubeconfig",
                                    "secret": {"secretName": f"{operator.kubeconfig}{name}"},
                                }
                            ],
                        }
                    },
                }
            },
        },
    }


def manifests(names: Sequence[str], operator: Operator) -> str:
    """All of them as one YAML stream for `kubectl apply -f -`."""
    return yaml.safe_dump_all((stack(name, operator) for name in names), sort_keys=False)
