"""Alerts on the registry's storage, by the answers of registry and core. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.kubernetes.quantities import bytes_of
from components.monitoring.alert import Alert, Example, events
from components.settings.model import Settings


def alerts(settings: Settings) -> Iterator[Alert]:
    namespace, thresholds = settings.harbor.namespace, settings.monitoring.thresholds
    percent = thresholds.server_error_percent

    def answered(code: str) -> str:
        return (
            f'registry_http_requests_total{{namespace="{namespace}", code="{code}", method="get", '
            'handler="blob"}'
        )

    errors = f'registry_http_requests_total{{namespace="{namespace}", code=~"5.."}}'
    everything = f'registry_http_requests_total{{namespace="{namespace}"}}'
    count = f"sum by (namespace) ({events(errors, '15m')})"
    yield Alert(
        name="HarborStorageErrors",
        source="harbor",
        severity="critical",
        # The registry counts no errors of the bucket, and its health check does not ask the bucket:
        # an error of the bucket is an answer 5xx of the registry (distribution v2.8.3).
        expr=f"100 * {count} / sum by (namespace) ({events(everything, '15m')}) > {percent} and "
        f"{count} >= 5",
        for_="5m",
        summary="The registry cannot read or write its storage",
        description="{{ $value | humanize }} % of the registry's answers in 15 minutes were errors "
        f"of the server, more than {percent} %.",
        runbook="storage-errors",
        fires=Example(
            series={answered("200"): "0+3x60", answered("500"): "_x10 1+1x50"},
            at="40m",
            labels={"namespace": namespace},
            says=f"25 % of the registry's answers in 15 minutes were errors of the server, more "
            f"than {percent} %.",
        ),
        quiet=Example(
            # Four errors among few requests are many percent, and still few.
            series={
                answered("200"): "0+1x60",
                answered("500"): "_x10 4x50",
                answered("404"): "0+50x60",
            },
            at="20m",
        ),
    )

    def request(code: str) -> str:
        return (
            f'harbor_core_http_request_total{{namespace="{namespace}", method="GET", '
            f'code="{code}", operation="v2_manifest"}}'
        )

    served = f'harbor_core_http_request_total{{namespace="{namespace}", operation=~"v2_.+"'
    refused = f'{served}, code=~"5.."}}'
    count = f"sum by (namespace) ({events(refused, '15m')})"
    yield Alert(
        name="HarborRequestsFail",
        source="harbor",
        severity="critical",
        expr=f"100 * {count} / sum by (namespace) ({events(served + '}', '15m')}) > {percent} "
        f"and {count} >= 5",
        for_="5m",
        summary="Pushes and pulls fail",
        description="{{ $value | humanize }} % of the pushes' and pulls' requests in 15 minutes "
        f"were answered with an error of the server, more than {percent} %.",
        runbook="storage-errors",
        fires=Example(
            series={request("200"): "0+3x60", request("502"): "_x10 1+1x50"},
            at="40m",
            labels={"namespace": namespace},
            says="25 % of the pushes' and pulls' requests in 15 minutes were answered with an "
            f"error of the server, more than {percent} %.",
        ),
        quiet=Example(
            series={
                request("200"): "0+100x60",
                request("401"): "0+100x60",
                request("500"): "0+1x60",
                request("500").replace("v2_manifest", "ListProjects"): "0+900x60",
            },
            at="40m",
        ),
    )
    if thresholds.bucket_size is not None:
        limit, percent = bytes_of(thresholds.bucket_size), thresholds.bucket_percent
        size = f'harbor_statistics_total_storage_consumption{{namespace="{namespace}"}}'
        yield Alert(
            name="HarborImagesNearBucketLimit",
            source="harbor",
            severity="warning",
            expr=f"100 * max by (namespace) ({size}) / {limit} > {percent}",
            for_="1h",
            summary="Harbor's images nearly fill the bucket",
            description="By Harbor's own count its images are {{ $value | humanize }} % of "
            f"{thresholds.bucket_size}, more than {percent} %. Old versions in the bucket come on "
            "top.",
            runbook="bucket-full",
            fires=Example(
                series={size: f"{limit * 97 // 100}x100"},
                at="90m",
                labels={"namespace": namespace},
                says=f"By Harbor's own count its images are 97 % of {thresholds.bucket_size}, "
                f"more than {percent} %. Old versions in the bucket come on top.",
            ),
            quiet=Example(series={size: f"{limit // 20}x100"}, at="90m"),
        )
