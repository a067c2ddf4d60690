"""Alerts by the metrics of the cluster's own software. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.harbor_inputs import RELEASE
from components.kubernetes.naming import DATABASE_CLUSTER as CLUSTER
from components.kubernetes.naming import REGISTRY_CERTIFICATE
from components.monitoring.alert import Alert, Example, Severity, series, steps
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery


def alerts(settings: Settings) -> Iterator[Alert]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds

    def ours(label: str) -> str:
        """Beside others, only what is Harbor's: no alert about their pods is for its people."""
        is_shared = settings.harbor.shared_namespace
        return f', {label}=~"(data-)?{RELEASE}-.+"' if is_shared else ""

    def replicas(what: str, name: str = f"{RELEASE}-core") -> str:
        return f'kube_deployment_{what}{{namespace="{namespace}", deployment="{name}"}}'

    yield Alert(
        name="HarborReplicasMissing",
        source="kube-state-metrics",
        severity="warning",
        expr="max by (namespace, deployment) (kube_deployment_spec_replicas"
        f'{{namespace="{namespace}"{ours("deployment")}}}) - max by (namespace, deployment) '
        "(kube_deployment_status_replicas_available"
        f'{{namespace="{namespace}"{ours("deployment")}}}) > 0',
        for_="15m",
        summary="Pods of Harbor are missing",
        description="{{ $value }} pods of {{ $labels.deployment }} have not been available for 15 "
        "minutes.",
        runbook="components-down",
        fires=Example(
            series={
                replicas("spec_replicas"): "2x30",
                replicas("status_replicas_available"): "1x30",
            },
            at="20m",
            labels={"namespace": namespace, "deployment": f"{RELEASE}-core"},
            says=f"1 pods of {RELEASE}-core have not been available for 15 minutes.",
        ),
        quiet=Example(
            series={
                replicas("spec_replicas"): "2x30",
                replicas("status_replicas_available"): "2x10 1x5 2x20",
            },
            at="20m",
        ),
    )

    def waiting(reason: str, of: str) -> str:
        return (
            f'kube_pod_container_status_waiting_reason{{namespace="{namespace}", pod="{of}", '
            f'container="core", reason="{reason}"}}'
        )

    reasons = "CrashLoopBackOff|ImagePullBackOff|ErrImagePull|CreateContainerConfigError"
    yield Alert(
        name="HarborContainerDoesNotStart",
        source="kube-state-metrics",
        severity="warning",
        expr="max by (namespace, pod, container, reason) (kube_pod_container_status_waiting_reason"
        f'{{namespace="{namespace}", reason=~"{reasons}"{ours("pod")}}}) == 1',
        for_="10m",
        summary="A container in Harbor's namespace does not start",
        description="Container {{ $labels.container }} of {{ $labels.pod }} has been waiting for "
        "10 minutes: {{ $labels.reason }}.",
        runbook="components-down",
        fires=Example(
            series={waiting("CrashLoopBackOff", "harbor-core-0"): "1x30"},
            at="15m",
            labels={
                "namespace": namespace,
                "pod": "harbor-core-0",
                "container": "core",
                "reason": "CrashLoopBackOff",
            },
            says="Container core of harbor-core-0 has been waiting for 10 minutes: "
            "CrashLoopBackOff.",
        ),
        quiet=Example(
            series={
                waiting("ContainerCreating", "harbor-core-0"): "1x30",
                waiting("ErrImagePull", "harbor-core-1"): "1x3 _x30",
            },
            at="15m",
        ),
    )

    def volume(what: str, claim: str) -> str:
        return (
            f'kubelet_volume_stats_{what}_bytes{{namespace="{namespace}", '
            f'persistentvolumeclaim="{claim}"}}'
        )

    percent = thresholds.volume_percent
    claims = f'{{namespace="{namespace}"{ours("persistentvolumeclaim")}}}'
    free = f"kubelet_volume_stats_available_bytes{claims}"
    size = f"kubelet_volume_stats_capacity_bytes{claims}"
    by = "max by (namespace, persistentvolumeclaim)"
    yield Alert(
        name="HarborVolumeNearlyFull",
        source="kubelet",
        severity="warning",
        expr=f"100 - 100 * {by} ({free}) / {by} ({size}) > {percent}",
        for_="15m",
        summary="A volume of Harbor is nearly full",
        description="Volume {{ $labels.persistentvolumeclaim }} is {{ $value | humanize }} % full, "
        f"more than {percent} %.",
        runbook="grow-a-volume",
        fires=Example(
            series={
                volume("available", f"{CLUSTER}-1"): "1e8x30",
                volume("capacity", f"{CLUSTER}-1"): "1e10x30",
            },
            at="20m",
            labels={"namespace": namespace, "persistentvolumeclaim": f"{CLUSTER}-1"},
            says=f"Volume {CLUSTER}-1 is 99 % full, more than {percent} %.",
        ),
        quiet=Example(
            series={
                volume("available", "data-harbor-trivy-0"): "95e8x30",
                volume("capacity", "data-harbor-trivy-0"): "1e10x30",
            },
            at="20m",
        ),
    )
    if settings.exposure.needs_cert_manager:
        for ending, days, severity in steps(thresholds.certificate_days):
            yield _certificate_not_renewed(f"HarborCertificateNotRenewed{ending}", days, severity)
    if isinstance(settings.secrets, ExternalDelivery):
        yield _external_secrets(namespace)
    else:
        yield from _sealed_secrets(namespace)


