"""Projects, proxy caches among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from components.registry.api import segment
from components.registry.errors import HarborError, Refused
from components.registry.kinds import checks, retention
from components.registry.kinds.base import Field, Kind, Session, Tree, rows
from components.registry.kinds.endpoint import endpoint_id

LARGEST_QUOTA: Final = 1024 * 1024**4
"""Bytes: Harbor refuses more than 1024 TB."""

_FLAGS: Final = {
    "public": "public",
    "scanOnPush": "auto_scan",
    "sbomOnPush": "auto_sbom_generation",
    "requireCosign": "enable_content_trust_cosign",
    "serveStale": "proxy_cache_local_on_not_found",
}
"""Input → key of Harbor's metadata, which are texts: "true" and "false"."""

_NUMBERS: Final = {"speedLimit": "proxy_speed_kb", "maxConnections": "max_upstream_conn"}
"""As above, of proxy caches only; Harbor drops them from other projects."""

_NO_LIST: Final[Tree] = {"items": [], "expires": None, "useSystem": False}


def _allowlist(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    allowlist = cast("Tree", value)
    return {**_NO_LIST, **allowlist, "items": sorted(rows(allowlist["items"]))}


def _is_allowlist(value: Any) -> str | None:
    allowlist = cast("Tree", value) if isinstance(value, dict) else {}
    # Pulumi leaves an `expires` of null out on the way here.
    if {"expires", *allowlist} != _NO_LIST.keys():
        return "has to be an object of items, expires and useSystem"
    items = rows(allowlist["items"])
    if (why := checks.texts(allowlist["items"])) is not None:
        return f"items {why}"
    # Harbor answers 500 to both.
    if len(set(items)) != len(items) or "" in items:
        return "items must not have an empty or a repeated entry"
    return None


def _quota(value: Any) -> str | None:
    ok = isinstance(value, int) and (value == -1 or 1 <= value <= LARGEST_QUOTA)
    return None if ok else f"has to be -1 (unlimited) or 1 to {LARGEST_QUOTA} bytes, not {value!r}"


class Project(Kind):
    """`expires` of the allowlist is in seconds since 1970, None for never. `serveStale` needs
    Harbor 2.15 and is left as it is unless given."""

    name = "Project"
    noun = "project"
    fields: ClassVar = {
        "name": Field(required=True, replaces=True, check=checks.harbor_name),
        "public": Field(default=False, of_harbor=False, check=checks.boolean),
        "scanOnPush": Field(default=False, of_harbor=False, check=checks.boolean),
        "sbomOnPush": Field(default=False, of_harbor=False, check=checks.boolean),
        "blockSeverity": Field(
            default="", of_harbor="", check=checks.one_of("", "low", "medium", "high", "critical")
        ),
        "requireCosign": Field(default=False, of_harbor=False, check=checks.boolean),
        "quota": Field(default=-1, of_harbor=-1, check=_quota),
        "allowlist": Field(of_harbor=_NO_LIST, normal=_allowlist, check=_is_allowlist),
        "endpoint": Field(
            default="",
            check=checks.text,
            fixed="Harbor never changes it: give the cache another name, or remove it from the "
            "stack's file for one `up`, with its name in registry.deleteContents",
        ),
        "speedLimit": Field(default=-1, of_harbor=-1, check=checks.whole(-1, 2**31 - 1)),
        "maxConnections": Field(default=-1, of_harbor=-1, check=checks.whole(-1, 2**31 - 1)),
        "serveStale": Field(of_harbor=False, check=checks.boolean),
    }

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        del known
        return session.harbor.project(str(inputs["name"]))

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del known
        metadata: Tree = stored.get("metadata") or {}
        listed: Tree = stored.get("cve_allowlist") or {}
        blocks = _flag(metadata.get("prevent_vul"))
        quota = self._quota_of(session, stored)
        return {
            "name": stored["name"],
            **{name: _flag(metadata.get(key)) for name, key in _FLAGS.items()},
            "blockSeverity": str(metadata.get("severity") or "").lower() if blocks else "",
            "quota": -1 if quota is None else quota["hard"]["storage"],
            "allowlist": {
                "items": sorted(item["cve_id"] for item in rows(listed.get("items"))),
                "expires": listed.get("expires_at"),
                "useSystem": _flag(metadata.get("reuse_sys_cve_allowlist")),
            },
            "endpoint": self._endpoint_of(session, stored),
            **{name: _number(metadata.get(key)) for name, key in _NUMBERS.items()},
            "harborId": stored["project_id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        body: Tree = {
            "project_name": inputs["name"],
            "metadata": self._metadata(inputs, self.fields),
            "storage_limit": inputs["quota"],
        }
        if inputs["endpoint"]:
            number = endpoint_id(session.harbor, inputs["endpoint"])
            if number is None:
                # Harbor answers 500 to a number that it does not know.
                raise Refused(
                    f"project {inputs['name']}: Harbor has no endpoint {inputs['endpoint']}"
                )
            body["registry_id"] = number
        return dict(
            session.harbor.created("/projects", body, lambda: self.find(session, inputs, {}))
        )

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        harbor, name = session.harbor, str(stored["name"])
        if "endpoint" in changed:
            raise Refused(
                f"project {name} is {self._kind_of(session, stored)} in Harbor, and "
                f"{_as_kind(inputs['endpoint'])} in the stack's file. Harbor never changes that: "
                "give it another name, or delete the project in Harbor"
            )
        body: Tree = {"metadata": self._metadata(inputs, changed)}
        if "allowlist" in changed:
            allowlist = inputs["allowlist"]
            body["cve_allowlist"] = {"items": [{"cve_id": cve} for cve in allowlist["items"]]}
            if allowlist.get("expires") is not None:
                body["cve_allowlist"]["expires_at"] = allowlist["expires"]
        if body["metadata"] or "cve_allowlist" in body:
            harbor.put(f"/projects/{segment(name)}", body)
        if "quota" in changed:
            # `storage_limit` in PUT of a project is ignored with 200.
            quota = self._quota_of(session, stored)
            if quota is None:
                raise Refused(
                    f"project {name}: it has no quota, since Harbor had quotas switched off when "
                    "it was made (quota_per_project_enable)"
                )
            harbor.put(f"/quotas/{quota['id']}", {"hard": {"storage": inputs["quota"]}})

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        """Deletes a project that holds nothing, or that `deleteContents` names; others stay."""
        del known
        harbor, name = session.harbor, str(stored["name"])
        path = f"/projects/{segment(name)}"
        retention.refuse_what_ends_core(retention.stored_retention(harbor, name))
        if name in session.delete_contents:
            # Immutable tags cannot be deleted.
            for rule in harbor.listed(f"{path}/immutabletagrules"):
                harbor.delete(f"{path}/immutabletagrules/{rule['id']}")
            for repository in harbor.listed(f"{path}/repositories"):
                # Slashes of the repository are quoted twice: the router decodes once.
                inner = str(repository["name"]).removeprefix(f"{name}/")
                harbor.delete(f"{path}/repositories/{segment(segment(inner))}")
        try:
            harbor.delete(path)
        except HarborError as error:
            # The project contains repositories.
            if error.status != 412:
                raise
        else:
            harbor.forget_project(name)
            return
        session.warn(
            f"project {name} stays in Harbor, with its repositories and all else in it but the "
            "robots that were declared: it is no longer managed. To delete it with its images, "
            "declare it again for one `up`; then take it out and write "
            f"`registry.deleteContents: [{name}]` at once"
        )

    def _metadata(self, inputs: Tree, changed: Any) -> Tree:
        """The keys of Harbor's metadata for the changed fields. All its values are texts."""
        metadata = {
            key: _text(inputs[name])
            for name, key in _FLAGS.items()
            if name in changed and inputs[name] is not None
        }
        if "blockSeverity" in changed:
            severity = inputs["blockSeverity"]
            # "none" would block everything that was not scanned: off is a switch of its own.
            metadata["prevent_vul"] = _text(bool(severity))
            if severity:
                metadata["severity"] = severity
        if "allowlist" in changed and inputs["allowlist"] is not None:
            metadata["reuse_sys_cve_allowlist"] = _text(inputs["allowlist"]["useSystem"])
        if inputs["endpoint"]:
            metadata |= {
                key: str(inputs[name]) for name, key in _NUMBERS.items() if name in changed
            }
        return metadata

    def _quota_of(self, session: Session, stored: Tree) -> Tree | None:
        asked = {"reference": "project", "reference_id": stored["project_id"]}
        quotas = session.harbor.listed("/quotas", asked)
        return quotas[0] if quotas else None

    def _endpoint_of(self, session: Session, stored: Tree) -> str:
        number = stored.get("registry_id")
        if not number:
            return ""
        row = session.harbor.get(f"/registries/{number}")
        return f"number {number}" if row is None else str(row["name"])

    def _kind_of(self, session: Session, stored: Tree) -> str:
        return _as_kind(self._endpoint_of(session, stored))

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        if shown["endpoint"] != inputs["endpoint"]:
            raise Refused(
                f"project {inputs['name']} exists in Harbor as {_as_kind(shown['endpoint'])}, and "
                f"is declared as {_as_kind(inputs['endpoint'])}. Harbor never changes that: give "
                "it another name, or delete the project in Harbor"
            )
        return super().foreign(session, stored, shown, inputs)


def _as_kind(endpoint: str) -> str:
    return f"a proxy cache of endpoint {endpoint}" if endpoint else "a project of its own"


def _flag(text: Any) -> Any:
    """A text of the metadata as a boolean; one that is neither as it is, so that it differs."""
    return {"true": True, "false": False, None: False, "": False}.get(text, text)


def _number(text: Any) -> Any:
    try:
        return -1 if text in (None, "") else int(text)
    except ValueError:
        return text


def _text(value: bool) -> str:
    return "true" if value else "false"
