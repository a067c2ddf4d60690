"""The kinds of objects in Harbor that this program configures, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.registry.kinds.account import Account
from components.registry.kinds.base import Kind
from components.registry.kinds.endpoint import Endpoint
from components.registry.kinds.label import Label
from components.registry.kinds.member import Member
from components.registry.kinds.project import Project
from components.registry.kinds.robots import Robot

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind for kind in (Account(), Project(), Endpoint(), Robot(), Label(), Member())
}
"""By the last part of the resource's type: sovereign-registry:index:<name>."""
