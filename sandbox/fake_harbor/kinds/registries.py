"""Registries: the addresses of other registries."""

from __future__ import annotations

from urllib.parse import urlsplit

from sandbox.fake_harbor import access, adapters, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import Struct, body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import NEVER, Row, now

_POST = body(
    "registry",
    "Registry",
    name="string",
    description="string",
    type="string",
    url="string",
    insecure="bool",
    ca_certificate="string",
    credential=Struct(
        "RegistryCredential",
        {"type": "string", "access_key": "string", "access_secret": "string"},
    ),
)
_PUT = body(
    "registry",
    "RegistryUpdate",
    name="string",
    description="string",
    url="string",
    insecure="bool",
    ca_certificate="string",
    credential_type="string",
    access_key="string",
    access_secret="string",
)
_PING = body(
    "registry",
    "RegistryPing",
    id="int64",
    type="string",
    url="string",
    insecure="bool",
    ca_certificate="string",
    credential_type="string",
    access_key="string",
    access_secret="string",
)
_UNHEALTHY = "the registry is unhealthy"


def local(call: Call) -> Row:
    """The registry with id 0: Harbor itself."""
    return {
        "creation_time": NEVER,
        "credential": {"access_secret": "*****", "type": "secret"},
        "id": 0,
        "insecure": True,
        "name": "Local",
        "status": "healthy",
        "type": "harbor",
        "update_time": NEVER,
        "url": call.settings.external_url,
    }


def shown(registry: Row) -> Row:
    """The registry as GET shows it: false and empty values are left out, the secret is masked."""
    credential = registry["credential"]
    view: Row = {
        "creation_time": registry["creation_time"],
        "credential": {**credential, "access_secret": "*****"} if credential else {},
        "id": registry["id"],
        "name": registry["name"],
        "status": registry["status"],
        "type": registry["type"],
        "update_time": registry["update_time"],
        "url": registry["url"],
    }
    for key in ("description", "insecure", "ca_certificate"):
        if registry.get(key):
            view[key] = registry[key]
    return view


@route("POST", "/registries", _POST)
def create(call: Call) -> Answer:
    access.need_system(call.who, "registry", "create")
    given = call.body
    _check_name(given.get("name", ""))
    registry: Row = {
        "name": given.get("name", ""),
        "description": given.get("description", ""),
        "type": given.get("type", ""),
        "url": _address(given.get("url", "")),
        "insecure": given.get("insecure", False),
        "credential": _credential(call, given.get("credential", {})),
        "status": "healthy",
    }
    secret = given.get("credential", {}).get("access_secret", "")
    if call.settings.is_2_15:
        registry["ca_certificate"] = _certificate(given.get("ca_certificate", ""))
    _check_reachable(call, registry, secret)
    number = call.world.next_id("registries")
    if any(row["name"] == registry["name"] for row in call.world.table("registries").values()):
        raise answers.conflict(f"registry {registry['name']} already exists")
    moment = now()
    call.world.table("registries")[number] = {
        "id": number,
        **registry,
        "creation_time": moment,
        "update_time": moment,
    }
    return answers.created(f"/registries/{number}")


def _check_name(name: str) -> None:
    if not name:
        raise answers.bad_request("name cannot be empty")
    if len(name) > 64:
        raise answers.bad_request("the max length of name is 64")


def _certificate(text: str) -> str:
    if text and "-----BEGIN CERTIFICATE-----" not in text:
        raise answers.bad_request("invalid CA certificate: no valid certificates found in PEM data")
    return text


def _address(text: str) -> str:
    if not text:
        raise answers.bad_request("empty string")
    if "://" not in text:
        text = "http://" + text
    split = urlsplit(text)
    if split.scheme not in ("http", "https"):
        raise answers.bad_request(f"invalid HTTP scheme: {split.scheme}")
    return f"{split.scheme}://{split.netloc}{split.path}".rstrip("/")


def _credential(call: Call, given: Row) -> Row:
    """The credential as it is kept: with a digest for the secret; empty without key and secret."""
    key, secret = given.get("access_key", ""), given.get("access_secret", "")
    if not key and not secret:
        return {}
    return {
        "type": given.get("type", ""),
        "access_key": key,
        "access_secret": call.world.digest(secret),
    }


def _check_reachable(call: Call, registry: Row, secret: str | None) -> None:
    """Raises Refused unless Harbor's adapter says that the registry is healthy.

    `secret` None is the stored one, which is taken for right.
    """
    kind: str = registry["type"]
    url: str = registry["url"]
    credential = registry["credential"]
    if kind in adapters.PANICS_WITHOUT_CREDENTIAL and not credential:
        raise answers.panic()
    if kind not in (*adapters.ADAPTERS, *adapters.UNLISTED):
        raise answers.internal_error()
    if adapters.IN_THE_ADDRESS.get(kind, "") not in url:
        raise answers.internal_error()
    if kind in adapters.UNHEALTHY_WITHOUT_CREDENTIAL and not credential:
        raise answers.bad_request(_UNHEALTHY)
    if not call.settings.reaches(adapters.FIXED_ADDRESS.get(kind, url)):
        raise answers.internal_error() if kind == "harbor" else answers.bad_request(_UNHEALTHY)
    login = call.settings.logins.get(url)
    if login is None or secret is None:
        return
    if (credential.get("access_key"), secret) != tuple(login):
        raise answers.bad_request(_UNHEALTHY)


