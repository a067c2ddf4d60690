"""DisruptionBudgets: a drain of nodes takes one pod of each component of Harbor at a time.

The chart has budgets from line 1.19 on, and none in 1.18. The program's own serve both, so that an
upgrade does not hand them over from one owner to another.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.context import Context
from components.harbor_inputs import RELEASE
from components.kubernetes.naming import FIELD_MANAGER
from components.settings.model import Settings
from components.stack_config import StackConfig


class DisruptionBudgets(pulumi.ComponentResource):
    """A PodDisruptionBudget for each component. `components`: their names."""

    def __init__(
        self, name: str, components: tuple[str, ...], context: Context, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("sovereign-harbor:index:DisruptionBudgets", name, None, opts)
        for component in components:
            CustomResource(
                f"{name}-{component}",
                api_version="policy/v1",
                kind="PodDisruptionBudget",
                metadata={
                    # Not the chart's own name for one, harbor-core.
                    "name": f"harbor-{component}-drain",
                    "namespace": context.namespace,
                    "labels": context.labels("disruption-budget"),
                    "annotations": FIELD_MANAGER,
                },
                spec=budget(component),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def budget(component: str) -> dict[str, Any]:
    """`spec` of the budget (policy/v1) over a component's pods, by the chart's selector labels."""
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"app": "harbor", "release": RELEASE, "component": component}},
        # A pod that never becomes ready would block each drain of its node for ever.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def replicated(settings: Settings) -> tuple[str, ...]:
    """The components with more than one pod. Over a single one a budget would block every drain."""
    absent = {"trivy": not settings.trivy.enabled, "exporter": not settings.metrics.enabled}
    replicas: dict[str, int] = settings.harbor.replicas.model_dump()
    return tuple(
        name for name, count in replicas.items() if count > 1 and not absent.get(name, False)
    )


def create(config: StackConfig, context: Context) -> DisruptionBudgets | None:
    """The budgets that harbor.disruptionBudgets asks for; None where it asks for none."""
    settings = config.settings
    components = replicated(settings)
    if not (settings.harbor.disruption_budgets and components):
        return None
    return DisruptionBudgets("disruption-budgets", components, context, context.options)
