"""The Sovereign's cluster: the provider, Harbor's namespace, the sealing certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from components.adopted import Adopted
from components.context import Context
from components.kubernetes import naming
from components.kubernetes.objects import KubernetesObject
from components.ordering import after
from components.ownership.state_mark import StateMark
from components.sealing.crypto import SealingError, certificate_text, load_certificate
from components.sealing.trust import SealingTrust
from components.settings.cluster import ClusterSettings
from components.settings.database import DedicatedDatabase
from components.settings.model import Settings
from components.settings.sealing import SealingSettings
from components.settings.secrets import ExternalDelivery
from components.stack_config import StackConfig
from components.unknown import unknown


def provider(settings: ClusterSettings) -> k8s.Provider:
    """The one provider of this stack.

    It reads the kubeconfig from $KUBECONFIG or ~/.kube/config in each operation, so that neither
    its path nor a credential enters the state. `cluster` is kept in the state instead: refresh and
    destroy, which do not run this program, reach the cluster entry of that name or none. With an
    identifier of the cluster a changed kubeconfig does not replace every resource
    (pulumi-kubernetes #4019).
    """
    return k8s.Provider(
        "cluster",
        context=settings.context,
        cluster=settings.name,
        cluster_identifier=settings.name or settings.context,
        enable_server_side_apply=True,
        opts=pulumi.ResourceOptions(transformations=[_without_the_environment]),
    )


_PROVIDER_INPUTS: Final = {"context", "cluster", "cluster_identifier", "enable_server_side_apply"}


def _without_the_environment(
    args: pulumi.ResourceTransformationArgs,
) -> pulumi.ResourceTransformationResult:
    """Drops the inputs that the SDK takes from the environment where they are not given.

    They would stay in the state: the path of this run's KUBECONFIG, which another machine does not
    have, or PULUMI_K8S_DELETE_UNREACHABLE, with which a later refresh without cluster would empty
    the state. The provider reads the same variables itself, in the run that sets them.
    """
    return pulumi.ResourceTransformationResult(
        props={key: args.props[key] for key in args.props if key in _PROVIDER_INPUTS},
        opts=args.opts,
    )


def create(config: StackConfig, adopted: Adopted) -> Context:
    """The context that every component of this Sovereign is given.

    Raises RunError, see sealing_certificate.
    """
    settings = config.settings
    adopting = adopts_sovereign(settings)
    mark = StateMark(
        "state-mark",
        namespace=settings.harbor.namespace,
        adopting=adopting,
        restores=settings.restore_source is not None,
    )
    after_mark = pulumi.ResourceOptions(depends_on=[mark])
    external = settings.secrets if isinstance(settings.secrets, ExternalDelivery) else None
    trust = None if external is not None else _trust(settings, after_mark)
    # Whatever this stack makes depends on these, so that their refusals come before it.
    options = pulumi.ResourceOptions(
        provider=provider(settings.cluster), depends_on=[mark, *filter(None, [trust])]
    )
    return Context(
        registry=settings.registry_address,
        kube_context=settings.cluster.context,
        namespace=_harbor_namespace(settings, adopted, options),
        certificate="" if trust is None else trust.certificate,
        adopting=adopting,
        mark=mark.mark,
        unseal_seconds=settings.sealing.timeout_seconds,
        protect=settings.protect,
        retain=settings.retain_data,
        options=options,
        secret_labels=_secret_labels(settings),
        external=external,
    )


def _secret_labels(settings: Settings) -> Mapping[str, str]:
    """Velero leaves out Secrets that another object of its backup makes: their SealedSecrets, or
    ExternalSecrets."""
    backup = settings.backup
    return naming.VELERO_EXCLUDES if backup is not None and backup.velero.enabled else {}


def _harbor_namespace(
    settings: Settings, adopted: Adopted, options: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Harbor's namespace. It counts as data: its deletion would delete claims and database.

    One that is shared is somebody else's: no resource of this stack (docs/decisions/0021).
    """
    if settings.harbor.shared_namespace:
        return pulumi.Output.from_input(settings.harbor.namespace)
    namespace = KubernetesObject(
        "namespace",
        "v1",
        "Namespace",
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
    return after(namespace.id, settings.harbor.namespace)


def adopts_sovereign(settings: Settings) -> bool:
    """Whether the settings adopt the Harbor and the database that live in the namespace."""
    database = settings.database
    return settings.harbor.adopt and not (
        isinstance(database, DedicatedDatabase) and not database.adopt
    )


def _trust(settings: Settings, options: pulumi.ResourceOptions) -> SealingTrust:
    section = settings.sealing
    return SealingTrust(
        "sealing-trust",
        certificate=sealing_certificate(section, settings.cluster),
        pinned=section.certificate is not None,
        accepted=section.accepted_fingerprint,
        controller_namespace=section.controller_namespace,
        opts=options,
    )


def sealing_certificate(settings: SealingSettings, cluster: ClusterSettings) -> pulumi.Output[str]:
    """PEM of the certificate to seal with: the pinned one, or the controller's.

    Raises RunError if it is malformed or expired, or if an update cannot fetch it.
    """
    if settings.certificate is None:
        return _fetched_certificate(settings, cluster)
    pem = settings.certificate
    if settings.certificate_is_path:
        try:
            content = Path(settings.certificate).read_bytes()
            pem = certificate_text(content, settings.certificate)
        except SealingError as error:
            raise _refused(settings.certificate, str(error)) from None
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
    from components.kubernetes.client import ClusterClient, fetch_certificate
    from components.kubernetes.unreachable import ClusterUnreachable

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
