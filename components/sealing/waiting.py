"""What the dynamic providers have in common that wait for another program's word in the cluster.

Existing states name the modules of the providers derived from WaitingProvider, and not this one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, UpdateResult

from components.sealing.cluster_provider import ClusterProvider


class WaitingProvider(ClusterProvider):
    """Holds `up` until nothing is missing, for at most the input `timeoutSeconds`.

    The outputs are the inputs. A derived class says what is missing.
    """

    waited_for: ClassVar[tuple[str, ...]]
    """Inputs after whose change is waited anew."""

    stack: str | None = None

    def missing(self, props: dict[str, Any]) -> Sequence[str]:
        """What is not there yet, for people; empty once all is. Raises ClusterUnreachable."""
        raise NotImplementedError

    def too_late(self, props: dict[str, Any], missing: Sequence[str]) -> Exception:
        """The error of an `up` in which that was missing to the end."""
        raise NotImplementedError

    def identity(self, props: dict[str, Any]) -> str:
        """The resource's ID."""
        raise NotImplementedError

    def configure(self, req: ConfigureRequest) -> None:
        from components.settings.provider_config import stack_name

        super().configure(req)
        self.stack = stack_name(req.config.get)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changes = any(_olds.get(key) != _news.get(key) for key in self.waited_for)
        return DiffResult(changes=changes, replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=self.identity(props), outs=self._awaited(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._awaited(_news))

    def _awaited(self, props: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + float(props["timeoutSeconds"])
        pause = 0.1
        while missing := self.missing(props):
            if time.monotonic() > deadline:
                raise self.too_late(props, missing)
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
        return {key: value for key, value in props.items() if not key.startswith("__")}
