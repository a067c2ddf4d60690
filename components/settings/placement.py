"""Where pods run, and which of them make room for others. Pure."""

from typing import Annotated

from pydantic import Field

from components.settings.harbor import Toleration
from components.settings.schema.labels import LABELS
from components.settings.schema.rules import PRIORITY_CLASS, Section


class Placement(Section):
    """Placement of the pods of one data service."""

    node_selector: Annotated[dict[str, str], LABELS] = Field(default_factory=dict)
    """Nodes on which the pods may run, by label; any node when empty."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the pods accept."""
    priority_class: Annotated[str, PRIORITY_CLASS] | None = None
    """PriorityClass of the pods; the cluster's default when unset."""
