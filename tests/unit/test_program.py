"""The program as it stands, `__main__.py` with a stack's own file, under mocks.

tests/unit/golden/<stack>.txt lists what a stack is made of. After an intended change:

    UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/test_program.py

and read the difference before committing it: a name that changes is a resource that is replaced.
"""

import base64
import gc
import json
import os
import runpy
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.kubernetes import naming
from components.preflight import beside
from components.sealing.unsealed import REVISION_ANNOTATION
from components.settings.database import SecretRef
from components.settings.model import Settings
from tests.support import builders
from tests.support.builders import ACCESS_KEY, AWS, NODE_ROLE, SECRET_KEY, Cluster
from tests.support.contract import (
    DATA,
    assert_data_is_kept,
    assert_labelled,
    assert_no_secret_in_the_clear,
    assert_one_cluster,
)
from tests.support.mocks import (
    BLOB_PLACE,
    BUCKET,
    CONFIG_MAP,
    HANDOVER,
    KUBERNETES_PROVIDER,
    MARK,
    NAMESPACE,
    PASSWORD,
    POSTGRES_CLUSTER,
    PROJECT,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    SEALING_TRUST,
    STATE_MARK,
    STATEFUL_SET,
    SYNCED,
    Engine,
    fresh_engine,
    plain,
    text,
    unknown_inputs,
    unknown_paths,
)
from tests.support.monitoring import WIDE as MONITORED
from tests.support.project import ROOT
from tests.unit.harbor.test_recovery import helm_record
from tests.unit.preflight.test_adoption import chart_objects

GOLDEN = Path(__file__).parent / "golden"
STACKS = tuple(sorted(file.stem for file in GOLDEN.glob("*.txt")))
"""Those whose resources are written down, as examples. Any other Sovereign is its file alone: the
preview of its pull request is its test."""

SECRETS = {**builders.SECRETS, "dnsToken": f"{MARK}-token-of-forty-characters-"}
NAMED_SECRETS = {"gitlabbda": {"gitlabSecret": f"{MARK}-gitlab"}}
"""By stack: those that its file names itself."""
DATABASE = SecretRef(namespace="databases", name="harbor-app", key="password")
VALKEY = SecretRef(namespace="valkey", name="valkey", key="valkey-password")
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
GITLABS_STORE = "/apis/external-secrets.io/v1/clustersecretstores/gitlabbda-app-secrets-store"
GITLABS_DATABASE = SecretRef(namespace="gitlabbda", name="gitlab-postgres-app")
SHARED: dict[str, Any] = {
    "database": {
        "mode": "shared",
        "host": "pg-rw.databases",
        "username": "harbor",
        "secret": {"namespace": "databases", "name": "harbor-app"},
    },
    "valkey": {
        "mode": "shared",
        "host": "valkey-primary.valkey",
        "indexes": {"core": 3},
        "secret": VALKEY.model_dump(),
    },
}
REGISTRY_NAMESPACE: dict[str, Any] = {"harbor": {"namespace": "registry"}}
LOCKED: dict[str, Any] = {
    "storage": {
        "kind": "hetzner",
        "region": "fsn1",
        "bucket": "otech-harbor",
        "rootDirectory": "otech",
        "lockdown": {"projectId": "1234567", "moreAccessKeys": ["NEXTACCESSKEY0000001"]},
    }
}
FILESYSTEM: dict[str, Any] = {"storage": {"kind": "filesystem", "size": "50Gi"}}
POLICIES: dict[str, Any] = {
    "enforcement": "Enforce",
    "rewrite": {"enabled": True, "projects": {"docker.io": "dockerhub"}},
}
CACHES: dict[str, Any] = {
    "proxyCaches": {"dockerhub": {"upstream": {"type": "docker-hub"}}},
}
KEYED_GCS: dict[str, Any] = {"storage": builders.KEYED_GCS}
KEYLESS_GCS: dict[str, Any] = {"storage": builders.KEYLESS_GCS}
AZURE: dict[str, Any] = {"storage": builders.AZURE}
FQDN = {
    "gitlabbda": "staging.bluedynamics.eu",
    "local": "local.harbor.test",
    "omantel": "omantel.omani.works",
    "otech": "otech.omani.works",
}
BUCKETS = {
    "gitlabbda": "registry-gitlabbda-kup6s",
    "local": "local-harbor",
    "omantel": "omantel-harbor",
    "otech": "otech-harbor",
}

CERTIFICATE_PATH = (
    "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:8080/proxy/v1/cert.pem"
)
REQUIRE_POLICY = "/apis/policies.kyverno.io/v1/validatingpolicies/require-harbor-images"
POLICY_REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
SANDBOX = {
    "KUBE_CONTEXT": "sandbox",
    "S3_ENDPOINT": "http://127.0.0.1:7070",
    "S3_ACCESS_KEY": ACCESS_KEY,
    "S3_SECRET_KEY": SECRET_KEY,
}

Sections = dict[str, Any]

SECTION_OF = {"delivered": "secrets"}
"""Argument of a run → the section that it stands for; `secrets` are values there."""
EXTERNAL: Sections = {
    "delivered": {"delivery": "external", "store": {"name": "platform"}},
    "sealing": {},
}
STORE = "/apis/external-secrets.io/v1/clustersecretstores/platform"
STORED: Sections = {
    name: {**SHARED[name], "secret": {"storeKey": f"estate-{name}", "property": "password"}}
    for name in ("database", "valkey")
}


