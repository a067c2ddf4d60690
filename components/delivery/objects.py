"""The objects of the External Secrets Operator. Pure.

API versions, defaults and behaviour: external-secrets v2.9 (apis/externalsecrets/v1 and v1alpha1,
pkg/controllers/externalsecret and pushsecret). PushSecret is served as v1alpha1 alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.sealing.opened import REVISION_ANNOTATION
from components.settings.secrets import StoreSettings

EXTERNAL_API: Final = "external-secrets.io/v1"
PUSH_API: Final = "external-secrets.io/v1alpha1"

OWNER_KEY: Final = "sovereign-harbor-owner"
"""Property of each key that this program writes into a store: the registry's host. By it a store
tells one Sovereign's keys from another's."""

URL_QUOTED: Final = '{{ .password | urlquery | replace "+" "%20" }}'
"""The remote value `password` as a part of a URL. Go's urlquery writes a space as '+', which
outside a query is a plus; a plus itself it writes as %2B."""
PASSWORD: Final = "{{ .password }}"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A value in the store: a property of a key, or the whole key where `part` is None."""

    key: str
    part: str | None = None

    def __str__(self) -> str:
        return self.key if self.part is None else f"{self.key}, property {self.part}"


def source_name(name: str) -> str:
    """Name of the Secret from which the value of Secret `name` is pushed."""
    return f"{name}-pushed"


def proof_name(name: str) -> str:
    """Name of the ExternalSecret, for moments, that shows what a store has under a key."""
    return f"{name}-in-store"


def remote_key(prefix: str, name: str, *, namespace: str | None = None) -> str:
    """The key of a Secret in the store; `namespace`: None for Harbor's own.

    With '--' between the two: neither begins or ends with '-', and all kinds of stores take it.
    """
    return f"{prefix}{name}" if namespace is None else f"{prefix}{namespace}--{name}"


def literal(text: str) -> str:
    """A text that a template of the operator writes as it is."""
    return text.replace("{{", '{{ "{{" }}')


def external_secret_spec(
    store: StoreSettings,
    *,
    remotes: Mapping[str, Remote],
    refresh_interval: str,
    kind: str,
    labels: Mapping[str, str],
    revision: Any = None,
    template: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`spec` of an ExternalSecret whose Secret has its name and is of type `kind`.

    `remotes`: by key of the Secret, or by name in `template`: key of the Secret → Go template.
    `revision`: an annotation of the Secret, which the operator writes together with the data.
    """
    annotations = {} if revision is None else {REVISION_ANNOTATION: revision}
    return {
        "refreshInterval": refresh_interval,
        "secretStoreRef": {"kind": store.kind, "name": store.name},
        "target": {
            "creationPolicy": "Owner",
            "deletionPolicy": "Retain",
            "template": {
                "engineVersion": "v2",
                "type": kind,
                "metadata": {"labels": dict(labels), "annotations": annotations},
                **({} if template is None else {"data": dict(template)}),
            },
        },
        "data": [
            {"secretKey": key, "remoteRef": _remote_ref(remote)}
            for key, remote in sorted(remotes.items())
        ],
    }


def _remote_ref(remote: Remote) -> dict[str, str]:
    part = {} if remote.part is None else {"property": remote.part}
    return {"key": remote.key, **part}


def push_secret_spec(
    store: StoreSettings, *, source: Any, key: Any, keys: Iterable[str], refresh_interval: str
) -> dict[str, Any]:
    """`spec` of a PushSecret: the `keys` of Secret `source` as properties of `key`.

    What was written stays in the store when the PushSecret goes, as a kept database needs it.
    """
    return {
        "refreshInterval": refresh_interval,
        "secretStoreRefs": [{"kind": store.kind, "name": store.name}],
        "updatePolicy": "Replace",
        "deletionPolicy": "None",
        "selector": {"secret": {"name": source}},
        "data": [
            {"match": {"secretKey": each, "remoteRef": {"remoteKey": key, "property": each}}}
            for each in sorted({*keys, OWNER_KEY})
        ],
    }


def proof_manifest(
    namespace: str, name: str, *, store: Mapping[str, Any], key: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """An ExternalSecret with all that the store has under `key`.

    Under deletionPolicy Delete a key that is missing is no error: the operator is Ready and makes
    no Secret. An interval of 0 looks once.
    """
    return {
        "apiVersion": EXTERNAL_API,
        "kind": "ExternalSecret",
        "metadata": {"namespace": namespace, "name": name, "labels": dict(labels)},
        "spec": {
            "refreshInterval": "0s",
            "secretStoreRef": dict(store),
            "target": {"creationPolicy": "Owner", "deletionPolicy": "Delete"},
            "dataFrom": [{"extract": {"key": key}}],
        },
    }
