"""The section `metrics`: metrics for Prometheus. Pure."""

from typing import Self

from pydantic import model_validator

from components.settings.schema.rules import Section, refuse


class MetricsSettings(Section):
    """Metrics for Prometheus."""

    enabled: bool = False
    """Serve metrics on port 8001 of core, jobservice, registry and an exporter."""
    service_monitor: bool = False
    """Write a ServiceMonitor, for clusters with the Prometheus operator."""

    @model_validator(mode="after")
    def _scrapes_what_is_served(self) -> Self:
        if self.service_monitor and not self.enabled:
            refuse("it needs metrics.enabled true", at=("serviceMonitor",), example="false")
        return self
