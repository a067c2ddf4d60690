"""What the dynamic providers have in common that wait for a Secret which a controller makes.

Existing states name the modules of the providers derived from MadeSecretProvider, and not this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, ReadResult, UpdateResult

from components.commands import run
from components.sealing.cluster_provider import ClusterProvider
from components.sealing.opened import secret_path


class MadeSecretProvider(ClusterProvider):
    """Holds `up` until the Secret is there, and says in a preview when it would be missing.

    Inputs: `namespace`, `name`, `applied` (names the object from which the Secret is made, as it
    was applied) and `stack`. A derived class says what it waits for.
    """

    kind: ClassVar[str]
    """Kind of the object from which the controller makes the Secret."""
    path: ClassVar[Callable[[str, str], str]]
    """Path of that object in the API, for a namespace and a name."""
    witness: ClassVar[str]
    """The output that is empty after a refresh that found another Secret than the one meant."""

    def awaited(self, props: dict[str, Any], *, before: dict[str, Any]) -> dict[str, Any]:
        """The outputs, once the Secret is as meant. `before`: the outputs of the last time."""
        raise NotImplementedError

    def is_meant(self, props: dict[str, Any], maker: Any, secret: Any) -> bool:
        """Whether the two live objects are what was awaited; each None where it is missing."""
        raise NotImplementedError

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        applied = news.get("applied")
        if not isinstance(applied, str) or applied != _olds.get("applied"):
            return CheckResult(news, [])
        namespace, name = news["namespace"], news["name"]
        answered, maker = self.look(type(self).path(namespace, name))
        if not answered or maker is not None:
            return CheckResult(news, [])
        return CheckResult(news, [CheckFailure("", self.gone(news))])

    def create(self, props: dict[str, Any]) -> CreateResult:
        outs = self.awaited(props, before={})
        return CreateResult(id_=f"{props['namespace']}/{props['name']}", outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self.awaited(_news, before=_olds))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Without its witness where the Secret is missing or is another than the one meant."""
        outs = props if self.is_as_meant(props) else {**props, self.witness: ""}
        return ReadResult(id_=id_, outs=outs)

    def is_as_meant(self, props: dict[str, Any]) -> bool:
        """Whether the cluster has what was awaited, or does not say."""
        namespace, name = props.get("namespace"), props.get("name")
        if not isinstance(namespace, str) or not isinstance(name, str):
            return True
        answered, maker = self.look(type(self).path(namespace, name))
        answered_too, secret = self.look(secret_path(namespace, name))
        return not (answered and answered_too) or self.is_meant(props, maker, secret)

    def gone(self, props: Mapping[str, Any]) -> str:
        """The message about an object that the state has and the cluster does not."""
        stack: str | None = props.get("stack")
        return (
            f"{self.kind} {props['namespace']}/{props['name']} is in this stack's state and not in "
            "the cluster, so nothing makes its Secret. Somebody deleted it, or removed its kind "
            f"and installed it again\n  fix: {run('refresh', stack)}, and then "
            f"{run('up', stack)}, which applies it again"
        )
