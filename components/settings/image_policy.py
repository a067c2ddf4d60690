"""The section `imagePolicy`: whose images may run in the cluster. Pure."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import model_validator

from components.settings.database import DatabaseSettings, SecretRef, SharedDatabase, StoreRef
from components.settings.exclusions import ESTATE, needed_for_harbor
from components.settings.registry.names import project_problem
from components.settings.schema.rules import DNS_LABEL, PORT_NUMBER, Section, SettingRule, refuse
from components.settings.signatures import SignaturesSettings
from components.settings.unchanged_pods import UnchangedPodsSettings
from components.settings.valkey import SharedValkey, ValkeySettings

_HOST = r"(?=[^/]*[.:]|localhost)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_PORT = rf"(:{PORT_NUMBER})?"
_PATH = r"([a-z0-9]+([._-]+[a-z0-9]+)*/)*"


def _prefix(prefix: str) -> str | None:
    if "://" in prefix:
        return "images are named without a scheme"
    if "*" in prefix:
        return "a prefix, not a pattern: every image that begins with it is allowed"
    if not prefix.endswith("/"):
        return "with the slash: without it, images of longer host names begin with it too"
    if re.fullmatch(f"{_HOST}{_PORT}/{_PATH}", prefix):
        return None
    if re.fullmatch(_PATH, prefix):
        return "this names no registry; such images are Docker Hub's"
    return ""


def _prefixes(text: str) -> Iterator[str]:
    bare = re.sub(r"^[a-z]+://", "", text.lower()).rstrip("*/")
    yield f"{bare}/"


PREFIX = SettingRule(
    allowed="a lower-case registry host, or a host and a path, that ends with a slash",
    example="<registry>/",
    check=_prefix,
    suggest=_prefixes,
)


def _proxied(projects: dict[str, str]) -> str | None:
    for host, project in projects.items():
        if re.fullmatch(_HOST + _PORT, host) is None:
            return f"{host!r} is not the host of a registry"
        if project_problem(project) is not None:
            return f"{project[:99]!r} is not the name of a Harbor project"
    return None if projects else "without any, nothing is rewritten: set rewrite.enabled to false"


class RewriteSettings(Section):
    """Pull images of other registries through Harbor's proxy caches."""

    enabled: bool = False
    """Rewrite the images of new pods. registry.proxyCaches are what they are pulled through."""
    projects: (
        Annotated[
            dict[str, str],
            SettingRule(
                allowed="an object of upstream registry host to Harbor project",
                example="<project>",
                check=_proxied,
            ),
        ]
        | None
    ) = None
    """Upstream registry → Harbor project that caches it. Unset: those of registry.proxyCaches; the
    estate's names where registry.enabled is false."""


Namespace = Annotated[str, DNS_LABEL]


class ImagePolicySettings(Section):
    """Whose images may run in the cluster; needs Kyverno 1.18 or later."""

    enabled: bool = True
    """Apply the policies; false where no Kyverno runs."""
    kind: Literal["ValidatingPolicy", "ClusterPolicy"] = "ValidatingPolicy"
    """Kyverno's kind; ClusterPolicy for a Kyverno that serves no ValidatingPolicy v1."""
    enforcement: Literal["Audit", "Enforce"] = "Audit"
    """Report images from elsewhere, or refuse them."""
    extra_prefixes: tuple[Annotated[str, PREFIX], ...] = ()
    """What names of images may begin with, besides the registry's own host."""
    excluded_namespaces: tuple[Namespace, ...] | None = None
    """Namespaces where any image may run. Replaces the default: the namespaces that Harbor needs to
    start (components/settings/exclusions.py), as far as they exist."""
    extra_excluded_namespaces: tuple[Namespace, ...] = ()
    """Namespaces where any image may run, in addition to excludedNamespaces; whether they exist or
    not."""
    accept_refusals: bool = False
    """Enforce although Audit's reports say that something that runs would be refused."""
    rewrite: RewriteSettings = RewriteSettings()
    """Pull images of other registries through Harbor's proxy caches."""
    unchanged_pods: UnchangedPodsSettings = UnchangedPodsSettings()
    """Pods whose images are neither rewritten nor pinned."""
    signatures: SignaturesSettings | None = None
    """Verify images of our own projects with our Cosign key. No image is verified when unset."""

    @model_validator(mode="after")
    def _signatures_bind(self) -> Self:
        if self.signatures is None:
            return self
        if self.signatures.action == "Enforce" and self.enforcement != "Enforce":
            refuse(
                "Enforce only beside imagePolicy.enforcement Enforce: until then whoever names "
                "another registry, or this one with a port, needs no signature",
                at=("signatures", "action"),
                example="Audit",
            )
        if self.signatures.failure_policy == "Fail" and self.kind == "ClusterPolicy":
            refuse(
                "Ignore with kind ClusterPolicy, which cannot keep the API server from asking "
                "about Harbor's own pods: with Fail they could not start while Kyverno is down",
                at=("signatures", "failurePolicy"),
                example="Ignore",
            )
        return self

    def exclusions(
        self, needed: dict[str, str], existing: frozenset[str] | None = None
    ) -> tuple[str, ...]:
        """All excluded namespaces, sorted; `needed` is part of the default.

        `existing`: of the default, only these are left out, since whoever creates a namespace that
        is left out may run any image in it. None: all of them.
        """
        default = [name for name in (*needed, *ESTATE) if existing is None or name in existing]
        chosen = default if self.excluded_namespaces is None else self.excluded_namespaces
        return tuple(sorted({*chosen, *self.extra_excluded_namespaces}))

    @property
    def listed_exclusions(self) -> tuple[str, ...]:
        """Namespaces that the stack's file itself excludes."""
        return (*(self.excluded_namespaces or ()), *self.extra_excluded_namespaces)


def namespaces_harbor_needs(
    harbor: str, sealing: str, database: DatabaseSettings, valkey: ValkeySettings
) -> dict[str, str]:
    """Namespace → why Harbor cannot start again while its pods are refused."""
    is_shared = isinstance(database, SharedDatabase)
    return needed_for_harbor(
        harbor=harbor,
        sealing=sealing,
        database=_namespace_of(database.secret) if is_shared else None,
        cache=_namespace_of(valkey.secret) if isinstance(valkey, SharedValkey) else None,
    )


def _namespace_of(password: SecretRef | StoreRef) -> str | None:
    """Where a shared service's Secret is, and so the service; a store says nothing of that."""
    return password.namespace if isinstance(password, SecretRef) else None
