"""Settings that are refused: what a person is shown, and the commands that mend it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.settings.reading import refusals, spec
from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.secrets import SECRETS
from components.settings.schema.rules import REMOVE, is_for_the_shell
from tests.support.golden import compare
from tests.support.raw_settings import (
    ACCESS_KEY,
    AWS,
    DNS,
    DNS_TOKEN,
    GOOD,
    PEM,
    PRIVATE_KEY,
    S3,
    SECRET_KEY,
    SHARED_DATABASE,
    SHARED_VALKEY,
    TENANT_DATABASE,
    merged,
    read,
    set_path,
)


def set_secret(key: str) -> str:
    return f"pulumi config set --secret {key} -s omantel"


def remove(key: str) -> str:
    path = f"--path '{key}'" if "." in key else key
    return f"pulumi config rm {path} -s omantel"


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A value at `path` of a config, and the refusal of `key` that a person is shown."""

    path: str
    value: Any
    sections: dict[str, Any]
    key: str
    shown: str
    allowed: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}={self.value!r}"[:60]


def bad(
    path: str,
    value: Any,
    allowed: str,
    fix: str | list[str],
    *,
    key: str = "",
    shown: str = "",
    **sections: Any,
) -> Bad:
    """A row: `value` at `path` is refused by a text that contains `allowed`.

    `fix`: the value that the mending command sets at the key, REMOVE, or the commands themselves.
    `key`: the key that is refused, if it is not `path`. `shown`: the value in the refusal, if it is
    not that of the config as JSON. `sections` replace those of the good config.
    """
    key = key or path
    if fix == REMOVE:
        commands = remove(key)
    elif isinstance(fix, str):
        top_level = f"pulumi config set {key} {shlex.quote(fix)} -s omantel"
        commands = set_path(key, fix) if "." in key else top_level
    else:
        commands = "\n".join(fix)
    return Bad(
        path=path,
        value=value,
        sections=sections,
        key=key,
        shown=shown or as_json(merged(path, value, sections), key),
        allowed=allowed,
        fix=commands,
    )


def each(
    path: str, fix: str | list[str], reasons: dict[str, list[Any]], **sections: Any
) -> list[Bad]:
    """Rows of one key and one fix. `reasons`: text that the refusal contains → values refused."""
    return [
        bad(path, value, allowed, fix, **sections)
        for allowed, values in reasons.items()
        for value in values
    ]


def as_json(raw: dict[str, Any], key: str) -> str:
    """The value at a dotted key as a refusal shows it."""
    value: Any = raw
    for segment in re.findall(r"[^.\[\]]+", key):
        try:
            value = value[int(segment) if segment.isdigit() else segment]
        except (KeyError, IndexError):
            return "(not set)"
    kinds = {dict: "(an object)", list: "(a list)"}
    return kinds.get(type(value)) or json.dumps(value)


# Sections of a valid config with an Ingress. Rows take keys away from it.
INGRESS: dict[str, Any] = {
    "exposure": {
        "kind": "ingress",
        "className": "traefik",
        "clusterIssuer": "letsencrypt-dns01-prod",
    },
    "networkPolicies": {
        "gateway": {"kind": "namespace", "namespace": "traefik"},
        "apiServer": {"cidr": "10.0.0.2/32"},
    },
}
GATEWAY: dict[str, Any] = {"kind": "gateway"}
EXTERNAL: dict[str, Any] = {"secrets": {"delivery": "external", "store": {"name": "platform"}}}
NODE_ROLE: dict[str, Any] = {"mode": "node-role"}
LOCKED: dict[str, Any] = {**GOOD["storage"], "lockdown": {"projectId": "1234567"}}
API_SERVER = (
    "$(kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes "
    "-o jsonpath='{.items[0].endpoints[0].addresses[0]}')/32"
)
KEYLESS = (
    "one of access-key, node-role (Harbor's registry cannot get credentials that way "
    "(docs/decisions/0008-keyless-on-aws.md)"
)
LISTENER = [
    remove("exposure.parentRefs"),
    set_path("exposure.parentRefs[0].name", "<name>"),
    set_path("exposure.parentRefs[0].namespace", "<namespace>"),
]
SMALLEST_STORAGE = [set_path("storage.kind", "<kind>")]

