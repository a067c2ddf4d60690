"""Objects of Kubernetes' own kinds, as plain manifests.

`pulumi_kubernetes` has a class for each kind. To import `core.v1` alone Python evaluates the types
of 17,000 properties: 0.3 s of processor time, a quarter of all that the program takes in a run
without changes. Resource types, inputs and so the state are the same as with those classes. The API
server checks the fields (server-side apply is strict).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any, Final

import pulumi

_VERSION: Final = importlib.metadata.version("pulumi-kubernetes")
"""Of the provider's plugin: the SDK's classes ask for their own version."""


class KubernetesObject(pulumi.CustomResource):
    """One object, e.g. KubernetesObject("x", "apps/v1", "StatefulSet", metadata=…, spec=…)."""

    def __init__(
        self,
        name: str,
        api_version: str,
        kind: str,
        *,
        opts: pulumi.ResourceOptions,
        is_patch: bool = False,
        **fields: Any,
    ) -> None:
        """`fields`: what the manifest has besides apiVersion and kind, with the API's own names.

        `is_patch`: other owners have fields in the object, and this resource only some.
        """
        group = api_version if "/" in api_version else f"core/{api_version}"
        super().__init__(
            f"kubernetes:{group}:{kind}{'Patch' if is_patch else ''}",
            name,
            {"apiVersion": api_version, "kind": kind, **fields},
            pulumi.ResourceOptions.merge(pulumi.ResourceOptions(version=_VERSION), opts),
        )
