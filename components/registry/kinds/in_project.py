"""What belongs to a project, and goes with it."""

from __future__ import annotations

from collections.abc import Mapping

from components.registry.api import segment
from components.registry.errors import HarborError
from components.registry.kinds.base import Session, Tree


def path_of(project: str, rest: str) -> str:
    return f"/projects/{segment(project)}/{rest}"


def listed(
    session: Session, project: str, rest: str, query: Mapping[str, object] | None = None
) -> list[Tree]:
    """The rows of a list of a project; none if there is no such project."""
    try:
        return session.harbor.listed(path_of(project, rest), query)
    except HarborError as error:
        # Harbor answers 403 as well for a project that is missing.
        gone = error.status in (403, 404)
        if gone and session.harbor.project(project) is None:
            return []
        raise
