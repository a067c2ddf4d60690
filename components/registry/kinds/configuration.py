"""Settings of Harbor as a whole: its /configurations, in three parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

from components import parsed
from components.registry.errors import HarborError, LoginRefused, Refused
from components.registry.kinds import checks
from components.registry.kinds.base import UNKNOWN, Field, Kind, Session, Tree

_PATH: Final = "/configurations"

SECRETS: Final = ("oidc_client_secret",)
"""Items that Harbor never shows."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "audit_log_forward_endpoint": "",
    "auth_mode": "db_auth",
    "banner_message": "",
    "disabled_audit_log_event_types": "",
    "notification_enable": True,
    "oidc_admin_group": "",
    "oidc_auto_onboard": False,
    "oidc_client_id": "",
    "oidc_endpoint": "",
    "oidc_extra_redirect_parms": "{}",
    "oidc_group_filter": "",
    "oidc_groups_claim": "",
    "oidc_logout": False,
    "oidc_name": "",
    "oidc_scope": "",
    "oidc_user_claim": "",
    "oidc_verify_cert": True,
    "primary_auth_mode": False,
    "project_creation_restriction": "everyone",
    "quota_per_project_enable": True,
    "read_only": False,
    "robot_name_prefix": "robot$",
    "robot_token_duration": 30,
    "scanner_skip_update_pulltime": False,
    "self_registration": False,
    "session_timeout": 60,
    "skip_audit_log_database": False,
    "storage_per_project": -1,
    "token_expiration": 30,
}
"""What a new Harbor has (recorded on v2.14.3)."""

_JSON: Final = ("banner_message", "oidc_extra_redirect_parms")
"""Items that are JSON in a text."""

_AUDIT: Final = "audit_log_forward_endpoint"


def part_of(item: str) -> str:
    """The part to which an item of Harbor's belongs: system, login or readOnly."""
    if item == "read_only":
        return "readOnly"
    is_login = item in ("auth_mode", "primary_auth_mode") or item.startswith(
        ("oidc_", "ldap_", "uaa_", "http_authproxy_")
    )
    return "login" if is_login else "system"


