"""Other registries that Harbor pulls from or pushes to. Pure.

The types are those of Harbor's adapters; the names of the vendors are Harbor's.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import model_validator

from components.settings.proxy_projects import DOCKER_HUB
from components.settings.registry.names import ENDPOINT_NAME, Description, one_line
from components.settings.registry.stack_secrets import StackSecret
from components.settings.schema.rules import (
    PEM,
    REMOVE,
    OtherWords,
    Section,
    SettingRule,
    length_problem,
    refuse,
)

EndpointType = Literal[
    "docker-registry",
    "docker-hub",
    "github-ghcr",
    "harbor",
    "quay",
    "ali-acr",
    "aws-ecr",
    "azure-acr",
    "google-gcr",
    "huawei-SWR",
    "jfrog-artifactory",
    "tencent-tcr",
    "volcengine-cr",
]
ALIASES: Final[Mapping[str, str]] = {
    "github": "github-ghcr",
    "ghcr": "github-ghcr",
    "dockerhub": "docker-hub",
    "docker": "docker-registry",
    "oci": "docker-registry",
    "alibaba": "ali-acr",
    "aws": "aws-ecr",
    "ecr": "aws-ecr",
    "azure": "azure-acr",
    "acr": "azure-acr",
    "google": "google-gcr",
    "gcr": "google-gcr",
    "huawei": "huawei-SWR",
    "jfrog": "jfrog-artifactory",
    "artifactory": "jfrog-artifactory",
    "tencent": "tencent-tcr",
    "volcengine": "volcengine-cr",
    "ghcr.io": "github-ghcr",
    "docker.io": "docker-hub",
    "quay.io": "quay",
}
"""What people and other tools call a type → Harbor's word."""
CACHED: Final = (
    *("docker-registry", "docker-hub", "github-ghcr", "harbor", "ali-acr", "aws-ecr"),
    *("azure-acr", "google-gcr", "jfrog-artifactory"),
)
"""Types that a proxy-cache project may have; Harbor refuses any other with 400."""
DEFAULT_URLS: Final[Mapping[str, str]] = {
    "docker-hub": "https://hub.docker.com",
    "github-ghcr": "https://ghcr.io",
    "quay": "https://quay.io",
}
_HOSTS: Final[Mapping[str, str]] = {
    "docker-hub": DOCKER_HUB,
    "registry-1.docker.io": DOCKER_HUB,
    "index.docker.io": DOCKER_HUB,
}
_ECR = re.compile(r"https://(api|\d+\.dkr)\.ecr(-fips)?\.[\w-]+\.amazonaws\.com(\.cn)?")
_NEED_A_LOGIN: Final = ("google-gcr", "tencent-tcr")


_LONGEST_URL: Final = 256
"""Harbor's column; it answers 500 to a longer one (migration 0004_1.8.0)."""


def url_problem(text: str) -> str | None:
    """Why a text is no URL to which Harbor could send a request, "" where the rule says it all;
    None if it is one."""
    try:
        url = urlsplit(text)
        is_url = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return ""
    if url.scheme not in ("http", "https"):
        return "http and https only, written in front" if is_url or "://" in text else ""
    if not is_url or not re.fullmatch(r"[!-~]+", text) or re.search(r"[<>\\\"'`{}|^]", text):
        return ""
    if "@" in url.netloc:
        return "credentials do not belong into a URL"
    return None if url.netloc == url.netloc.lower() else "the host is written in lower case"


def _address(text: str) -> str | None:
    if (reason := url_problem(text)) is not None:
        has_credentials = "credentials" in reason
        return f"{reason}: username, and password: {{secret: NAME}}" if has_credentials else reason
    url = urlsplit(text)
    if url.query or url.fragment or text.endswith(("?", "#", "/")):
        return "without query and trailing slash, which Harbor cuts off"
    if (reason := length_problem(text, _LONGEST_URL)) is not None:
        return f"{reason}, and it has {len(text)}: Harbor answers 500"
    return None


def with_scheme(text: str) -> str:
    """The URL that a person meant who left `https://` out."""
    return text if "://" in text else f"https://{text}"


URL: Final = SettingRule(
    allowed="a URL https://host[:port][/path]",
    example="https://<registry>",
    check=_address,
    suggest=lambda text: [re.sub(r"[/?#]+$", "", with_scheme(text))],
)


_Type = Annotated[
    EndpointType,
    OtherWords(ALIASES),
    SettingRule(allowed=f"one of {', '.join(get_args(EndpointType))}", example="<type>"),
]


