"""Harbor's cache and job queue: the Sovereign's own, or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi

from components.context import Context
from components.credentials import Credentials
from components.data_services.shared import SharedCredentials, SharedCredentialsArgs
from components.data_services.valkey import Valkey, ValkeyArgs, cache_secret_data
from components.delivery.objects import PASSWORD, URL_QUOTED, literal
from components.harbor_inputs import CA_KEY, Cache, cache_secret
from components.ordering import after
from components.settings.valkey import DedicatedValkey
from components.stack_config import StackConfig

SHARED_SECRET: Final = "harbor-shared-valkey"
"""Secret with the copied password of a shared one."""


@dataclass(frozen=True, kw_only=True)
class CacheAccess:
    """How Harbor reaches the cache, known once it is ready; `revision`: of its password."""

    cache: pulumi.Output[Cache]
    revision: pulumi.Output[str]


def create(config: StackConfig, context: Context, credentials: Credentials) -> CacheAccess:
    """Valkey by `valkey.mode`: the Sovereign's own, with the minted password, or a shared one.

    Raises RunError if the password of a shared one cannot be read.
    """
    settings = config.settings
    section = settings.valkey
    if isinstance(section, DedicatedValkey):
        args = ValkeyArgs(
            settings=section,
            password=credentials.valkey_password,
            ip_family=settings.harbor.ip_family,
            context=context,
            minted=credentials.minted.get("valkey-password"),
            image_registry=settings.image_registry,
        )
        own = Valkey("cache", args, context.options)
        return CacheAccess(cache=own.cache, revision=own.revision)
    indexes = section.indexes
    cache = Cache(
        host=section.host,
        port=section.port,
        secret_name=SHARED_SECRET,
        core_index=indexes.core,
        jobservice_index=indexes.jobservice,
        registry_index=indexes.registry,
        trivy_index=indexes.trivy,
        harbor_index=indexes.harbor,
        cache_index=indexes.cache,
        username=section.username or "",
        tls=section.tls,
        trusts_own_ca=section.ca_bundle is not None,
    )
    authority = {} if section.ca_bundle is None else {CA_KEY: section.ca_bundle}
    shared = SharedCredentials(
        "cache",
        SharedCredentialsArgs(
            source=section.secret,
            secret_name=SHARED_SECRET,
            data=lambda password: {**cache_secret_data(cache, password), **authority},
            template={
                **cache_secret(cache, PASSWORD, URL_QUOTED),
                **{key: literal(text) for key, text in authority.items()},
            },
            context=context,
        ),
        context.options,
    )
    return CacheAccess(cache=after(shared.secret_name, cache), revision=shared.revision)
