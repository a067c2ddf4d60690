"""What the engine asks of the plugin, in plain data: the kinds do the work."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from components.registry.api import Harbor, Logins
from components.registry.connection import Connection, ToCluster
from components.registry.errors import HarborDown, LoginRefused, NoSecret, Refused
from components.registry.kinds import KINDS
from components.registry.kinds.base import Difference, Kind, Session, Tree

PACKAGE: Final = "sovereign-registry"

CONFIG_KEYS: Final = frozenset(
    {
        *("namespace", "context", "clusterName", "apiUrl", "apiCa", "adminSecret", "account"),
        *("accountSecret", "robotPrefix", "adopt", "deleteContents", "keepEverything"),
    }
)
"""Inputs of the provider resource. None is a secret: passwords are read when they are used."""

Warn = Callable[[str, str], None]
"""Shows a line to the user: URN of the resource that it is about, "" for none; text."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The provider's inputs; see `resources.Provider`."""

    to: ToCluster
    logins: Logins
    adopt: bool
    delete_contents: frozenset[str]
    keep_everything: bool

    @staticmethod
    def of(inputs: Tree) -> Config:
        """From the provider resource's inputs. Raises Refused for what is no such input."""
        unknown = sorted(inputs.keys() - CONFIG_KEYS - {"version"})
        if unknown:
            raise Refused(f"the provider {PACKAGE} has no input {', '.join(unknown)}")
        missing = [
            key
            for key in ("namespace", "adminSecret", "account", "accountSecret")
            if not inputs.get(key)
        ]
        if missing:
            raise Refused(f"the provider {PACKAGE} needs {', '.join(missing)}")
        text = {key: str(value) for key, value in inputs.items() if value is not None}
        contents = _parsed(inputs.get("deleteContents") or [])
        return Config(
            to=ToCluster(
                namespace=text["namespace"],
                context=text.get("context", ""),
                cluster_name=text.get("clusterName", ""),
                api_url=text.get("apiUrl", ""),
                api_ca=text.get("apiCa", ""),
            ),
            logins=Logins(
                admin_secret=text["adminSecret"],
                account=text["account"],
                account_secret=text["accountSecret"],
                prefix=text.get("robotPrefix", "robot$"),
            ),
            adopt=_parsed(inputs.get("adopt") or False) is True,
            delete_contents=frozenset(str(name) for name in contents),
            keep_everything=_parsed(inputs.get("keepEverything") or False) is True,
        )


@dataclass(frozen=True, kw_only=True)
class Read:
    """A resource as Harbor has it: its inputs as if they had been declared so, and outputs."""

    inputs: Tree
    outputs: Tree


