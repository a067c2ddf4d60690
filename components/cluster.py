"""The Sovereign's cluster: the provider, Harbor's namespace, the sealing certificate."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.adopted import Adopted
from components.context import Context
from components.kubernetes import naming
from components.sealing.crypto import SealingError, load_certificate
from components.settings.cluster import ClusterSettings
from components.settings.model import Settings
from components.settings.sealing import SealingSettings
from components.stack_config import StackConfig
from components.unknown import unknown


def provider(settings: ClusterSettings) -> k8s.Provider:
    """The one provider of this stack.

    It reads the kubeconfig from $KUBECONFIG or ~/.kube/config, so that neither its path nor a
    credential enters the state. With an identifier of the cluster a changed kubeconfig does not
    replace every resource (pulumi-kubernetes #4019).
    """
    return k8s.Provider(
        "cluster",
        context=settings.context,
        cluster_identifier=settings.name or settings.context,
        enable_server_side_apply=True,
    )


def create(config: StackConfig, adopted: Adopted) -> Context:
    """The context that every component of this Sovereign is given.

    Raises RunError, see sealing_certificate.
    """
    settings = config.settings
    options = pulumi.ResourceOptions(provider=provider(settings.cluster))
    return Context(
        registry=settings.registry_address,
        kube_context=settings.cluster.context,
        namespace=_harbor_namespace(settings, adopted, options),
        certificate=sealing_certificate(settings.sealing, settings.cluster),
        unseal_seconds=settings.sealing.timeout_seconds,
        protect=settings.protect,
        retain=settings.retain_data,
        options=options,
    )


def _harbor_namespace(
    settings: Settings, adopted: Adopted, options: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Harbor's namespace. It counts as data: its deletion would delete claims and database."""
    namespace = k8s.core.v1.Namespace(
        "namespace",
        metadata={
            "name": settings.harbor.namespace,
            "annotations": naming.adopting(adopted.namespace),
            "labels": {
                **naming.labels(settings.fqdn, "namespace"),
                "pod-security.kubernetes.io/enforce": "baseline",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
        opts=pulumi.ResourceOptions.merge(
            options,
            pulumi.ResourceOptions(
                protect=settings.protect,
                retain_on_delete=settings.retain_data,
                import_=adopted.namespace,
            ),
        ),
    )
    return namespace.metadata.apply(lambda metadata: str(metadata.name))


def sealing_certificate(settings: SealingSettings, cluster: ClusterSettings) -> pulumi.Output[str]:
    """PEM of the certificate to seal with: the pinned one, or the controller's.

    Raises RunError if it is malformed or expired, or if an update cannot fetch it.
    """
    if settings.certificate is None:
        return _fetched_certificate(settings, cluster)
    pem = settings.certificate
    if settings.certificate_is_path:
        try:
            pem = Path(settings.certificate).read_text()
        except OSError as error:
            raise _refused(settings.certificate, error.strerror or "unreadable") from None
    try:
        load_certificate(pem)
    except SealingError as error:
        raise _refused(settings.certificate.splitlines()[0], str(error)) from None
    return pulumi.Output.from_input(pem)


def _refused(value: str, reason: str) -> pulumi.RunError:
    return pulumi.RunError(
        f"sovereign-harbor:sealing.certificate = {value!r}: {reason}\n"
        "  allowed: a PEM certificate of the sealed-secrets controller's key, or a path to one\n"
        "  fix:     kubeseal --fetch-cert > sealing.pem && pulumi config set --path "
        f"'sealing.certificate' sealing.pem -s {pulumi.get_stack()}"
    )


def _fetched_certificate(settings: SealingSettings, cluster: ClusterSettings) -> pulumi.Output[str]:
    from components.kubernetes.client import ClusterClient, ClusterUnreachable, fetch_certificate

    try:
        pem = fetch_certificate(
            ClusterClient(cluster.context),
            namespace=settings.controller_namespace,
            name=settings.controller_name,
        )
        load_certificate(pem)
    except (ClusterUnreachable, SealingError) as error:
        if pulumi.runtime.is_dry_run():
            pulumi.log.warn(
                f"no sealing certificate: {error}. The preview goes on with an unknown one; to "
                "preview without the cluster pin it: kubeseal --fetch-cert > sealing.pem && "
                "pulumi config set --path 'sealing.certificate' sealing.pem "
                f"-s {pulumi.get_stack()}"
            )
            return unknown()
        raise _refused("(fetched from the controller)", str(error)) from None
    return pulumi.Output.from_input(pem)
