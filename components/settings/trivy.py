"""The section `trivy`: Harbor's vulnerability scanner. Pure."""

import re
from dataclasses import replace
from typing import Annotated, Literal, Self, get_args

from pydantic import model_validator

from components.settings.schema.rules import (
    PORT_NUMBER,
    Section,
    SettingRule,
    StorageSize,
    matching,
    refuse,
)

Severity = Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
Blocked = Literal["NONE", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the least severe to the most."""

_REPOSITORY = SettingRule(
    allowed="a repository HOST[:PORT]/PATH[:TAG] without scheme",
    example="mirror.gcr.io/aquasec/trivy-db",
    check=matching(
        rf"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:{PORT_NUMBER})?(/[a-z0-9][-a-z0-9._]*)+"
        r"(:\w[-\w.]{0,127})?"
    ),
    suggest=lambda text: [re.sub(r"^[a-z]+://", "", text.lower()).rstrip("/")],
)
Repository = Annotated[str, _REPOSITORY]
JavaRepository = Annotated[str, replace(_REPOSITORY, example="mirror.gcr.io/aquasec/trivy-java-db")]


def _duration(text: str) -> str | None:
    match = re.fullmatch(r"(?=.)(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", text)
    if match is None:
        return ""
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    return None if 0 < total <= 86400 else "more than nothing and at most 24h"


class TrivySettings(Section):
    """Harbor's vulnerability scanner."""

    enabled: bool = True
    """Whether Harbor runs the scanner."""
    severity: tuple[Severity, ...] = SEVERITIES
    """Severities that a report contains."""
    vuln_types: tuple[Literal["os", "library"], ...] = ("os", "library")
    """Packages of the operating system, of programming languages, or both."""
    ignore_unfixed: bool = False
    """Leave vulnerabilities without a fixed version out of reports."""
    offline: bool = False
    """Fetch no database and make no requests outside the cluster: somebody fills the scanner's
    volume."""
    # mirror.gcr.io first: ghcr.io refuses with TOOMANYREQUESTS (harbor #21163).
    db_repositories: tuple[Repository, ...] = (
        "mirror.gcr.io/aquasec/trivy-db",
        "ghcr.io/aquasecurity/trivy-db",
    )
    """Where the database of vulnerabilities is fetched, in this order."""
    java_db_repositories: tuple[JavaRepository, ...] = (
        "mirror.gcr.io/aquasec/trivy-java-db",
        "ghcr.io/aquasecurity/trivy-java-db",
    )
    """Where the database of Java archives is fetched, in this order."""
    timeout: Annotated[
        str,
        SettingRule(
            allowed="a duration of hours, minutes and seconds such as 5m0s",
            example="5m0s",
            check=_duration,
        ),
    ] = "5m0s"
    """How long the scan of one image may take."""
    storage_size: StorageSize = "5Gi"
    """Size of the volume for the databases. Fixed once the scanner runs: it is part of a
    StatefulSet."""

    scan_on_push: bool = True
    """Scan images as they are pushed: what projects of the section registry do by default."""
    block_severity: Blocked = "CRITICAL"
    """Least severity of a vulnerability with which an image cannot be pulled: the default of
    projects of the section registry."""

    @property
    def scan_policy(self) -> dict[str, bool | str] | None:
        """Defaults of projects, as an output for others; None without a scanner."""
        if not self.enabled:
            return None
        return {"scanOnPush": self.scan_on_push, "blockSeverity": self.block_severity.lower()}

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        lists = {
            "severity": self.severity,
            "vulnTypes": self.vuln_types,
            "dbRepositories": self.db_repositories,
            "javaDbRepositories": self.java_db_repositories,
        }
        for key, items in lists.items():
            if not items:
                refuse("at least one", at=(key,))
            if len(set(items)) < len(items):
                refuse("the same one twice", at=(key,))
        return self

    @model_validator(mode="after")
    def _blocks_what_is_scanned_and_reported(self) -> Self:
        if self.block_severity == "NONE" or not self.enabled:
            return self
        if not self.scan_on_push:
            refuse(
                "NONE unless trivy.scanOnPush is true: Harbor refuses to hand out an image that "
                "has not been scanned",
                at=("blockSeverity",),
                example="NONE",
            )
        blocked = SEVERITIES[SEVERITIES.index(self.block_severity) :]
        unreported = [severity for severity in blocked if severity not in self.severity]
        if unreported:
            refuse(
                f"trivy.severity leaves {', '.join(unreported)} out of reports, and what is not "
                "reported is not blocked",
                at=("blockSeverity",),
                example="NONE",
            )
        return self