@route("POST", "/registries/ping", _PING)
def ping(call: Call) -> Answer:
    access.need_system(call.who, "registry", "read")
    given = dict(call.body)
    registry: Row = {"type": "", "url": "", "credential": {}}
    if "id" in given:
        kept = call.world.table("registries").get(given["id"])
        if kept is None:
            raise answers.not_found(f"registry {given['id']} not found")
        registry = dict(kept)
    if "type" in given:
        registry["type"] = given["type"]
    if "url" in given:
        registry["url"] = _address(given["url"])
    if "access_key" in given:
        registry["credential"] = {"access_key": given["access_key"]}
    if not registry["url"]:
        raise answers.bad_request("empty string")
    _check_reachable(call, registry, given.get("access_secret"))
    return OK


@route("GET", "/registries")
def listed(call: Call) -> Answer:
    access.need_system(call.who, "registry", "list")
    rows = list(call.world.table("registries").values())
    if "name" in call.query:
        rows = [row for row in rows if call.query["name"].lower() in row["name"].lower()]
    columns: lists.Columns = {
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "type": lambda row: row["type"],
        "url": lambda row: row["url"],
    }
    chosen = lists.choose(rows, call.query, columns)
    return lists.page(call.path, call.query, [shown(row) for row in chosen])


def _needed(call: Call, action: str) -> Row:
    access.need_system(call.who, "registry", action)
    number = call.number("id")
    registry = call.world.table("registries").get(number)
    if registry is None:
        raise answers.not_found(f"registry {number} not found")
    return registry


@route("GET", "/registries/{id}")
def get(call: Call) -> Answer:
    if call.parts["id"] == "0":
        access.need_system(call.who, "registry", "read")
        return Answer(200, local(call))
    return Answer(200, shown(_needed(call, "read")))


@route("GET", "/registries/{id}/info")
def info(call: Call) -> Answer:
    registry = _needed(call, "read")
    filters: list[Row] = [
        {"style": "input", "type": "name", "values": None},
        {"style": "input", "type": "tag", "values": None},
        {"style": "radio", "type": "resource", "values": ["image"]},
    ]
    view: Row = {
        "supported_resource_filters": filters,
        "supported_triggers": ["manual", "scheduled"],
        "type": registry["type"],
    }
    if registry["type"] == "harbor":
        filters.append({"style": "list", "type": "label", "values": None})
        view["supported_copy_by_chunk"] = True
    return Answer(200, view)


@route("PUT", "/registries/{id}", _PUT)
def update(call: Call) -> Answer:
    """Merges flat keys. A nested credential, as POST has it, and the type are ignored."""
    registry = _needed(call, "update")
    given = call.body
    changed = dict(registry)
    if "name" in given:
        _check_name(given["name"])
        others = call.world.table("registries").values()
        if any(r["name"] == given["name"] and r["id"] != registry["id"] for r in others):
            raise answers.conflict(f"registry {given['name']} already exists")
    if "url" in given:
        changed["url"] = _address(given["url"])
    for key in ("name", "description", "insecure"):
        if key in given:
            changed[key] = given[key]
    if call.settings.is_2_15 and "ca_certificate" in given:
        changed["ca_certificate"] = _certificate(given["ca_certificate"])
    credential = dict(registry["credential"])
    for key, flat in (
        ("type", "credential_type"),
        ("access_key", "access_key"),
        ("access_secret", "access_secret"),
    ):
        if flat in given:
            secret = key == "access_secret" and given[flat]
            credential[key] = call.world.digest(given[flat]) if secret else given[flat]
    if credential.get("access_key") or credential.get("access_secret"):
        changed["credential"] = {"type": "", "access_key": "", "access_secret": "", **credential}
    else:
        changed["credential"] = {}
    _check_reachable(call, changed, given.get("access_secret"))
    registry.update(changed, update_time=now())
    return OK


@route("DELETE", "/registries/{id}")
def delete(call: Call) -> Answer:
    registry = _needed(call, "delete")
    number = registry["id"]
    policies = call.world.table("policies").values()
    if any(number in (p["src_registry"], p["dest_registry"]) for p in policies):
        raise answers.precondition(
            f"the registry {number} is referenced by replication policies, cannot delete it"
        )
    if any(p["registry"] == number for p in call.world.table("projects").values()):
        raise answers.precondition(
            f"the registry {number} is referenced by proxy cache project, cannot delete it"
        )
    del call.world.table("registries")[number]
    return OK


@route("GET", "/replication/adapters")
def adapters_listed(call: Call) -> Answer:
    access.need_system(call.who, "replication-adapter", "list")
    return Answer(200, sorted(adapters.ADAPTERS))
