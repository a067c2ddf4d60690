"""The plugin's provider in this process, over a fake of Harbor's API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from components.registry.api import ACCOUNT_PASSWORD_KEY, ADMIN_PASSWORD_KEY
from components.registry.connection import ToCluster
from components.registry.plugin.provider import RegistryProvider
from sandbox.fake_harbor.server import FakeHarbor

ADMIN_PASSWORD = "Harbor12345"
ACCOUNT_PASSWORD = "Account12345"
ACCOUNT = "sovereign"

CONFIG: Mapping[str, Any] = {
    "namespace": "harbor",
    "adminSecret": "admin",
    "account": ACCOUNT,
    "accountSecret": "account",
}


@dataclass(kw_only=True)
class Direct(ToCluster):
    """A connection to an address, and Secrets that need no cluster."""

    secrets: dict[tuple[str, str], str] = field(
        default_factory=lambda: {
            ("admin", ADMIN_PASSWORD_KEY): ADMIN_PASSWORD,
            ("account", ACCOUNT_PASSWORD_KEY): ACCOUNT_PASSWORD,
        }
    )

    def secret(self, name: str, key: str) -> str | None:
        return self.secrets.get((name, key))


class Registry:
    """A provider over a fake Harbor. `warnings`, `told`: what it showed to the user.

    `patience`: seconds that it waits for a Harbor that does not work.
    """

    def __init__(self, harbor: FakeHarbor, *, patience: float = 20, **config: Any) -> None:
        self.harbor = harbor
        self.warnings: list[str] = []
        self.told: list[str] = []
        self.connection = Direct(namespace="harbor", api_url=harbor.url)
        self.provider = RegistryProvider(
            lambda _urn, text: self.warnings.append(text),
            lambda _config: self.connection,
            lambda _urn, text: self.told.append(text),
        )
        self.provider.set_up({**CONFIG, **config})
        session = self.provider.session
        assert session is not None
        self.api = replace(session.harbor, patience=patience)
        self.provider.session = replace(session, harbor=self.api)

    def with_account(self) -> Registry:
        """The same, after the program's account was made."""
        self.create("Account", name=ACCOUNT)
        return self

    def create(self, kind: str, /, **inputs: Any) -> dict[str, Any]:
        """The outputs of a new resource."""
        assert self.refused(kind, **inputs) == []
        return self.provider.create("urn", kind, inputs, preview=False)[1]

    def refused(self, kind: str, /, **inputs: Any) -> list[tuple[str, str]]:
        """What is refused of the inputs, in preview too: (field, sentence)."""
        return self.provider.check(kind, inputs)

    def preview(self, kind: str, /, **inputs: Any) -> dict[str, Any]:
        return self.provider.create("urn", kind, inputs, preview=True)[1]

    def update(self, kind: str, outputs: dict[str, Any], /, **inputs: Any) -> dict[str, Any]:
        return self.provider.update("urn", kind, outputs, inputs, preview=False)

    def changed(self, kind: str, outputs: dict[str, Any], /, **inputs: Any) -> tuple[str, ...]:
        """The fields that a preview shows as changed."""
        return self.provider.diff(kind, outputs, inputs).changed

    def read(self, kind: str, id_: str, outputs: dict[str, Any]) -> dict[str, Any] | None:
        """The outputs after a refresh; None when it is gone."""
        read = self.provider.read("urn", kind, id_, outputs, {})
        return None if read is None else read.outputs

    def delete(self, kind: str, outputs: dict[str, Any]) -> None:
        self.provider.delete("urn", kind, outputs)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What a person does in Harbor's UI, as admin."""
        harbor = self.api
        if method == "GET":
            return harbor.get(path, who="admin")
        call = {"POST": harbor.post, "PUT": harbor.put, "PATCH": harbor.patch}
        return (
            harbor.delete(path, who="admin")
            if method == "DELETE"
            else call[method](path, body, who="admin")
        )
