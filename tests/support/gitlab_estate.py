"""The Harbor of KUP6S's GitLab BDA before, and the page that leads from it to this program.

The page's commands run as they stand there. No pod runs in the sandbox: `kubectl exec` is played.
"""

from __future__ import annotations

import json
import string
from typing import Any

import yaml

from engine.project import ROOT
from engine.stack import Stack
from sandbox import cluster
from tests.support import runbook
from tests.support.sandbox import Sandbox, bucket_client, objects, unsealed

PAGE = ROOT / "docs" / "howto" / "from-gitlab-estate.md"
BEFORE = ROOT / "tests" / "sandbox" / "estates" / "gitlabbda-harbor.yaml"
COMPONENTS = ("core", "jobservice", "portal", "registry")
KEY, ADMIN = "estatesKey16char", "Admin-password-of-32-characters-"
LOGIN = "secret-of-the-application"
IMAGE = "docker/registry/v2/blobs/sha256/ab/ab12/data"

PLAYED = f"""
kubectl() {{
  case " $* " in
    *" exec "*" cat /etc/core/key ") printf %s {KEY} ;;
    *" exec "*" pg_dump "*) echo a dump ;;
    *) command kubectl "$@" ;;
  esac
}}
"""
STEPS = (
    "2. Copy the secrets that the data depends on",
    "3. Leave Harbor's configuration alone at first",
    "4. Stop ArgoCD",
    "5. Take the Harbor before away",
    "6. Up",
    "7. Let ArgoCD go on",
    "8. Declare what Harbor holds",
)


def adopt(sandbox: Sandbox, stack: Stack) -> None:
    """Installs the Harbor before, and follows the page to the end."""
    install(sandbox)
    commands = runbook.commands_of(PAGE)
    variables = {"STACK": stack.name, "NAMESPACE": sandbox.namespace}
    assert [heading for heading in commands if heading[0].isdigit()][1:] == list(STEPS)

    def follow(step: int) -> None:
        runbook.run(stack, PLAYED + commands[STEPS[step - 2]], variables)

    follow(2)
    follow(3)
    refused = stack.run("preview", "-s", stack.name, check=False)
    assert refused.code != 0, refused.text
    others = [f"Deployment harbor-{component}" for component in COMPONENTS]
    others += [f"Service harbor-{component}" for component in COMPONENTS]
    assert all(each in refused.text for each in others), refused.text
    assert refused.text.count("  fix: ") == 1, refused.text
    follow(4)
    assert policy_of_argocd(sandbox) is None
    follow(5)
    assert names(sandbox, "deployments,services,ingresses", of_harbor=True) == []
    follow(6)
    assert unsealed(sandbox)["harbor-given-secret-key"] == {"secretKey": KEY}
    assert unsealed(sandbox)["harbor-minted-admin-password"]["HARBOR_ADMIN_PASSWORD"] == ADMIN
    outputs = stack.outputs()
    kept = bucket_client(sandbox, outputs).get_object(Bucket=outputs["bucket"], Key=IMAGE)
    assert kept["Body"].read() == b"an image of the estate"
    follow(7)
    assert policy_of_argocd(sandbox) == {"prune": True, "selfHeal": True}
    follow(8)


def install(sandbox: Sandbox) -> None:
    """The objects of the Harbor before, its application in ArgoCD, and an image in its bucket."""
    credentials = sandbox.state.credentials()
    values = {
        **{"KEY": KEY, "ADMIN": ADMIN, "LOGIN": LOGIN},
        "ACCESS": credentials["s3AccessKey"],
        "SECRET": credentials["s3SecretKey"],
    }
    manifests = string.Template(BEFORE.read_text()).substitute(values)
    workloads = [item for component in COMPONENTS for item in workload(component)]
    apply(sandbox, manifests + "---\n" + yaml.safe_dump_all(workloads))
    wait = ("wait", "--for=condition=Established", "--timeout=180s", "crd/applications.argoproj.io")
    cluster.kubectl(sandbox.state, sandbox.tools, *wait)
    automated = {"prune": True, "selfHeal": True}
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "gitlabbda", "namespace": "argocd"},
        "spec": {"syncPolicy": {"automated": automated}},
    }
    apply(sandbox, yaml.safe_dump(application))
    place = {
        "bucket": sandbox.section("storage")["bucket"],
        "bucketEndpoint": sandbox.variables["SANDBOX_S3_ENDPOINT"],
    }
    store = bucket_client(sandbox, place)
    store.create_bucket(Bucket=place["bucket"])
    store.put_object(Bucket=place["bucket"], Key=IMAGE, Body=b"an image of the estate")


def workload(component: str) -> list[dict[str, Any]]:
    """Deployment and Service of a component, with the names and the label that the estate tells."""
    labels = {"app.kubernetes.io/part-of": "harbor", "app": f"harbor-{component}"}
    metadata = {"name": f"harbor-{component}", "namespace": "gitlabbda", "labels": labels}
    selector = {"app": f"harbor-{component}"}
    image = f"goharbor/harbor-{component}:v2.14.0"
    container: dict[str, Any] = {"name": component, "image": image}
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "kubernetes.io/arch", "value": "amd64", "effect": "NoSchedule"}],
        "containers": [container],
    }
    if component == "core":
        container["volumeMounts"] = [
            {"name": "key", "mountPath": "/etc/core/key", "subPath": "key", "readOnly": True}
        ]
        items = [{"key": "secret-key", "path": "key"}]
        pod["volumes"] = [
            {"name": "key", "secret": {"secretName": "harbor-secrets", "items": items}}
        ]
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": selector}, "template": template}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": selector, "ports": ports},
        },
    ]


def apply(sandbox: Sandbox, text: str) -> None:
    cluster.kubectl(
        *(sandbox.state, sandbox.tools, "apply", "--server-side", "--force-conflicts", "-f", "-"),
        stdin=text,
    )


def names(sandbox: Sandbox, kinds: str, *, of_harbor: bool) -> list[str]:
    """Names of objects in the namespace: of the Harbor before, or of all others."""
    return [
        item["metadata"]["name"]
        for item in objects(sandbox, kinds)
        if (item["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "harbor")
        is of_harbor
    ]


def policy_of_argocd(sandbox: Sandbox) -> Any:
    """The automated part of the application's syncPolicy; None without one."""
    get = ("get", "application", "gitlabbda", "-n", "argocd", "-o", "json")
    application = json.loads(cluster.kubectl(sandbox.state, sandbox.tools, *get))
    return application["spec"]["syncPolicy"].get("automated")
