"""Storage of kind aws: its policies, and what is registered for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore
import pytest

from components.harbor_inputs import RemoteStorage
from components.object_storage.aws.policy import registry_policy, tls_only_policy
from components.object_storage.location import BucketLocation
from components.object_storage.seam import KEYLESS
from components.settings.storage.aws import KNOWN_TO_THE_REGISTRY, AwsStorage
from tests.support import builders
from tests.support.builders import AWS, NODE_ROLE, context_of, settings
from tests.support.mocks import (
    AWS_ACCESS_KEY,
    AWS_BUCKET,
    AWS_PROVIDER,
    RELEASE,
    SEAL,
    SEALED_SECRET,
    Engine,
    Registered,
    fresh_engine,
    is_secret,
    minted,
    unknown_inputs,
)
from tests.support.project import ROOT

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
GUARDS = {
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketPolicy:BucketPolicy",
}

# distribution, docs/content/storage-drivers/s3.md, "S3 permission scopes", letter by letter.
DOCUMENTED = """
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "s3:ListBucket",
        "s3:GetBucketLocation",
        "s3:ListBucketMultipartUploads"
      ],
      "Resource": "arn:aws:s3:::omantel-harbor"
    },
    {
      "Effect": "Allow",
      "Action": [
        "s3:PutObject",
        "s3:GetObject",
        "s3:DeleteObject",
        "s3:ListMultipartUploadParts",
        "s3:AbortMultipartUpload"
      ],
      "Resource": "arn:aws:s3:::omantel-harbor/*"
    }
  ]
}
"""


def aws(**changes: Any) -> AwsStorage:
    storage = settings(storage={**AWS, **changes}).storage
    assert isinstance(storage, AwsStorage)
    return storage


def built(
    engine: Engine,
    certificate: str,
    storage: dict[str, Any] = AWS,
    *,
    preview: bool = False,
    protect: bool = True,
    retain: bool = True,
) -> tuple[RemoteStorage | None, BucketLocation | None]:
    """What Harbor and others are told of the storage."""
    blobs = engine.run(
        lambda: builders.object_storage(
            context_of(certificate, protect=protect, retain=retain), storage
        ),
        preview=preview,
    )
    return engine.resolve(blobs.storage).value, engine.resolve(blobs.location).value


# --- Least privilege ---------------------------------------------------------------------------


def without_names(document: dict[str, Any]) -> dict[str, Any]:
    statements = [{k: v for k, v in s.items() if k != "Sid"} for s in document["Statement"]]
    return {**document, "Statement": statements}


def test_the_registry_may_do_what_its_documentation_asks_for_and_nothing_else() -> None:
    assert without_names(registry_policy(aws())) == json.loads(DOCUMENTED)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rootDirectory": "harbor"},
        {"kmsKeyArn": KEY},
        {"region": "cn-north-1"},
        {"redirect": True, "versioning": {"enabled": False}},
    ],
    ids=str,
)
def test_nothing_is_allowed_by_a_pattern_but_the_registry_s_own_objects(
    changes: dict[str, Any],
) -> None:
    storage = aws(**changes)
    bucket = f"arn:{storage.partition}:s3:::omantel-harbor"
    own = {f"{bucket}/*", f"{bucket}/harbor/*"}
    for statement in registry_policy(storage)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
        assert isinstance(statement["Action"], list)
        for text in (*statement["Action"], statement["Resource"]):
            assert text in own or not set("*?$") & set(text), text


@pytest.mark.parametrize(
    ("root", "objects"),
    [
        ("", "omantel-harbor/*"),
        ("/", "omantel-harbor/*"),
        ("harbor", "omantel-harbor/harbor/*"),
        ("/harbor/v2/", "omantel-harbor/harbor/v2/*"),
    ],
)
def test_below_a_root_directory_the_registry_touches_nothing_else(root: str, objects: str) -> None:
    _, statement = registry_policy(aws(rootDirectory=root))["Statement"]
    assert statement["Resource"] == f"arn:aws:s3:::{objects}"


def test_a_key_of_kms_takes_two_actions_on_that_key() -> None:
    *others, last = registry_policy(aws(kmsKeyArn=KEY))["Statement"]
    assert others == registry_policy(aws())["Statement"]
    assert last["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert last["Resource"] == KEY


def test_without_tls_nobody_does_anything() -> None:
    (statement,) = tls_only_policy(aws())["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "s3:*"
    bucket = "arn:aws:s3:::omantel-harbor"
    assert statement["Resource"] == [bucket, f"{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# --- Regions -----------------------------------------------------------------------------------


def regions() -> list[tuple[str, str, str]]:
    """Region, partition and domain, as the vendor's own SDK for Python has them."""
    file = Path(botocore.__file__).parent / "data" / "partitions.json"
    return [
        (region, partition["id"], partition["outputs"]["dnsSuffix"])
        for partition in json.loads(file.read_text())["partitions"]
        for region in partition["regions"]
        if not region.endswith("-global")
    ]