REFUSED: list[Bad] = [
    # fqdn
    *each(
        "fqdn",
        "<fqdn>",
        {
            "one label is not": ["omantel"],
            "lower-case DNS name": ["a..b", "a_b.c", "10.0.0.1", "/", "http://[", "://"],
            "DNS name": [...],
        },
    ),
    *each(
        "fqdn",
        "nizwa.omani.works",
        {
            "upper-case letters": ["Nizwa.omani.works"],
            "a name, not a URL": ["https://nizwa.omani.works", "HTTPS://Nizwa.omani.works:443/x"],
            "puts 'registry.' in front": ["registry.nizwa.omani.works"],
            "lower-case DNS name": [
                "nizwa.omani.works.",
                "nizwa.omani.works/v2",
                "nizwa.omani.works,",
            ],
            "it ends with white space": ["nizwa.omani.works "],
            "it begins with white space": ["\tnizwa.omani.works"],
            "a no-break space (U+00A0)": ["nizwa.omani.works\u00a0"],
            "a zero-width space": ["nizwa.omani.works\u200b"],
            "the quotes are part of the value": ["'nizwa.omani.works'"],
        },
    ),
    bad(
        "fqdn",
        "nizwa\u2013two.omani.works",
        "it has an en dash (U+2013) instead of '-'",
        "nizwa-two.omani.works",
    ),
    bad("fqdn", "nizw\u0430.omani.works", "it has the letter \u0430 (U+0430)", "<fqdn>"),
    bad("fqdn", None, "nothing stands behind the colon", "<fqdn>"),
    bad("fqdn", 12.5, "(YAML reads it as a number)", "<fqdn>"),
    bad("fqdn", True, "(YAML reads it as true)", "<fqdn>"),
    bad(
        "fqdn",
        "a." * 122 + "works",
        "at most 63 characters: it is the value of a label",
        "<fqdn>",
        shown=f'"{"a." * 39}…',
    ),
    # profile
    bad("profile", "large", "one of dev, standard, ha", "standard"),
    bad("profile", "HA", "one of dev, standard, ha", "ha"),
    # sandbox
    bad("sandbox", "maybe", "true or false", "false"),
    # cluster
    bad(
        "cluster.name",
        ...,
        "required: it keeps this stack from being applied to another cluster",
        "omantel",
    ),
    # storage
    bad(
        "storage",
        ...,
        "an object with kind: hetzner or s3 or aws or gcs or azure or filesystem",
        SMALLEST_STORAGE,
    ),
    *each(
        "storage.kind",
        "hetzner",
        {"one of hetzner, s3, aws, gcs, azure, filesystem": ["hetzne", "Hetzner", "hcloud"]},
    ),
    *each(
        "storage.kind",
        "<kind>",
        {"one of hetzner, s3, aws, gcs, azure, filesystem": ["swift", ...]},
    ),
    *each("storage.kind", "s3", {"one of hetzner, s3": ["minio", "MinIO", "S3 ", "ceph"]}),
    bad("storage", "fsn1", "an object with kind", [remove("storage"), *SMALLEST_STORAGE]),
    *each(
        "storage.region",
        "fsn1",
        {
            "one of fsn1, nbg1, hel1 (ash is a compute-only location without object storage)": [
                "ash"
            ],
            "hil is a compute-only": ["hil"],
            "sin is a compute-only": ["sin"],
            "one of fsn1, nbg1, hel1": ["fra1"],
            "one of fsn1": [...],
        },
    ),
    *each("storage.region", "nbg1", {"one of fsn1, nbg1, hel1": ["nbg", "NBG1", "nbg1 ", "ngb1"]}),
    *each(
        "storage.bucket",
        "omantel-harbor",
        {
            "no dots": ["omantel.harbor"],
            "3 to 63": ["ab", ["x"]],
            "would not read a text": ["123e4"],
            "ending with a letter": ["omantel-"],
            "lower-case letters": ["omantel_harbor"],
            "it has the letter": ["omantel-h\u00e4rbor"],
            "only a sandbox's stack may refer to the environment": ["${SANDBOX_BUCKET}"],
        },
    ),
    *each(
        "storage.bucket",
        "nizwa-images",
        {
            "lower-case letters": [
                "Nizwa-Images",
                "s3://nizwa-images/",
                "arn:aws:s3:::nizwa-images",
            ],
            "it has an en dash (U+2013) instead of '-'": ["nizwa\u2013images"],
            "it ends with white space": ["nizwa-images "],
        },
    ),
    bad(
        "storage.endpoint",
        "https://nbg1.your-objectstorage.com",
        "the endpoint of region fsn1 is https://fsn1.your-objectstorage.com",
        "https://fsn1.your-objectstorage.com",
    ),
    bad(
        "storage.endpoint",
        "http://s3.example.com:9000",
        "https outside the sandbox",
        "https://s3.example.com:9000",
        storage=S3,
    ),
    *each(
        "storage.endpoint",
        "https://s3.example.com",
        {
            "without the bucket, which storage.bucket names": [
                "https://s3.example.com/omantel-harbor"
            ],
            "without path": ["https://s3.example.com/", "https://s3.example.com?region=a"],
            "without .. in its path": ["https://s3.example.com/a/../b"],
            "a URL https://host[:port]": ["s3.example.com", "s3://s3.example.com"],
            "upper-case letters": ["HTTPS://S3.example.com", "https://S3.Example.com"],
            "a URL": ["https://s3.example.com:99999"],
        },
        storage=S3,
    ),
    bad(
        "storage.endpoint",
        "https://me:hunter2@s3.example.com",
        "credentials do not belong into a URL",
        "https://s3.example.com",
        shown='"https://<hidden>@s3.example.com"',
        storage=S3,
    ),
    bad("storage.caBundle", "ca.crt", "certificates in PEM", "< ca.pem", storage=S3),
    bad(
        "database.caBundle",
        "ca.crt",
        "certificates in PEM",
        "< ca.pem",
        database=SHARED_DATABASE,
    ),
    *each(
        "storage.chunkSize",
        "10485760",
        {"from 5242880 (5 MiB) to 5368709120 (5 GiB)": ["5242879"], "digits only": ["10Mi"]},
    ),
    bad("storage.multipartCopyMaxConcurrency", "0", "a number from 1 to 1000", "10"),
    bad("storage.rootDirectory", "../other", "without '..'", "harbor"),
    bad(
        "storage.rootDirectory",
        "z" * 256,
        "at most 255 characters",
        "harbor",
        shown='"' + 78 * "z" + "…",
    ),
    bad(
        "harbor.chart.source",
        "z" * 4096,
        "at most 4095 characters",
        "https://helm.goharbor.io",
        shown='"' + 78 * "z" + "…",
    ),
    *each(
        "storage.rootDirectory",
        "harbor",
        {
            "this program's own objects, which go with the bucket": [
                ".sovereign-harbor",
                "/.sovereign-harbor/",
                ".sovereign-harbor/images",
                "./.sovereign-harbor//images",
                "images/.sovereign-harbor",
            ],
        },
    ),
    *each(
        "storage.region",
        "<region>",
        {"the name of an AWS region": ["fsn1", "eu-central", "us-iso-east-1"]},
        storage=AWS,
    ),
    *each(
        "storage.region",
        "eu-central-1",
        {"the name of an AWS region": ["eu-central-1a", "EU-CENTRAL-1"]},
        storage=AWS,
    ),
    bad(
        "storage.accountId",
        "1111-2222-3333",
        "the 12 digits of an AWS account",
        "111122223333",
        storage=AWS,
    ),
    bad(
        "storage.kmsKeyArn",
        "arn:aws:kms:eu-central-1:111122223333:alias/harbor",
        "cannot name an alias",
        "arn:aws:kms:<region>:<account>:key/<id>",
        storage=AWS,
    ),
    bad(
        "storage.kmsKeyArn",
        "arn:aws:kms:us-east-1:111122223333:key/1",
        "keys of the bucket's own region, here eu-central-1",
        "arn:aws:kms:eu-central-1:<account>:key/<id>",
        storage=AWS,
    ),
    *each(
        "storage.bucket",
        "omantel-harbor",
        {
            "nor what Amazon S3 keeps for itself": [
                "xn--omantel",
                "sthree-harbor",
                "amzn-s3-demo-harbor",
                "omantel-s3alias",
                "omantel--ol-s3",
                "omantel--x-s3",
                "omantel--table-s3",
            ]
        },
        storage=AWS,
    ),
    *each(
        "storage.access.mode",
        "access-key",
        {
            KEYLESS: [
                "irsa",
                "pod-identity",
            ],
            "one of access-key, node-role": ["none"],
        },
        storage=AWS,
    ),
    bad(
        "storage.access",
        "node-role",
        "an object with mode: access-key or node-role",
        [remove("storage.access"), set_path("storage.access.mode", "access-key")],
        storage=AWS,
    ),
    bad(
        "storage.access.role",
        ...,
        "the name of an IAM role, not its ARN",
        "<role>",
        storage={**AWS, "access": {**NODE_ROLE, "role": "x"}},
    ),
    bad(
        "storage.access.role",
        "arn:aws:iam::111122223333:role/omantel-nodes",
        "the name of an IAM role, not its ARN",
        "omantel-nodes",
        storage={**AWS, "access": NODE_ROLE},
    ),
    bad(
        "storage.access.permissionsBoundary",
        "boundary",
        "the ARN of an IAM policy",
        "arn:aws:iam::<account>:policy/<name>",
        storage=AWS,
    ),
    bad(
        "storage.movedTo",
        "hetzner/fsn1/other",
        "the location of this section, hetzner/fsn1/omantel-harbor, and only after a move",
        REMOVE,
    ),
    bad(
        "storage.lockdown",
        {"moreAccessKeys": []},
        "the number of the project in the Console's address, digits only",
        "<project-number>",
        key="storage.lockdown.projectId",
    ),
    bad("storage.lockdown.projectId", "my-project", "digits only", "<project-number>"),
    bad(
        "storage.lockdown.moreAccessKeys",
        ["short"],
        "16 to 31 upper-case letters and digits (never the secret key)",
        "<access-key>",
        key="storage.lockdown.moreAccessKeys[0]",
        shown="<secret, 5 characters>",
        storage=LOCKED,
    ),
    bad(
        "storage.lockdown.moreAccessKeys",
        [SECRET_KEY.upper().replace("-", "0")],
        "never the secret key",
        "<access-key>",
        key="storage.lockdown.moreAccessKeys[0]",
        shown="<secret, 40 characters>",
        storage=LOCKED,
    ),
    *each(
        "storage.size",
        "50G",
        {"a Kubernetes quantity": ["50GB", "50 GB"]},
        storage={"kind": "filesystem"},
    ),
    bad("storage.size", "50gi", "a Kubernetes quantity", "50Gi", storage={"kind": "filesystem"}),
    bad("storage.size", "50x", "a Kubernetes quantity", "10Gi", storage={"kind": "filesystem"}),
    *each(
        "storage.tags",
        [remove("storage.tags"), set_path('storage.tags["<key>"]', "<value>")],
        {
            "keys that begin with aws: are the vendor's": [{"aws:team": "x"}, {"AWS:team": "x"}],
            "the key ''": [{"": "x"}],
            "the key 'xxxx": [{"x" * 129: "x"}],
            "the value of team": [{"team": "x" * 257}, {"team": "a\nb"}, {"team": "a&b"}],
            "41 tags": [{f"t{number}": "x" for number in range(41)}],
        },
    ),
    *each(
        "storage.size",
        "10Gi",
        {
            "more than 16Pi": ["99999Ei", "17Pi"],
            "a Kubernetes quantity": ["9" * 40, "\u0661\u0660Gi", "1e3Gi"],
        },
        storage={"kind": "filesystem"},
    ),
    # secrets
    bad("secrets.delivery", "kubernetes", "one of sealed, external", "sealed"),
    bad("secrets.delivery", "eso", "one of sealed, external", "external"),
    bad(
        "secrets.delivery",
        ...,
        "one of sealed, external",
        "external",
        secrets={"delivery": "external", "store": {"name": "platform"}},
    ),
    bad(
        "secrets",
        {"delivery": "external"},
        "an object with the keys kind, name",
        [set_path("secrets.store.name", "<name>")],
        key="secrets.store",
    ),
    bad(
        "secrets.store.kind",
        "VaultStore",
        "one of ClusterSecretStore, SecretStore",
        "ClusterSecretStore",
        **EXTERNAL,
    ),
    bad("secrets.store.name", "Platform Store", "a Kubernetes object name", "<name>", **EXTERNAL),
    bad("secrets.refreshInterval", "1 hour", "a duration from 1m to 24h", "1h", **EXTERNAL),
    bad("secrets.refreshInterval", "10s", "asks the store all the time", "1h", **EXTERNAL),
    bad("secrets.refreshInterval", "0s", "never fetch a value again", "1h", **EXTERNAL),
    bad("secrets.refreshInterval", "48h", "wait longer than a day", "1h", **EXTERNAL),
    bad("secrets.refreshInterval", "2  hrs", "a duration from 1m to 24h", "2h", **EXTERNAL),
    bad("secrets.refreshInterval", "90 Minutes", "a duration from 1m to 24h", "90m", **EXTERNAL),
    bad("secrets.refreshInterval", "600 secs", "a duration from 1m to 24h", "600s", **EXTERNAL),
    bad("secrets.refreshInterval", "1 day", "a duration from 1m to 24h", "24h", **EXTERNAL),
    bad("secrets.refreshInterval", 90, "YAML reads it as a number", "90s", **EXTERNAL),
    bad("secrets.prefix", "/data/harbor", "do not begin with '/'", "data/harbor", **EXTERNAL),
    bad("secrets.prefix", "", "1 to 100 letters", "omantel-", **EXTERNAL),
    bad("secrets.timeoutSeconds", 3600, "a whole number from 5 to 900", "120", **EXTERNAL),
    bad(
        "secrets.prefix",
        "kup6s-",
        "no such setting of delivery sealed; delivery external has it",
        [remove("secrets.prefix")],
        secrets={"delivery": "sealed"},
    ),
    *(
        bad(
            f"sealing.{name}",
            value,
            "nothing is sealed then",
            [remove(f"sealing.{name}")],
            **EXTERNAL,
        )
        for name, value in (
            ("certificate", "sealing.pem"),
            ("acceptedFingerprint", "0a" * 32),
            ("controllerNamespace", "sealed-secrets"),
            ("controllerName", "sealed-secrets"),
            ("timeoutSeconds", 60),
        )
    ),
    bad(
        "database",
        {**SHARED_DATABASE, "secret": {"storeKey": "pg"}},
        "only with secrets.delivery external",
        [remove("database.secret.storeKey")],
        key="database.secret.storeKey",
        shown="<secret, 2 characters>",
    ),
    bad(
        "valkey",
        {**SHARED_VALKEY, "secret": {"storeKey": "valkey", "property": "the password"}},
        "the name of a property of that key",
        [set_path("valkey.secret.property", "password")],
        key="valkey.secret.property",
        shown="<secret, 12 characters>",
        **EXTERNAL,
    ),
    bad(
        "database",
        {**SHARED_DATABASE, "secret": {"property": "password"}},
        "the name of a key in the secret store",
        [set_path("database.secret.storeKey", "<key>")],
        key="database.secret.storeKey",
        **EXTERNAL,
    ),
    bad(
        "database",
        {**SHARED_DATABASE, "secret": {"storeKey": "omantel-omani-works-harbor-database"}},
        "a key that does not begin with omantel-omani-works-harbor",
        [set_path("database.secret.storeKey", "<key>")],
        key="database.secret.storeKey",
        shown="<secret, 35 characters>",
        **EXTERNAL,
    ),
    # sealing
    bad("sealing.certificate", "MIIB", "a certificate in PEM", "sealing-omantel.pem"),
    bad(
        "sealing.certificate",
        PRIVATE_KEY,
        "this is a private key",
        "sealing-omantel.pem",
        shown=f"<private key, {len(PRIVATE_KEY)} characters>",
    ),
    bad(
        "sealing.acceptedFingerprint",
        "AB:CD",
        "64 lower-case hexadecimal digits, without colons",
        "$(openssl x509 -in sealing.pem -outform DER | sha256sum | cut -d' ' -f1)",
    ),
    bad("sealing.timeoutSeconds", 3600, "a whole number from 5 to 900", "120"),
    # harbor
    *each(
        "harbor.namespace",
        "harbor",
        {
            "a Kubernetes name": ["Harbor"],
            "Kubernetes keeps those that begin with kube-": ["kube-system", "kube-public"],
            "without retainData, deleted as a whole": ["default"],
            "belongs to other software": [
                "flux-system",
                "cert-manager",
                "kyverno",
                "cnpg-system",
                "cilium",
                "longhorn-system",
            ],
        },
    ),
    *each(
        "harbor.chart.version",
        "1.18.3",
        {"one exact version": ["^1.18"], "a leading v": ["v1.18.3"]},
    ),
    *each(
        "harbor.acceptUpgradeWithoutBackup",
        "<version>",
        {"the exact version": ["yes", "1.19"], "YAML reads it as true": [True]},
    ),
    bad("harbor.disruptionBudgets", "maybe", "true or false", "false"),
    bad("harbor.sharedNamespace", "gitlab", "true or false", "false"),
    bad(
        "harbor.spreadOver",
        ["a b"],
        "the name of a label",
        "<key>",
        key="harbor.spreadOver[0]",
        shown='"a b"',
    ),
    bad(
        "database.spreadOver",
        ["a b"],
        "the name of a label",
        "<key>",
        key="database.spreadOver[0]",
        shown='"a b"',
    ),
    bad(
        "harbor.chart.sha256",
        "abc",
        "64 lower-case hexadecimal digits",
        "$(sha256sum harbor-1.18.3.tgz | cut -d' ' -f1)",
    ),
    bad(
        "harbor.chart.source",
        "http://helm.goharbor.io",
        "not fetched over plain http",
        "https://helm.goharbor.io",
    ),
    bad(
        "harbor.chart.source",
        "oci://me:hunter2@registry.example.com/harbor",
        "credentials do not belong into a URL",
        "https://helm.goharbor.io",
        shown='"oci://<hidden>@registry.example.com/harbor"',
    ),
    bad("harbor.logLevel", "trace", "one of debug, info, warning, error, fatal", "info"),
    bad("harbor.replicas.core", 0, "a whole number from 1 to 50", "1"),
    bad("harbor.resources.trivy.memory", "512m", "m means thousandths of a byte", "512Mi"),
    bad("harbor.resources.core.cpu", "half", "a Kubernetes quantity of processors", "500m"),
    bad(
        "harbor.tolerations",
        [{"effect": "NoRun"}],
        "one of NoSchedule, PreferNoSchedule, NoExecute",
        "NoSchedule",
        key="harbor.tolerations[0].effect",
    ),
    bad(
        "harbor.nodeSelector",
        "amd64",
        "an object of label values",
        [remove("harbor.nodeSelector"), set_path('harbor.nodeSelector["<key>"]', "<value>")],
    ),
    *each(
        "harbor.nodeSelector",
        [
            remove("harbor.nodeSelector"),
            set_path('harbor.nodeSelector["<key>"]', "<value>"),
        ],
        {
            "Harbor has no images for arm64": [{"kubernetes.io/arch": "arm64"}],
            "the value of pool is not one of a label": [{"pool": "x" * 64}, {"pool": "a b"}],
            "is not the name of a label": [{"a/b/c": "x"}, {"": "x"}, {"x" * 64: "x"}, {"/a": "x"}],
        },
    ),
    *(
        bad(
            "harbor.tolerations",
            [toleration],
            allowed,
            fix,
            key=f"harbor.tolerations[0].{key}",
        )
        for key, toleration, allowed, fix in (
            ("operator", {"effect": "NoSchedule"}, "Exists, as no key is given", "Exists"),
            ("operator", {"operator": "Equal"}, "Exists, as no key is given", "Exists"),
            (
                "value",
                {"key": "a", "operator": "Exists", "value": "b"},
                "none with operator Exists",
                REMOVE,
            ),
            ("key", {"key": "a b"}, "the name of a label", "<key>"),
            ("value", {"key": "a", "value": "x" * 64}, "at most 63 letters", "<value>"),
        )
    ),
    # database
    bad("database.mode", "internal", "one of dedicated, shared", "dedicated"),
    bad("database.storageSize", "10", "less than one mebibyte", "10Gi"),
    bad(
        "database.maxConnections", 39, "at least 40: 3 pods of core, jobservice and exporter", "40"
    ),
    bad("database.reservedConnections", 100, "leave nothing to Harbor", "10"),
    *each(
        "database.sslmode",
        "require",
        {
            "one of disable, require, verify-ca, verify-full": ["prefer"],
            "disable is for the sandbox": ["disable"],
        },
        database=SHARED_DATABASE,
    ),
    *each(
        "database.poolMode",
        "session",
        {
            "Harbor's migrations take advisory locks and its driver prepares statements": [
                "transaction",
                "statement",
            ],
        },
        database=SHARED_DATABASE,
    ),
    *each(
        "database.create",
        [
            *remove("database.create").splitlines(),
            *set_path("database.create.cluster", "<name>").splitlines(),
            *set_path("database.create.namespace", "<namespace>").splitlines(),
        ],
        {"an object with the keys cluster, namespace, role": [True, "gitlab-postgres"]},
        database=TENANT_DATABASE,
    ),
    *each(
        "database.create.cluster",
        "<name>",
        {"a Kubernetes object name": ["Gitlab_Postgres", "pg/gitlab", ""]},
        database=TENANT_DATABASE,
    ),
    bad(
        "database.create.namespace",
        "GitLab BDA",
        "a Kubernetes name",
        "<namespace>",
        database=TENANT_DATABASE,
    ),
    bad("database.create.role", "maybe", "true or false", "true", database=TENANT_DATABASE),
    *each(
        "database.name",
        "registry",
        {"which PostgreSQL has already": ["postgres", "template1"]},
        database=TENANT_DATABASE,
    ),
    *each(
        "database.username",
        "harbor",
        {"no role of PostgreSQL's or the operator's own": ["postgres", "pg_harbor", "cnpg_harbor"]},
        database=TENANT_DATABASE,
    ),
    *each(
        "database.host",
        "gitlab-postgres-rw.gitlabbda",
        {
            "leads to servers that take no writes": [
                "gitlab-postgres-ro.gitlabbda",
                "gitlab-postgres-r.gitlabbda",
            ]
        },
        database=TENANT_DATABASE,
    ),
    bad(
        "database.secret",
        {"namespace": "gitlabbda", "name": "harbor"},
        "the program mints the password and makes its Secret",
        REMOVE,
        database={
            **TENANT_DATABASE,
            "create": {"cluster": "pg", "namespace": "gitlabbda", "role": True},
        },
    ),
    bad("database.port", 70000, "a whole number from 1 to 65535", "5432", database=SHARED_DATABASE),
    bad(
        "database.host",
        "postgres://pg:5432",
        "without scheme and port",
        "pg",
        database=SHARED_DATABASE,
    ),
    bad(
        "database.secret",
        "hunter2",
        "an object with the keys namespace, name, key",
        [
            remove("database.secret"),
            set_path("database.secret.namespace", "<namespace>"),
            set_path("database.secret.name", "<name>"),
        ],
        shown="<secret, 7 characters>",
        database=SHARED_DATABASE,
    ),
    bad(
        "database.secret.key",
        "hunter 2",
        "never the password itself",
        "password",
        shown="<secret, 8 characters>",
        database=SHARED_DATABASE,
    ),
    # valkey
    bad(
        "valkey.username",
        "harbor",
        "left out with chart 1.18.3, whose registry logs in by password alone",
        REMOVE,
        valkey=SHARED_VALKEY,
    ),
    bad("valkey.username", "har bor", "a user name", "harbor", valkey=SHARED_VALKEY),
    bad(
        "valkey.caBundle",
        PEM,
        "true with valkey.caBundle",
        "true",
        key="valkey.tls",
        valkey=SHARED_VALKEY,
    ),
    bad("valkey.priorityClass", "Very High", "the name of a PriorityClass", "business-critical"),
    bad(
        "database.nodeSelector",
        {"disk": "x" * 64},
        "is not the value of one",
        [remove("database.nodeSelector"), set_path('database.nodeSelector["<key>"]', "<value>")],
    ),
    *each(
        "database.image",
        "ghcr.io/cloudnative-pg/postgresql:17.5",
        {
            "without a tag the operator does not know the major version": [
                "ghcr.io/cloudnative-pg/postgresql",
            ],
            "latest does not begin with a major version": ["postgresql:latest"],
            "a digest is sha256: and 64": ["postgresql:17.5@sha256:abc"],
            "NAME:TAG@sha256:DIGEST": ["https://ghcr.io/pg:17"],
        },
    ),
    bad("database.image", "Postgres:17.5", "NAME:TAG@sha256:DIGEST", "postgres:17.5"),
    bad(
        "database.image",
        f"ghcr.io/cloudnative-pg/postgresql@sha256:{'0' * 64}",
        "without a tag the operator does not know the major version, digest or not",
        "ghcr.io/cloudnative-pg/postgresql:17.5",
        shown=f'"ghcr.io/cloudnative-pg/postgresql@sha256:{"0" * 37}…',
    ),
    bad("storage.seamNamespace", "Flux", "a Kubernetes name", "flux"),
    bad(
        "harbor.ipFamily",
        {"ipv4": False, "ipv6": False},
        "nowhere",
        "true",
        key="harbor.ipFamily.ipv4",
    ),
    bad(
        "harbor.ipFamily",
        {"families": ["IPv4", "IPv6"]},
        "PreferDualStack or RequireDualStack for two families",
        "PreferDualStack",
        key="harbor.ipFamily.policy",
    ),
    bad(
        "harbor.ipFamily.families",
        ["IPv5"],
        "one of IPv4, IPv6",
        "IPv6",
        key="harbor.ipFamily.families[0]",
    ),
    bad("valkey.maxMemory", "256Mi", "less than valkey.memory (256Mi)", "192Mi"),
    bad("valkey.indexes.core", 16, "a whole number from 0 to 15", "0", valkey=SHARED_VALKEY),
    bad(
        "valkey.indexes.registry", 1, "1 is already taken by jobservice", "2", valkey=SHARED_VALKEY
    ),
    # exposure
    bad("exposure.kind", "nodePort", "one of gateway, ingress", "gateway"),
    # The kind that has the keys which are given, where there is one.
    bad("exposure", {"className": "nginx"}, "one of", "ingress", key="exposure.kind"),
    bad("dns", {"zone": "omani.works"}, "one of", "hetzner", key="dns.kind"),
    # Without a kind it is a gateway, as without the section.
    bad(
        "exposure",
        {"parentRefs": []},
        "without one the route belongs to no Gateway",
        [
            remove("exposure.parentRefs"),
            set_path("exposure.parentRefs[0].name", "<name>"),
            set_path("exposure.parentRefs[0].namespace", "<namespace>"),
        ],
        key="exposure.parentRefs",
        shown="(a list)",
    ),
    *each(
        "exposure.parentRefs",
        LISTENER,
        {
            "without one the route belongs to no Gateway": [[]],
            "the same listener twice": [
                [{"name": "g", "namespace": "n"}, {"name": "g", "namespace": "n"}]
            ],
        },
        exposure=GATEWAY,
    ),
    bad(
        "exposure.parentRefs",
        [{"name": "cilium-gateway"}],
        "a Kubernetes name",
        "<namespace>",
        key="exposure.parentRefs[0].namespace",
        exposure=GATEWAY,
    ),
    bad(
        "exposure.certificate",
        {"clusterIssuer": "letsencrypt-dns01-prod"},
        "a Kubernetes object name",
        "harbor-tls",
        key="exposure.certificate.secretName",
        exposure=GATEWAY,
    ),
    bad(
        "exposure.clusterIssuer",
        ...,
        "without a certificate the controller answers with one of its own",
        "<cluster-issuer>",
        **INGRESS,
    ),
    bad("exposure.className", ..., "a Kubernetes object name", "<ingress-class>", **INGRESS),
    bad(
        "exposure.controller",
        "traefik",
        "one of default, gce, ncp, alb, f5-bigip",
        "default",
        **INGRESS,
    ),
    bad(
        "exposure.issuer",
        {"name": "vault"},
        "either exposure.clusterIssuer or exposure.issuer",
        REMOVE,
        key="exposure.clusterIssuer",
        **INGRESS,
    ),
    *[
        bad(
            "exposure.certificate",
            {"secretName": "tls", **certificate},
            allowed,
            fix,
            key=f"exposure.certificate.{key}",
            exposure=GATEWAY,
        )
        for key, certificate, allowed, fix in (
            (
                "clusterIssuer",
                {},
                "either exposure.certificate.clusterIssuer or exposure.certificate.issuer",
                "<cluster-issuer>",
            ),
            (
                "clusterIssuer",
                {"clusterIssuer": "a", "issuer": {"name": "b"}},
                "either exposure.certificate.clusterIssuer or exposure.certificate.issuer",
                REMOVE,
            ),
            (
                "issuer.kind",
                {"issuer": {"name": "b", "kind": "issuer"}},
                "the kind of an issuer",
                "Issuer",
            ),
            (
                "issuer.group",
                {"issuer": {"name": "b", "group": "Cert Manager"}},
                "an API group",
                "cert-manager.io",
            ),
            (
                "privateKey.algorithm",
                {"clusterIssuer": "a", "privateKey": {"algorithm": "DSA"}},
                "one of ECDSA, RSA, Ed25519",
                "ECDSA",
            ),
            (
                "privateKey.size",
                {"clusterIssuer": "a", "privateKey": {"algorithm": "RSA", "size": 256}},
                "one of 2048, 3072, 4096, 8192 for RSA",
                "2048",
            ),
            (
                "privateKey.size",
                {"clusterIssuer": "a", "privateKey": {"size": 2048}},
                "one of 256, 384, 521 for ECDSA",
                "256",
            ),
            (
                "privateKey.size",
                {"clusterIssuer": "a", "privateKey": {"algorithm": "Ed25519", "size": 256}},
                "left out for Ed25519",
                REMOVE,
            ),
        )
    ],
    bad(
        "exposure.parentRefs",
        [{"name": "g", "namespace": "n", "kind": "Service"}],
        "one of Gateway, ListenerSet, XListenerSet",
        "Gateway",
        key="exposure.parentRefs[0].kind",
        exposure=GATEWAY,
    ),
    bad(
        "exposure.labels",
        {"team": "x" * 64},
        "is not the value of one",
        [remove("exposure.labels"), set_path('exposure.labels["<key>"]', "<value>")],
        exposure=GATEWAY,
    ),
    *each(
        "exposure.host",
        "harbor.example.com",
        {
            "a name, not a URL": ["https://harbor.example.com"],
            "upper-case letters": ["Harbor.example.com"],
        },
        exposure=GATEWAY,
    ),
    *each(
        "exposure.host",
        "<host>",
        {
            "one label is not": ["harbor"],
            "a lower-case DNS name": ["harbor..example.com", "10.0.0.1"],
        },
        exposure=GATEWAY,
    ),
    bad(
        "exposure.host",
        "harbor.example.com",
        "harbor.example.com is not in this zone",
        "example.com",
        key="dns.zone",
        exposure=GATEWAY,
        dns=DNS,
    ),
    bad(
        "exposure.annotations",
        {"proxy body size": "0"},
        "proxy body size is not the name of one",
        [remove("exposure.annotations"), set_path('exposure.annotations["<key>"]', "<value>")],
        **INGRESS,
    ),
    # networkPolicies
    bad(
        "networkPolicies.gateway",
        {"kind": "cilium"},
        "the controller of class traefik: as cilium its pods could not reach Harbor",
        "namespace",
        key="networkPolicies.gateway.kind",
        exposure=INGRESS["exposure"],
    ),
    bad(
        "networkPolicies.gateway",
        {"kind": "namespace"},
        "a Kubernetes name",
        "<namespace>",
        key="networkPolicies.gateway.namespace",
    ),
    bad(
        "networkPolicies.gateway.kind",
        "calico",
        "one of cilium, namespace, host, addresses",
        "namespace",
    ),
    bad(
        "networkPolicies.gateway",
        {"kind": "addresses"},
        "a list, each a range of addresses",
        [set_path("networkPolicies.gateway.ranges[0]", "10.0.8.0/24")],
        key="networkPolicies.gateway.ranges",
    ),
    bad(
        "networkPolicies.gateway",
        {"kind": "addresses", "ranges": []},
        "without one nobody reaches Harbor",
        [
            remove("networkPolicies.gateway.ranges"),
            set_path("networkPolicies.gateway.ranges[0]", "10.0.8.0/24"),
        ],
        key="networkPolicies.gateway.ranges",
    ),
    bad(
        "networkPolicies",
        {"gateway": {"kind": "host"}, "apiServer": {"cidr": "10.0.0.2/32"}},
        "at least one, unless cni is cilium",
        [set_path("networkPolicies.gateway.ranges[0]", "<range>")],
        key="networkPolicies.gateway.ranges",
    ),
    bad(
        "networkPolicies",
        {"gateway": {"kind": "host", "ranges": ["10.0.0.0/24"]}, "cni": "cilium"},
        "which does not match nodes by address",
        REMOVE,
        key="networkPolicies.gateway.ranges",
    ),
    bad("networkPolicies.cni", "other", "cilium with gateway.kind cilium", "cilium"),
    bad("networkPolicies.cni", "calico", "one of cilium, other", "cilium"),
    bad("networkPolicies.dns.port", 0, "a whole number from 1 to 65535", "53"),
    bad(
        "networkPolicies.dns.addresses",
        ["169.254.20.10"],
        "without a prefix length",
        "169.254.20.10/32",
        key="networkPolicies.dns.addresses[0]",
    ),
    bad(
        "networkPolicies.gateway.kind",
        "traefik",
        "one of cilium, namespace, host, addresses",
        "namespace",
    ),
    bad(
        "networkPolicies.apiServer",
        ...,
        "its pods ask the API server who leads",
        [set_path("networkPolicies.apiServer.cidr", API_SERVER)],
        **INGRESS,
    ),
    bad(
        "networkPolicies.apiServer",
        {"port": 443},
        "its pods ask the API server who leads",
        API_SERVER,
        key="networkPolicies.apiServer.cidr",
        **INGRESS,
    ),
    bad(
        "networkPolicies.apiServer.cidr",
        "10.0.0.2",
        "without a prefix length",
        "10.0.0.2/32",
        **INGRESS,
    ),
    *[
        bad(
            "networkPolicies.outside",
            [value],
            allowed,
            fix,
            key="networkPolicies.outside[0]",
        )
        for value, allowed, fix in (
            ("10.0.0.1/8", "it has bits set behind the prefix", "10.0.0.0/8"),
            (
                "10.0.0.0/255.0.0.0",
                "bits behind the slash, not a netmask",
                "10.0.0.0/8",
            ),
            ("10.0.0.0/08", "bits behind the slash, not a netmask", "10.0.0.0/8"),
            ("fe80::%eth0/64", "without a zone", "<range>"),
            ("::ffff:10.0.0.0/104", "an IPv4 address written as IPv6", "<range>"),
            ("169.254.169.254/32", "gives the node's identity to whoever asks", "<range>"),
            ("fe80::a9fe:a9fe/128", "gives the node's identity to whoever asks", "<range>"),
        )
    ],
    bad(
        "networkPolicies.nat64Prefixes",
        ["64:ff9b:1::/48"],
        "96 bits long",
        "64:ff9b::/96",
        key="networkPolicies.nat64Prefixes[0]",
    ),
    bad(
        "networkPolicies.mesh",
        {"namespace": "istio-system"},
        "at least one, with namespace",
        [set_path("networkPolicies.mesh.controlPlanePorts[0]", "15012")],
        key="networkPolicies.mesh.controlPlanePorts",
    ),
    bad(
        "networkPolicies.mesh",
        {"controlPlanePorts": [15012]},
        "required with controlPlanePorts",
        "istio-system",
        key="networkPolicies.mesh.namespace",
    ),
    *[
        bad(
            "networkPolicies.extraRules",
            [{"party": party, "direction": "egress", "ports": [8443], "namespace": "a"}],
            f"a party that has pods here, and {party} has none: {reason}",
            "core",
            key="networkPolicies.extraRules[0].party",
            shown=f'"{party}"',
            **sections,
        )
        for party, reason, sections in (
            ("cache", "valkey.mode is shared", {"valkey": SHARED_VALKEY}),
            ("database", "database.mode is shared", {"database": SHARED_DATABASE}),
            ("trivy", "trivy.enabled is false", {"trivy": {"enabled": False}}),
            ("exporter", "metrics.enabled is false", {}),
        )
    ],
    *[
        bad(
            "networkPolicies.extraRules",
            [{"party": "core", "direction": "egress", "ports": [8443], **rule}],
            allowed,
            fix,
            key=f"networkPolicies.extraRules[0].{key}",
        )
        for key, rule, allowed, fix in (
            ("cidr", {}, "either cidr or namespace", "<range>"),
            (
                "cidr",
                {"cidr": "10.1.0.0/16", "namespace": "keycloak"},
                "either cidr or namespace",
                REMOVE,
            ),
            (
                "podLabels",
                {"cidr": "10.1.0.0/16", "podLabels": {"app": "web"}},
                "only with namespace",
                REMOVE,
            ),
            (
                "podLabels",
                {"namespace": "keycloak", "podLabels": {"app": "x" * 64}},
                "is not the value of one",
                [
                    remove("networkPolicies.extraRules[0].podLabels"),
                    set_path('networkPolicies.extraRules[0].podLabels["<key>"]', "<value>"),
                ],
            ),
            (
                "ports",
                {"namespace": "keycloak", "ports": []},
                "without ports all would be open",
                [
                    remove("networkPolicies.extraRules[0].ports"),
                    set_path("networkPolicies.extraRules[0].ports[0]", "8443"),
                ],
            ),
            (
                "party",
                {"namespace": "keycloak", "party": "nginx"},
                "one of core, portal, jobservice, registry, trivy, exporter, database, cache",
                "core",
            ),
            (
                "party",
                {"namespace": "keycloak", "party": "exporter"},
                "exporter has none: metrics.enabled is false",
                "core",
            ),
        )
    ],
    bad("networkPolicies.monitoringNamespace", "Monitoring", "a Kubernetes name", "monitoring"),
    bad(
        "networkPolicies.outside",
        ["everywhere"],
        "a range of addresses",
        "<range>",
        key="networkPolicies.outside[0]",
    ),
    bad("networkPolicies.monitoringNamespace", "Mon.", "a Kubernetes name", "mon"),
    # dns
    *each(
        "dns.zone",
        "omantel.omani.works",
        {"registry.omantel.omani.works is not in this zone": ["example.com", "ani.works"]},
        dns=DNS,
    ),
    bad("dns.zone", "omani.works.", "none at the end", "omani.works", dns=DNS),
    bad(
        "dns.loadBalancer",
        ...,
        "either dns.loadBalancer or dns.addresses",
        [set_path("dns.loadBalancer.name", "<load-balancer>")],
        dns=DNS,
    ),
    bad(
        "dns.addresses",
        {"ipv4": "203.0.113.7"},
        "either dns.loadBalancer or dns.addresses",
        REMOVE,
        key="dns.loadBalancer",
        dns=DNS,
    ),
    bad(
        "dns.loadBalancer.selector",
        "role=gateway",
        "either dns.loadBalancer.name or dns.loadBalancer.selector",
        REMOVE,
        key="dns.loadBalancer.name",
        dns=DNS,
    ),
    bad(
        "dns.addresses",
        {"ipv4": "2001:db8::7"},
        "an IPv4 address",
        "<ipv4>",
        key="dns.addresses.ipv4",
        dns={"kind": "hetzner", "zone": "omani.works"},
    ),
    bad("dns.ttl", 5, "a whole number from 60 to 86400", "300", dns=DNS),
    # imageRegistry
    bad(
        "imageRegistry",
        "https://Mirror.internal:5000/harbor/",
        "images are named without a scheme",
        "mirror.internal:5000/harbor",
    ),
    bad("imageRegistry", "mirror.internal/", "without a slash at the end", "mirror.internal"),
    bad("imageRegistry", "Mirror.internal", "upper-case letters", "mirror.internal"),
    bad("imageRegistry", "harbor", "neither a dot nor a port", "<registry>"),
    bad("imageRegistry", "me:pass@mirror.internal", "credentials do not belong", "<registry>"),
    bad("imageRegistry", "mirror.internal/a:1", "a path, without tag and digest", "<registry>"),
    bad("imageRegistry", "mirror.internal/a//b", "a path, without tag and digest", "<registry>"),
    bad(
        "imageRegistry",
        "registry.omantel.omani.works/harbor",
        "while Harbor is down, nobody could pull the images that start it",
        "<registry>",
    ),
    bad("imageRegistry", "registry.omantel.omani.works:443", "while Harbor is down", "<registry>"),
    bad(
        "imageRegistry",
        "harbor.example.com",
        "elsewhere than in this Sovereign's own registry harbor.example.com",
        "<registry>",
        exposure={"kind": "gateway", "host": "harbor.example.com"},
    ),
    bad(
        "imageRegistry",
        "registry.omantel.omani.works/hub",
        "hub is a proxy cache in it",
        REMOVE,
        registry={"proxyCaches": {"hub": {"upstream": {"type": "docker-hub"}}}},
    ),
    bad(
        "database.image",
        "registry.omantel.omani.works/cnpg/postgresql:17.5",
        "while Harbor is down, nobody could pull the image of its database",
        "ghcr.io/cloudnative-pg/postgresql:17.5",
    ),
    bad(
        "harbor.chart.source",
        "oci://registry.omantel.omani.works/charts/harbor",
        "while Harbor is down, nobody could read the chart that repairs it",
        "https://helm.goharbor.io",
    ),
    # imagePolicy
    bad(
        "imagePolicy.excludedNamespaces",
        ["kube-system", "kyverno", "cnpg-system"],
        "rewrite.enabled needs harbor among the excluded namespaces",
        "harbor",
        key="imagePolicy.extraExcludedNamespaces[0]",
        imagePolicy={"rewrite": {"enabled": True}},
        registry={"proxyCaches": {"hub": {"upstream": {"type": "docker-hub"}}}},
    ),
    bad("imagePolicy.kind", "Policy", "one of ValidatingPolicy, ClusterPolicy", "ValidatingPolicy"),
    *each(
        "imagePolicy.enforcement",
        "Enforce",
        {"one of Audit, Enforce": ["enforce", "ENFORCE", "Enforced"]},
    ),
    bad("imagePolicy.enforcement", "Block", "one of Audit, Enforce", "Audit"),
    bad(
        "imagePolicy.extraPrefixes",
        ["harbor.mct1.omani.works"],
        "with the slash: without it, images of longer host names begin with it too",
        "harbor.mct1.omani.works/",
        key="imagePolicy.extraPrefixes[0]",
    ),
    bad(
        "imagePolicy.excludedNamespaces",
        ["kube-system", "kyverno", "cnpg-system"],
        "Enforce needs harbor among the excluded namespaces",
        "harbor",
        key="imagePolicy.extraExcludedNamespaces[0]",
        imagePolicy={"enforcement": "Enforce"},
    ),
    bad(
        "imagePolicy.rewrite.projects",
        {"dockerhub": "proxy"},
        "'dockerhub' is not the host of a registry",
        [
            remove("imagePolicy.rewrite.projects"),
            set_path('imagePolicy.rewrite.projects["<key>"]', "<project>"),
        ],
    ),
    # trivy
    bad(
        "trivy.severity",
        ["HIGH", "critical"],
        "one of UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL",
        "CRITICAL",
        key="trivy.severity[1]",
    ),
    bad(
        "trivy.severity",
        [],
        "at least one",
        [remove("trivy.severity"), set_path("trivy.severity[0]", "UNKNOWN")],
    ),
    bad("trivy.blockSeverity", "UNKNOWN", "one of NONE, LOW, MEDIUM, HIGH, CRITICAL", "CRITICAL"),
    bad(
        "trivy.scanOnPush",
        False,
        "an image that has not been scanned",
        "NONE",
        key="trivy.blockSeverity",
    ),
    bad(
        "trivy.severity",
        ["UNKNOWN", "LOW"],
        "trivy.severity leaves MEDIUM, HIGH, CRITICAL out of reports",
        "NONE",
        key="trivy.blockSeverity",
        trivy={"blockSeverity": "MEDIUM"},
    ),
    bad("trivy.timeout", "300", "such as 5m0s", "5m0s"),
    bad(
        "trivy.dbRepositories",
        ["https://mirror.gcr.io/aquasec/trivy-db"],
        "without scheme",
        "mirror.gcr.io/aquasec/trivy-db",
        key="trivy.dbRepositories[0]",
    ),
    # registry; tests/unit/settings/registry/ has all of it
    bad("registry.deleteContents", ["Abc"], "upper-case", "abc", key="registry.deleteContents[0]"),
    # metrics
    bad("metrics.serviceMonitor", True, "it needs metrics.enabled true", "false"),
    # monitoring
    bad(
        "monitoring.enabled",
        True,
        "true with monitoring.enabled: its alerts and its dashboard read what Harbor serves",
        "true",
        key="metrics.serviceMonitor",
        shown="(not set)",
        metrics={"enabled": True},
    ),
    bad(
        "monitoring.labels",
        {"release": "a b"},
        "an object of labels",
        [remove("monitoring.labels"), set_path('monitoring.labels["<key>"]', "<value>")],
    ),
    bad(
        "monitoring.runbookUrl",
        "https://git.example.com/runbooks/",
        "without a slash at its end",
        "https://git.example.com/runbooks",
    ),
    bad(
        "monitoring.runbookUrl",
        "http://git.example.com",
        "https://",
        "https://<host>/docs/runbooks",
    ),
    bad("monitoring.dashboardNamespace", "Grafana", "a Kubernetes name", "grafana"),
    bad(
        "monitoring.platformSources",
        ["prometheus"],
        "one of kube-state-metrics, kubelet, cert-manager, sealed-secrets",
        "kube-state-metrics",
        key="monitoring.platformSources[0]",
    ),
    bad("monitoring.thresholds.bucketSize", "100TB", "a Kubernetes quantity of bytes", "100T"),
    bad("monitoring.thresholds.quotaPercent", 100, "a whole number from 10 to 99", "90"),
    bad("monitoring.thresholds.certificateDays", 3, "a whole number from 4 to 365", "14"),
    # rotation
    bad("rotation.valkeyPassword", 0, "a whole number from 1", "1"),
    bad(
        "rotation.redisPassword",
        2,
        "did you mean rotation.valkeyPassword?",
        [set_path("rotation.valkeyPassword", "2"), remove("rotation.redisPassword")],
    ),
    bad("rotation.secretKey", 2, "which a new key cannot decrypt", "1"),
    bad(
        "rotation.adminPassword",
        2,
        "1 with registry.enabled: false, as Harbor takes another password by its API only",
        "1",
        registry={"enabled": False},
    ),
    bad("rotation.adminPassword", 101, "a whole number from 1 to 100", "1"),
    # Ports, addresses and sizes that nothing has
    bad(
        "imagePolicy.extraPrefixes",
        ["https://Harbor.a.b/*"],
        "without a scheme",
        "harbor.a.b/",
        key="imagePolicy.extraPrefixes[0]",
    ),
    *(
        bad(
            f"trivy.{key}",
            [],
            "at least one",
            [remove(f"trivy.{key}"), set_path(f"trivy.{key}[0]", example)],
        )
        for key, example in (
            ("vulnTypes", "os"),
            ("dbRepositories", "mirror.gcr.io/aquasec/trivy-db"),
            ("javaDbRepositories", "mirror.gcr.io/aquasec/trivy-java-db"),
        )
    ),
    bad(
        "harbor.chart.source",
        "oci://<host>/charts",
        "a chart repository",
        "https://helm.goharbor.io",
    ),
    bad(
        "storage.endpoint",
        "https://s3:b",
        "a URL https://host[:port]",
        "https://s3.example.com",
        storage=S3,
    ),
    bad(
        "storage.endpoint",
        "ftp://s3.b",
        "a URL https://host[:port]",
        "https://s3.example.com",
        storage=S3,
    ),
    bad(
        "imagePolicy.extraPrefixes",
        ["harbor.a.b:65536/"],
        "a lower-case registry host",
        "<registry>/",
        key="imagePolicy.extraPrefixes[0]",
    ),
    bad(
        "trivy.dbRepositories",
        ["mirror.a.b:99999/trivy-db"],
        "without scheme",
        "mirror.gcr.io/aquasec/trivy-db",
        key="trivy.dbRepositories[0]",
    ),
    bad(
        "imagePolicy.rewrite.projects",
        {"quay.io:70000": "proxy"},
        "'quay.io:70000' is not the host of a registry",
        [
            remove("imagePolicy.rewrite.projects"),
            set_path('imagePolicy.rewrite.projects["<key>"]', "<project>"),
        ],
    ),
    bad(
        "harbor.chart.source",
        "https://charts.a.b:70000",
        "a chart repository",
        "https://helm.goharbor.io",
    ),
    bad("trivy.timeout", "9999h", "at most 24h", "5m0s"),
    bad("valkey.memory", "33Ti", "more than 32Ti", "256Mi"),
    bad("database.cpu", "5000", "more than 1024", "500m"),
    bad("database.host", ":::::", "a host name or IP address", "<host>", database=SHARED_DATABASE),
    bad("cluster.context", "a\nb", "one line of text", "<value>"),
    bad("cluster.name", "omantel ", "it ends with white space", "omantel"),
    # A text where an object is
    bad(
        "imagePolicy.rewrite",
        {"project": "x"},
        "did you mean imagePolicy.rewrite.projects?",
        [
            set_path('imagePolicy.rewrite.projects["<key>"]', "<project>"),
            remove("imagePolicy.rewrite.project"),
        ],
        key="imagePolicy.rewrite.project",
    ),
    # Unknown keys
    bad(
        "storage.access.role",
        "omantel-nodes",
        "no such setting of mode access-key; mode node-role has it",
        REMOVE,
        storage=AWS,
    ),
    bad(
        "storage.endpoint",
        "https://s3.eu-central-1.amazonaws.com",
        "no such setting of kind aws; kind hetzner or s3 has it",
        REMOVE,
        storage=AWS,
    ),
    bad(
        "storage.size",
        "50Gi",
        "no such setting of kind s3; kind filesystem has it",
        REMOVE,
        storage=S3,
    ),
    bad("storage.lockdown", {"projectId": "1234567"}, "no such setting", REMOVE, storage=S3),
    bad("storage.regoin", "fsn1", "no such setting; did you mean storage.region?", REMOVE),
    bad(
        "storage.chunksize",
        "5242880",
        "did you mean storage.chunkSize?",
        [set_path("storage.chunkSize", "5242880"), remove("storage.chunksize")],
    ),
    bad(
        "storage.versioning.noncurrent_days",
        3,
        "did you mean storage.versioning.noncurrentDays?",
        [
            set_path("storage.versioning.noncurrentDays", "3"),
            remove("storage.versioning.noncurrent_days"),
        ],
    ),
    bad(
        "harbour",
        {"namespace": "harbor"},
        "did you mean harbor?",
        [set_path("harbor.namespace", "harbor"), remove("harbour")],
    ),
    bad("wireguard", "on", "no such setting; known here: backup, cluster, ", REMOVE),
    bad(
        "storage.secretKey",
        SECRET_KEY,
        "did you mean the top-level secret s3SecretKey?",
        [set_secret("s3SecretKey"), remove("storage.secretKey")],
        shown="<secret, 40 characters>",
    ),
    bad(
        "s3accesskey",
        ACCESS_KEY,
        "did you mean the top-level secret s3AccessKey?",
        [set_secret("s3AccessKey"), remove("s3accesskey")],
        shown="<secret, 20 characters>",
    ),
    bad(
        "dns.token",
        DNS_TOKEN,
        "did you mean the top-level secret dnsToken?",
        [set_secret("dnsToken"), remove("dns.token")],
        shown="<secret, 64 characters>",
        dns=DNS,
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=str)
def test_refused(row: Bad) -> None:
    reading = read(merged(row.path, row.value, row.sections))
    assert reading.settings is None
    (refusal,) = reading.refusals
    assert (refusal.key, refusal.value, refusal.fix) == (row.key, row.shown, row.fix)
    assert row.allowed in refusal.allowed


def test_what_people_are_told_stays_as_it_is() -> None:
    """Whole: the rows above have the words that matter."""
    told: dict[str, set[str]] = {}
    for row in REFUSED:
        for refusal in read(merged(row.path, row.value, row.sections)).refusals:
            told.setdefault(refusal.key[:80], set()).add(refusal.allowed)
    golden = Path(__file__).parent / "golden" / "allowed.yaml"
    compare({key: sorted(allowed) for key, allowed in sorted(told.items())}, golden)


def test_the_refused_table_covers_every_section() -> None:
    assert {bad.path.split(".")[0] for bad in REFUSED} >= set(spec.keys_at((), {})) - {
        "protect",
        "retainData",
        # It has a table of its own, test_backup.py.
        "backup",
    }


def test_all_problems_are_told_at_once() -> None:
    raw = merged("storage.region", "ash")
    raw |= {
        "fqdn": "Omantel",
        "cluster": {},
        "database": {"maxConnections": 20},
        "valkey": {"memory": "lots", "memorry": "256Mi"},
        "unheard": "of",
    }
    keys = {refusal.key for refusal in read(raw).refusals}
    # Rules between sections ran too: cluster.name and database.maxConnections are two of them.
    assert keys == {
        "fqdn",
        "cluster.name",
        "storage.region",
        "database.maxConnections",
        "valkey.memory",
        "valkey.memorry",
        "unheard",
    }


def test_the_text_reads_as_a_list_of_repairs() -> None:
    reading = read(merged("storage.region", "ash", {"fqdn": "omantel"}))
    text = str(SettingsRefused(stack="omantel", refusals=reading.refusals))
    assert text.startswith("2 settings of stack omantel are refused; nothing was touched\n")
    assert text.endswith(
        'sovereign-harbor:storage.region = "ash"\n'
        "  allowed: one of fsn1, nbg1, hel1 (ash is a compute-only location without object "
        "storage)\n"
        "  fix:     pulumi config set --path 'storage.region' fsn1 -s omantel"
    )


def test_obeying_every_fix_of_an_empty_config_makes_it_valid() -> None:
    raw: dict[str, Any] = {}
    chosen = {"<kind>": "s3", "<fqdn>": "omantel.omani.works", "https://<host>": "https://s3.a.b"}
    for _ in range(2):  # the keys of the storage follow from its kind
        for refusal in read(raw).refusals:
            for command in refusal.fix.splitlines():
                _, _, _, *path, value, _, _ = shlex.split(command)
                raw = merged(path[-1], chosen.get(value, value), {"fqdn": "", "storage": {}, **raw})
    assert read(raw).refusals == ()


def test_no_fix_names_another_stack() -> None:
    """Not its domain, its bucket or its cluster: omantel is the example of many pages."""
    for row in REFUSED:
        raw = json.loads(json.dumps(merged(row.path, row.value, row.sections)))
        raw = json.loads(json.dumps(raw).replace("omantel", "salalah"))
        for edits in (False, True):
            for refusal in refusals.read(raw, stack="nizwa", edits=edits).refusals:
                assert "omantel" not in refusal.fix, refusal


def test_a_name_of_a_stack_that_is_no_name_of_a_bucket_is_not_proposed() -> None:
    (refusal,) = refusals.read(merged("storage.bucket", ...), stack="Nizwa_1").refusals
    assert refusal.fix == "pulumi config set --path 'storage.bucket' '<bucket>' -s Nizwa_1"


@pytest.mark.parametrize(
    ("path", "value", "fix"),
    [
        ("storage.bucket", "Images", "in Pulumi.nizwa.yaml set storage.bucket: images"),
        ("storage.bucket", ..., "in Pulumi.nizwa.yaml set storage.bucket: nizwa-harbor"),
        ("fqdn", ..., "in Pulumi.nizwa.yaml set fqdn: <fqdn>"),
        ("harbor.replicas.core", 0, "in Pulumi.nizwa.yaml set harbor.replicas.core: 1"),
        ("storage.adopts", True, "in Pulumi.nizwa.yaml set storage.adopt: true"),
        ("storage.lockdown", {}, "set storage.lockdown.projectId: <project-number>"),
        ("harbor.chart.version", "1.18.3 ", "set harbor.chart.version: 1.18.3"),
        ("networkPolicies.monitoringNamespace", "010 ", 'monitoringNamespace: "010"'),
        ("storage.caBundle", "x", "set storage.caBundle to the content of ca.pem"),
        ("harbor.chart.sha256", "x", "set harbor.chart.sha256 to what this prints: echo $(sha256"),
        ("wireguard", "on", "in Pulumi.nizwa.yaml remove wireguard"),
        ("s3accesskey", "x", "pulumi stack init nizwa\npulumi config set --secret s3AccessKey"),
    ],
)
def test_before_the_stack_is_in_a_backend_the_fix_is_an_edit(
    path: str, value: Any, fix: str
) -> None:
    base = {"storage": S3} if path == "storage.caBundle" else {}
    (refusal,) = refusals.read(merged(path, value, base), stack="nizwa", edits=True).refusals
    assert fix in refusal.fix
    assert "pulumi config rm" not in refusal.fix


def test_a_setting_given_encrypted_is_refused_and_not_shown() -> None:
    raw = merged("fqdn", "omantel.omani.works")
    reading = refusals.read(raw, stack="omantel", encrypted=["fqdn", "storage"])
    assert [refusal.key for refusal in reading.refusals] == ["fqdn", "storage"]
    assert "omani" not in reading.refusals[0].value
    assert reading.refusals[0].fix.startswith("pulumi config rm fqdn -s omantel\n")


def leaves(path: tuple[str, ...], raw: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key in spec.keys_at(path, raw):
        here = (*path, key)
        try:
            spec.keys_at(here, raw)
        except (IndexError, KeyError):
            yield here
        else:
            yield from leaves(here, raw)


@pytest.mark.parametrize(
    "base",
    [
        {},
        {"storage": S3},
        {"database": SHARED_DATABASE, "valkey": SHARED_VALKEY},
        {"storage": {"kind": "filesystem", "size": "50Gi"}},
        {"storage": AWS},
        {"storage": {**AWS, "access": {"mode": "node-role", "role": "omantel-nodes"}}},
        INGRESS | {"dns": DNS},
    ],
    ids=["hetzner", "s3", "shared", "filesystem", "aws", "aws keyless", "perimeter"],
)
def test_every_setting_says_what_is_allowed_with_an_example_that_is(
    base: dict[str, Any],
) -> None:
    raw = {**GOOD, **base}
    for path in leaves((), raw):
        at = spec.spec_at(path, raw)
        assert at.allowed != "a text", path
        for below, example in at.examples:
            named = example.replace("{stack}", "omantel")
            if not below and not is_for_the_shell(named) and at.is_text and "<" not in named:
                assert at.fits(named), path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("${SANDBOX_X}"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2)
    ),
    max_leaves=4,
)
known_paths = st.sampled_from(sorted({bad.path for bad in REFUSED}))


