"""Where a Sovereign's registry answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegistryAddress:
    """The address of the registry of the Sovereign whose domain is `fqdn`."""

    fqdn: str

    @property
    def host(self) -> str:
        """Its host name, as image references and certificates have it."""
        return f"registry.{self.fqdn}"

    @property
    def url(self) -> str:
        """Its URL, for people, clients and Harbor itself."""
        return f"https://{self.host}"

    @property
    def image_prefix(self) -> str:
        """What the name of each of its images begins with, slash included."""
        return f"{self.host}/"
