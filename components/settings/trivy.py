"""The section `trivy`: Harbor's vulnerability scanner. Pure."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from components.settings.rules import Rule, Section, StorageSize, matching, refuse

Severity = Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]

_REPOSITORY = Rule(
    allowed="a repository HOST[:PORT]/PATH[:TAG] without scheme",
    example="mirror.gcr.io/aquasec/trivy-db",
    check=matching(
        r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9]\d{0,4})?(/[a-z0-9][-a-z0-9._]*)+(:[\w][-\w.]*)?"
    ),
)
Repository = Annotated[str, _REPOSITORY]


class Trivy(Section):
    """Harbor's vulnerability scanner."""

    enabled: bool = True
    """Whether images can be scanned."""
    severity: tuple[Severity, ...] = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
    """Severities that a report contains."""
    vuln_types: tuple[Literal["os", "library"], ...] = ("os", "library")
    """Packages of the operating system, of programming languages, or both."""
    ignore_unfixed: bool = False
    """Leave out what nobody has fixed yet."""
    offline: bool = False
    """Fetch no database and ask nobody outside: the scanner's volume is filled by hand."""
    # mirror.gcr.io first: ghcr.io refuses with TOOMANYREQUESTS (harbor #21163).
    db_repositories: tuple[Repository, ...] = (
        "mirror.gcr.io/aquasec/trivy-db",
        "ghcr.io/aquasecurity/trivy-db",
    )
    """Where the database of vulnerabilities is fetched, in this order."""
    java_db_repositories: tuple[Repository, ...] = (
        "mirror.gcr.io/aquasec/trivy-java-db",
        "ghcr.io/aquasecurity/trivy-java-db",
    )
    """Where the database of Java archives is fetched, in this order."""
    timeout: Annotated[
        str,
        Rule(
            allowed="a duration of hours, minutes and seconds such as 5m0s",
            example="5m0s",
            check=matching(r"(?=.*[1-9])(?=\d)(\d+h)?(\d+m)?(\d+s)?"),
        ),
    ] = "5m0s"
    """How long the scan of one image may take."""
    storage_size: StorageSize = "5Gi"
    """Size of the volume for the databases. Fixed once the scanner runs: it is part of a
    StatefulSet."""

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
