"""The rules for every resource that this program registers: of one component or of a whole stack.

Each asserts its rule for all resources of a run that is over.
"""

from components.kubernetes import naming
from tests.support.mocks import (
    BUCKET,
    EXTERNAL_SECRET,
    HANDOVER,
    KUBERNETES_PROVIDER,
    MARK,
    NAMESPACE,
    PASSWORD,
    POSTGRES_CLUSTER,
    PUSHED,
    SEAL,
    SEALED_SECRET,
    TENANT_DATABASE,
    Engine,
    is_secret,
    text,
)

DATA = {
    (NAMESPACE, "namespace"),
    (BUCKET, "object-storage-bucket"),
    (POSTGRES_CLUSTER, "database-cluster"),
    (PASSWORD, "credentials-secret-key"),
}
"""What cannot be made again: the namespace with its claims, images, database, and the key that
decrypts what is in the database."""

DATA_OF_SECTIONS = {(BUCKET, "backup-bucket"), (TENANT_DATABASE, "database-tenant")}
"""The same, of sections that are off unless set."""

STAYS = {
    (SEALED_SECRET, "credentials-secret-key-manifest"),
    (SEALED_SECRET, "credentials-admin-password-manifest"),
    (SEALED_SECRET, "database-credentials-manifest"),
    (EXTERNAL_SECRET, "credentials-secret-key-manifest"),
    (EXTERNAL_SECRET, "credentials-admin-password-manifest"),
    (EXTERNAL_SECRET, "database-credentials-manifest"),
}
"""What the database needs when the state is gone. Not protected: another name replaces it."""


def assert_one_cluster(engine: Engine) -> None:
    """Without a provider the engine would use whatever kubeconfig is at hand."""
    provider = engine.one(KUBERNETES_PROVIDER)
    for resource in engine.resources:
        if resource.typ.startswith("kubernetes:"):
            assert resource.provider == f"{provider.urn}::id-of-{provider.name}", resource


def assert_labelled(engine: Engine, fqdn: str) -> None:
    """Every object carries the labels of its Sovereign and the program's field manager."""
    expected = naming.labels(fqdn, "any")
    component = expected.pop("app.kubernetes.io/component")
    for resource in engine.resources:
        if resource.is_manifest:
            labels = resource["metadata"]["labels"]
            assert expected.items() <= labels.items(), resource
            assert labels["app.kubernetes.io/component"] not in ("", component), resource
            annotations = resource["metadata"]["annotations"]
            assert naming.FIELD_MANAGER.items() <= annotations.items(), resource


def assert_data_is_kept(engine: Engine) -> None:
    """What holds data is protected, and outlives the stack with the Secrets that it needs."""
    for resource in engine.resources:
        one = (resource.typ, resource.name)
        data = DATA | DATA_OF_SECTIONS
        assert (resource.protect, resource.retain) == (one in data, one in data | STAYS), resource


def assert_no_secret_in_the_clear(engine: Engine) -> None:
    """A secret value is flagged as such wherever it goes, and no object of the cluster has one."""
    for resource in engine.resources:
        for key, value in resource.inputs.items():
            if MARK in text(value):
                assert is_secret(value), f"{key} of {resource} shows a secret"
        if resource.typ == PUSHED:
            assert {key for key, value in resource.inputs.items() if is_secret(value)} == {"data"}
        elif resource.typ.startswith("kubernetes:"):
            # A Release's values are kept in a Secret: base64, not encryption.
            assert MARK not in text(resource.inputs), resource
            assert not is_secret(resource.inputs), f"{resource} has {resource.inputs}"
    for seal in (*engine.all(SEAL), *engine.all(HANDOVER)):
        assert {key for key, value in seal.inputs.items() if is_secret(value)} == {"data"}, seal
