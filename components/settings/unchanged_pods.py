"""The section `imagePolicy.unchangedPods`: pods that keep the image names they come with. Pure."""

from typing import Annotated

from components.settings.schema.rules import Section, SettingRule, matching

LABEL = SettingRule(
    allowed="a label KEY=VALUE of Kubernetes, as in `kubectl get pods -l`",
    example="application=spilo",
    check=matching(
        r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
        r"=[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
    ),
)


class UnchangedPodsSettings(Section):
    """Pods whose images are neither rewritten nor pinned to a digest, since their operator would
    see another image than its own and replace them."""

    of_operators: bool = True
    """Pods whose controller is none of Kubernetes' own: an operator made them itself, as
    CloudNativePG does."""
    labels: tuple[Annotated[str, LABEL], ...] = ("application=spilo",)
    """Pods with one of these labels; replaces the default, which are those of Zalando's PostgreSQL
    operator."""