@given(path=known_paths, value=json_values, shared=st.booleans())
def test_no_value_anywhere_breaks_the_messages(path: str, value: Any, shared: bool) -> None:
    base = {"database": SHARED_DATABASE, "valkey": SHARED_VALKEY, "storage": S3} if shared else {}
    reading = read(merged(path, value, base))
    assert (reading.settings is None) == bool(reading.refusals)
    assert all(refusal.fix and refusal.allowed for refusal in reading.refusals)


# With a letter that stands in no number's notation.
@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}[g-n][a-z0-9-]{0,29}[a-z0-9]", fullmatch=True))
def test_every_name_of_the_bucket_rule_is_accepted(name: str) -> None:
    assert read(merged("storage.bucket", name)).refusals == ()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
        min_size=2,
        max_size=5,
    )
)
def test_every_name_of_the_fqdn_rule_is_accepted(labels: list[str]) -> None:
    fqdn = ".".join(labels)
    refused = read(merged("fqdn", fqdn)).refusals
    assert bool(refused) == (labels[0] == "registry" or len(fqdn) > 63)


# --- Names of secrets ---------------------------------------------------------------------------

MEANT = {
    "s3AccessKey": "s3accesskey S3_ACCESS_KEY s3-access-key s3AccesKey s3AcessKey s3AccessKeyId",
    "s3SecretKey": "s3secretkey s3SecretKy s3Secret s3SecretAccessKey s3_secret_key s3SecretKeys",
    "gcsKeyData": "gcskeydata gcsKeyDate gcsKey gcsKeyFile keyData gcs_key_data",
    "azureAccountKey": "azureaccountkey azureAcountKey azureKey accountKey azureAccessKey",
    "dnsToken": "dnstoken DNS_TOKEN dns-token dnsTokens dsnToken dnsTokn dnsToekn dnsApiToken "
    "token",
    "harborSecretKey": "harborsecretkey harbourSecretKey harborSecret harborSecretKeys",
    "harborAdminPassword": "harborAdminPasword harborAdminPass harborAdminPwd adminPassword "
    "harborPassword harbourAdminPassword",
    "databasePassword": "databasePasword databasePass dbPassword postgresPassword dataBasePassword",
    "backupAccessKey": "backupAccesKey backupsAccessKey backupAccessKeyId backup_access_key",
    "backupSecretKey": "backupSecret backupSecretAccessKey backupsecretkey backupSecretKy",
}
"""Secret → how people write it."""
FOREIGN = (
    *("hubToken", "gitToken", "ciToken", "npmToken", "hubPassword", "quayPassword", "robotSecret"),
    *("redisPassword", "valkeyPassword", "mailPassword", "proxyPassword", "apiKey", "signingKey"),
    *("webhookSecret", "oidcSecret", "clientSecret", "accessKey", "secretKey", "password"),
    *("s3Key", "key"),
)
"""Names of no secret of the program's, or of several."""


