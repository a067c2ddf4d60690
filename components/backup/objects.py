"""What operators are told about backups: the specs of their objects. Pure.

The CRDs accept much that their operators later fail at: a cron of five fields, a plugin's method
without the plugin, a store without credentials (tests/unit/backup/test_objects.py).
"""

from __future__ import annotations

from typing import Any, Final

from components.kubernetes.naming import HARBOR_PODS, PART_OF
from components.settings.backup import BackupSettings, CompressionSettings, DestinationSettings

STORE: Final = "harbor-pg"
"""ObjectStore to which the database archives, and its ScheduledBackup."""
SOURCE: Final = "harbor-pg-source"
"""ObjectStore from which the database was restored, where that is another bucket; and the name of
the restored database's source in the Cluster."""
SECRET: Final = "harbor-backup-credentials"
SOURCE_SECRET: Final = "harbor-restore-credentials"
SCHEDULE: Final = "harbor"
"""Velero's Schedule."""
PLUGIN: Final = "barman-cloud.cloudnative-pg.io"

ACCESS_KEY: Final = "access-key"
SECRET_KEY: Final = "secret-key"
REGION_KEY: Final = "region"
CA_KEY: Final = "ca.crt"


def store_spec(
    destination: DestinationSettings,
    secret_name: str,
    *,
    retention: str | None = None,
    compression: CompressionSettings | None = None,
) -> dict[str, Any]:
    """`spec` of an ObjectStore (barmancloud.cnpg.io/v1). `secret_name`: see `secret_data`.

    Without `retention` nothing in it is ever deleted: that of a store which is only read.
    """

    def of_secret(key: str) -> dict[str, str]:
        return {"name": secret_name, "key": key}

    configuration: dict[str, Any] = {
        "destinationPath": destination.url,
        "endpointURL": destination.endpoint,
        "s3Credentials": {
            "accessKeyId": of_secret(ACCESS_KEY),
            "secretAccessKey": of_secret(SECRET_KEY),
            "region": of_secret(REGION_KEY),
        },
    }
    if destination.ca_bundle is not None:
        configuration["endpointCA"] = of_secret(CA_KEY)
    if compression is not None and compression.wal != "none":
        configuration["wal"] = {"compression": compression.wal}
    if compression is not None and compression.data != "none":
        configuration["data"] = {"compression": compression.data}
    return {
        "configuration": configuration,
        **({} if retention is None else {"retentionPolicy": retention}),
        # Stores based on Ceph refuse the checksums that barman's S3 client adds by itself
        # (cloudnative-pg/plugin-barman-cloud #393); no store needs them.
        "instanceSidecarConfiguration": {
            "env": [
                {"name": "AWS_REQUEST_CHECKSUM_CALCULATION", "value": "when_required"},
                {"name": "AWS_RESPONSE_CHECKSUM_VALIDATION", "value": "when_required"},
            ]
        },
    }


def secret_data(
    destination: DestinationSettings, access_key: Any, secret_key: Any
) -> dict[str, Any]:
    """Data of the Secret that an ObjectStore names."""
    authority = {} if destination.ca_bundle is None else {CA_KEY: destination.ca_bundle}
    return {
        ACCESS_KEY: access_key,
        SECRET_KEY: secret_key,
        REGION_KEY: destination.region,
        **authority,
    }


def archiver(store: str, server: str) -> dict[str, Any]:
    """The plugin among a Cluster's `plugins`: it archives as `server` into that ObjectStore."""
    return {
        "name": PLUGIN,
        "isWALArchiver": True,
        "parameters": {"barmanObjectName": store, "serverName": server},
    }


def external_cluster(store: str, server: str) -> dict[str, Any]:
    """The source of a recovery among a Cluster's `externalClusters`."""
    return {
        "name": SOURCE,
        "plugin": {
            "name": PLUGIN,
            "parameters": {"barmanObjectName": store, "serverName": server},
        },
    }


def scheduled_backup_spec(settings: BackupSettings, cluster: str) -> dict[str, Any]:
    """`spec` of the ScheduledBackup (postgresql.cnpg.io/v1) of that Cluster."""
    targets = {"primary": "primary", "preferStandby": "prefer-standby"}
    return {
        "schedule": settings.cron,
        "cluster": {"name": cluster},
        "method": "plugin",
        "pluginConfiguration": {"name": PLUGIN},
        "target": targets[settings.target],
        # The records of backups stay when the schedule is changed or removed.
        "backupOwnerReference": "cluster",
        # The write-ahead log is worth nothing before the first base backup.
        "immediate": True,
    }


def velero_spec(
    settings: BackupSettings, namespace: str, *, is_shared: bool = False
) -> dict[str, Any]:
    """`spec` of Velero's Schedule (velero.io/v1) for the objects in that namespace.

    `is_shared`: whether others live there, whose objects and Secrets are left out.
    """
    ours = (dict([PART_OF]), HARBOR_PODS, {"owner": "helm", "name": HARBOR_PODS["release"]})
    selected = {"orLabelSelectors": [{"matchLabels": labels} for labels in ours]}
    return {
        "schedule": settings.velero_cron,
        "template": {
            "includedNamespaces": [namespace],
            **(selected if is_shared else {}),
            "ttl": settings.velero_ttl,
            "storageLocation": settings.velero.storage_location,
            # Of volumes: blobs and database have backups of their own, and a copy of a running
            # database's volume is none.
            "snapshotVolumes": False,
            "defaultVolumesToFsBackup": False,
        },
    }
