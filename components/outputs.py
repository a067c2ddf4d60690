"""The stack's outputs, for people and other stacks."""

from __future__ import annotations

import pulumi

from components.credentials import Credentials
from components.harbor.release import HarborRegistry
from components.image_policy.component import ImagePolicy
from components.object_storage.component import ObjectStorage
from components.settings.model import Settings


def export(
    settings: Settings,
    storage: ObjectStorage,
    harbor: HarborRegistry,
    credentials: Credentials,
    image_policy: ImagePolicy,
) -> None:
    """Exports the outputs. adminPassword is a secret: only --show-secrets shows it."""
    pulumi.export("registryFqdn", settings.registry_address.host)
    pulumi.export("registryUrl", settings.registry_address.url)
    pulumi.export("imagePrefix", settings.registry_address.image_prefix)
    pulumi.export("bucket", storage.bucket)
    pulumi.export("bucketEndpoint", storage.endpoint)
    pulumi.export("harborVersion", harbor.version)
    pulumi.export("namespace", harbor.namespace)
    pulumi.export("imagePolicyExcludedNamespaces", image_policy.excluded_namespaces)
    pulumi.export("scanPolicy", settings.trivy.scan_policy)
    pulumi.export("adminPassword", pulumi.Output.secret(credentials.admin_password))
