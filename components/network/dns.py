"""Dns: the registry's address records, where this program writes them.

Names of vendors may be used here, in dns_records.py, settings/dns.py, object_storage/ and
settings/storage/, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.context import Context
from components.settings.dns import HetznerDns
from components.stack_config import StackConfig

if TYPE_CHECKING:
    from components.network.dns_records import DnsRecords


def create(config: StackConfig, context: Context) -> DnsRecords | None:
    """The records that the setting `dns` asks for; None where somebody else writes them."""
    settings = config.settings
    if not isinstance(settings.dns, HetznerDns):
        return None
    # Imported here: the vendor's SDK is slow to import, and other stacks do not need it.
    from components.network.dns_records import hetzner_records

    token = config.secrets["dnsToken"]
    return hetzner_records(context, settings.dns, token)