OFFERED = [region for region in regions() if not region[1].startswith("aws-iso")]


@pytest.mark.parametrize(("region", "partition", "domain"), OFFERED)
def test_arns_and_addresses_are_those_of_the_region(
    region: str, partition: str, domain: str
) -> None:
    storage = aws(region=region)
    assert storage.partition == partition
    assert storage.endpoint_url == f"https://s3.{region}.{domain}"
    for document in (registry_policy(storage), tls_only_policy(storage)):
        assert f'"arn:{partition}:s3:::omantel-harbor"' in json.dumps(document)


def test_every_region_that_the_registry_knows_is_one() -> None:
    assert {region for region, *_ in OFFERED} > KNOWN_TO_THE_REGISTRY


def test_only_where_the_registry_would_not_start_it_is_told_an_endpoint(
    engine: Engine, sealing_certificate: str
) -> None:
    known, _ = built(engine, sealing_certificate)
    assert known is not None
    assert "regionendpoint" not in known.options
    # distribution #4614
    other, _ = built(engine, sealing_certificate, {**AWS, "region": "me-central-1"})
    assert other is not None
    assert other.options["regionendpoint"] == "https://s3.me-central-1.amazonaws.com"


# --- The bucket --------------------------------------------------------------------------------


def test_the_bucket_is_guarded_as_declared(engine: Engine, sealing_certificate: str) -> None:
    storage = {
        **AWS,
        "versioning": {"noncurrentDays": 3},
        "abortIncompleteUploadDays": 2,
        "tags": {"team": "platform"},
    }
    built(engine, sealing_certificate, storage)
    bucket = engine.one(AWS_BUCKET)
    assert (bucket["bucket"], bucket["tags"]) == ("omantel-harbor", {"team": "platform"})
    assert "forceDestroy" not in bucket.inputs
    by_type = {guard.typ.rpartition(":")[2]: guard for guard in guards(engine)}
    assert {guard["bucket"] for guard in by_type.values()} == {"omantel-harbor"}
    private = by_type["BucketPublicAccessBlock"]
    for switch in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"):
        assert private[switch] is True
    assert private["restrictPublicBuckets"] is True
    assert by_type["BucketOwnershipControls"]["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    assert by_type["BucketVersioning"]["versioningConfiguration"] == {"status": "Enabled"}
    abort, expire = by_type["BucketLifecycleConfiguration"]["rules"]
    assert abort["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 2}
    assert expire["noncurrentVersionExpiration"] == {"noncurrentDays": 3}
    assert expire["expiration"] == {"expiredObjectDeleteMarker": True}
    for rule in (abort, expire):
        assert (rule["status"], rule["filter"]) == ("Enabled", {"prefix": ""})
    assert json.loads(by_type["BucketPolicy"]["policy"]) == tls_only_policy(aws())
    assert private.urn in by_type["BucketPolicy"].dependencies
    assert by_type["BucketVersioning"].urn in by_type["BucketLifecycleConfiguration"].dependencies


def guards(engine: Engine) -> list[Registered]:
    guards_of_it = [resource for resource in engine.resources if resource.typ in GUARDS]
    assert {guard.typ for guard in guards_of_it} == GUARDS
    return guards_of_it


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}),
        (
            KEY,
            {
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": "aws:kms",
                    "kmsMasterKeyId": KEY,
                },
                "bucketKeyEnabled": True,
            },
        ),
    ],
)
def test_what_lies_in_the_bucket_is_encrypted(
    key: str | None, expected: dict[str, Any], engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, {**AWS, **({"kmsKeyArn": key} if key else {})})
    (encryption,) = [g for g in guards(engine) if "Encryption" in g.typ]
    assert encryption["rules"] == [expected]
    # S3 does it by itself: the registry sends no key and needs none in its values.