class Program:
    """The stacks of this project, run as the engine would run them.

    A run is kept, and nobody changes what came of it: most tests look at the same few.
    """

    def __init__(self, certificate: str, folder: Path) -> None:
        self.certificate = certificate
        self._pinned = folder / "sealing.pem"
        self._pinned.write_text(certificate)
        self._runs: dict[str, Engine] = {}

    def run(self, stack: str, **arguments: Any) -> Engine:
        """The engine after that run; for the arguments see _run. Raises what the program raises."""
        key = json.dumps([stack, arguments], sort_keys=True)
        if key not in self._runs:
            with fresh_engine() as engine:
                self._run(engine, stack, **arguments)
            self._runs[key] = engine
        return self._runs[key]

    def preview_of_file(self, stack: str, file: Sections) -> Engine:
        """The same of a stack with that file, by config key; it is not kept."""
        with fresh_engine() as engine:
            self._run(engine, stack, file=file, preview=True, secrets={}, is_up=False)
        return engine

    def preview_offline(self, stack: str, **sections: Any) -> Engine:
        """Nobody's cluster and nobody's secrets: a pull request from a fork."""
        return self.run(stack, preview=True, secrets={}, is_up=False, **sections)

    def refusal(self, stack: str, **arguments: Any) -> str:
        """The words with which it is refused, before anything is registered."""
        with fresh_engine() as engine, pytest.raises(pulumi.RunError) as refused:
            self._run(engine, stack, **arguments)
        assert engine.resources == [], "something was registered before the refusal"
        return str(refused.value)

    def _run(
        self,
        engine: Engine,
        stack: str,
        *,
        preview: bool = False,
        secrets: dict[str, str] | None = None,
        reaches: str | None = None,
        is_up: bool = True,
        is_equipped: bool = True,
        objects: Sections | None = None,
        refused: dict[str, int | None] | None = None,
        file: Sections | None = None,
        **sections: Any,
    ) -> None:
        """`secrets`: those that are set. `sections`: what replaces those of the stack's file.
        `file`: what is in the stack's file, if not what is committed.

        `reaches`: the cluster of the kubeconfig, the stack's own unless said; `is_equipped`:
        whether it has all that any stack needs; `objects`: what else it has, by path; `refused`:
        the status of what it refuses, by path.
        """
        given = {**SECRETS, **NAMED_SECRETS.get(stack, {})} if secrets is None else secrets
        # The sandbox's file names variables where the others have encrypted values.
        config = {
            **defaults(),
            **{f"{PROJECT}:{key}": value for key, value in given.items()},
            **(config_of(stack) if file is None else {}),
            **{
                f"{PROJECT}:{SECTION_OF.get(k, k)}": value
                for k, value in {**(file or {}), **sections}.items()
            },
        }
        cluster = Cluster(
            cluster_name=reaches or (cluster_of(stack) if file is None else stack),
            is_up=is_up,
            has_everything=is_equipped,
            refused=refused or {},
            objects={
                CERTIFICATE_PATH: self.certificate,
                TENANT_CLUSTER: {"spec": {"instances": 2}},
                REQUIRE_POLICY: None,  # a stack does not need it: it brings it
                **dict.fromkeys((STORE, GITLABS_STORE), READY),
                **(objects or {}),
            },
        )
        cluster.put_secret(DATABASE, f"{MARK}-database")
        cluster.put_secret(VALKEY, f"{MARK}-valkey")
        cluster.put_secret(GITLABS_DATABASE, f"{MARK}-database")
        with pytest.MonkeyPatch.context() as monkeypatch:
            cluster.stand_in(monkeypatch)
            monkeypatch.chdir(ROOT)
            monkeypatch.delenv("HARBOR_CHART", raising=False)
            monkeypatch.setattr(gc, "freeze", lambda: None)  # this process runs many programs
            for name, value in SANDBOX.items():
                monkeypatch.setenv(f"SANDBOX_{name}", value)
            monkeypatch.setenv("SANDBOX_SEALING_CERTIFICATE", str(self._pinned))
            engine.run(
                lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"),
                stack=stack,
                preview=preview,
                config={k: v if isinstance(v, str) else json.dumps(v) for k, v in config.items()},
                secret_keys=frozenset(f"{PROJECT}:{key}" for key in given),
            )


@pytest.fixture(scope="module")
def program(sealing_certificate: str, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(sealing_certificate, tmp_path_factory.mktemp("sandbox"))


def defaults() -> Sections:
    """What Pulumi.yaml declares: the engine puts it where a stack's file says nothing."""
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return {f"{PROJECT}:{key}": of["default"] for key, of in declared.items()}


def cluster_of(stack: str) -> str:
    """The cluster that a stack's file names; one like the stack where it names none."""
    return config_of(stack).get(f"{PROJECT}:cluster", {}).get("name", stack)


def config_of(stack: str) -> Sections:
    return yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]


# --- What a stack is made of -------------------------------------------------------------------