def _external_secrets(namespace: str) -> Alert:
    condition = "externalsecret_status_condition"
    selector = 'condition="Ready", status="False", name=~"harbor-.+"'

    def not_ready(name: str) -> str:
        return series(
            condition, name=name, exported_namespace=namespace, condition="Ready", status="False"
        )

    return Alert(
        name="HarborSecretNotSynced",
        source="external-secrets",
        severity="warning",
        # The operator's chart renames the metric's own label namespace to exported_namespace,
        # unless serviceMonitor.honorLabels is set.
        expr=f'max by (name) ({condition}{{{selector}, namespace="{namespace}"}} or '
        f'{condition}{{{selector}, exported_namespace="{namespace}"}}) == 1',
        for_="15m",
        summary="A Secret of Harbor is not synced with the secret store",
        description="The External Secrets Operator has failed to fetch {{ $labels.name }} for 15 "
        "minutes. The old Secret stays; a value that changed in the store does not arrive.",
        runbook="secret-store",
        fires=Example(
            series={not_ready("harbor-pg-credentials"): "1x30"},
            at="20m",
            labels={"name": "harbor-pg-credentials"},
            says="The External Secrets Operator has failed to fetch harbor-pg-credentials for 15 "
            "minutes. The old Secret stays; a value that changed in the store does not arrive.",
        ),
        quiet=Example(
            series={
                not_ready("harbor-pg-credentials"): "0x30",
                not_ready("somebody-s"): "1x30",
            },
            at="20m",
        ),
    )


def _certificate_not_renewed(name: str, days: int, severity: Severity) -> Alert:
    ends = "certmanager_certificate_expiration_timestamp_seconds"
    certificate = series(ends, name=REGISTRY_CERTIFICATE, exported_namespace="harbor")
    return Alert(
        name=name,
        source="cert-manager",
        severity=severity,
        # cert-manager's own ServiceMonitor renames the label namespace to exported_namespace, so
        # the certificate is known by its name alone.
        expr=f'(min by (name) ({ends}{{name="{REGISTRY_CERTIFICATE}"}}) - time()) / 86400 < {days}',
        for_="1h",
        summary="The registry's certificate is not renewed",
        description='Certificate {{ $labels.name }} ends in {{ printf "%.1f" $value }} days, fewer '
        f"than {days}; cert-manager should have renewed it. Then no client trusts the registry.",
        runbook="certificate-expiry",
        fires=Example(
            series={certificate: "176400x120"},
            at="60m",
            labels={"name": REGISTRY_CERTIFICATE},
            says=f"Certificate {REGISTRY_CERTIFICATE} ends in 2.0 days, fewer than {days}; "
            "cert-manager should have renewed it. Then no client trusts the registry.",
        ),
        quiet=Example(series={certificate: f"{(days + 1) * 86400}x120"}, at="60m"),
    )


def _sealed_secrets(namespace: str) -> Iterator[Alert]:
    condition = "sealed_secrets_controller_condition_info"
    selector = f'name=~"harbor-.+", condition="Synced", namespace="{namespace}"'

    def synced(name: str) -> str:
        return series(condition, name=name, namespace=namespace, condition="Synced")

    yield Alert(
        name="HarborSecretNotUnsealed",
        source="sealed-secrets",
        severity="warning",
        # The chart's ServiceMonitor keeps the metric's own label namespace (honorLabels).
        expr=f"min by (namespace, name) ({condition}{{{selector}}}) == -1",
        for_="15m",
        summary="A Secret of Harbor is not unsealed",
        description="The controller has failed to unseal {{ $labels.name }} for 15 minutes. The "
        "old Secret stays, and is not made again where it is deleted.",
        runbook="sealing-key",
        fires=Example(
            series={synced("harbor-pg-credentials"): "-1x30"},
            at="20m",
            labels={"namespace": namespace, "name": "harbor-pg-credentials"},
            says="The controller has failed to unseal harbor-pg-credentials for 15 minutes. The "
            "old Secret stays, and is not made again where it is deleted.",
        ),
        quiet=Example(
            series={
                synced("harbor-pg-credentials"): "1x30",
                synced("somebody-s"): "-1x30",
            },
            at="20m",
        ),
    )
