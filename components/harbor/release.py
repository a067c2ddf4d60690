"""HarborRegistry: Harbor by its Helm chart, wired to storage, database and cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.credentials import READERS, Credentials, combined
from components.data_services import CacheAccess, DatabaseAccess, requests_and_limits
from components.exposure import exposure
from components.harbor.chart import ChartError, ChartReference, chart_reference
from components.harbor.interrupted import guard
from components.harbor.values import (
    RELEASE,
    Cache,
    Database,
    Gateway,
    HarborValues,
    Ingress,
    Metrics,
    Placement,
    RemoteStorage,
    Scanner,
    SecretNames,
    VolumeStorage,
    harbor_values,
)
from components.object_storage.component import ObjectStorage
from components.settings.model import Settings, update_strategy
from components.settings.trivy import Trivy
from components.site import Site

POST_RENDERER = "./components/harbor/post-render"
"""Runs in the project's folder; see post_render.py for what it mends and why."""


@dataclass(frozen=True, kw_only=True)
class HarborArgs:
    """What Harbor stands on, as outputs: they are known once they are there.

    `revisions`: component of Harbor → revision of the Secrets that its pods read.
    """

    chart: ChartReference
    namespace: pulumi.Input[str]
    registry_fqdn: str
    storage: pulumi.Input[RemoteStorage | VolumeStorage]
    database: pulumi.Input[Database]
    cache: pulumi.Input[Cache]
    secrets: pulumi.Input[SecretNames]
    revisions: Mapping[str, pulumi.Input[str]]
    exposure: Gateway | Ingress
    scanner: Scanner
    metrics: Metrics
    placement: Placement
    replicas: Mapping[str, int]
    resources: Mapping[str, Mapping[str, Mapping[str, str]]]
    log_level: str
    storage_class: str | None
    update_strategy: str
    timeout_seconds: int
    guard: pulumi.ResourceHookBinding | None = None
    """Hooks that get past what an interrupted run left, see interrupted.py."""
    import_id: str | None = None
    """Of a release that exists and is taken over: an upgrade instead of an installation."""


class HarborRegistry(pulumi.ComponentResource):
    """The Release. `version` is the app version that runs; known once every pod is Ready."""

    version: pulumi.Output[str]
    namespace: pulumi.Output[str]

    def __init__(
        self, name: str, args: HarborArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:HarborRegistry", name, None, opts)
        chart = args.chart
        # The engine must not give up before Helm does: a cut-off upgrade leaves a pending release.
        patience = f"{args.timeout_seconds + 60}s"
        release = Release(
            f"{name}-release",
            name=RELEASE,
            namespace=args.namespace,
            chart=chart.chart,
            version=chart.version,
            repository_opts={"repo": chart.repository} if chart.repository else None,
            values=_values(args),
            postrender=POST_RENDERER,
            timeout=args.timeout_seconds,
            # A failed first install stays to be looked at, and the next `up` goes on from it.
            atomic=False,
            cleanup_on_fail=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=args.guard,
                import_=args.import_id,
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
            ),
        )
        self.version = release.status.apply(lambda status: str(status.app_version))
        self.namespace = release.status.apply(lambda status: str(status.namespace))
        self.register_outputs({"version": self.version, "namespace": self.namespace})


def _values(args: HarborArgs) -> pulumi.Output[dict[str, Any]]:
    def build(found: dict[str, Any]) -> dict[str, Any]:
        return harbor_values(
            HarborValues(
                registry_fqdn=args.registry_fqdn,
                storage=found["storage"],
                database=found["database"],
                cache=found["cache"],
                secrets=found["secrets"],
                exposure=args.exposure,
                scanner=args.scanner,
                metrics=args.metrics,
                placement=args.placement,
                replicas=args.replicas,
                resources=args.resources,
                log_level=args.log_level,
                storage_class=args.storage_class,
                update_strategy=args.update_strategy,
            ),
            revisions=found["revisions"],
        )

    return pulumi.Output.all(
        storage=args.storage,
        database=args.database,
        cache=args.cache,
        secrets=args.secrets,
        revisions=dict(args.revisions),
    ).apply(build)


def harbor_args(
    settings: Settings,
    site: Site,
    storage: ObjectStorage,
    credentials: Credentials,
    database: DatabaseAccess,
    cache: CacheAccess,
    import_id: str | None = None,
) -> HarborArgs:
    """The args that `settings` and the parts that Harbor stands on amount to. Raises RunError."""
    wanted = settings.harbor
    try:
        chart = chart_reference(wanted.chart.source, wanted.chart.version, wanted.chart.sha256)
    except ChartError as error:
        raise pulumi.RunError(str(error)) from None
    revisions = {
        **credentials.revisions,
        "object-storage": storage.revision,
        "database": database.revision,
        "valkey": cache.revision,
    }
    return HarborArgs(
        chart=chart,
        namespace=site.namespace,
        registry_fqdn=settings.registry_fqdn,
        storage=storage.storage,
        database=database.database,
        cache=cache.cache,
        secrets=credentials.secret_names,
        revisions={component: combined(revisions, component) for component in READERS},
        exposure=exposure(settings),
        scanner=scanner(settings.trivy),
        metrics=Metrics(
            enabled=settings.metrics.enabled, service_monitor=settings.metrics.service_monitor
        ),
        placement=Placement(
            node_selector=wanted.node_selector,
            tolerations=tuple(t.model_dump(exclude_none=True) for t in wanted.tolerations),
        ),
        replicas=wanted.replicas.model_dump(),
        resources={
            name: requests_and_limits(of["cpu"], of["memory"])
            for name, of in wanted.resources.model_dump().items()
        },
        log_level=wanted.log_level,
        storage_class=wanted.storage_class,
        update_strategy=update_strategy(settings),
        timeout_seconds=wanted.timeout_seconds,
        guard=guard(settings.cluster.context, wanted.namespace, settings.registry_url),
        import_id=import_id,
    )


def scanner(wanted: Trivy) -> Scanner:
    """The chart's part of `trivy`."""
    return Scanner(
        enabled=wanted.enabled,
        severities=wanted.severity,
        vulnerability_types=wanted.vuln_types,
        ignore_unfixed=wanted.ignore_unfixed,
        offline=wanted.offline,
        database_repositories=wanted.db_repositories,
        java_database_repositories=wanted.java_db_repositories,
        timeout=wanted.timeout,
        storage_size=wanted.storage_size,
    )
