"""Dns: the registry's address records, where this program writes them.

Names of vendors live here, in dns_settings.py, dns_records.py and object_storage/ only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.dns_settings import HetznerDns
from components.settings.model import Settings

if TYPE_CHECKING:
    from components.dns_records import DnsRecords


def dns_records(settings: Settings, token: pulumi.Input[str] | None) -> DnsRecords | None:
    """The records that `dns` asks for; None where somebody else writes them."""
    if not isinstance(settings.dns, HetznerDns):
        return None
    # Here, so that no other stack pays for the import of this vendor's SDK.
    from components.dns_records import hetzner_records

    assert token is not None  # settings demand it
    return hetzner_records(settings.registry_fqdn, settings.dns, token)
