"""Endpoints: the registries elsewhere that caches and mirrors read from (Harbor's "registries")."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

from components.registry.api import Harbor, where
from components.registry.errors import HarborDown, HarborError, Refused
from components.registry.kinds import checks
from components.registry.kinds.base import Field, Kind, Session, Tree

LONGEST_NAME: Final = 64


def endpoint_id(harbor: Harbor, name: str) -> int | None:
    """Harbor's number of an endpoint; None if there is none of that name."""
    row = _named(harbor, name)
    return None if row is None else int(row["id"])


def _named(harbor: Harbor, name: str) -> Tree | None:
    for row in harbor.listed("/registries", where({"name": name})):
        if row["name"] == name:
            return row
    return None


def stored_url(url: Any) -> Any:
    """A URL as Harbor keeps it: with a scheme, without a query and a slash at its end."""
    if not isinstance(url, str):
        return url
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _name(value: Any) -> str | None:
    if isinstance(value, str) and 1 <= len(value) <= LONGEST_NAME:
        return None
    return f"has to have 1 to {LONGEST_NAME} characters"


class Endpoint(Kind):
    """Harbor makes and changes an endpoint only while it can reach it. It never shows the
    password, so outputs keep a digest of the one that was written last."""

    name = "Endpoint"
    noun = "endpoint"
    inserts_secrets = True
    fields: ClassVar = {
        "name": Field(required=True, check=_name),
        "type": Field(
            required=True,
            check=checks.nonempty,
            fixed="Harbor never changes it: give the proxy cache, mirror or replication that "
            "declares the endpoint another name",
        ),
        "url": Field(required=True, normal=stored_url, check=checks.nonempty),
        "username": Field(default="", of_harbor="", check=checks.text),
        "password": Field(secret=True, check=checks.text),
        "tlsVerify": Field(default=True, of_harbor=True, check=checks.boolean),
        "caCertificate": Field(default="", of_harbor="", normal=str.strip, check=checks.text),
        "description": Field(default="", of_harbor="", check=checks.text),
    }

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        # By its number first, as its name can change.
        if number := known.get("harborId"):
            stored = session.harbor.get(f"/registries/{number}")
            if stored is not None and _is_known(stored, inputs, known):
                return stored
        return _named(session.harbor, str(inputs["name"]))

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        del session, known
        credential: Tree = stored.get("credential") or {}
        return {
            "name": stored["name"],
            "type": stored["type"],
            "url": stored["url"],
            "username": credential.get("access_key") or "",
            "tlsVerify": not stored.get("insecure", False),
            "caCertificate": stored.get("ca_certificate") or "",
            "description": stored.get("description") or "",
            "harborId": stored["id"],
        }

    def insert(self, session: Session, inputs: Tree) -> Tree:
        body: Tree = {"type": inputs["type"], **_described(inputs)}
        if inputs["username"] or inputs["password"]:
            session.harbor.hide(str(inputs["password"] or ""))
            body["credential"] = {
                "type": "basic",
                "access_key": inputs["username"],
                "access_secret": inputs["password"] or "",
            }
        with _naming(session.harbor, inputs):
            return dict(
                session.harbor.created("/registries", body, lambda: self.find(session, inputs, {}))
            )

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        # Flat, unlike the body of POST: a nested credential is ignored with 200. An absent key
        # stays as it is, and a secret as GET shows it ("*****") would become the secret.
        body = _described(inputs)
        if "username" in changed or "password" in changed:
            body |= {"credential_type": "basic", "access_key": inputs["username"]}
        if "password" in changed:
            body["access_secret"] = inputs["password"]
        elif "username" in changed and not inputs["username"]:
            body["access_secret"] = ""
        with _naming(session.harbor, inputs):
            session.harbor.put(f"/registries/{stored['id']}", body)

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        if shown["type"] != inputs["type"]:
            raise Refused(
                f"endpoint {inputs['name']} exists in Harbor with type {shown['type']}, and is "
                f"declared with type {inputs['type']}. Harbor never changes that: give it another "
                "name, or delete the endpoint in Harbor"
            )
        return super().foreign(session, stored, shown, inputs)

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        """Deletes an endpoint, unless a proxy cache reads from it: one with images stays."""
        try:
            session.harbor.delete(f"/registries/{stored['id']}")
        except HarborError as error:
            if error.status != 412 or "proxy cache project" not in error.message:
                raise
            login = " with its password" if self.shown(session, stored, known)["username"] else ""
            session.warn(
                f"endpoint {stored['name']} stays in Harbor{login}, since a proxy cache that stays "
                "reads from it: it is no longer managed"
            )


def _is_known(stored: Tree, inputs: Tree, known: Tree) -> bool:
    """Whether the endpoint that has the number of the state is the one that the state means.

    After a restore of an older backup Harbor gives numbers again, to other endpoints.
    """
    if stored["name"] in (known.get("name"), inputs["name"]):
        return True
    # A person gave it another name.
    return (stored["type"], stored["url"]) == (known.get("type"), stored_url(known.get("url")))


@contextmanager
def _naming(harbor: Harbor, inputs: Tree) -> Generator[None]:
    """Names the registry elsewhere, where Harbor says only that "the registry" is unhealthy.

    An outage of Harbor itself stays one.
    """
    try:
        yield
    except HarborDown:
        raise  # Harbor itself does not work, which it may tell by "unhealthy" too.
    except HarborError as error:
        is_told = error.status == 400 and error.message == "the registry is unhealthy"
        # Of type harbor it says so by 500, which is also the answer of a Harbor that does not work.
        is_meant = inputs["type"] == "harbor" and error.status == 500 and harbor.is_healthy()
        if is_told or is_meant:
            raise Refused(
                f"endpoint {inputs['name']}: Harbor does not reach {inputs['url']}, or that does "
                f"not take the username and password. Harbor keeps an endpoint only while it "
                f"reaches it ({error})"
            ) from None
        raise


def _described(inputs: Tree) -> Tree:
    return {
        "name": inputs["name"],
        "url": inputs["url"],
        "insecure": not inputs["tlsVerify"],
        "description": inputs["description"],
        "ca_certificate": inputs["caCertificate"],
    }