def listing(engine: Engine) -> str:
    """Type, name and parent of everything, the same for two stacks that are alike."""
    lines: list[str] = []
    for resource in engine.resources:
        is_top = resource.parent.split("::")[2] == "pulumi:pulumi:Stack"
        parent = "stack" if is_top else resource.parent_name
        lines.append(f"{resource.typ}  {resource.name}  < {parent}\n")
    return "".join(lines)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_made_of_what_was_agreed(stack: str, program: Program) -> None:
    made = listing(program.run(stack))
    golden = GOLDEN / f"{stack}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text(), "UPDATE_GOLDEN=1 if this is intended"


@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_without_cluster_and_secrets_shows_the_same_resources(
    stack: str, program: Program
) -> None:
    previewed = program.preview_offline(stack)
    assert listing(previewed) == listing(program.run(stack))


def test_a_preview_says_what_it_goes_on_without(program: Program) -> None:
    told = "\n".join(program.preview_offline("omantel").log)
    for missing in ("s3AccessKey", "s3SecretKey", "dnsToken", "no sealing certificate"):
        assert missing in told
    assert program.run("omantel").log == []


CHECKS = (
    "whether this is the stack's cluster",
    "whether image policies may refuse pods yet",
    "whether something exists that must not be touched",
    "whether the cluster has what the stack needs",
    "which namespaces without an image policy exist",
    "what gates of the registry would do to images that pods run",
)


def unchecked(log: list[str]) -> list[str]:
    """The lines that say which checks were not made."""
    return [line for line in log if "not checked" in line]


def test_a_preview_without_its_cluster_says_which_checks_were_not_made(program: Program) -> None:
    (line,) = unchecked(program.preview_offline("omantel").log)
    assert line == (
        f"not checked in this preview: {', '.join(CHECKS)}. The next `up` checks it. "
        "connection refused"
    )


RECORDS = "/api/v1/namespaces/harbor/secrets?labelSelector=owner%3Dhelm%2Cname%3Dharbor"


def test_a_preview_that_may_not_ask_one_thing_makes_the_other_checks(program: Program) -> None:
    (line,) = unchecked(program.run("omantel", preview=True, refused={RECORDS: 403}).log)
    assert line == (
        f"not checked in this preview: {CHECKS[2]}. The next `up` checks it. {RECORDS}: forbidden"
    )
    words = program.refusal("omantel", preview=True, refused={RECORDS: 403}, is_equipped=False)
    assert "missing: " in words


@pytest.mark.parametrize("status", [403, 401, None])
def test_a_check_that_could_not_be_made_ends_an_update(
    status: int | None, program: Program
) -> None:
    words = program.refusal("omantel", refused={RECORDS: status})
    assert f"is not reached: {RECORDS}: forbidden" in words
    assert "nothing was touched" in words


def test_without_an_answer_the_later_checks_do_not_wait_for_one(program: Program) -> None:
    (line,) = unchecked(program.run("omantel", preview=True, refused={RECORDS: None}).log)
    assert f"{', '.join(CHECKS[2:])}. The next `up`" in line


def test_every_golden_file_is_of_a_stack() -> None:
    assert set(STACKS) <= {file.suffixes[0][1:] for file in ROOT.glob("Pulumi.*.yaml")}
    assert "local" in STACKS


BACKUP: Sections = {
    "backup": {
        "destination": {
            "bucket": "otech-backup",
            "endpoint": "https://nbg1.your-objectstorage.com",
            "region": "nbg1",
        }
    },
    "storage": {
        "kind": "hetzner",
        "region": "fsn1",
        "bucket": "otech-harbor",
        "versioning": {"noncurrentDays": 30},
    },
}
RESTORED: Sections = {**BACKUP, "database": {"restore": {}}}
TENANT: Sections = {"mode": "shared", "create": {"cluster": "pg", "namespace": "databases"}}
TENANT_SECRET: Sections = {"namespace": "databases", "name": "harbor-app"}
TENANT_CLUSTER = "/apis/postgresql.cnpg.io/v1/namespaces/databases/clusters/pg"
BESIDE_OTHERS: Sections = {"harbor": {"namespace": "team", "sharedNamespace": True}}
VARIANTS: list[tuple[str, Sections]] = [
    ("backups", BACKUP),
    ("a restored database", RESTORED),
    ("filesystem", FILESYSTEM),
    ("a locked bucket", LOCKED),
    ("aws", {"storage": AWS}),
    ("aws without a key", {"storage": NODE_ROLE}),
    ("a container with a key", AZURE),
    ("a key file", KEYED_GCS),
    ("an identity for a key", KEYLESS_GCS),
    ("shared", SHARED),
    ("shared database", {"database": SHARED["database"]}),
    ("shared cache, filesystem", {"valkey": SHARED["valkey"], **FILESYSTEM}),
    ("a database in a shared cluster", {"database": TENANT}),
    ("a database of another's role", {"database": {**TENANT, "secret": TENANT_SECRET}}),
    ("another namespace", REGISTRY_NAMESPACE),
    ("external secrets", EXTERNAL),
    ("external secrets, shared", {**EXTERNAL, **SHARED}),
    ("external secrets, shared services in the store", {**EXTERNAL, **STORED}),
    ("monitoring", {**MONITORED, "exposure": {"kind": "gateway"}}),
    ("a namespace with others", BESIDE_OTHERS),
    ("many replicas", {"harbor": {"replicas": {"core": 3, "registry": 3}}}),
]


