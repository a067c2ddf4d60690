"""Alerts on what the doctor and the restore drill recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.monitoring.alert import Alert, Example, lasting, steps
from components.monitoring.own_metrics import (
    BUCKET_OBJECTS,
    BUCKET_OBJECTS_LIMIT,
    BUCKET_SIZE,
    BUCKET_SIZE_LIMIT,
    CERTIFICATE_EXPIRY,
    DOCTOR_RUN,
    DRILL_LAST_PASSED,
    DRILL_PASSED,
    ROBOT_EXPIRY,
    SEALING_CERTIFICATE_EXPIRY,
)
from components.settings.model import Settings
from components.settings.secrets import ExternalDelivery


def alerts(settings: Settings) -> Iterator[Alert]:
    """The series have the labels of the pod that serves them; they are left out."""
    thresholds = settings.monitoring.thresholds
    scraped = f'namespace="{settings.harbor.namespace}"'
    hours = thresholds.recorded_hours
    run = f"{DOCTOR_RUN.name}{{{scraped}}}"
    yield Alert(
        name="HarborRecordedMetricsOld",
        source="recorded",
        severity="warning",
        expr=f"time() - (max({run}) or vector(0)) > {hours * 3600}",
        for_="15m",
        summary="The doctor has not run",
        description="The doctor recorded its figures {{ $value | humanizeDuration }} ago, more "
        f"than {hours} hours: the alerts on certificates, robots and the bucket look at old "
        "figures. Twenty thousand days mean that it never did.",
        runbook="recorded-metrics-old",
        fires=Example(
            series={run: f"0x{hours * 60 + 90}"},
            at=f"{hours * 60 + 60}m",
            says=f"The doctor recorded its figures {lasting((hours + 1) * 3600)} ago, more than "
            f"{hours} hours: the alerts on certificates, robots and the bucket look at old "
            "figures. Twenty thousand days mean that it never did.",
        ),
        quiet=Example(series={run: f"0x59 3600x{hours * 60}"}, at=f"{hours * 60 + 30}m"),
    )
    for ending, days, severity in steps(thresholds.certificate_days):
        series = f'{CERTIFICATE_EXPIRY.name}{{{scraped}, certificate="tls"}}'
        yield Alert(
            name=f"HarborCertificateExpires{ending}",
            source="recorded",
            severity=severity,
            expr=f"(min by (certificate) ({CERTIFICATE_EXPIRY.name}{{{scraped}}}) - time()) "
            f"/ 86400 < {days}",
            for_="15m",
            summary="A certificate of the registry ends",
            description='Certificate {{ $labels.certificate }} ends in {{ printf "%.1f" $value }} '
            f"days, fewer than {days}.",
            runbook="certificate-expiry",
            fires=Example(
                series={series: "174600x60"},
                at="30m",
                labels={"certificate": "tls"},
                says=f"Certificate tls ends in 2.0 days, fewer than {days}.",
            ),
            quiet=Example(series={series: f"{(days + 1) * 86400}x60"}, at="30m"),
        )
    if not isinstance(settings.secrets, ExternalDelivery):
        yield _sealing_certificate(scraped, thresholds.certificate_days)
    days = thresholds.robot_days
    robot = f'{ROBOT_EXPIRY.name}{{{scraped}, robot="robot$ci"}}'
    yield Alert(
        name="HarborRobotExpires",
        source="recorded",
        severity="warning",
        expr=f"(min by (robot) ({ROBOT_EXPIRY.name}{{{scraped}}}) - time()) / 86400 < {days}",
        for_="15m",
        summary="The login of a robot ends",
        description='Robot {{ $labels.robot }} ends in {{ printf "%.1f" $value }} days, fewer than '
        f"{days}. Then whoever pushes or pulls with it is refused.",
        runbook="robot-expired",
        fires=Example(
            series={robot: "45000x60"},
            at="30m",
            labels={"robot": "robot$ci"},
            says=f"Robot robot$ci ends in 0.5 days, fewer than {days}. Then whoever pushes or "
            "pulls with it is refused.",
        ),
        quiet=Example(series={robot: f"{(days + 1) * 86400}x60"}, at="30m"),
    )
    percent = thresholds.bucket_percent
    for what, used, limit in (
        ("Size", BUCKET_SIZE, BUCKET_SIZE_LIMIT),
        ("Objects", BUCKET_OBJECTS, BUCKET_OBJECTS_LIMIT),
    ):
        words = {"Size": "bytes", "Objects": "objects"}[what]
        have, allowed = f"{used.name}{{{scraped}}}", f"{limit.name}{{{scraped}}}"
        yield Alert(
            name=f"HarborBucket{what}NearLimit",
            source="recorded",
            severity="warning",
            expr=f"100 * max({have}) / max({allowed}) > {percent}",
            for_="15m",
            summary="The bucket is nearly full",
            description="The bucket has {{ $value | humanize }} % of the "
            f"{words} that the vendor allows, more than {percent} %.",
            runbook="bucket-full",
            fires=Example(
                series={have: "995e9x60", allowed: "1e12x60"},
                at="30m",
                says=f"The bucket has 99.5 % of the {words} that the vendor allows, more than "
                f"{percent} %.",
            ),
            quiet=Example(series={have: "5e9x60", allowed: "1e12x60"}, at="30m"),
        )
    passed = f"{DRILL_PASSED.name}{{{scraped}}}"
    yield Alert(
        name="HarborRestoreDrillFailed",
        source="recorded",
        severity="critical",
        expr=f"max({passed}) == 0",
        for_="5m",
        summary="The last restore drill failed",
        description="The last restore drill did not pass: it is not known whether the backup can "
        "be restored.",
        runbook="drill-failed",
        fires=Example(
            series={passed: "0x30"},
            at="10m",
            says="The last restore drill did not pass: it is not known whether the backup can be "
            "restored.",
        ),
        quiet=Example(series={passed: "1x30"}, at="10m"),
    )
    days = thresholds.drill_days
    last = f"{DRILL_LAST_PASSED.name}{{{scraped}}}"
    yield Alert(
        name="HarborRestoreDrillOld",
        source="recorded",
        severity="warning",
        expr=f"(time() - max({last})) / 86400 > {days}",
        for_="15m",
        summary="No restore drill has passed for long",
        description='The last restore drill that passed was {{ printf "%.1f" $value }} days ago, '
        f"more than {days}.",
        runbook="drill-failed",
        fires=Example(
            series={last: f"{-(days + 1) * 86400 + 1800}x60"},
            at="30m",
            says=f"The last restore drill that passed was {days + 1}.0 days ago, more than {days}.",
        ),
        quiet=Example(series={last: "0x60"}, at="30m"),
    )


def _sealing_certificate(scraped: str, days: int) -> Alert:
    series = f"{SEALING_CERTIFICATE_EXPIRY.name}{{{scraped}}}"
    return Alert(
        name="HarborSealingCertificateExpires",
        source="recorded",
        severity="warning",
        expr=f"(min({series}) - time()) / 86400 < {days}",
        for_="15m",
        summary="The certificate ends with which Secrets are sealed",
        description='The sealing certificate ends in {{ printf "%.1f" $value }} days, fewer than '
        f"{days}. Then an update is refused until it has another one.",
        runbook="sealing-key",
        fires=Example(
            series={series: "174600x60"},
            at="30m",
            says=f"The sealing certificate ends in 2.0 days, fewer than {days}. Then an update "
            "is refused until it has another one.",
        ),
        quiet=Example(series={series: f"{(days + 1) * 86400}x60"}, at="30m"),
    )
