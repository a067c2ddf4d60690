"""The one error of everything that is asked of the cluster."""

from __future__ import annotations


class ClusterUnreachable(Exception):
    """The kubeconfig cannot be used, or the API server does not answer, or refuses.

    `status`: the HTTP status of the refusal; None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