@pytest.mark.parametrize(
    "sections", [sections for _, sections in VARIANTS], ids=[name for name, _ in VARIANTS]
)
def test_a_variant_runs_and_previews_as_the_same_resources(
    sections: Sections, program: Program
) -> None:
    made = listing(program.run("otech", **sections))
    assert listing(program.preview_offline("otech", **sections)) == made


@pytest.mark.parametrize(
    "sections", [sections for _, sections in VARIANTS], ids=[name for name, _ in VARIANTS]
)
def test_a_plain_secret_in_the_way_of_any_secret_is_refused(
    sections: Sections, program: Program
) -> None:
    if "delivered" in sections:
        pytest.skip("nothing is sealed: tests/unit/preflight/test_secret_store.py")
    seals = program.run("otech", **sections).all(SEAL)
    in_the_way = {
        f"/api/v1/namespaces/{seal['namespace']}/secrets/{seal['name']}": {
            "metadata": {"name": seal["name"]}
        }
        for seal in seals
    }
    said = program.refusal("otech", objects=in_the_way, **sections)
    for seal in seals:
        assert f"kubectl annotate secret {seal['name']} -n {seal['namespace']} " in said
    assert said.count("no SealedSecret made it") == len(seals)


@pytest.mark.parametrize(
    "sections",
    [sections for _, sections in VARIANTS if "harbor" not in sections],
    ids=[name for name, sections in VARIANTS if "harbor" not in sections],
)
def test_beside_others_every_object_is_looked_for_before_it_is_applied(
    sections: Sections, program: Program
) -> None:
    changed = {f"{PROJECT}:{SECTION_OF.get(k, k)}": v for k, v in sections.items()}
    given = {**config_of("otech"), **changed}
    named = {k.partition(":")[2]: v for k, v in given.items() if k.partition(":")[0] == PROJECT}
    stack = Settings.model_validate({**named, **BESIDE_OTHERS})
    looked_for = set(beside.objects(stack))
    engine = program.run("otech", **{**sections, **BESIDE_OTHERS})
    for resource in engine.resources:
        if resource.is_manifest and resource["metadata"].get("namespace") == "team":
            one = (resource.typ.rpartition(":")[2], resource["metadata"]["name"])
            assert one in looked_for, resource


def test_beside_others_the_namespace_is_no_resource_of_the_stack(program: Program) -> None:
    alone, beside_others = program.run("otech"), program.run("otech", **BESIDE_OTHERS)
    names = {(each.typ, each.name) for each in alone.resources}
    assert names - {(each.typ, each.name) for each in beside_others.resources} == {
        (NAMESPACE, "namespace")
    }
    assert beside_others.one(RELEASE)["namespace"] == "team"


def test_an_adoption_beside_others_leaves_the_namespace_alone(program: Program) -> None:
    harbor = {**BESIDE_OTHERS["harbor"], "adopt": True}
    engine = program.run("otech", preview=True, is_up=False, harbor=harbor)
    assert engine.all(NAMESPACE) == []


@pytest.mark.parametrize("services", [{}, SHARED, STORED], ids=["own", "shared", "stored"])
def test_with_external_delivery_every_secret_comes_by_the_store(
    services: Sections, program: Program
) -> None:
    sealed = program.run("otech", **({} if services == STORED else services))
    engine = program.run("otech", **EXTERNAL, **services)
    assert engine.all(SEAL) == engine.all(SEALED_SECRET) == engine.all(SEALING_TRUST) == []
    names = {(each["namespace"], each["name"]) for each in engine.all(SYNCED)}
    if services != STORED:
        assert names == {(each["namespace"], each["name"]) for each in sealed.all(SEAL)}
    pushed = {each["name"] for each in engine.all(HANDOVER)}
    read_only = {"harbor-shared-database", "harbor-shared-valkey"} if services == STORED else set()
    assert {name for _, name in names} - pushed == read_only
    keys = [each["storeKey"] for each in engine.all(HANDOVER)]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("otech-omani-works-") for key in keys)
    assert_one_cluster(engine)
    assert_labelled(engine, FQDN["otech"])
    assert_no_secret_in_the_clear(engine)
    if not services:  # a shared database's Secret has the logical name of the own one
        assert_data_is_kept(engine)


def test_the_same_pods_restart_whichever_way_secrets_come(program: Program) -> None:
    sealed = values_of(program.run("otech"))
    delivered = values_of(program.run("otech", **EXTERNAL))
    for component in ("core", "jobservice", "registry", "trivy", "exporter"):
        told = [
            set((each.get(component) or {}).get("podAnnotations") or {})
            for each in (sealed, delivered)
        ]
        assert told[0] == told[1], component


