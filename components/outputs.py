"""The stack's outputs, for people and other stacks."""

from __future__ import annotations

import pulumi

from components.context import Context
from components.credentials import Credentials
from components.data_services.database import DatabaseAccess
from components.harbor.release import HarborRegistry
from components.image_policy.component import ImagePolicy
from components.object_storage.component import ObjectStorage
from components.registry.component import Registry
from components.stack_config import StackConfig


def export(
    config: StackConfig,
    context: Context,
    storage: ObjectStorage,
    database: DatabaseAccess,
    harbor: HarborRegistry,
    credentials: Credentials,
    registry: Registry | None,
    image_policy: ImagePolicy,
) -> None:
    """Exports the outputs. adminPassword is a secret: only --show-secrets shows it."""
    settings = config.settings
    pulumi.export("registryFqdn", context.registry.host)
    pulumi.export("registryUrl", context.registry.url)
    pulumi.export("imagePrefix", context.registry.image_prefix)
    pulumi.export("bucket", storage.bucket)
    pulumi.export("bucketEndpoint", storage.endpoint)
    if database.server is not None:
        pulumi.export("databaseServerName", database.server)
    pulumi.export("harborVersion", harbor.version)
    pulumi.export("namespace", harbor.namespace)
    pulumi.export("imagePolicyExcludedNamespaces", image_policy.excluded_namespaces)
    pulumi.export("scanPolicy", settings.trivy.scan_policy)
    if registry is not None:
        pulumi.export("registryProjects", list(registry.projects))
        pulumi.export("pushPrefixes", dict(registry.push_prefixes))
        pulumi.export("pullPrefixes", dict(registry.pull_prefixes))
        if registry.login_urls is not None:
            pulumi.export("oidcRedirectUrl", registry.login_urls.redirect)
            pulumi.export("oidcLogoutUrl", registry.login_urls.logout)
    pulumi.export("adminPassword", pulumi.Output.secret(credentials.admin_password))
