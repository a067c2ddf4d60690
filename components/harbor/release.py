"""HarborRegistry: Harbor by its Helm chart, wired to storage, database and cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.commands import for_stack
from components.context import Context
from components.credentials import Credentials, revision_by_component
from components.data_services.cache import CacheAccess
from components.data_services.database import DatabaseAccess
from components.harbor.chart import ChartError, ChartReference, chart_reference
from components.harbor.chart_download import (
    ChartUnreachable,
    download,
    is_remote,
    package_path,
)
from components.harbor.recovery import guard
from components.harbor.values import HarborValues, harbor_values
from components.harbor_inputs import (
    RELEASE,
    Cache,
    Database,
    Gateway,
    RemoteStorage,
    SecretNames,
    VolumeStorage,
)
from components.network.accepted import RouteAccepted
from components.network.exposure import chart_exposure
from components.object_storage.component import ObjectStorage
from components.ordering import after
from components.settings.harbor import Chart
from components.settings.model import Settings
from components.stack_config import StackConfig

POST_RENDERER = "./components/harbor/post-render"
"""Relative to the project's folder. post_render.py says what it changes and why."""


@dataclass(frozen=True, kw_only=True)
class HarborArgs:
    """What Harbor stands on, as outputs that wait until the parts are there.

    `revisions`: component of Harbor → revision of the Secrets that its pods read. `guard`: hooks
    that remove what an interrupted run left, see recovery.py. `adopted_id`: ID of a release that
    exists and is adopted, by an upgrade instead of an installation.
    """

    settings: Settings
    context: Context
    chart: ChartReference
    storage: pulumi.Input[RemoteStorage | VolumeStorage]
    database: pulumi.Input[Database]
    cache: pulumi.Input[Cache]
    secrets: pulumi.Input[SecretNames]
    revisions: Mapping[str, pulumi.Input[str]]
    guard: pulumi.ResourceHookBinding | None = None
    adopted_id: str | None = None


class HarborRegistry(pulumi.ComponentResource):
    """The Release. `version` is the app version that runs; known once every pod is Ready.

    `release`: with which all that Harbor holds is gone.
    """

    release: Release
    version: pulumi.Output[str]
    namespace: pulumi.Output[str]

    def __init__(
        self, name: str, args: HarborArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:HarborRegistry", name, None, opts)
        chart = args.chart
        # The engine must not give up before Helm does: an upgrade cut off leaves a pending release.
        seconds = args.settings.harbor.timeout_seconds
        patience = f"{seconds + 60}s"
        self.release = release = Release(
            f"{name}-release",
            name=RELEASE,
            namespace=args.context.namespace,
            chart=chart.chart,
            version=chart.version,
            repository_opts={"repo": chart.repository} if chart.repository else None,
            values=_values(args),
            postrender=POST_RENDERER,
            timeout=seconds,
            # A failed first install stays to be looked at, and the next `up` goes on from it.
            atomic=False,
            cleanup_on_fail=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=args.guard,
                import_=args.adopted_id,
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
            ),
        )
        exposure = chart_exposure(args.settings)
        if isinstance(exposure, Gateway):
            RouteAccepted(
                f"{name}-route",
                namespace=args.context.namespace,
                parents=exposure.parent_refs,
                hosts=[args.context.registry.host],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[release]),
            )
        self.version = release.status.apply(lambda status: str(status.app_version))
        self.namespace = after(release.id, args.settings.harbor.namespace)
        self.register_outputs({"version": self.version, "namespace": self.namespace})


def _values(args: HarborArgs) -> pulumi.Output[dict[str, Any]]:
    def build(known: dict[str, Any]) -> dict[str, Any]:
        values = HarborValues(
            settings=args.settings,
            exposure=chart_exposure(args.settings),
            storage=known["storage"],
            database=known["database"],
            cache=known["cache"],
            secrets=known["secrets"],
        )
        # The revisions stay outputs of their own: one that a preview does not know yet is unknown
        # in one annotation, and not in all values.
        return harbor_values(values, revisions=args.revisions)

    return pulumi.Output.all(
        storage=args.storage, database=args.database, cache=args.cache, secrets=args.secrets
    ).apply(build)


def chart_of(chart: Chart) -> ChartReference:
    """The chart that the settings name; one with a digest is fetched first. Raises RunError."""
    source = chart.source
    try:
        if chart.sha256 is not None and is_remote(source):
            source = str(download(source, chart.version, chart.sha256))
        return chart_reference(source, chart.version, chart.sha256)
    except ChartUnreachable as error:
        reason = for_stack(str(error), pulumi.get_stack())
        if chart.sha256 is None or not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(reason) from None
        pulumi.log.warn(f"the chart was not compared with its digest: {reason}")
        path = package_path(chart.version, chart.sha256)
        return ChartReference(chart=str(path), version=chart.version)
    except ChartError as error:
        raise pulumi.RunError(for_stack(str(error), pulumi.get_stack())) from None


def create(
    config: StackConfig,
    context: Context,
    storage: ObjectStorage,
    credentials: Credentials,
    database: DatabaseAccess,
    cache: CacheAccess,
    *,
    adopted_id: str | None = None,
) -> HarborRegistry:
    """Harbor on the parts that it stands on. Raises RunError."""
    settings = config.settings
    revisions = {
        **credentials.revisions,
        "object-storage": storage.revision,
        "database-password": database.revision,
        "valkey-password": cache.revision,
    }
    args = HarborArgs(
        settings=settings,
        context=context,
        chart=chart_of(settings.harbor.chart),
        storage=storage.storage,
        database=database.database,
        cache=cache.cache,
        secrets=credentials.secret_names,
        revisions=revision_by_component(revisions),
        guard=guard(context.kube_context, settings.harbor.namespace, context.registry.url),
        adopted_id=adopted_id,
    )
    return HarborRegistry("harbor", args, context.options)