def test_everything_waits_until_the_state_and_the_certificate_are_accepted(
    program: Program,
) -> None:
    engine = program.run("omantel")
    accepted = {engine.one(STATE_MARK).urn, engine.one(SEALING_TRUST).urn}
    parents = {resource.urn for resource in engine.resources}
    for resource in engine.resources:
        is_free = resource.urn in accepted or resource.typ.startswith("pulumi:providers:")
        if not is_free and resource.parent not in parents:
            assert accepted <= resource.dependencies, resource
    assert engine.one(STATE_MARK).dependencies == frozenset()
    record = engine.one(CONFIG_MAP)
    assert record["data"] == {"mark": "mark-of-the-state"}
    # Nothing can be lost before the credentials are there.
    assert engine.one(SEALED_SECRET, "credentials-secret-key-manifest").urn in record.dependencies


# --- Where it goes -----------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_there_is_one_provider_and_every_object_uses_it(stack: str, program: Program) -> None:
    engine = program.run(stack)
    provider = engine.one(KUBERNETES_PROVIDER)
    assert provider["enableServerSideApply"] in (True, "true")
    # Neither a path nor a credential of whoever runs it enters the state.
    assert "kubeconfig" not in provider.inputs
    assert_one_cluster(engine)


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_is_labelled_for_its_own_sovereign(stack: str, program: Program) -> None:
    assert_labelled(program.run(stack), FQDN[stack])


@pytest.mark.parametrize(("stack", "other"), [("omantel", "otech"), ("otech", "omantel")])
def test_a_sovereign_knows_nothing_of_another(stack: str, other: str, program: Program) -> None:
    inputs = text([resource.inputs for resource in program.run(stack).resources])
    assert stack in inputs
    assert other not in inputs


def test_harbor_and_all_that_is_its_go_to_the_namespace_of_the_settings(program: Program) -> None:
    engine = program.run("otech", **REGISTRY_NAMESPACE)
    assert engine.one(NAMESPACE)["metadata"]["name"] == "registry"
    assert engine.one(RELEASE)["namespace"] == "registry"
    for resource in (engine.one(POSTGRES_CLUSTER), engine.one(STATEFUL_SET)):
        assert resource["metadata"]["namespace"] == "registry"
    assert {seal["namespace"] for seal in engine.all(SEAL)} == {"registry", naming.SEAM_NAMESPACE}


# --- Data --------------------------------------------------------------------------------------


def test_of_an_estate_with_shared_services_the_bucket_and_the_key_are_kept(
    program: Program,
) -> None:
    kept = {
        (resource.typ, resource.name)
        for resource in program.run("gitlabbda").resources
        if resource.protect and resource.retain
    }
    assert kept == {(BUCKET, "object-storage-bucket"), (PASSWORD, "credentials-secret-key")}


@pytest.mark.parametrize("stack", ["omantel", "otech"])
def test_a_sovereign_s_data_is_protected_and_outlives_the_stack(
    stack: str, program: Program
) -> None:
    engine = program.run(stack)
    assert_data_is_kept(engine)
    assert {(resource.typ, resource.name) for resource in engine.resources} >= DATA


def test_the_sandbox_can_be_thrown_away(program: Program) -> None:
    assert [str(resource) for resource in program.run("local").resources if resource.protect] == []


# --- Secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    "sections",
    [{}, SHARED, KEYED_GCS, AZURE, {"storage": AWS}],
    ids=["own", "shared", "key file", "account key", "aws"],
)
def test_no_secret_goes_anywhere_in_the_clear(
    stack: str, sections: Sections, program: Program
) -> None:
    engine = program.run(stack, **sections)
    assert_no_secret_in_the_clear(engine)
    assert MARK not in "".join(engine.log)


@pytest.mark.parametrize("stack", STACKS)
def test_of_the_outputs_the_admin_password_alone_is_secret(stack: str, program: Program) -> None:
    outputs = program.run(stack).outputs
    assert {key for key, output in outputs.items() if output.is_secret} == {"adminPassword"}
    assert {key for key, output in outputs.items() if MARK in text(output.value)} == {
        "adminPassword"
    }
    assert outputs["registryFqdn"].value == f"registry.{FQDN[stack]}"
    assert outputs["registryUrl"].value == f"https://registry.{FQDN[stack]}"
    assert outputs["imagePrefix"].value == f"registry.{FQDN[stack]}/"
    assert outputs["bucket"].value == BUCKETS[stack]
    assert outputs["harborVersion"].value == "2.14.3"


def test_projects_and_prefixes_are_outputs(program: Program) -> None:
    outputs = program.run("otech").outputs
    host = f"registry.{FQDN['otech']}"
    assert outputs["registryProjects"].value[0] == "openova-io"
    assert outputs["pushPrefixes"].value == {"openova-io": f"{host}/openova-io/"}
    assert outputs["pullPrefixes"].value["docker.io"] == f"{host}/proxy-dockerhub/"
    assert "oidcRedirectUrl" not in outputs


def test_a_harbor_that_others_configure_is_left_alone(program: Program) -> None:
    engine = program.run("otech", registry={"enabled": False})
    (provider,) = [each for each in engine.resources if "sovereign-registry" in each.typ]
    assert provider.inputs["keepEverything"] == "true", "it deletes nothing of an earlier run"
    assert not [each for each in engine.resources if "registry-account" in each.name]
    assert "registryProjects" not in engine.outputs


