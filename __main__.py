"""One Sovereign's registry. Reading this top to bottom is reading the system."""

import gc

from components import cluster, credentials, debug_log, exit_code, outputs, sdk_wait, stack_config
from components.backup import component as backup
from components.data_services import cache, database
from components.harbor import disruption, release
from components.image_policy import component as image_policy
from components.monitoring import component as monitoring
from components.network import dns, exposure, policies
from components.object_storage import component as object_storage
from components.ownership import record as state_mark_record
from components.preflight import run as preflight
from components.registry import component as registry

gc.freeze()  # Imported modules stay: without it the collector walks them for 0.4 s of a run.
debug_log.keep_secrets_out()
sdk_wait.once_for_each_output()
exit_code.of_refusals()
config = stack_config.load()
adopted = preflight.run(config)
context = cluster.create(config, adopted)

blobs = object_storage.create(config, context)
policies.create(config, context)
dns.create(config, context)
exposure.create(config, context)
minted = credentials.create(config, context)
state_mark_record.create(context, after=minted)
archive = backup.create(config, context)
postgres = database.create(config, context, minted, archive, adopted)
valkey = cache.create(config, context, minted)
harbor = release.create(
    config, context, blobs, minted, postgres, valkey, adopted_id=adopted.release
)
disruption.create(config, context)
configured = registry.create(config, context, harbor, minted)
monitoring.create(config, context)
guards = image_policy.create(config, context, harbor.version, existing=adopted.namespaces)
outputs.export(config, context, blobs, postgres, harbor, minted, configured, guards)
