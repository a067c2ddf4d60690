"""One Sovereign's registry. Reading this top to bottom is reading the system."""

import gc

import pulumi

from components.cluster import cluster_provider, site_of
from components.credentials import Credentials, credentials_args
from components.data_services import cache_for, database_for
from components.dns import dns_records
from components.exposure import registry_certificate
from components.harbor.release import HarborRegistry, harbor_args
from components.image_policy.component import ImagePolicy, image_policy_args
from components.network_policies import NetworkPolicies, network_policies_args
from components.object_storage.component import object_storage_for
from components.outputs import export
from components.preflight import preflight
from components.settings.loader import load_settings

gc.freeze()  # What is imported stays: to walk it again, at exit too, takes 0.4 s of a run.
config = load_settings()
settings, secrets = config.settings, config.secrets
takeover = preflight(config)
opts = pulumi.ResourceOptions(provider=cluster_provider(settings.cluster))

site = site_of(settings, takeover, opts)
storage = object_storage_for(config, site, opts)
NetworkPolicies("network-policies", network_policies_args(settings, site), opts)
dns_records(settings, secrets.get("dnsToken"))
registry_certificate(settings, site, opts)
credentials = Credentials("credentials", credentials_args(config, site), opts)
database = database_for(
    settings, credentials.database_password, site, opts, import_id=takeover.database
)
cache = cache_for(settings, credentials.valkey_password, site, opts)
harbor = HarborRegistry(
    "harbor",
    harbor_args(settings, site, storage, credentials, database, cache, import_id=takeover.release),
    opts,
)
image_policy = ImagePolicy("image-policy", image_policy_args(settings, site, harbor.version), opts)
export(settings, storage, harbor, credentials, image_policy)
