"""The metrics that this program's commands record: names, labels, who writes them, as text. Pure.

No exporter knows these figures. `make doctor` and `make restore-drill` find them out, write them as
text into one ConfigMap of Harbor's namespace, one key for each command, and a small pod serves that
text to Prometheus (recorded.py). A figure stays until the command runs again, so each command also
records when it ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from components.kubernetes.naming import RECORDED_METRICS

CONFIG_MAP: Final = RECORDED_METRICS
"""The ConfigMap in Harbor's namespace. A command applies its own key by server-side apply, with
itself as the field manager, so that no command takes away what another one wrote."""

Writer = Literal["doctor", "restore-drill"]
"""A command, and its key in the ConfigMap."""

WRITERS: Final[tuple[Writer, ...]] = ("doctor", "restore-drill")


@dataclass(frozen=True, kw_only=True)
class OwnMetric:
    """A gauge. `labels`: the names of the labels that each of its figures has."""

    name: str
    help: str
    writer: Writer
    labels: tuple[str, ...] = ()


DOCTOR_RUN: Final = OwnMetric(
    name="sovereign_harbor_doctor_last_run_timestamp_seconds",
    help="When the doctor last recorded its figures, as seconds since 1970.",
    writer="doctor",
)
DOCTOR_FINDINGS: Final = OwnMetric(
    name="sovereign_harbor_doctor_findings",
    help="How many findings of this severity the doctor had; 0 for none.",
    writer="doctor",
    labels=("severity",),
)
SEALING_CERTIFICATE_EXPIRY: Final = OwnMetric(
    name="sovereign_harbor_sealing_certificate_expiry_timestamp_seconds",
    help="When the certificate ends with which the program seals, as seconds since 1970.",
    writer="doctor",
)
CERTIFICATE_EXPIRY: Final = OwnMetric(
    name="sovereign_harbor_certificate_expiry_timestamp_seconds",
    help="When a certificate ends, as seconds since 1970. certificate: tls, as the registry's host "
    "shows it, or token, with which Harbor signs the tokens of its clients.",
    writer="doctor",
    labels=("certificate",),
)
ROBOT_EXPIRY: Final = OwnMetric(
    name="sovereign_harbor_robot_expiry_timestamp_seconds",
    help="When a robot's login ends, as seconds since 1970; none for a robot without an end.",
    writer="doctor",
    labels=("robot",),
)
BUCKET_SIZE: Final = OwnMetric(
    name="sovereign_harbor_bucket_size_bytes",
    help="Bytes in the bucket, with old versions.",
    writer="doctor",
)
BUCKET_SIZE_LIMIT: Final = OwnMetric(
    name="sovereign_harbor_bucket_size_limit_bytes",
    help="Bytes that the vendor allows in a bucket; none where no limit is known.",
    writer="doctor",
)
BUCKET_OBJECTS: Final = OwnMetric(
    name="sovereign_harbor_bucket_objects",
    help="Objects in the bucket, with old versions.",
    writer="doctor",
)
BUCKET_OBJECTS_LIMIT: Final = OwnMetric(
    name="sovereign_harbor_bucket_objects_limit",
    help="Objects that the vendor allows in a bucket; none where no limit is known.",
    writer="doctor",
)
BUCKET_ORPHANS: Final = OwnMetric(
    name="sovereign_harbor_bucket_orphan_bytes",
    help="Bytes in the bucket that no image of Harbor refers to.",
    writer="doctor",
)
DRILL_RUN: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_last_run_timestamp_seconds",
    help="When the last restore drill ended, passed or not, as seconds since 1970.",
    writer="restore-drill",
)
DRILL_PASSED: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_passed",
    help="1 if the last restore drill passed, 0 if it failed.",
    writer="restore-drill",
)
DRILL_LAST_PASSED: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_last_passed_timestamp_seconds",
    help="When a restore drill last passed, as seconds since 1970; 0 for never.",
    writer="restore-drill",
)
DRILL_DURATION: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_duration_seconds",
    help="Seconds from the beginning of the last restore drill to the last image it asked for.",
    writer="restore-drill",
)
DRILL_BACKUP_AGE: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_backup_age_seconds",
    help="Age of the backup that the last restore drill restored, in seconds, when it began.",
    writer="restore-drill",
)
DRILL_IMAGES: Final = OwnMetric(
    name="sovereign_harbor_restore_drill_images",
    help="Images that the last restore drill asked for, by whether the restored registry had them: "
    "state is found or missing.",
    writer="restore-drill",
    labels=("state",),
)

OWN_METRICS: Final[tuple[OwnMetric, ...]] = (
    DOCTOR_RUN,
    DOCTOR_FINDINGS,
    SEALING_CERTIFICATE_EXPIRY,
    CERTIFICATE_EXPIRY,
    ROBOT_EXPIRY,
    BUCKET_SIZE,
    BUCKET_SIZE_LIMIT,
    BUCKET_OBJECTS,
    BUCKET_OBJECTS_LIMIT,
    BUCKET_ORPHANS,
    DRILL_RUN,
    DRILL_PASSED,
    DRILL_LAST_PASSED,
    DRILL_DURATION,
    DRILL_BACKUP_AGE,
    DRILL_IMAGES,
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value of a metric. `labels`: one value for each of the metric's labels."""

    metric: OwnMetric
    value: float
    labels: Mapping[str, str]


def figure(metric: OwnMetric, value: float, **labels: str) -> Figure:
    """A figure. Raises ValueError unless exactly the metric's labels are given."""
    if set(labels) != set(metric.labels):
        given = ", ".join(sorted(labels)) or "none"
        raise ValueError(f"{metric.name} has the labels {metric.labels}, given: {given}")
    return Figure(metric=metric, value=value, labels=labels)


def exposition(figures: Iterable[Figure]) -> str:
    """The figures in Prometheus' text format 0.0.4, in the order of OWN_METRICS."""
    given = [*figures]
    lines: list[str] = []
    for metric in OWN_METRICS:
        own = [each for each in given if each.metric is metric]
        if not own:
            continue
        lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} gauge"]
        lines += [f"{metric.name}{_labels(each)} {_number(each.value)}" for each in own]
    return "".join(f"{line}\n" for line in lines)


def config_map(namespace: str, writer: Writer, figures: Iterable[Figure]) -> dict[str, object]:
    """What a command applies, with its name as the field manager: the ConfigMap with its own key.

    Raises ValueError for a figure of another command's.
    """
    given = [*figures]
    if foreign := [each.metric.name for each in given if each.metric.writer != writer]:
        raise ValueError(f"{writer} does not record {', '.join(foreign)}")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": namespace},
        "data": {writer: exposition(given)},
    }


def _labels(given: Figure) -> str:
    if not given.labels:
        return ""
    pairs = (f'{name}="{_escaped(given.labels[name], quote=True)}"' for name in given.metric.labels)
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str, *, quote: bool = False) -> str:
    plain = text.replace("\\", r"\\").replace("\n", r"\n")
    return plain.replace('"', r"\"") if quote else plain


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