def _values(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {item: _value(item, of) for item, of in cast("Tree", value).items()}


def _value(item: str, value: Any) -> Any:
    if item in _JSON and isinstance(value, str) and value:
        with suppress(ValueError):
            return parsed.json_of(value)
    if item == "disabled_audit_log_event_types" and isinstance(value, str):
        return sorted(part.strip() for part in value.split(",") if part.strip())
    return value


def _is_object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "has to be an object of Harbor's items"


class Configuration(Kind):
    """One part of Harbor's settings, which always exist and stay as they are on removal.

    `part`: system, login or readOnly. `values`: items that have these values. `defaults`: items
    that get these values where Harbor still has its own default. `secrets`: items that Harbor never
    shows. Only admin may read and write them.
    """

    name = "Configuration"
    noun = "settings of Harbor, part"
    computed = ()
    fields: ClassVar = {
        "part": Field(
            required=True, replaces=True, check=checks.one_of("system", "login", "readOnly")
        ),
        "values": Field(default={}, normal=_values, check=_is_object),
        "defaults": Field(default={}, local=True, check=_is_object),
        "secrets": Field(default={}, secret=True, check=_is_object),
    }

    def id_of(self, inputs: Tree) -> str:
        return str(inputs["part"])

    def inputs_of(self, id_: str) -> Tree:
        if id_ not in ("system", "login", "readOnly"):
            raise Refused(f"settings {id_}: the id is system, login or readOnly")
        return {"part": id_}

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        """Harbor ignores items that it does not know, with 200."""
        refused: list[tuple[str, str]] = []
        for name in ("values", "defaults", "secrets"):
            if UNKNOWN in (inputs["part"], inputs[name]):
                continue
            for item in inputs[name]:
                known = item in (SECRETS if name == "secrets" else DEFAULTS)
                if not known or part_of(item) != inputs["part"]:
                    why = f"{item} is no item of {name} of part {inputs['part']}"
                    refused.append((name, f"settings: {why}"))
        for name in ("values", "defaults"):
            items: Tree = {} if inputs[name] is UNKNOWN else inputs[name]
            for item, value in items.items():
                # Harbor answers 422 to a text for a number.
                if item in DEFAULTS and type(value) is not type(DEFAULTS[item]):
                    kind = type(DEFAULTS[item]).__name__
                    refused.append((name, f"settings: {item} has to be of type {kind}"))
        return refused

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        return {
            "part": inputs["part"],
            "defaultsBefore": known.get("defaults") or {},
            "items": session.harbor.get(_PATH, who="admin") or {},
        }

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        """The items that the state knows; before it knows any, those that a new Harbor has not."""
        del session
        part, items = str(stored["part"]), _items(stored)
        values: Tree | None = known.get("values")
        if values is None:
            shown = {
                item: items[item]
                for item, default in DEFAULTS.items()
                if part_of(item) == part
                and item in items
                and _value(item, items[item]) != _value(item, default)
            }
        else:
            shown = {item: items.get(item) for item in values}
        return {"part": part, "values": shown}

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        items = _items(stored)
        declared = {**self._of_defaults(stored, inputs), **inputs["values"]}
        new = {
            item: value
            for item, value in declared.items()
            if _value(item, items.get(item)) != _value(item, value)
        }
        secrets: Tree = inputs["secrets"] if "secrets" in changed else {}
        for secret in secrets.values():
            session.harbor.hide(str(secret))
        if not new and not secrets:
            return
        self._refuse_what_harbor_locks(stored, new)
        if inputs["part"] == "login":
            self._write_login(session, items, {**new, **secrets}, inputs["values"])
        else:
            self._write_system(session, items, new)

    def _of_defaults(self, stored: Tree, inputs: Tree) -> Tree:
        """The items of `defaults` that nobody has changed in Harbor. One that was set before, and
        is as in a new Harbor again, was set back by a person."""
        items, before = _items(stored), stored["defaultsBefore"]
        return {
            item: value
            for item, value in inputs["defaults"].items()
            if items.get(item) == DEFAULTS[item] and before.get(item) != value
        }

    def left(self, stored: Tree, inputs: Tree) -> str:
        items = _items(stored)
        others = {
            item: items.get(item)
            for item, value in inputs["defaults"].items()
            if items.get(item) not in (DEFAULTS[item], value)
        }
        if not others:
            return ""
        return (
            f"{_told(others)} stays as somebody set it in Harbor, since the stack's file does not "
            "state it; `registry.system` changes it"
        )

    def written(self, session: Session, stored: Tree, inputs: Tree) -> Tree:
        del session, stored
        return {"values": inputs["values"]}

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        del session, stored, known

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        """What a person set to something else. Raises Refused for what Harbor locks."""
        del session, shown
        items = _items(stored)
        others = {
            item: items.get(item)
            for item, value in inputs["values"].items()
            if _value(item, items.get(item)) != _value(item, value)
        }
        self._refuse_what_harbor_locks(stored, others)
        return ", ".join(
            f"{item} is {value!r}"
            for item, value in others.items()
            if _value(item, value) != _value(item, DEFAULTS[item])
        )

    def preview_update(self, session: Session, outputs: Tree, inputs: Tree) -> None:
        inputs = self.complete(inputs)
        if UNKNOWN in inputs.values():
            return
        stored = self.find(session, inputs, outputs) or {}
        items = _items(stored)
        self._refuse_what_harbor_locks(
            stored,
            [
                item
                for item, value in inputs["values"].items()
                if _value(item, items.get(item)) != _value(item, value)
            ],
        )

    def _refuse_what_harbor_locks(self, stored: Tree, changed: Sequence[str] | Tree) -> None:
        rows: dict[str, Tree] = stored["items"]
        if rows and not any(row.get("editable") for row in rows.values()):
            raise Refused(
                "Harbor was started with CONFIG_OVERWRITE_JSON in the environment of core, which "
                "locks every setting, those too that it does not name. Remove that variable from "
                "the Deployment harbor-core (in this program: from chart values given by hand); "
                "the values stay in Harbor's database, and can be changed again"
            )
        if "auth_mode" in changed and not rows.get("auth_mode", {}).get("editable", True):
            raise Refused(
                f"auth_mode is {rows['auth_mode'].get('value')} in Harbor, which never changes it "
                "while there are users besides admin: they would be locked out. Delete those users "
                "in Harbor (Administration, Users) first, or leave `registry.login` out of the "
                "stack's file"
            )

    def _write_system(self, session: Session, items: Tree, new: Tree) -> None:
        harbor = session.harbor
        try:
            harbor.put(_PATH, new, who="admin")
        except HarborError as error:
            if error.status == 400 and _AUDIT in new:
                # Harbor stores an endpoint that it refuses, and nothing else of the same call.
                with suppress(HarborError):
                    harbor.put(_PATH, {_AUDIT: items.get(_AUDIT, "")}, who="admin")
            raise
        if "robot_name_prefix" in new:
            # Every robot has another login from now on, this program's own too.
            harbor.ask_prefix()
            harbor.forget_login("account")

    def _write_login(self, session: Session, items: Tree, new: Tree, values: Tree) -> None:
        """Changes how people log in, without a moment in which nobody could.

        The provider answers Harbor before anything is changed. admin logs in before and after; if
        that fails, everything is put back.
        """
        harbor = session.harbor
        self._prove_admin(session, "Nothing was changed")
        if endpoint := values.get("oidc_endpoint"):
            verify = values.get("oidc_verify_cert", items.get("oidc_verify_cert", True))
            try:
                harbor.post(
                    "/system/oidc/ping", {"url": endpoint, "verify_cert": verify}, who="admin"
                )
            except HarborError as error:
                if error.status != 400:
                    raise
                raise Refused(
                    f"Harbor cannot reach the login at {endpoint}, so nothing was changed: "
                    f"{error.message}. The address has to be the issuer exactly, with or without "
                    "the slash at its end, and reachable from harbor-core by that name with a "
                    "certificate that it trusts"
                ) from None
        harbor.put(_PATH, new, who="admin")
        try:
            self._prove_admin(session, "")
        except (HarborError, Refused) as failure:
            # A secret cannot be read, so the one before cannot be put back; it is of no use to the
            # login before.
            before = {item: items[item] for item in new if item in items}
            try:
                harbor.put(_PATH, before, who="admin")
            except HarborError as error:
                raise Refused(
                    f"admin cannot log in after the change of the login ({failure}), and it could "
                    f"not be put back ({error}). Before it, Harbor had {_told(before)}"
                ) from None
            raise Refused(
                f"admin could not log in after the change of the login ({failure}), so everything "
                f"was put back: {_told(before)}"
            ) from None

    def _prove_admin(self, session: Session, consequence: str) -> None:
        harbor = session.harbor
        if not any(harbor.accepts("admin", password) for password in harbor.admin_passwords()):
            raise LoginRefused("admin", consequence or "the password was right before the change")


def _items(stored: Tree) -> Tree:
    rows: dict[str, Tree] = stored["items"]
    return {item: row.get("value") for item, row in rows.items()}


def _told(values: Tree) -> str:
    return ", ".join(f"{item}={value!r}" for item, value in sorted(values.items()))