@pytest.mark.parametrize(
    ("trivy", "handed_over"),
    [
        ({}, {"scanOnPush": True, "blockSeverity": "critical"}),
        ({"blockSeverity": "HIGH"}, {"scanOnPush": True, "blockSeverity": "high"}),
        (
            {"scanOnPush": False, "blockSeverity": "NONE"},
            {"scanOnPush": False, "blockSeverity": "none"},
        ),
        ({"enabled": False}, None),
        ({"enabled": False, "scanOnPush": False}, None),
    ],
    ids=str,
)
def test_the_day_2_stack_is_told_how_images_are_to_be_scanned(
    trivy: dict[str, Any], handed_over: Any, program: Program
) -> None:
    assert program.run("otech", trivy=trivy).outputs["scanPolicy"].value == handed_over


def test_without_object_storage_there_is_no_bucket_to_export(program: Program) -> None:
    outputs = program.run("otech", **FILESYSTEM).outputs
    assert outputs["bucket"].value is None
    assert outputs["bucketEndpoint"].value is None


@pytest.mark.parametrize(
    ("sections", "bucket", "endpoint"),
    [
        ({}, "otech-harbor", "https://fsn1.your-objectstorage.com"),
        (KEYED_GCS, "omantel_harbor", "https://storage.googleapis.com"),
        (AZURE, "harbor", "https://omantelharbor.blob.core.windows.net"),
    ],
    ids=["s3", "gcs", "azure"],
)
def test_whatever_keeps_the_blobs_is_told(
    sections: Sections, bucket: str, endpoint: str, program: Program
) -> None:
    outputs = program.run("otech", **sections).outputs
    assert outputs["bucket"].value == bucket
    assert outputs["bucketEndpoint"].value == endpoint


@pytest.mark.parametrize(
    ("sections", "command"),
    [
        (KEYED_GCS, "pulumi config set --secret gcsKeyData -s otech < key.json"),
        (AZURE, "pulumi config set --secret azureAccountKey -s otech"),
    ],
    ids=["gcs", "azure"],
)
def test_a_kind_s_own_secret_is_asked_for_and_no_other(
    sections: Sections, command: str, program: Program
) -> None:
    words = program.refusal("otech", secrets={}, **sections)
    assert words.count("pulumi config set --secret") == 1
    assert command in words
    (warning,) = [
        line for line in program.preview_offline("otech", **sections).log if "not set" in line
    ]
    assert command in warning


def test_in_a_preview_what_is_not_known_stays_so(program: Program) -> None:
    engine = program.preview_offline("omantel")
    assert "values" in unknown_inputs(engine.one(RELEASE))
    assert {path[-1] for path in unknown_paths(engine.one(RELEASE))} == {"sovereign-harbor/secrets"}
    for seal in engine.all(SEAL):
        assert "certificate" in unknown_inputs(seal)
    admin = engine.outputs["adminPassword"]
    assert (admin.is_known, admin.is_secret) == (False, True)


@pytest.mark.parametrize("sections", [{}, SHARED, FILESYSTEM], ids=["own", "shared", "volume"])
def test_a_preview_without_cluster_hides_nothing_that_the_settings_decide(
    sections: Sections, program: Program
) -> None:
    """Of objects in the cluster only ciphertexts, revisions and the state's mark are unknown."""
    engine = program.preview_offline("omantel", imagePolicy=POLICIES, registry=CACHES, **sections)
    hidden = {
        (resource.typ, ".".join(path))
        for resource in engine.resources
        if resource.typ.startswith("kubernetes:")
        for path in unknown_paths(resource)
        if path[-1] not in ("sovereign-harbor/secrets", REVISION_ANNOTATION)
    }
    mark = ("kubernetes:core/v1:ConfigMap", "data.mark")
    assert hidden == {(SEALED_SECRET, "spec.encryptedData"), mark}


# --- Storage and data services -----------------------------------------------------------------


def values_of(engine: Engine) -> Sections:
    return engine.one(RELEASE)["values"]


@pytest.mark.parametrize(
    ("stack", "endpoint", "secure"),
    [
        ("gitlabbda", "https://fsn1.your-objectstorage.com", True),
        ("local", "http://127.0.0.1:7070", False),
        ("omantel", "https://fsn1.your-objectstorage.com", True),
        ("otech", "https://fsn1.your-objectstorage.com", True),
    ],
)
def test_harbor_keeps_its_blobs_in_the_sovereign_s_bucket(
    stack: str, endpoint: str, secure: bool, program: Program
) -> None:
    engine = program.run(stack)
    s3 = values_of(engine)["persistence"]["imageChartStorage"]["s3"]
    assert s3["regionendpoint"] == endpoint
    assert s3["secure"] is secure
    assert s3["bucket"] == BUCKETS[stack] == engine.one(BUCKET)["bucket"]


@pytest.mark.parametrize("sections", [{}, FILESYSTEM], ids=["bucket", "volume"])
def test_nothing_of_the_storage_is_made_before_its_place_is_agreed_to(
    sections: Sections, program: Program
) -> None:
    engine = program.run("otech", **sections)
    storage = engine.one("sovereign-harbor:index:ObjectStorage")
    assert engine.one(BLOB_PLACE).urn in storage.dependencies
    assert all(bucket.parent == storage.urn for bucket in engine.all(BUCKET))


def test_without_object_storage_no_key_of_it_is_left(program: Program) -> None:
    engine = program.run("otech", **FILESYSTEM)
    assert "s3" not in text(values_of(engine)).lower()
    assert engine.all(BUCKET) == []