def test_suspended_versioning_still_frees_what_it_kept(
    engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, {**AWS, "versioning": {"enabled": False}})
    by_type = {guard.typ.rpartition(":")[2]: guard for guard in guards(engine)}
    assert by_type["BucketVersioning"]["versioningConfiguration"] == {"status": "Suspended"}
    assert len(by_type["BucketLifecycleConfiguration"]["rules"]) == 2


@pytest.mark.parametrize(("protect", "retain"), [(True, True), (False, True), (False, False)])
def test_the_bucket_stays_and_what_guards_it_stays_with_it(
    protect: bool, retain: bool, engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, protect=protect, retain=retain)
    bucket = engine.one(AWS_BUCKET)
    assert (bucket.protect, bucket.retain) == (protect, retain)
    for guard in guards(engine):
        assert (guard.protect, guard.retain) == (False, retain), guard
    for resource in engine.resources:
        if resource.typ.startswith("aws:iam"):
            assert not resource.protect, resource
            assert not resource.retain, resource


@pytest.mark.parametrize(("adopt", "import_id"), [(True, "omantel-harbor"), (False, "")])
def test_a_bucket_that_exists_is_adopted_only_when_that_is_asked_for(
    adopt: bool, import_id: str, engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, {**AWS, "adopt": adopt})
    bucket = engine.one(AWS_BUCKET)
    assert bucket.import_id == import_id
    assert bucket.protect
    assert {each.import_id for each in engine.resources if each is not bucket} == {""}


def test_everything_goes_to_the_region_and_the_account_of_the_settings(
    engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, {**AWS, "accountId": "111122223333"})
    provider = engine.one(AWS_PROVIDER)
    assert provider["region"] == "eu-central-1"
    assert json.loads(provider["allowedAccountIds"]) == ["111122223333"]
    # Keys of whoever runs it do not enter the state.
    assert not {"accessKey", "secretKey", "token", "profile"} & set(provider.inputs)
    of_aws = [resource for resource in engine.resources if resource.typ.startswith("aws:")]
    assert len(of_aws) == 10
    for resource in of_aws:
        assert resource.provider == f"{provider.urn}::id-of-{provider.name}", resource
        assert resource.parent_name == "object-storage", resource
        assert resource.name.startswith("object-storage-"), resource


# --- Access by key -----------------------------------------------------------------------------


def test_the_key_reaches_harbor_and_the_seam_and_nothing_else(
    engine: Engine, sealing_certificate: str
) -> None:
    told, location = built(engine, sealing_certificate)
    access, secret = "id-of-object-storage-access-key-1", minted("object-storage-access-key-1", 40)
    assert engine.sealed("harbor-objectstorage-credentials") == {
        "REGISTRY_STORAGE_S3_ACCESSKEY": access,
        "REGISTRY_STORAGE_S3_SECRETKEY": secret,
    }
    assert engine.sealed("object-storage") == {
        "s3-bucket": "omantel-harbor",
        "s3-region": "eu-central-1",
        "s3-endpoint": "https://s3.eu-central-1.amazonaws.com",
        "s3-access-key": access,
        "s3-secret-key": secret,
    }
    for resource in engine.resources:
        if resource.typ != SEAL:
            assert secret not in json.dumps(resource.inputs, default=str), resource
    for seal in engine.all(SEAL):
        assert is_secret(seal.inputs["data"])
    assert told is not None
    assert told.options["existingSecret"] == "harbor-objectstorage-credentials"
    assert location is not None
    assert location.endpoint == "https://s3.eu-central-1.amazonaws.com"
    assert not any(KEYLESS.items() <= labels(seal) for seal in engine.all(SEALED_SECRET))


def labels(manifest: Registered) -> Any:
    """Those that the Secret gets."""
    return manifest["spec"]["template"]["metadata"]["labels"].items()


def test_nothing_is_sealed_before_the_bucket_is_guarded_and_the_user_may_use_it(
    engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate)
    key, policy = engine.one(AWS_ACCESS_KEY), engine.one(USER_POLICY)
    assert policy.urn in key.dependencies
    assert json.loads(policy["policy"]) == registry_policy(aws())
    before = {guard.urn for guard in guards(engine)} | {key.urn}
    for seal in engine.all(SEAL):
        assert before <= seal.dependencies, seal


