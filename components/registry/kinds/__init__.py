"""The kinds of objects in Harbor that this program configures, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.registry.kinds.account import Account
from components.registry.kinds.admin import AdminPassword
from components.registry.kinds.allowlist import CveAllowlist
from components.registry.kinds.base import Kind
from components.registry.kinds.configuration import Configuration
from components.registry.kinds.endpoint import Endpoint
from components.registry.kinds.immutable import ImmutableTags
from components.registry.kinds.label import Label
from components.registry.kinds.member import Member
from components.registry.kinds.project import Project
from components.registry.kinds.replication import ReplicationPolicy
from components.registry.kinds.retention import Retention
from components.registry.kinds.robots import Robot
from components.registry.kinds.schedule import Schedule
from components.registry.kinds.webhook import Webhook

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        *(Account(), Project(), Endpoint(), Robot(), Label(), Member()),
        *(Webhook(), Schedule(), CveAllowlist(), ImmutableTags(), Retention()),
        *(ReplicationPolicy(), Configuration(), AdminPassword()),
    )
}
"""By the last part of the resource's type: sovereign-registry:index:<name>."""