def test_shared_services_replace_our_own(program: Program) -> None:
    engine = program.run("otech", **SHARED)
    values = values_of(engine)
    assert engine.all(POSTGRES_CLUSTER) == []
    assert engine.all(STATEFUL_SET) == []
    assert values["database"]["external"]["host"] == "pg-rw.databases"
    assert values["redis"]["external"]["addr"] == "valkey-primary.valkey:6379"
    assert values["redis"]["external"]["coreDatabaseIndex"] == "3"
    copy = engine.sealed(values["database"]["external"]["existingSecret"])
    assert copy == {"password": f"{MARK}-database"}


def images_in(tree: Any) -> set[str]:
    """The names of images anywhere in an object: in pods, in a Cluster, in the chart's values."""
    if isinstance(tree, list):
        return {name for item in tree for name in images_in(item)}
    if not isinstance(tree, dict):
        return set()
    names = {tree[key] for key in ("image", "imageName") if isinstance(tree.get(key), str)}
    if isinstance(tree.get("image"), dict):
        names.add(tree["image"]["repository"])
    return names.union(*map(images_in, tree.values()))


def test_with_image_registry_every_image_comes_from_there(program: Program) -> None:
    mirror = "mirror.internal:5000/harbor"
    metrics = {"enabled": True}
    engine = program.run("otech", imageRegistry=mirror, metrics=metrics)
    values = values_of(engine)
    names = images_in(values) | {
        name
        for kind in (POSTGRES_CLUSTER, STATEFUL_SET)
        for resource in engine.all(kind)
        for name in images_in(plain(resource.inputs))
    }
    assert len(names) == 9, "seven of Harbor's, the database's and the cache's"
    assert {name for name in names if not name.startswith(f"{mirror}/")} == set()
    assert values["trivy"]["dbRepository"] == [f"{mirror}/aquasec/trivy-db"]
    # Without it the chart's values name no image.
    assert images_in(values_of(program.run("otech", metrics=metrics))) == set()


def test_the_largest_pool_fits_into_the_database(program: Program) -> None:
    engine = program.run(
        "otech",
        harbor={"replicas": {"core": 3, "jobservice": 2, "exporter": 1}},
        database={"maxConnections": 100, "reservedConnections": 10},
    )
    assert values_of(engine)["database"]["maxOpenConns"] == 15
    parameters = engine.one(POSTGRES_CLUSTER)["spec"]["postgresql"]["parameters"]
    assert parameters["max_connections"] == "100"


# --- What exists already -----------------------------------------------------------------------

ESTATES_KEY = f"{MARK}sixteen"
ESTATES_SECRETS = {
    **SECRETS,
    "harborSecretKey": ESTATES_KEY,
    "harborAdminPassword": f"{MARK}-of-admin",
    "databasePassword": f"{MARK}-of-harbor",
}
ADOPT: Sections = {"harbor": {"adopt": True}, "database": {"adopt": True}}


def estate(*, key: str = ESTATES_KEY) -> dict[str, Any]:
    """A Harbor and its Cluster that somebody else made; its values are left out of the record."""
    record = helm_record(2, "deployed", None)
    initdb = {"database": "registry", "owner": "harbor", "secret": {"name": "harbor-pg-app"}}
    spec = {
        "storage": {"size": "10Gi"},
        "imageName": "ghcr.io/cloudnative-pg/postgresql:17.2",
        "bootstrap": {"initdb": initdb},
    }
    secrets = "/api/v1/namespaces/harbor/secrets"
    return {
        **chart_objects(),
        f"{secrets}?labelSelector=owner%3Dhelm%2Cname%3Dharbor": {"items": [record]},
        f"{secrets}/harbor-core": {
            "data": {"secretKey": base64.b64encode(key.encode()).decode()},
        },
        "/apis/postgresql.cnpg.io/v1/namespaces/harbor/clusters/harbor-pg": {"spec": spec},
    }


@pytest.mark.parametrize("preview", [True, False])
def test_a_harbor_of_somebody_else_s_is_refused_before_anything_is_created(
    preview: bool, program: Program
) -> None:
    words = program.refusal("omantel", objects=estate(), preview=preview)
    assert "Helm release harbor exists already in namespace harbor" in words
    assert "Cluster harbor-pg exists already in namespace harbor" in words
    assert words.count("docs/runbooks/adopt-a-release.md") >= 2


@pytest.mark.parametrize("preview", [True, False])
def test_what_exists_is_imported_where_the_settings_say_so(preview: bool, program: Program) -> None:
    engine = program.run(
        "omantel", objects=estate(), secrets=ESTATES_SECRETS, preview=preview, **ADOPT
    )
    imported = {
        resource.typ: resource.import_id for resource in engine.resources if resource.import_id
    }
    assert imported == {
        NAMESPACE: "harbor",
        POSTGRES_CLUSTER: "harbor/harbor-pg",
        RELEASE: "harbor/harbor",
    }
    for typ in (NAMESPACE, POSTGRES_CLUSTER):
        assert engine.one(typ)["metadata"]["annotations"]["pulumi.com/patchForce"] == "true"


