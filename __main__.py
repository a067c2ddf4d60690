"""One Sovereign's registry. Reading this top to bottom is reading the system."""

import pulumi

from components.cluster import cluster_provider, harbor_namespace, sealing_certificate
from components.credentials import Credentials, CredentialsArgs
from components.data_services import cache_for, database_for
from components.dns import dns_records
from components.exposure import registry_certificate
from components.harbor.release import HarborRegistry, harbor_args
from components.image_policy.component import ImagePolicy, image_policy_args
from components.network_policies import NetworkPolicies, network_policies_args
from components.object_storage.component import ObjectStorage, ObjectStorageArgs
from components.outputs import export
from components.preflight import preflight
from components.settings.loader import load_settings
from components.site import Site

config = load_settings()
settings, secrets = config.settings, config.secrets
preflight(settings)
opts = pulumi.ResourceOptions(provider=cluster_provider(settings.cluster))

site = Site(
    fqdn=settings.fqdn,
    namespace=harbor_namespace(
        settings.harbor.namespace,
        settings.fqdn,
        protect=settings.protect,
        retain=settings.retain_data,
        opts=opts,
    ),
    certificate=sealing_certificate(settings.sealing, settings.cluster),
    unseal_seconds=settings.sealing.timeout_seconds,
    protect=settings.protect,
    retain=settings.retain_data,
)
storage = ObjectStorage(
    "object-storage",
    ObjectStorageArgs(
        settings=settings.storage,
        access_key=secrets.s3_access_key,
        secret_key=secrets.s3_secret_key,
        owner=f"{pulumi.get_project()}/{pulumi.get_stack()}",
        site=site,
    ),
    opts,
)
NetworkPolicies("network-policies", network_policies_args(settings, site), opts)
dns_records(settings, secrets.dns_token)
registry_certificate(settings, site, opts)
credentials = Credentials(
    "credentials", CredentialsArgs(epochs=settings.rotation.epochs, site=site), opts
)
database = database_for(settings, credentials.database_password, site, opts)
cache = cache_for(settings, credentials.valkey_password, site, opts)
harbor = HarborRegistry(
    "harbor", harbor_args(settings, site, storage, credentials, database, cache), opts
)
image_policy = ImagePolicy("image-policy", image_policy_args(settings, site, harbor.version), opts)
export(settings, storage, harbor, credentials, image_policy)