class RegistryProvider:
    """Answers the engine. Methods may be called by several threads at once.

    They raise HarborError, Refused and HalfCreated. `connect`: how Harbor is reached, for tests.
    `inform`: shows a line that is no warning; `warn` when not given.
    """

    def __init__(
        self,
        warn: Warn,
        connect: Callable[[Config], Connection] | None = None,
        inform: Warn | None = None,
    ) -> None:
        self._warn = warn
        self._inform = inform or warn
        self._connect = connect or _to_cluster
        self.session: Session | None = None
        self._keeps_everything = False
        self._said: set[str] = set()
        self._is_silent = False
        """Whether Harbor did not answer to a preview, which asks it no more then: each object would
        wait for it."""
        self._lock = threading.Lock()

    def set_up(self, inputs: Tree) -> None:
        config = Config.of(inputs)
        self._keeps_everything = config.keep_everything
        self.session = Session(
            harbor=Harbor(connection=self._connect(config), logins=config.logins),
            adopt=config.adopt,
            delete_contents=config.delete_contents,
        )

    def check(self, kind: str, inputs: Tree) -> list[tuple[str, str]]:
        return _kind(kind).check(inputs)

    def diff(self, kind: str, outputs: Tree, inputs: Tree) -> Difference:
        return _kind(kind).diff(outputs, inputs)

    def create(self, urn: str, kind: str, inputs: Tree, *, preview: bool) -> tuple[str, Tree]:
        of = _kind(kind)
        if not preview:
            return of.create(self._for(urn), inputs)
        return "", self._previewed(urn, of, inputs)

    def _previewed(self, urn: str, kind: Kind, inputs: Tree) -> Tree:
        session = self._for(urn)
        session = replace(session, harbor=session.harbor.hurried())
        if self._is_silent:
            return kind.planned(session, inputs)
        try:
            return kind.preview(session, inputs)
        except NoSecret:
            # Harbor was never installed, so nothing exists.
            return kind.planned(session, inputs)
        except (HarborDown, LoginRefused) as error:
            self._is_silent |= isinstance(error, HarborDown)
            self._warn_once(
                "no preview",
                "Harbor cannot be asked, so this preview does not tell which objects exist already"
                f": {error}",
            )
            return kind.planned(session, inputs)

    def update(self, urn: str, kind: str, outputs: Tree, inputs: Tree, *, preview: bool) -> Tree:
        of, session = _kind(kind), self._for(urn)
        if not preview:
            return of.update(session, outputs, inputs)
        if not self._is_silent:
            hurried = replace(session, harbor=session.harbor.hurried())
            try:
                of.preview_update(hurried, outputs, inputs)
            except (HarborDown, LoginRefused) as error:
                self._is_silent |= isinstance(error, HarborDown)
        return {**of.planned(session, inputs), **of.foreseen(session, outputs, inputs)}

    def read(self, urn: str, kind: str, id_: str, outputs: Tree, inputs: Tree) -> Read | None:
        """The resource as Harbor has it; None when a Harbor that works says that it is gone.

        Without the Secret of a password it stays as the state has it: a refresh is what finds that
        the Secret is gone, and must not fail for it.
        """
        of = _kind(kind)
        try:
            shown = of.read(self._for(urn), id_, outputs)
        except NoSecret as error:
            if not outputs:
                raise
            self._warn_once(
                "no refresh",
                f"what Harbor has was not compared with the state: {error}. The `up` that makes "
                "the Secret again does not need it; refresh once more afterwards",
            )
            return Read(inputs=inputs, outputs=outputs)
        return None if shown is None else Read(inputs=_as_inputs(of, shown, inputs), outputs=shown)

    def delete(self, urn: str, kind: str, outputs: Tree) -> None:
        """Deletes the object; nothing, without asking Harbor, where everything is to be kept."""
        of, session = _kind(kind), self._for(urn)
        if not self._keeps_everything:
            of.delete(session, outputs)
            return
        self._warn_once(
            "kept",
            "registry.enabled is false: everything that this stack configured in Harbor stays "
            "there as it is, and only this stack's state forgets it. With registry.enabled true "
            "the next `up` takes it again",
        )

    def cancel(self) -> None:
        """Ends every wait for a Harbor that does not work."""
        if self.session is not None:
            self.session.harbor.cancel()

    def close(self) -> None:
        if self.session is not None:
            self.session.harbor.connection.close()

    def _for(self, urn: str) -> Session:
        if self.session is None:
            raise Refused(f"the provider {PACKAGE} was not configured")

        def warn(text: str) -> None:
            self._warn(urn, text)

        def inform(text: str) -> None:
            self._inform(urn, text)

        return replace(self.session, warn=warn, inform=inform)

    def _warn_once(self, about: str, text: str) -> None:
        with self._lock:
            is_new = about not in self._said
            self._said.add(about)
        if is_new:
            self._warn("", text)


def _as_inputs(kind: Kind, shown: Tree, inputs: Tree) -> Tree:
    """The inputs that would make the object as Harbor has it.

    What Harbor has as declared keeps the words in which it was declared; an import declares all.
    """
    if not inputs:
        return {name: shown[name] for name in kind.fields if shown.get(name) is not None}
    return {
        **inputs,
        **{name: shown[name] for name in kind.differing(shown, kind.complete(inputs))},
    }


def _to_cluster(config: Config) -> Connection:
    return config.to


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Refused(f"{PACKAGE} has no kind {name}, only {', '.join(KINDS)}")
    return KINDS[name]


def _parsed(value: Any) -> Any:
    """Inputs of a provider that are no texts arrive as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Refused(f"the provider {PACKAGE}: {value!r} is no JSON") from None
