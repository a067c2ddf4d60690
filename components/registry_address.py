"""Where a Sovereign's registry answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegistryAddress:
    """The address of the registry of the Sovereign whose domain is `fqdn`.

    `own_host`: its host name, where that is not registry.<fqdn>.
    """

    fqdn: str
    own_host: str | None = None

    @property
    def host(self) -> str:
        """Its host name, as image references and certificates have it."""
        return self.own_host or f"registry.{self.fqdn}"

    @property
    def url(self) -> str:
        """Its URL, for people, clients and Harbor itself."""
        return f"https://{self.host}"

    @property
    def image_prefix(self) -> str:
        """What the name of each of its images begins with, slash included."""
        return f"{self.host}/"
