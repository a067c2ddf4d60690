"""What the doctor records for Prometheus, where it is asked to; it writes nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from cryptography import x509

from components.kubernetes.client import ClusterClient
from components.kubernetes.unreachable import ClusterUnreachable
from components.monitoring import own_metrics
from components.monitoring.own_metrics import CONFIG_MAP, Figure, figure
from operations.doctor.checks import data
from operations.doctor.findings import STATES, Finding, NotRead, Reading


def figures(read: Reading, findings: list[Finding]) -> Iterator[Figure]:
    """The figures of one run; of what was not read, none. Pure."""
    yield figure(own_metrics.DOCTOR_RUN, read.now.timestamp())
    counted = Counter(finding.state for finding in findings)
    for state in STATES:
        if state != "ok":
            yield figure(own_metrics.DOCTOR_FINDINGS, counted[state], severity=state)
    with suppress(NotRead, ValueError):
        end = _end(read.of("sealing certificate"))
        yield figure(own_metrics.SEALING_CERTIFICATE_EXPIRY, end)
    with suppress(NotRead, ValueError):
        known = read.of("tls certificate")
        if known is not None and known[1]:
            end = _end(known[1])
            yield figure(own_metrics.CERTIFICATE_EXPIRY, end, certificate="tls")
    with suppress(NotRead, ValueError):
        if pem := read.of("token certificate"):
            yield figure(own_metrics.CERTIFICATE_EXPIRY, _end(pem), certificate="token")
    with suppress(NotRead):
        for robot in read.of("robots"):
            if (robot["expires_at"] or -1) > 0 and not robot["disable"]:
                yield figure(own_metrics.ROBOT_EXPIRY, robot["expires_at"], robot=robot["name"])
    with suppress(NotRead):
        yield from _of_bucket(read)


def _of_bucket(read: Reading) -> Iterator[Figure]:
    told, storage = data.inventory(read), read.settings.storage
    if told is None:
        return
    yield figure(own_metrics.BUCKET_SIZE, told["bytes"])
    yield figure(own_metrics.BUCKET_OBJECTS, told["objects"])
    yield figure(own_metrics.BUCKET_ORPHANS, told["orphanBytes"])
    if storage.most_bytes is not None:
        yield figure(own_metrics.BUCKET_SIZE_LIMIT, storage.most_bytes)
    if storage.most_objects is not None:
        yield figure(own_metrics.BUCKET_OBJECTS_LIMIT, storage.most_objects)


def _end(pem: str) -> float:
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()


def write(client: ClusterClient, namespace: str, manager: str, keys: Mapping[str, str]) -> None:
    """Sets keys of the ConfigMap of recorded figures, and leaves the others as they are.

    A merge patch touches only the keys that it names. Raises ClusterUnreachable.
    """
    place = f"/api/v1/namespaces/{namespace}/configmaps"
    manages = f"fieldManager=sovereign-harbor-{manager}"
    body: dict[str, Any] = {"data": dict(keys)}
    try:
        client.patch(f"{place}/{CONFIG_MAP}?{manages}", body)
    except ClusterUnreachable as error:
        if error.status != 404:
            raise
        metadata = {"name": CONFIG_MAP, "namespace": namespace}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **body}
        client.post(f"{place}?{manages}", made)
