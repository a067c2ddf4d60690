"""The post-renderer: Trivy's three references are set, everything else goes through as written."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from components.harbor.post_render import KEY, VARIABLES, post_render
from components.harbor.release import POST_RENDERER
from components.harbor.values import VALKEY_SECRET_ANNOTATION
from tests.support.project import ROOT

TRIVY = f"""\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: harbor-trivy
spec:
  template:
    metadata:
      annotations:
        {VALKEY_SECRET_ANNOTATION}: harbor-valkey-credentials
    spec:
      containers:
        - name: trivy
          env:
            - name: SCANNER_LOG_LEVEL
              value: "info"
            - name: SCANNER_REDIS_URL
              valueFrom:
                secretKeyRef:
                  name: harbor-trivy
                  key: redisURL
            - name: SCANNER_STORE_REDIS_URL
              value: redis://harbor-valkey:6379/5
            - name: SCANNER_JOB_QUEUE_REDIS_URL
              valueFrom: {{secretKeyRef: {{name: harbor-trivy, key: redisURL}}}}
"""
REFERENCE = {"secretKeyRef": {"name": "harbor-valkey-credentials", "key": KEY}}


def rendered(manifests: str) -> list[Any]:
    return list(yaml.safe_load_all(post_render(manifests)))


def env_of(workload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable for variable in container["env"]}


def test_every_way_to_the_cache_leads_to_our_secret() -> None:
    (trivy,) = rendered(TRIVY)
    env = env_of(trivy)
    for name in VARIABLES:
        assert env[name] == {"name": name, "valueFrom": REFERENCE}
    assert env["SCANNER_LOG_LEVEL"] == {"name": "SCANNER_LOG_LEVEL", "value": "info"}


def test_only_the_references_change() -> None:
    (before,) = yaml.safe_load_all(TRIVY)
    (after,) = rendered(TRIVY)
    for workload in (before, after):
        for name in VARIABLES:
            env_of(workload)[name].pop("valueFrom", None)
            env_of(workload)[name].pop("value", None)
    assert after == before


@pytest.mark.parametrize(
    "manifest",
    [
        TRIVY.replace("StatefulSet", "Deployment"),
        TRIVY.replace(VALKEY_SECRET_ANNOTATION, "somebody/else"),
        TRIVY.replace(f"annotations:\n        {VALKEY_SECRET_ANNOTATION}: ", "labels: #"),
        "kind: StatefulSet\n",
        "kind: StatefulSet\nspec: {template: {metadata: {annotations: }}}\n",
        "kind: List\nitems: []\n",
    ],
    ids=["another kind", "not marked", "no annotations", "empty", "null", "list"],
)
def test_other_objects_are_left_alone(manifest: str) -> None:
    assert rendered(manifest) == list(yaml.safe_load_all(manifest))


def test_a_container_without_variables_is_no_hindrance() -> None:
    without = TRIVY[: TRIVY.index("          env:")]
    for manifest in (without, without + "          env:\n"):
        assert rendered(manifest) == list(yaml.safe_load_all(manifest))


def test_it_may_run_over_its_own_output() -> None:
    once = post_render(TRIVY)
    assert post_render(once) == once


# Helm parses YAML by other rules than PyYAML: "1e3" without its quotes is a number to Helm alone,
# "y" a boolean. A revision of 8 hex digits is such a text once in some hundred Sovereigns, and the
# API server refuses a number in an annotation.
QUOTED = ["1234e56", "12345e67", "y", "n", "0o17", "1_000", "12345678", "true", "null", "~", "1:30"]
UNQUOTED = ["1234e56", "y", "1e+06", "5.24288e+06", "0644", "true", "1:30", "2024-01-01", "=", ""]


@pytest.mark.parametrize("value", QUOTED)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_what_was_quoted_stays_quoted(value: str, quote: str) -> None:
    manifest = f"kind: ConfigMap\ndata:\n  key: {quote}{value}{quote}\n"
    assert f"key: {quote}{value}{quote}\n" in post_render(manifest)


@pytest.mark.parametrize("value", UNQUOTED)
def test_what_was_not_quoted_stays_so(value: str) -> None:
    text = post_render(f"kind: ConfigMap\ndata:\n  key: {value}\n")
    assert f"key: {value}".strip() in [line.strip() for line in text.splitlines()]


def test_texts_of_several_lines_survive() -> None:
    config = "level: info\n\n  indented: 'yes'\t# not ours\n# last\n"
    block = "".join(f"    {line}\n" if line else "\n" for line in config.split("\n")[:-1])
    manifest = f"kind: ConfigMap\ndata:\n  app.yaml: |\n{block}"
    (config_map,) = rendered(manifest)
    assert config_map["data"]["app.yaml"] == config


def test_empty_documents_are_dropped_and_the_others_kept_in_order() -> None:
    manifests = f"---\n# only a comment\n---\nkind: Secret\n---\n{TRIVY}---\n---\nkind: Service\n"
    assert [one["kind"] for one in rendered(manifests)] == ["Secret", "StatefulSet", "Service"]
    assert post_render("") == ""


def test_a_manifest_that_is_no_yaml_fails_the_release() -> None:
    with pytest.raises(yaml.YAMLError):
        post_render("kind: [")


def test_it_is_a_program_that_helm_can_call() -> None:
    script = ROOT / POST_RENDERER
    assert script.stat().st_mode & 0o111
    # What the script execs, by the interpreter of this test.
    assert "-m components.harbor.post_render" in script.read_text()
    run = subprocess.run(
        [sys.executable, "-m", "components.harbor.post_render"],
        cwd=ROOT,
        input=TRIVY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == post_render(TRIVY)
    assert run.stderr == ""
