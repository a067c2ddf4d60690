"""Labels, of a project or of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from components.registry.errors import Refused
from components.registry.kinds import checks
from components.registry.kinds.base import Field, Kind, Session, Tree


def _is_name(value: Any) -> str | None:
    # Harbor takes an empty name and answers 500 to one that is too long.
    ok = isinstance(value, str) and 1 <= len(value) <= 128
    return None if ok else "has to have 1 to 128 characters"


def _is_color(value: Any) -> str | None:
    ok = isinstance(value, str) and len(value) <= 16
    return None if ok else "has to be a colour like #00aa55"


class Label(Kind):
    name = "Label"
    noun = "label"
    fields: ClassVar = {
        "project": Field(default="", replaces=True, check=checks.text),
        "name": Field(required=True, replaces=True, check=_is_name),
        "color": Field(default="", of_harbor="", check=_is_color),
        "description": Field(default="", of_harbor="", check=checks.text),
    }

    def id_of(self, inputs: Tree) -> str:
        return f"{inputs.get('project') or ''}/{inputs['name']}"

    def inputs_of(self, id_: str) -> Tree:
        project, slash, name = id_.partition("/")
        if not slash:
            raise Refused(f"label {id_}: the id is <project>/<name>, or /<name> for all projects")
        return {"project": project, "name": name}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        project, name = str(inputs.get("project") or ""), str(inputs["name"])
        asked: Tree = {"scope": "g", "name": name}
        if project:
            number = session.harbor.project_number(project)
            if number is None:
                return None
            asked |= {"scope": "p", "project_id": number}
        for row in session.harbor.listed("/labels", asked):
            # `name` asks for names that contain it.
            if row["name"] == name:
                return {**row, "project": project}
        return None

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        return {
            "project": stored["project"],
            "name": stored["name"],
            "color": stored.get("color") or "",
            "description": stored.get("description") or "",
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        body = {**_described(inputs), "scope": "g"}
        if inputs["project"]:
            # Harbor does not ask whether the project exists.
            number = session.harbor.project_number(inputs["project"])
            if number is None:
                raise Refused(f"label {self.id_of(inputs)}: Harbor has no such project")
            body |= {"scope": "p", "project_id": number}
        return dict(session.harbor.created("/labels", body, lambda: self.find(session, inputs, {})))

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        del changed
        session.harbor.put(f"/labels/{stored['id']}", _described(inputs))

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del known
        session.harbor.delete(f"/labels/{stored['id']}")


def _described(inputs: Tree) -> Tree:
    return {key: inputs[key] for key in ("name", "color", "description")}
