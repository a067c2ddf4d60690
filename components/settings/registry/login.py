"""How people log in to Harbor: OpenID Connect. Pure.

Harbor checks nothing of it: a dead endpoint, scopes without openid and a broken filter of groups
are all stored (measured on v2.14.3).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from components.settings.registry import names, patterns
from components.settings.registry.endpoints import with_scheme
from components.settings.registry.patterns import GroupGlob
from components.settings.registry.stack_secrets import StackSecret
from components.settings.schema.rules import (
    NON_EMPTY,
    REMOVE,
    Section,
    SettingRule,
    matching,
    refuse,
    refuse_repetition,
)

OIDC_GROUP: Final = 3
"""Harbor's type of a group that an OIDC provider names."""


def _issuer(text: str) -> str | None:
    try:
        url = urlsplit(text)
        is_url = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return ""
    if url.scheme == "http":
        return "https: tokens would cross the network in clear"
    if url.scheme != "https" or not is_url or not re.fullmatch(r"[!-~]+", text):
        return ""
    if "<" in text or "@" in url.netloc or url.query or url.fragment:
        return "neither credentials, query nor placeholder"
    if "/.well-known/" in text:
        return "without /.well-known/openid-configuration, which Harbor puts behind it"
    return None


ISSUER: Final = SettingRule(
    allowed="the issuer https://host[/path] exactly as its discovery document names it, with or "
    "without the slash at its end",
    example="https://<login>",
    check=_issuer,
    suggest=lambda text: [
        re.sub(r"/\.well-known/.*", "", with_scheme(text.replace("http://", "https://")))
    ],
)
_SCOPE: Final = SettingRule(
    allowed="one scope, without spaces and commas",
    example="openid",
    check=matching(r"[\w.:/-]{1,255}"),
)
_CLAIM: Final = SettingRule(
    allowed="the name of a claim, without spaces",
    example="<claim>",
    check=matching(r"[\w.:/-]{1,255}"),
    suggest=lambda text: [text.replace(" ", "_")],
)
Scope = Annotated[str, _SCOPE]
Claim = Annotated[str, _CLAIM]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a product needs. `refused`: scopes to which it answers `invalid scope`."""

    name: str
    scopes: tuple[str, ...]
    user_claim: str
    groups_claim: str
    refused: tuple[str, ...] = ()
    paths_begin_with_a_slash: bool | None = None


_BASE = ("openid", "profile", "email")
# docs.gitlab.com/integration/openid_connect_provider: groups_direct is in the ID token.
_PRESETS: Final[Mapping[str, Preset]] = {
    "keycloak": Preset(
        name="Keycloak",
        scopes=(*_BASE, "offline_access"),
        user_claim="preferred_username",
        groups_claim="groups",
    ),
    "gitlab": Preset(
        name="GitLab",
        scopes=_BASE,
        user_claim="preferred_username",
        groups_claim="groups_direct",
        refused=("offline_access", "groups"),
        paths_begin_with_a_slash=False,
    ),
    "generic": Preset(
        name="OIDC", scopes=_BASE, user_claim="preferred_username", groups_claim="groups"
    ),
}


class LoginSettings(Section):
    """People log in by OpenID Connect. admin still logs in with the password."""

    called_here: ClassVar[Mapping[str, str]] = {
        "oidc_endpoint": "issuer",
        "oidc_name": "displayName",
        "oidc_client_id": "clientId",
        "oidc_client_secret": "clientSecret",
        "oidc_client_secret_wo": "clientSecret",
        "oidc_scope": "scopes",
        "oidc_user_claim": "userClaim",
        "oidc_groups_claim": "groupsClaim",
        "oidc_admin_group": "adminGroup",
        "oidc_group_filter": "groupFilter",
        "oidc_auto_onboard": "autoOnboard",
        "oidc_logout": "logout",
        "oidc_verify_cert": "verifyTls",
        "oidc_extra_redirect_parms": "redirectParameters",
        "primary_auth_mode": "primary",
        "auth_mode": "kind",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "oidc_client_secret_wo_version": "a changed clientSecret is noticed by itself",
    }

    kind: Literal["oidc"] = "oidc"
    """OpenID Connect, the only kind."""
    preset: Literal["keycloak", "gitlab", "generic"] = "generic"
    """Defaults of scopes and claims for a product."""
    display_name: Annotated[str, NON_EMPTY] | None = None
    """Name on the button of the login page; the preset's when unset."""
    issuer: Annotated[str, ISSUER]
    """Address of the provider. Users are known by it: another one makes them other users."""
    client_id: Annotated[str, NON_EMPTY]
    """Harbor's client at the provider."""
    client_secret: StackSecret
    """Its secret."""
    scopes: tuple[Scope, ...] | None = None
    """Scopes that are asked for; the preset's when unset."""
    user_claim: Claim | None = None
    """Claim that becomes the user's name at the first login; the preset's when unset."""
    groups_claim: Claim | None = None
    """Claim that lists the user's groups; the preset's when unset."""
    admin_group: Annotated[str, NON_EMPTY]
    """Whoever is in this group is an administrator. Exact: Keycloak's full paths begin with /,
    GitLab's have no slash at their beginning."""
    group_filter: tuple[GroupGlob, ...] = ()
    """Groups that Harbor gets to know, by patterns; all when empty. It keeps nobody from logging
    in, and does not concern adminGroup."""
    auto_onboard: bool = True
    """Give new users the name of userClaim without asking."""
    logout: bool = True
    """Log out at the provider too."""
    verify_tls: bool = True
    """Whether the provider's certificate is checked."""
    primary: bool = False
    """Go to the provider at once; people with a password use /account/sign-in."""
    redirect_parameters: Annotated[
        dict[str, str],
        SettingRule(
            allowed="an object of text", example="<value>", check=lambda value: _parameters(value)
        ),
    ] = Field(default_factory=dict)
    """More parameters of the redirect to the provider, e.g. prompt: login."""

    @property
    def harbors_scopes(self) -> str:
        """Scopes, joined as Harbor wants them."""
        return ",".join(self._preset.scopes if self.scopes is None else self.scopes)

    @property
    def group_filter_expression(self) -> str:
        """Harbor's regular expression, anchored; "" for all groups."""
        return patterns.regular_expression(self.group_filter)

    @property
    def values(self) -> dict[str, bool | str]:
        """Harbor's configuration, without the secret."""
        parameters = dict(sorted(self.redirect_parameters.items()))
        return {
            "auth_mode": "oidc_auth",
            "primary_auth_mode": self.primary,
            "oidc_name": self.display_name or self._preset.name,
            "oidc_endpoint": self.issuer,
            "oidc_client_id": self.client_id,
            "oidc_scope": self.harbors_scopes,
            "oidc_user_claim": self.user_claim or self._preset.user_claim,
            "oidc_groups_claim": self.groups_claim or self._preset.groups_claim,
            "oidc_admin_group": self.admin_group,
            "oidc_group_filter": self.group_filter_expression,
            "oidc_auto_onboard": self.auto_onboard,
            "oidc_logout": self.logout,
            "oidc_verify_cert": self.verify_tls,
            "oidc_extra_redirect_parms": json.dumps(parameters, separators=(",", ":")),
        }

    @property
    def _preset(self) -> Preset:
        return _PRESETS[self.preset]

    @model_validator(mode="after")
    def _is_one_that_lets_people_in(self) -> Self:
        scopes = self._preset.scopes if self.scopes is None else self.scopes
        if "openid" not in scopes:
            refuse(
                "openid among them: Harbor stores scopes without it, and nobody can log in",
                at=("scopes", len(scopes)),
                example="openid",
            )
        refuse_repetition(scopes, at=("scopes",), reason="the same one twice")
        for index, scope in enumerate(scopes):
            if scope in self._preset.refused:
                refuse(
                    f"without {scope}: {self._preset.name} answers that the scope is invalid, and "
                    "nobody can log in",
                    at=("scopes", index),
                    example=REMOVE,
                )
        if self._preset.paths_begin_with_a_slash is False and self.admin_group.startswith("/"):
            refuse(
                f"without a slash at its beginning: {self._preset.name} names groups by their path "
                "alone",
                at=("adminGroup",),
                example=self.admin_group.lstrip("/"),
            )
        return self


def _parameters(parameters: Mapping[str, str]) -> str | None:
    for name, value in parameters.items():
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII):
            return f"{name!r} is not the name of a parameter"
        if names.one_line_problem(1024, value) is not None:
            return f"the value of {name} is not one line"
    return None
