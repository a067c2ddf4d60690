"""The section `metrics`: figures for Prometheus. Pure."""

from typing import Self

from pydantic import model_validator

from components.settings.schema.rules import Section, refuse


class MetricsSettings(Section):
    """Figures for Prometheus."""

    enabled: bool = False
    """Serve them on port 8001 of core, jobservice, registry and an exporter."""
    service_monitor: bool = False
    """Write a ServiceMonitor, for clusters with the Prometheus operator."""

    @model_validator(mode="after")
    def _something_is_there_to_scrape(self) -> Self:
        if self.service_monitor and not self.enabled:
            refuse("it needs metrics.enabled true", at=("serviceMonitor",), example="false")
        return self
