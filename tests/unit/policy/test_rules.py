"""The rules of the policy pack: tables of what passes and what does not, and the program itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from policy.placement import data_touched
from policy.resource import DATABASE, NAMESPACE, RELEASE, UNKNOWN, Resource, Sovereign
from policy.rules import RULES, STACK_RULES, violations
from tests.support.mocks import Engine, Registered, plain
from tests.support.project import ROOT
from tests.unit import test_program

SOVEREIGN = Sovereign()
SANDBOX = Sovereign(sandbox=True)
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
BUCKET = "pulumi-python:dynamic/storage:S3Bucket"
SEALED_SECRET = "kubernetes:bitnami.com/v1alpha1:SealedSecret"
SEAL = "pulumi-python:dynamic/sealing:Seal"
DIGEST = "sha256:" + "ab" * 32
RESOURCES = {
    "requests": {"cpu": "100m", "memory": "64Mi"},
    "limits": {"memory": "64Mi"},
}


def one(typ: str, protected: bool = False, **props: Any) -> Resource:
    return Resource(type=typ, name="it", props=props, protected=protected)


def release(**values: Any) -> Resource:
    return one(RELEASE, version="1.18.3", chart="harbor", namespace="harbor", values=values)


def pod(**container: Any) -> Resource:
    spec = {"containers": [{"name": "it", **container}]}
    return one(STATEFUL_SET, spec={"template": {"metadata": {}, "spec": spec}})


def cluster_role(kind: str = "ClusterRole", **rule: Any) -> Resource:
    return one(f"kubernetes:rbac.authorization.k8s.io/v1:{kind}", rules=[rule])


def iam(**statement: Any) -> Resource:
    return one(
        "aws:iam/policy:Policy",
        policy={"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]},
    )


def harbor_values(**changes: Any) -> Resource:
    sections: dict[str, Any] = {
        name: {"nodeSelector": {"kubernetes.io/arch": "amd64"}}
        for name in ("core", "portal", "jobservice", "registry", "trivy", "exporter")
    }
    return release(**{**sections, **changes})


def problems(rule: str, resource: Resource, sovereign: Sovereign = SOVEREIGN) -> list[str]:
    [named] = [each for each in RULES if each.name == rule]
    return list(named.check(resource, sovereign))


REGISTRY = "pulumi:providers:sovereign-registry"

GOOD: list[tuple[str, Resource]] = [
    ("no-plaintext-secret", release(core={"existingSecret": "harbor-minted-core-secret"})),
    ("no-plaintext-secret", release(existingSecretAdminPasswordKey="HARBOR_ADMIN_PASSWORD")),
    ("no-plaintext-secret", release(harborAdminPassword="")),
    ("no-plaintext-secret", release(harborAdminPassword=UNKNOWN)),
    ("no-plaintext-secret", release(url="redis://:$(VALKEY_PASSWORD)@harbor-valkey:6379/0")),
    ("no-plaintext-secret", release(podAnnotations={"it/valkey-secret": "harbor-valkey"})),
    ("no-plaintext-secret", release(expose={"tls": {"secretName": "registry-tls"}})),
    (
        "no-plaintext-secret",
        pod(env=[{"name": "A_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]),
    ),
    ("no-plaintext-secret", one(SEALED_SECRET, spec={"encryptedData": {"password": "Ag" * 200}})),
    ("no-plaintext-secret", one(SEAL, data={"password": "handed on in plain"})),
    ("no-plaintext-secret", one("pulumi:providers:hcloud", token="handed on in plain")),
    ("no-plaintext-secret", one("kubernetes:core/v1:Secret", metadata={"name": "empty"})),
    ("no-plaintext-secret", one(REGISTRY, adminSecret="harbor-admin", accountSecret="account")),
    ("no-plaintext-secret", one("sovereign-registry:index:Robot", secret="handed on in plain")),
    ("data-is-protected", one(BUCKET, protected=True)),
    ("data-is-protected", one(DATABASE, protected=True)),
    ("data-is-protected", one("kubernetes:core/v1:Service")),
    ("versions-are-pinned", release()),
    ("versions-are-pinned", one(RELEASE, version=UNKNOWN)),
    ("versions-are-pinned", pod(image=f"valkey/valkey@{DIGEST}")),
    ("versions-are-pinned", pod(image="registry.example.com:5000/valkey:8.1.5")),
    ("versions-are-pinned", pod(image=UNKNOWN)),
    ("versions-are-pinned", release(core={"image": {"tag": "v2.14.3"}})),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::omantel-harbor/*")),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::omantel-harbor/a/*")),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws-cn:s3:::omantel-harbor/*")),
    (
        "no-wildcard-access",
        one(
            "aws:s3/bucketPolicy:BucketPolicy",
            policy='{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*",'
            ' "Resource": "*"}]}',
        ),
    ),
    ("no-wildcard-access", one("aws:iam/userPolicy:UserPolicy", policy=UNKNOWN)),
    ("no-wildcard-access", cluster_role(apiGroups=[""], resources=["pods"], verbs=["get"])),
    ("no-role-reads-all-secrets", cluster_role(resources=["pods"], verbs=["get", "list"])),
    ("no-role-reads-all-secrets", cluster_role(resources=["secrets"], verbs=["create"])),
    ("no-role-reads-all-secrets", cluster_role("Role", resources=["secrets"], verbs=["get"])),
    ("objects-are-at-home", release()),
    ("objects-are-at-home", one("kubernetes:core/v1:Service", metadata={"namespace": "harbor"})),
    ("objects-are-at-home", one(SEALED_SECRET, metadata={"namespace": "flux-system"})),
    ("objects-are-at-home", one("kubernetes:core/v1:Service", metadata={"namespace": UNKNOWN})),
    ("objects-are-at-home", one(NAMESPACE, metadata={"name": "harbor"})),
    ("objects-are-at-home", one("kubernetes:policies.kyverno.io/v1:ValidatingPolicy")),
    ("public-endpoints-have-tls", release(externalURL="https://registry.omantel.omani.works")),
    ("public-endpoints-have-tls", one(BUCKET, endpoint="https://fsn1.your-objectstorage.com")),
    (
        "public-endpoints-have-tls",
        one("kubernetes:networking.k8s.io/v1:Ingress", spec={"tls": [{"secretName": "tls"}]}),
    ),
    ("harbor-runs-on-amd64", harbor_values()),
    ("harbor-runs-on-amd64", harbor_values(trivy={"enabled": False})),
    ("harbor-runs-on-amd64", one(RELEASE, chart="valkey", values={})),
    ("harbor-runs-on-amd64", one(RELEASE, chart="harbor", values=UNKNOWN)),
    ("pods-have-resources", pod(resources=RESOURCES)),
    ("pods-have-resources", pod(resources=UNKNOWN)),
    ("pods-have-resources", one(DATABASE, spec={"resources": RESOURCES})),
    ("pods-have-resources", one(STATEFUL_SET, spec=UNKNOWN)),
]

BAD: list[tuple[str, Resource, str]] = [
    ("no-plaintext-secret", release(harborAdminPassword="Harbor12345"), "harborAdminPassword"),
    ("no-plaintext-secret", release(core={"secret": "abc"}), "core.secret"),
    ("no-plaintext-secret", release(secretKey="not-a-secure-key"), "secretKey"),
    (
        "no-plaintext-secret",
        release(persistence={"s3": {"accesskey": "abc", "secretkey": "def"}}),
        "persistence.s3.secretkey",
    ),
    (
        "no-plaintext-secret",
        release(core={"extraEnvVars": [{"name": "CSRF_KEY", "value": "abc"}]}),
        "extraEnvVars.0.value",
    ),
    ("no-plaintext-secret", release(anything="redis://:hunter2@valkey:6379"), "URL with"),
    ("no-plaintext-secret", release(a="-----BEGIN RSA PRIVATE KEY-----\nMII"), "private key"),
    ("no-plaintext-secret", release(a="AKIAIOSFODNN7EXAMPLE"), "access key"),
    ("no-plaintext-secret", pod(command=["sh", "-c", f"echo ghp_{'a' * 36}"]), "GitHub token"),
    ("no-plaintext-secret", release(podAnnotations={"a": f"glpat-{'a' * 20}"}), "GitLab token"),
    ("no-plaintext-secret", release(a=f"u:$2b$12${'a' * 53}"), "hash"),
    ("no-plaintext-secret", one(SEALED_SECRET, spec={"encryptedData": {"a": "hunter2"}}), "sealed"),
    ("no-plaintext-secret", one("kubernetes:core/v1:Secret", stringData={"a": "b"}), "Sealed"),
    ("no-plaintext-secret", one(BUCKET, secretKey="abc"), "secretKey"),
    ("no-plaintext-secret", one("kubernetes:core/v1:ConfigMap", data={"token": "abc"}), "token"),
    ("data-is-protected", one(BUCKET), "not protected"),
    ("data-is-protected", one(NAMESPACE), "not protected"),
    ("data-is-protected", one(DATABASE), "not protected"),
    ("versions-are-pinned", one(RELEASE, chart="harbor"), "None"),
    ("versions-are-pinned", one(RELEASE, version="^1.18.0"), "one exact"),
    ("versions-are-pinned", one(RELEASE, version="1.18.3", devel=True), "devel"),
    ("versions-are-pinned", pod(image="valkey/valkey"), "valkey/valkey"),
    ("versions-are-pinned", pod(image="valkey/valkey:latest"), "latest"),
    ("versions-are-pinned", pod(image="registry.example.com:5000/valkey"), "registry"),
    ("versions-are-pinned", one(DATABASE, spec={"imageName": "postgresql"}), "imageName"),
    ("versions-are-pinned", release(core={"image": {"tag": "dev"}}), "moves"),
    ("no-wildcard-access", iam(Action="*", Resource="arn:aws:s3:::omantel-harbor"), "action"),
    ("no-wildcard-access", iam(Action=["s3:*"], Resource="arn:aws:s3:::b"), "action"),
    ("no-wildcard-access", iam(Action="s3:Get*", Resource="arn:aws:s3:::b"), "action"),
    ("no-wildcard-access", iam(Action="s3:???Object", Resource="arn:aws:s3:::b"), "action"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="*"), "resource"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::*"), "resource"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::*/*"), "resource"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::oman*/*"), "resource"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Resource="arn:aws:s3:::b/?/*"), "resource"),
    ("no-wildcard-access", iam(Action="kms:Decrypt", Resource="arn:aws:kms:r:1:key/*"), "resource"),
    *(
        (
            "no-wildcard-access",
            one(typ, policy='{"Statement": {"Effect": "Allow", "Action": "s3:*"}}'),
            "action",
        )
        for typ in (
            "aws:iam/userPolicy:UserPolicy",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:s3/bucketPolicy:BucketPolicy",
        )
    ),
    ("no-wildcard-access", iam(NotAction="s3:DeleteBucket", Resource="a"), "NotAction"),
    ("no-wildcard-access", iam(Action="s3:GetObject", Principal={"AWS": ["*"]}), "everybody"),
    (
        "no-wildcard-access",
        one("a:b:C", policy='{"Statement": {"Effect": "Allow", "Action": "*"}}'),
        "action",
    ),
    ("no-wildcard-access", cluster_role("Role", resources=["*"], verbs=["get"]), "resources"),
    ("no-wildcard-access", cluster_role(resources=["pods"], verbs=["*"]), "verbs"),
    (
        "no-wildcard-access",
        one(
            "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
            roleRef={"kind": "ClusterRole", "name": "cluster-admin"},
        ),
        "cluster-admin",
    ),
    ("no-role-reads-all-secrets", cluster_role(resources=["secrets"], verbs=["list"]), "list"),
    ("no-role-reads-all-secrets", cluster_role(resources=["*"], verbs=["watch"]), "watch"),
    (
        "objects-are-at-home",
        one("kubernetes:core/v1:Service", metadata={"namespace": "kube-system"}),
        "kube-system",
    ),
    ("objects-are-at-home", one("kubernetes:core/v1:ConfigMap", metadata={}), "no namespace"),
    ("objects-are-at-home", one(RELEASE, version="1.0.0", namespace="default"), "default"),
    ("public-endpoints-have-tls", release(externalURL="http://registry.example.com"), "https"),
    ("public-endpoints-have-tls", one(BUCKET, endpoint="http://10.0.0.1:7070"), "endpoint"),
    ("public-endpoints-have-tls", one(BUCKET, endpoint="HTTP://10.0.0.1:7070"), "endpoint"),
    ("public-endpoints-have-tls", release(externalURL="HtTp://registry.example.com"), "https"),
    ("public-endpoints-have-tls", one("kubernetes:networking.k8s.io/v1:Ingress", spec={}), "tls"),
    (
        "public-endpoints-have-tls",
        one(
            "kubernetes:gateway.networking.k8s.io/v1:Gateway",
            spec={"listeners": [{"name": "web", "protocol": "HTTP"}]},
        ),
        "web",
    ),
    ("harbor-runs-on-amd64", harbor_values(core={}), "values.core"),
    (
        "harbor-runs-on-amd64",
        harbor_values(trivy={"nodeSelector": {"kubernetes.io/arch": "arm64"}}),
        "values.trivy",
    ),
    ("pods-have-resources", pod(), "requests.cpu"),
    ("pods-have-resources", pod(resources={"requests": RESOURCES["requests"]}), "limits.memory"),
    ("pods-have-resources", one(DATABASE, spec={}), "the database"),
]


def named(row: tuple[Any, ...]) -> str:
    return f"{row[0]}: {row[1].kind} {row[1].props}"[:90]


@pytest.mark.parametrize("row", GOOD, ids=named)
def test_good_passes(row: tuple[str, Resource]) -> None:
    assert problems(*row) == []


@pytest.mark.parametrize("row", BAD, ids=named)
def test_bad_is_named(row: tuple[str, Resource, str]) -> None:
    rule, resource, word = row
    reported = problems(rule, resource)
    assert reported, f"{rule} lets it through"
    assert any(word in problem for problem in reported), reported


def test_every_rule_stands_in_both_tables() -> None:
    names = {rule.name for rule in RULES}
    assert {row[0] for row in GOOD} == names
    assert {row[0] for row in BAD} == names


def test_no_message_repeats_the_secret_it_found() -> None:
    reported = problems("no-plaintext-secret", release(password="hunter2", url="a://b:hunter2@c"))
    assert len(reported) == 2
    assert "hunter2" not in " ".join(reported)


@pytest.mark.parametrize(
    "resource", [one(BUCKET), one(BUCKET, endpoint="http://127.0.0.1:7070")], ids=str
)
def test_a_sandbox_may_be_thrown_away_and_speak_http(resource: Resource) -> None:
    assert problems("data-is-protected", resource, SANDBOX) == []
    assert problems("public-endpoints-have-tls", resource, SANDBOX) == []


def test_a_namespace_given_by_config_is_home() -> None:
    service = one("kubernetes:core/v1:Service", metadata={"namespace": "registry"})
    assert problems("objects-are-at-home", service)
    home = Sovereign(namespaces=frozenset({"registry"}))
    assert problems("objects-are-at-home", service, home) == []


def test_a_namespace_that_pulls_with_a_robot_takes_its_login_and_nothing_else() -> None:
    robot = {"permissions": ["pull"], "pullSecret": {"namespaces": ["shop"]}}
    section = {"projects": {"shop": {"robots": {"ci": robot}}}}
    sovereign = Sovereign.of({"sovereign-harbor:registry": section})
    shop = {"namespace": "shop"}
    for kind in (SEALED_SECRET, "kubernetes:core/v1:ServiceAccountPatch"):
        assert problems("objects-are-at-home", one(kind, metadata=shop), sovereign) == []
        assert problems("objects-are-at-home", one(kind, metadata=shop))
    assert problems(
        "objects-are-at-home", one("kubernetes:core/v1:Service", metadata=shop), sovereign
    )


@pytest.mark.parametrize(
    ("section", "namespace", "is_home"),
    [
        ({"destination": {}}, "velero", True),
        ({"velero": {"namespace": "backups"}}, "backups", True),
        ({"velero": {"namespace": "backups"}}, "velero", False),
        ({"velero": {"enabled": False}}, "velero", False),
        (None, "velero", False),
    ],
)
def test_velero_s_namespace_takes_a_schedule_and_nothing_else(
    section: Any, namespace: str, is_home: bool
) -> None:
    sovereign = Sovereign.of({"sovereign-harbor:backup": section})
    there = {"namespace": namespace}
    schedule = one("kubernetes:velero.io/v1:Schedule", metadata=there)
    assert (list(problems("objects-are-at-home", schedule, sovereign)) == []) is is_home
    restore = one("kubernetes:velero.io/v1:Restore", metadata=there)
    assert problems("objects-are-at-home", restore, sovereign)


@pytest.mark.parametrize(
    ("name", "data", "is_fine"),
    [
        ("valkey-pushed", {"sovereign-harbor-owner": "eA=="}, True),
        ("valkey-pushed", UNKNOWN, True),
        ("valkey", UNKNOWN, False),
        ("valkey-pushed", {"password": "eA=="}, False),
    ],
)
def test_only_a_secret_that_is_pushed_into_a_store_is_written_plainly(
    name: str, data: Any, *, is_fine: bool
) -> None:
    there = {"name": name, "namespace": "harbor"}
    secret = one("kubernetes:core/v1:Secret", metadata=there, data=data)
    found = list(problems("no-plaintext-secret", secret, Sovereign.of({})))
    assert (found == []) is is_fine


def test_grafana_s_namespace_takes_the_dashboard_and_nothing_else() -> None:
    sovereign = Sovereign.of({"sovereign-harbor:monitoring": {"dashboardNamespace": "grafana"}})
    dashboard = {"namespace": "grafana", "labels": {"grafana_dashboard": "1"}}
    of_ours = one("kubernetes:core/v1:ConfigMap", metadata=dashboard)
    assert list(problems("objects-are-at-home", of_ours, sovereign)) == []
    assert problems("objects-are-at-home", of_ours, Sovereign.of({}))
    other = one("kubernetes:core/v1:ConfigMap", metadata={"namespace": "grafana"})
    assert problems("objects-are-at-home", other, sovereign)


@pytest.mark.parametrize(
    ("section", "is_home"),
    [
        ({"mode": "shared", "create": {"cluster": "pg", "namespace": "databases"}}, True),
        ({"mode": "shared", "create": {"cluster": "pg"}, "host": "pg-pooler.databases"}, True),
        ({"mode": "shared", "create": {"cluster": "pg", "namespace": "elsewhere"}}, False),
        ({"mode": "shared", "host": "pg.databases"}, False),
        ({"mode": "shared", "create": "pg"}, False),
        ({"instances": 2}, False),
        ("refused", False),
        (None, False),
    ],
)
def test_the_namespace_of_the_estate_s_cluster_takes_a_database_and_nothing_else(
    section: Any, *, is_home: bool
) -> None:
    sovereign = Sovereign.of({"sovereign-harbor:database": section})
    there = {"namespace": "databases"}
    database = one("kubernetes:postgresql.cnpg.io/v1:Database", metadata=there)
    assert (list(problems("objects-are-at-home", database, sovereign)) == []) is is_home
    cluster = one("kubernetes:postgresql.cnpg.io/v1:Cluster", metadata=there)
    assert problems("objects-are-at-home", cluster, sovereign)


@pytest.mark.parametrize(
    ("config", "namespaces", "is_sandbox"),
    [
        ({}, {"harbor", "flux-system"}, False),
        (
            {"sovereign-harbor:harbor": {"namespace": "registry"}},
            {"registry", "flux-system"},
            False,
        ),
        ({"sovereign-harbor:storage": {"seamNamespace": "argocd"}}, {"harbor", "argocd"}, False),
        ({"sovereign-harbor:harbor": "not an object"}, {"harbor", "flux-system"}, False),
        ({"sovereign-harbor:sandbox": "true"}, {"harbor", "flux-system"}, True),
        ({"sovereign-harbor:sandbox": True}, {"harbor", "flux-system"}, True),
        ({"sovereign-harbor:sandbox": "false"}, {"harbor", "flux-system"}, False),
    ],
    ids=[
        "nothing",
        "namespace",
        "seam",
        "refused",
        "sandbox",
        "sandbox as a boolean",
        "no sandbox",
    ],
)
def test_a_sovereign_is_read_from_its_config(
    config: dict[str, Any], namespaces: set[str], is_sandbox: bool
) -> None:
    assert Sovereign.of(config) == Sovereign(namespaces=frozenset(namespaces), sandbox=is_sandbox)
    assert Sovereign.of(config, ["more"]).namespaces == namespaces | {"more"}


# --- Networks -----------------------------------------------------------------------------------


def network_policy(**spec: Any) -> Resource:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **spec}
    return one(
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        metadata={"namespace": "harbor"},
        spec=spec,
    )


HOME = one(NAMESPACE, metadata={"name": "harbor"})
WORKLOAD = one(
    STATEFUL_SET,
    metadata={"namespace": "harbor"},
    spec={"template": {"metadata": {"labels": {"app": "valkey"}}}},
)
POSTGRES = one(DATABASE, metadata={"namespace": "harbor", "name": "harbor-pg"})


def networks(*resources: Resource, sovereign: Sovereign = SOVEREIGN) -> list[str]:
    [rule] = STACK_RULES
    return [problem for _, problem in rule.check(list(resources), sovereign)]


@pytest.mark.parametrize(
    "resources",
    [
        [HOME, network_policy()],
        [HOME, WORKLOAD, POSTGRES, network_policy()],
        [HOME, WORKLOAD, network_policy(podSelector={"matchLabels": {"app": "valkey"}})],
        [
            HOME,
            POSTGRES,
            network_policy(podSelector={"matchLabels": {"app": "harbor"}}),
            network_policy(
                podSelector={"matchLabels": {"cnpg.io/cluster": "harbor-pg"}}, ingress=[{}]
            ),
        ],
        [one(NAMESPACE, metadata={"name": UNKNOWN})],
        [],
    ],
)
def test_a_namespace_that_denies_by_default_passes(resources: list[Resource]) -> None:
    assert networks(*resources) == []


@pytest.mark.parametrize(
    ("resources", "word"),
    [
        ([HOME], "denies by default"),
        ([HOME, network_policy(ingress=[{}])], "denies by default"),
        ([HOME, network_policy(policyTypes=["Ingress"])], "denies by default"),
        (
            [HOME, WORKLOAD, network_policy(podSelector={"matchLabels": {"app": "harbor"}})],
            "selects its pods",
        ),
        (
            [HOME, POSTGRES, network_policy(podSelector={"matchLabels": {"app": "harbor"}})],
            "selects its pods",
        ),
    ],
)
def test_a_namespace_that_is_open_is_named(resources: list[Resource], word: str) -> None:
    [problem] = networks(*resources)
    assert word in problem
    assert networks(*resources, sovereign=SANDBOX) == []


# --- Data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typ", "name", "props"),
    [
        (BUCKET, "object-storage-bucket", {}),
        (NAMESPACE, "namespace", {}),
        (DATABASE, "database-cluster", {}),
        (STATEFUL_SET, "cache-server", {"spec": {"volumeClaimTemplates": [{}]}}),
        (STATEFUL_SET, "cache-server", {"spec": "not known yet"}),
        ("random:index/randomPassword:RandomPassword", "credentials-secret-key", {}),
    ],
)
def test_what_holds_data_is_known(typ: str, name: str, props: dict[str, Any]) -> None:
    assert data_touched(typ, name, props)


@pytest.mark.parametrize(
    ("typ", "name", "props"),
    [
        (STATEFUL_SET, "cache-server", {"spec": {"template": {}}}),
        ("random:index/randomPassword:RandomPassword", "credentials-core-secret", {}),
        ("kubernetes:core/v1:Service", "cache-service", {}),
    ],
)
def test_what_can_be_made_again_is_not_called_data(
    typ: str, name: str, props: dict[str, Any]
) -> None:
    assert not data_touched(typ, name, props)


# --- The program itself -------------------------------------------------------------------------

program = test_program.program


def recorded(engine: Engine) -> list[Resource]:
    def as_resource(registered: Registered) -> Resource:
        return Resource(
            type=registered.typ,
            name=registered.name,
            props=unknowns(plain(registered.inputs)),
            protected=registered.protect,
        )

    return [as_resource(registered) for registered in engine.resources]


def unknowns(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unknowns(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unknowns(item) for item in value]
    return UNKNOWN if type(value).__name__ == "Unknown" else value


def broken(engine: Engine, sovereign: Sovereign) -> list[str]:
    return [
        f"{rule}: {resource.name}: {problem}"
        for rule, resource, problem in violations(recorded(engine), sovereign)
    ]


@pytest.mark.parametrize("offline", [False, True], ids=["all values known", "offline preview"])
@pytest.mark.parametrize("stack", test_program.STACKS)
def test_the_program_keeps_every_rule(
    stack: str, offline: bool, program: test_program.Program
) -> None:
    engine = program.preview_offline(stack) if offline else program.run(stack)
    assert broken(engine, Sovereign.of(test_program.config_of(stack))) == []


@pytest.mark.parametrize(
    "sections",
    [sections for _, sections in test_program.VARIANTS],
    ids=[name for name, _ in test_program.VARIANTS],
)
def test_every_variant_keeps_every_rule(
    sections: dict[str, Any], program: test_program.Program
) -> None:
    home = sections.get("harbor", {}).get("namespace", "harbor")
    of_velero = frozenset({"velero"} if "backup" in sections else ())
    of_grafana = sections.get("monitoring", {}).get("dashboardNamespace")
    create = sections.get("database", {}).get("create", {})
    sovereign = Sovereign(
        namespaces=frozenset({home, "flux-system"}),
        schedule_namespaces=of_velero,
        dashboard_namespaces=frozenset({of_grafana} if of_grafana else ()),
        tenant_namespaces=frozenset(filter(None, [create.get("namespace")])),
    )
    assert broken(program.run("omantel", **sections), sovereign) == []


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("no-plaintext-secret", lambda v: v.update(harborAdminPassword="Harbor12345"), RELEASE),
    ("harbor-runs-on-amd64", lambda v: v["core"].pop("nodeSelector"), RELEASE),
    ("public-endpoints-have-tls", lambda v: v.update(externalURL="http://registry"), RELEASE),
]


@pytest.mark.parametrize(("rule", "change", "typ"), CHANGES, ids=[row[0] for row in CHANGES])
def test_a_change_for_the_worse_of_the_real_values_is_found(
    rule: str,
    change: Callable[[dict[str, Any]], object],
    typ: str,
    program: test_program.Program,
) -> None:
    [release] = [each for each in recorded(program.run("omantel")) if each.type == typ]
    values = dict(release.props["values"])
    values["core"] = dict(values["core"])
    change(values)
    worse = one(typ, **{**release.props, "values": values})
    assert problems(rule, release) == []
    assert problems(rule, worse)


# --- The pack -----------------------------------------------------------------------------------


def test_the_pack_s_own_file_says_what_the_engine_needs() -> None:
    pack = yaml.safe_load((ROOT / "policy" / "PulumiPolicy.yaml").read_text())
    assert pack["runtime"]["name"] == "python"
    assert (ROOT / "policy" / pack["runtime"]["options"]["virtualenv"]).resolve() == (
        ROOT / ".venv"
    ).resolve()


def test_the_pack_hands_rules_plain_data_with_unknowns_marked() -> None:
    proxy = pytest.importorskip("pulumi_policy.proxy")
    from policy import pack

    props = {"known": [{"a": 1}], "unknown": proxy.UNKNOWN_STRING_VALUE}
    assert pack.plain(proxy.unknown_checking_proxy(props)) == {
        "known": [{"a": 1}],
        "unknown": UNKNOWN,
    }


def test_every_rule_is_a_policy_of_the_pack() -> None:
    pytest.importorskip("pulumi_policy")
    from policy import pack

    names = {rule.name for rule in (*RULES, *STACK_RULES)}
    assert {policy.name for policy in pack.policies()} == names


def test_a_policy_reads_the_sovereign_from_the_stack_s_file() -> None:
    policies: Any = pytest.importorskip("pulumi_policy")
    from policy import pack

    policy: Any
    [policy] = [each for each in pack.policies() if each.name == "data-is-protected"]

    def reported(stack: str) -> list[str]:
        args = policies.ResourceValidationArgs(
            resource_type=BUCKET,
            props={},
            urn=f"urn:pulumi:{stack}::sovereign-harbor::{BUCKET}::bucket",
            name="bucket",
            opts=policies.PolicyResourceOptions(
                False, [], None, [], policies.PolicyCustomTimeouts(0, 0, 0), []
            ),
            provider=None,
        )
        messages: list[str] = []
        policy.validate(args, lambda message, _urn=None: messages.append(message))
        return messages

    assert reported("omantel")
    assert reported("nobody-s-stack"), "without a file the strictest holds"
    assert reported("local") == []