def test_the_table_has_every_secret() -> None:
    assert MEANT.keys() == SECRETS.keys()


@pytest.mark.parametrize(
    ("written", "secret"),
    [(written, secret) for secret, all_ in MEANT.items() for written in all_.split()],
)
def test_a_misspelt_secret_is_recognised_and_its_value_hidden(written: str, secret: str) -> None:
    (refusal,) = read({**GOOD, written: "correct horse"}).refusals
    assert f"did you mean the top-level secret {secret}?" in refusal.allowed
    assert "correct horse" not in str(refusal)


@pytest.mark.parametrize("name", FOREIGN)
def test_the_name_of_no_secret_is_not_taken_for_one_that_ends_alike(name: str) -> None:
    (refusal,) = read({**GOOD, name: "correct horse"}).refusals
    assert "did you mean" not in refusal.allowed
    assert "no such setting or secret; the section registry refers to none" in refusal.allowed
    assert "dnsToken" in refusal.allowed
    assert refusal.fix == remove(name)
    assert "correct horse" not in str(refusal)


def test_a_misspelt_secret_in_plain_text_is_recognised_as_one_that_the_registry_refers_to() -> None:
    upstream = {"type": "docker-hub", "username": "me", "password": {"secret": "hubToken"}}
    registry = {"proxyCaches": {"hub": {"upstream": upstream}}}
    (refusal,) = read({**GOOD, "registry": registry, "hubTokn": "x"}).refusals
    assert "did you mean the top-level secret hubToken?" in refusal.allowed


@pytest.mark.parametrize(
    ("section", "key", "secret"),
    [
        ("storage", "accessKey", "s3AccessKey"),
        ("storage", "secretAccessKey", "s3SecretKey"),
        ("backup", "secretKey", "backupSecretKey"),
        ("harbor", "adminPassword", "harborAdminPassword"),
        ("database", "password", "databasePassword"),
    ],
)
def test_a_secret_in_a_section_is_taken_for_one_of_that_section(
    section: str, key: str, secret: str
) -> None:
    raw = {**GOOD, section: {**GOOD.get(section, {}), key: "correct horse"}}
    refusals = read(raw).refusals
    (refusal,) = [each for each in refusals if each.key == f"{section}.{key}"]
    assert f"did you mean the top-level secret {secret}?" in refusal.allowed