class _Endpoint(Section):
    called_here: ClassVar[Mapping[str, str]] = {
        "provider_name": "type",
        "endpoint_url": "url",
        "access_id": "username",
        "access_key": "username",
        "access_secret": "password",
        "access_token": "password",
        "credential": "password",
        "token": "password",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "insecure": "tlsVerify says whether the certificate is checked, the other way round",
        "verify": "tlsVerify says whether the certificate is checked",
    }

    url: Annotated[str, URL] | None = None
    """Address of the registry. May be left out for docker-hub, github-ghcr and quay."""
    username: Annotated[str, one_line(255)] = ""
    """User, access key or robot of that registry; anonymous when empty."""
    password: StackSecret | None = None
    """Its password, access secret or token."""
    tls_verify: bool = True
    """Whether the certificate of that registry is checked."""
    ca_certificate: Annotated[str, PEM] | None = None
    """PEM of the authority that signed its certificate, if it is not a public one. From Harbor
    2.15."""
    description: Description = ""
    """What people read about it in Harbor."""

    def check(self, kind: EndpointType) -> None:
        """Refuse what Harbor refuses of an endpoint of this type."""
        if self.url is None and kind not in DEFAULT_URLS:
            refuse(f"required for type {kind}", at=("url",))
        if kind == "docker-hub" and self.url not in (None, DEFAULT_URLS["docker-hub"]):
            refuse(
                "left out with docker-hub: Harbor always asks Docker Hub itself. For a mirror of "
                "it the type is docker-registry",
                at=("url",),
                example=REMOVE,
            )
        if kind == "aws-ecr" and not _ECR.fullmatch(self.url or ""):
            refuse(
                "https://<account>.dkr.ecr.<region>.amazonaws.com for aws-ecr: Harbor answers 500 "
                "to any other form",
                at=("url",),
                example="https://<account>.dkr.ecr.<region>.amazonaws.com",
            )
        if self.password is not None and not self.username:
            refuse("required beside a password", at=("username",), example="<username>")
        if self.username and self.password is None:
            refuse("required beside a username", at=("password",))
        if kind in _NEED_A_LOGIN and self.password is None:
            refuse(f"required for type {kind}, which nobody reads anonymously", at=("password",))


class EndpointSettings(_Endpoint):
    """Another registry. Harbor takes it only if it answers at that moment."""

    type: _Type
    """Harbor's adapter."""

    @property
    def address(self) -> str:
        """The URL that Harbor is given."""
        return self.url or DEFAULT_URLS[self.type]

    @property
    def host(self) -> str:
        """What the names of its images begin with."""
        netloc = urlsplit(self.address).netloc
        return _HOSTS.get(self.type) or _HOSTS.get(netloc, netloc)

    @property
    def is_harbor(self) -> bool:
        """Whether the other registry is a Harbor, which alone knows labels and chunks."""
        return self.type == "harbor"

    @model_validator(mode="after")
    def _is_one_that_harbor_takes(self) -> Self:
        self.check(self.type)
        return self


def _same_as(text: str) -> str | None:
    is_registry = text.lower() in (*get_args(EndpointType), *ALIASES) or "://" in text
    if is_registry or text.partition("/")[0] in _WELL_KNOWN:
        return "a registry itself is an object: {type: …, url: …}"
    return ENDPOINT_NAME.check(text) if ENDPOINT_NAME.check else None


_WELL_KNOWN: Final = ("docker.io", "ghcr.io", "quay.io", "gcr.io", "registry.k8s.io")
_SAME_AS: Final = replace(
    ENDPOINT_NAME,
    allowed="the name of a proxy cache, mirror or replication that declares its registry",
    check=_same_as,
)


class SourceSettings(_Endpoint):
    """Another registry, or the name of a proxy cache, mirror or replication that declares it."""

    short_form: ClassVar[str] = "sameAs"
    example_key: ClassVar[str] = "type"

    same_as: Annotated[str, _SAME_AS] | None = None
    """Name of a proxy cache, mirror or replication whose registry this is. A text in the place of
    the object is this name."""
    type: _Type | None = None
    """Harbor's adapter."""

    @property
    def endpoint(self) -> EndpointSettings | None:
        """The registry that is declared here; None where another section declares it."""
        if self.type is None:
            return None
        fields = {name: getattr(self, name) for name in EndpointSettings.model_fields}
        return EndpointSettings.model_construct(**fields)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.same_as is None and self.type is None:
            refuse("required, unless sameAs names a registry that is declared", at=("type",))
        if self.same_as is not None:
            given = sorted(self.model_fields_set - {"same_as"})
            if given:
                refuse(
                    "not beside the registry's own settings: that other section has them",
                    at=("sameAs",),
                    example=REMOVE,
                )
        elif self.type is not None:
            self.check(self.type)
        return self
