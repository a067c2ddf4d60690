"""The section `sealing`: how Secrets are sealed for the cluster. Pure."""

from typing import Annotated

from components.settings.schema.rules import (
    CERTIFICATE,
    DNS_LABEL,
    FINGERPRINT,
    OBJECT_NAME,
    Section,
    is_path_of_certificate,
    whole_number,
)


class SealingSettings(Section):
    """How Secrets are sealed for the cluster."""

    certificate: Annotated[str, CERTIFICATE] | None = None
    """The controller's public certificate, pinned: PEM or a path relative to the project.
    Fetched from the controller when unset."""
    accepted_fingerprint: Annotated[str, FINGERPRINT] | None = None
    """SHA-256 of a certificate that may take the place of the one before, where none is pinned.
    The controller makes a new key every 30 days."""
    controller_namespace: Annotated[str, DNS_LABEL] = "kube-system"
    """Namespace of the sealed-secrets controller."""
    controller_name: Annotated[str, OBJECT_NAME] = "sealed-secrets-controller"
    """Name of the controller's Service."""
    timeout_seconds: Annotated[int, whole_number(5, 900, example=120)] = 120
    """Seconds that the program waits for the controller to unseal a Secret."""

    @property
    def certificate_is_path(self) -> bool:
        """Whether `certificate` names a file rather than holding PEM text."""
        return self.certificate is not None and is_path_of_certificate(self.certificate)