def test_what_is_adopted_keeps_its_key_and_its_passwords(program: Program) -> None:
    engine = program.run("omantel", objects=estate(), secrets=ESTATES_SECRETS, **ADOPT)
    name = values_of(engine)["existingSecretSecretKey"]
    assert engine.sealed(name) == {"secretKey": ESTATES_KEY}
    assert engine.sealed("harbor-pg-credentials")["password"] == f"{MARK}-of-harbor"
    assert engine.outputs["adminPassword"].value == f"{MARK}-of-admin"


def test_nothing_is_imported_unless_the_settings_say_so(program: Program) -> None:
    assert not [resource for resource in program.run("omantel").resources if resource.import_id]


def test_another_key_than_harbor_s_is_refused_before_anything_is_created(program: Program) -> None:
    objects = estate(key=ESTATES_KEY[::-1])
    words = program.refusal("omantel", objects=objects, secrets=ESTATES_SECRETS, **ADOPT)
    assert "this stack was given another one" in words
    assert MARK not in words


def test_a_release_of_the_stack_s_own_may_change_its_address(program: Program) -> None:
    record = helm_record(2, "deployed", "https://registry.formerly.example")
    listed = "/api/v1/namespaces/harbor/secrets?labelSelector=owner%3Dhelm%2Cname%3Dharbor"
    assert program.run("omantel", objects={listed: {"items": [record]}}).one(RELEASE)


def test_an_adoption_of_nothing_is_refused_before_anything_is_created(program: Program) -> None:
    words = program.refusal("omantel", secrets=ESTATES_SECRETS, **ADOPT)
    assert "no Helm release harbor" in words
    assert "no Cluster harbor-pg" in words


def test_an_adoption_previewed_without_its_cluster_shows_all_as_new_and_says_so(
    program: Program,
) -> None:
    engine = program.preview_offline("omantel", **ADOPT)
    assert not [resource for resource in engine.resources if resource.import_id]
    assert "what this stack adopts was not looked at" in "\n".join(engine.log)
    assert listing(engine) == listing(
        program.run("omantel", objects=estate(), secrets=ESTATES_SECRETS, **ADOPT)
    )


# --- Refusals ----------------------------------------------------------------------------------


def test_an_update_without_its_secrets_is_refused_before_anything_is_created(
    program: Program,
) -> None:
    words = program.refusal("omantel", secrets={})
    for key in ("s3AccessKey", "s3SecretKey", "dnsToken"):
        assert f"pulumi config set --secret {key} -s omantel" in words


def test_an_update_without_its_cluster_is_refused_before_anything_is_created(
    program: Program,
) -> None:
    assert "connection refused" in program.refusal("omantel", is_up=False)


def test_another_sovereign_s_cluster_is_refused_before_anything_is_created(
    program: Program,
) -> None:
    words = program.refusal("omantel", reaches="otech")
    assert "cluster.name = omantel" in words
    assert "cluster otech" in words


def test_what_the_cluster_lacks_is_named_all_at_once(program: Program) -> None:
    words = program.refusal("otech", is_equipped=False)
    for what in ("SealedSecret", "CloudNativePG", "Gateway API", "namespace flux-system"):
        assert what in words
    assert words.count("fix:") == words.count("missing:") >= 4


@pytest.mark.parametrize("preview", [True, False])
def test_enforce_against_what_audit_reported_is_refused_before_anything_is_created(
    preview: bool, program: Program
) -> None:
    nginx = {"policy": "require-harbor-images", "result": "fail", "message": "refused: nginx"}
    objects = {
        REQUIRE_POLICY: {"spec": {"validationActions": ["Audit"]}},
        POLICY_REPORTS: {
            "items": [{"scope": {"namespace": "apps", "name": "web"}, "results": [nginx]}]
        },
        "/apis/openreports.io/v1alpha1/reports": None,
    }
    policy = {"enforcement": "Enforce"}
    words = program.refusal("otech", preview=preview, objects=objects, imagePolicy=policy)
    assert "apps/web: refused: nginx" in words
    assert "nothing was touched" in words


@pytest.mark.parametrize(
    ("policy", "evidence"),
    [
        (None, "no report"),
        ([], "no report"),
        (["web", "api"], "Audit's reports about 2 pods, none of which it would have refused"),
    ],
)
def test_enforce_says_on_how_many_reports_it_rests(
    policy: list[str] | None, evidence: str, program: Program
) -> None:
    passed = {"policy": "require-harbor-images", "result": "pass"}
    items = [
        {"scope": {"namespace": "apps", "name": name}, "results": [passed]} for name in policy or ()
    ]
    objects = {
        REQUIRE_POLICY: None if policy is None else {"spec": {"validationActions": ["Audit"]}},
        POLICY_REPORTS: {"items": items},
        "/apis/openreports.io/v1alpha1/reports": None,
    }
    run = program.run(
        "otech", preview=True, objects=objects, imagePolicy={"enforcement": "Enforce"}
    )
    told = f"sovereign-harbor:imagePolicy.enforcement = Enforce rests on {evidence}"
    assert told in "\n".join(run.log)


def test_a_key_that_nobody_knows_is_refused(program: Program) -> None:
    assert "storge" in program.refusal("otech", storge={"kind": "hetzner"})