def test_the_user_is_named_after_its_bucket_and_bounded_where_the_account_demands_it(
    engine: Engine, sealing_certificate: str
) -> None:
    boundary = "arn:aws:iam::111122223333:policy/boundary"
    built(engine, sealing_certificate, {**AWS, "access": {"permissionsBoundary": boundary}})
    user = engine.one("aws:iam/user:User")
    assert (user["name"], user["path"]) == ("omantel-harbor", "/sovereign-harbor/")
    assert user["permissionsBoundary"] == boundary
    assert "forceDestroy" not in user.inputs


def test_a_rotation_makes_another_key_of_the_same_user_and_restarts_the_registry(
    sealing_certificate: str,
) -> None:
    def after(epoch: int) -> tuple[set[str], Any]:
        storage = {**AWS, "access": {"epoch": epoch}}
        with fresh_engine() as fresh:
            harbor = fresh.run(
                lambda: builders.harbor(context_of(sealing_certificate), storage=storage)
            )
            assert harbor
            # The engine removes what the program no longer names after all that it does name.
            values = fresh.one(RELEASE)["values"]
            return set(fresh.names), values["registry"]["podAnnotations"]

    before, annotations = after(1)
    then, others = after(2)
    assert before - then == {f"{AWS_ACCESS_KEY} object-storage-access-key-1"}
    assert then - before == {f"{AWS_ACCESS_KEY} object-storage-access-key-2"}
    assert annotations != others


def test_before_anything_exists_a_preview_shows_what_an_update_makes(
    engine: Engine, sealing_certificate: str
) -> None:
    for storage in (AWS, NODE_ROLE):
        told = built(engine, sealing_certificate, storage)
        names = engine.names
        previewed = built(engine, sealing_certificate, storage, preview=True)
        assert previewed == told
        assert engine.names == names
        # What reviewers and the policy pack have to see.
        for resource in engine.resources:
            if resource.typ in (USER_POLICY, ROLE_POLICY) or "bucketPolicy" in resource.typ:
                assert "policy" not in unknown_inputs(resource), resource


# --- Access without a key ----------------------------------------------------------------------


def test_without_a_key_there_is_no_credential_and_the_seam_says_so(
    engine: Engine, sealing_certificate: str
) -> None:
    told, _ = built(engine, sealing_certificate, NODE_ROLE)
    assert engine.all(AWS_ACCESS_KEY) == []
    assert {seal["name"] for seal in engine.all(SEAL)} == {"object-storage"}
    seam = engine.sealed("object-storage")
    assert len(seam) == 5
    assert (seam["s3-access-key"], seam["s3-secret-key"]) == ("", "")
    assert KEYLESS.items() <= labels(engine.one(SEALED_SECRET))
    assert told is not None
    assert not {"existingSecret", "accesskey", "secretkey"} & set(told.options)


def test_without_a_key_the_nodes_may_do_what_the_registry_does(
    engine: Engine, sealing_certificate: str
) -> None:
    built(engine, sealing_certificate, NODE_ROLE)
    policy = engine.one(ROLE_POLICY)
    assert (policy["role"], policy["name"]) == ("omantel-nodes", "omantel-harbor")
    assert json.loads(policy["policy"]) == registry_policy(aws())


def test_harbor_without_a_key_waits_for_the_nodes_policy(
    engine: Engine, sealing_certificate: str
) -> None:
    assert engine.run(lambda: builders.harbor(context_of(sealing_certificate), storage=NODE_ROLE))
    release = engine.one(RELEASE)
    assert engine.one(ROLE_POLICY).urn in release.dependencies
    assert release["values"]["registry"]["podAnnotations"]["sovereign-harbor/secrets"]


# --- The price ---------------------------------------------------------------------------------

LOADED = """
import sys
from tests.support import builders
from tests.support.certificates import certificate_of
from tests.support.mocks import fresh_engine
from cryptography.hazmat.primitives.asymmetric import rsa
import components.network.dns, components.network.exposure, components.network.policies
import components.outputs
certificate = certificate_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
with fresh_engine() as engine:
    engine.run(lambda: builders.harbor(builders.context_of(certificate), storage=STORAGE))
print("pulumi_aws" in sys.modules, "pulumi_hcloud" in sys.modules)
"""


@pytest.mark.parametrize(("storage", "is_loaded"), [(builders.BUCKET, False), (AWS, True)])
def test_only_stacks_of_this_kind_pay_for_the_import(
    storage: dict[str, Any], is_loaded: bool
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED.replace("STORAGE", repr(storage))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [str(is_loaded), "False"]
