"""A bucket or container that exists, with its credential sealed for Harbor alone."""

from __future__ import annotations

import pulumi

from components.harbor_inputs import RemoteStorage
from components.object_storage.args import ObjectStorageArgs
from components.object_storage.store import HARBOR_SECRET, Store
from components.ordering import after
from components.settings.storage.existing import ExistingContainer


def own_container(
    name: str, args: ObjectStorageArgs, settings: ExistingContainer, parent: pulumi.Resource
) -> Store:
    """The container as Harbor sees it. Nothing of it is a resource of this stack."""
    if not settings.needed_secrets:
        return Store(storage=pulumi.Output.from_input(_remote(settings, None)))
    (needed,) = settings.needed_secrets
    credentials = args.context.sealed(
        f"{name}-credentials",
        HARBOR_SECRET,
        {settings.key_in_secret: args.secrets[needed]},
        parent=parent,
    )
    return Store(
        storage=after(credentials.secret_name, _remote(settings, HARBOR_SECRET)),
        revision=credentials.revision,
    )


def _remote(settings: ExistingContainer, secret_name: str | None) -> RemoteStorage:
    credential = {} if secret_name is None else {"existingSecret": secret_name}
    return RemoteStorage(
        driver=settings.driver,
        options={**settings.driver_options, **credential},
        redirect=settings.redirect,
        service_account=settings.identity,
    )
