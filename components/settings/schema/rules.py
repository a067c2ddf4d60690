"""What a setting may be: in words, as an example for the command that mends it, and as a check.

Pure. The models annotate their fields with these rules, and refusals.py and the reference of the
settings take their words from the same rules, so that words and check cannot differ.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from components.kubernetes.quantities import bytes_of
from components.settings.exclusions import CLUSTER, ESTATE

Check = Callable[[Any], str | None]
"""Takes a value of the field's type. Returns None if it is allowed, else the reason against it: ""
where `allowed` says it all."""


class Section(BaseModel):
    """A part of the stack config: frozen, camelCase in YAML, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,  # for Python callers; refusals.py reads YAML by alias only
        coerce_numbers_to_str=True,  # `pulumi config set --path` turns 10485760 into a number
    )


REMOVE: Final = ""
"""Instead of an example: the mending command removes the key."""


def refuse(reason: str, *, at: tuple[str, ...] = (), example: str | None = None) -> NoReturn:
    """Refuse the value under validation, or the key `at` below it. `example`: a value to set
    instead."""
    raise PydanticCustomError(
        "refused", "{reason}", {"reason": reason, "at": at, "example": example}
    )


@dataclass(frozen=True, kw_only=True)
class SettingRule:
    """Annotates a field. None, the value of an optional setting left out, is never checked."""

    allowed: str
    example: str
    check: Check | None = None
    conceal: bool = False
    """Never show the value: somebody could have put a credential here by mistake."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._apply, handler(source))

    def _apply(self, value: Any) -> Any:
        if value is not None and self.check is not None:
            reason = self.check(value)
            if reason is not None:
                refuse(reason)
        return value


def is_for_the_shell(example: str) -> bool:
    """Whether the shell has to evaluate an example, so that it must not be quoted.

    Such are $(a command) and < a file, which holds PEM: pulumi would take text that begins with '-'
    for a flag.
    """
    return "$(" in example or example.startswith("< ")


def matching(pattern: str) -> Check:
    """A check that refuses what the whole pattern does not match."""
    compiled = re.compile(pattern)
    return lambda text: None if compiled.fullmatch(text) else ""


def whole_number(low: int, high: int, *, example: int) -> SettingRule:
    return SettingRule(
        allowed=f"a whole number from {low} to {high}",
        example=str(example),
        check=lambda number: None if low <= number <= high else "",
    )


# --- Names -----------------------------------------------------------------------------------

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

DNS_LABEL = SettingRule(
    allowed="a Kubernetes name: lower-case letters, digits and '-', at most 63 characters",
    example="harbor",
    check=matching(_LABEL),
)


def _own_namespace(name: str) -> str | None:
    if name == "default":
        return (
            "Harbor's namespace is labelled, restricted and, without retainData, deleted as a whole"
        )
    others = {**CLUSTER, **ESTATE}
    if name in others and not name.startswith("kube-"):
        return f"{name} belongs to other software ({others[name]})"
    return matching(rf"(?!kube-){_LABEL}")(name)


OWN_NAMESPACE = SettingRule(
    allowed=f"{DNS_LABEL.allowed}; not default, not the namespace of other software of the "
    "platform; Kubernetes keeps those that begin with kube- for itself",
    example="harbor",
    check=_own_namespace,
)
OBJECT_NAME = SettingRule(
    allowed="a Kubernetes object name: lower-case letters, digits, '-' and '.'",
    example="harbor-database",
    check=matching(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"),
)
PRIORITY_CLASS = SettingRule(
    allowed="the name of a PriorityClass",
    example="business-critical",
    check=OBJECT_NAME.check,
)
STORAGE_CLASS = SettingRule(
    allowed='the name of a StorageClass; "" or nothing for the cluster\'s default',
    example="fast-ssd",
    check=matching(rf"(?=.{{0,253}}$)({_LABEL}(\.{_LABEL})*)?"),
)
SECRET_KEY_NAME = SettingRule(
    allowed="the name of a key of that Secret (never the password itself)",
    example="password",
    check=matching(r"[-._a-zA-Z0-9]{1,253}"),
    conceal=True,
)
HOST = SettingRule(
    allowed="a host name or IP address without scheme and port",
    example="valkey-primary.valkey.svc.cluster.local",
    check=matching(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*|[0-9a-f]*:[0-9a-f:.]+"),
)
PORT = whole_number(1, 65535, example=5432)
CLUSTER_NAME = SettingRule(
    allowed="the name of the cluster entry that the kubeconfig context must reach",
    example="omantel",
    check=matching(r"\S.{0,252}"),
)
NON_EMPTY = SettingRule(
    allowed="a text that is not empty", example="value", check=matching(r"(?s).+")
)


def _dns_name(text: str) -> str | None:
    labels = text.split(".")
    if "://" in text:
        return "a name, not a URL"
    if text != text.lower():
        return "upper-case letters are not allowed"
    if len(labels) < 2:
        return "one label is not a fully qualified name"
    if labels[-1].isdecimal():
        return "an address is not a name"
    is_name = all(re.fullmatch(_LABEL, label) for label in labels)
    return None if is_name and len(text) <= 253 else ""


def _fqdn(text: str) -> str | None:
    if text.partition(".")[0] == "registry" and "://" not in text:
        return "the Sovereign's own name: the program puts 'registry.' in front of it"
    if len(f"registry.{text}") > 253:
        return "with 'registry.' in front it would exceed the 253 characters of a DNS name"
    return _dns_name(text)


_DNS_NAME = (
    "a lower-case DNS name of at least two labels (RFC 1123), each of letters, digits and '-', at "
    "most 63 characters, the last one no number"
)
FQDN = SettingRule(allowed=_DNS_NAME, example="omantel.omani.works", check=_fqdn)
DNS_NAME = SettingRule(allowed=_DNS_NAME, example="registry.omantel.omani.works", check=_dns_name)


# --- Addresses -------------------------------------------------------------------------------


def _endpoint(text: str) -> str | None:
    try:
        url = urlsplit(text)
        port_is_valid = url.port is None or url.port > 0
    except ValueError:
        return ""
    if url.scheme not in ("http", "https") or not url.hostname or not port_is_valid:
        return ""
    if url.username is not None or url.password is not None:
        return "credentials do not belong into a URL"
    if url.path or url.query or url.fragment or text.endswith(("?", "#")):
        return "without path, query and trailing slash"
    return None if matching(rf"{_LABEL}(\.{_LABEL})*|[0-9a-f:.]+")(url.hostname) is None else ""


ENDPOINT = SettingRule(
    allowed="a URL https://host[:port]",
    example="https://s3.example.com",
    check=_endpoint,
)


def _chart_source(text: str) -> str | None:
    if text.startswith("http://"):
        return "a chart is not fetched over plain http"
    if "@" in text.partition("://")[2].partition("/")[0]:
        return "credentials do not belong into a URL"
    if "://" in text and not text.startswith(("https://", "oci://")):
        return ""
    return None if text.strip() == text != "" else ""


CHART_SOURCE = SettingRule(
    allowed="a chart repository https://…, an OCI reference oci://…, or the path of a chart "
    "directory or .tgz",
    example="https://helm.goharbor.io",
    check=_chart_source,
)
EXACT_VERSION = SettingRule(
    allowed="one exact version MAJOR.MINOR.PATCH; a range or a leading v would let a run pick "
    "another chart",
    example="1.18.3",
    check=matching(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"),
)
SHA256 = SettingRule(
    allowed="64 lower-case hexadecimal digits",
    example="$(sha256sum harbor-1.18.3.tgz | cut -d' ' -f1)",
    check=matching(r"[0-9a-f]{64}"),
)
FINGERPRINT = SettingRule(
    allowed="64 lower-case hexadecimal digits, without colons",
    example="$(openssl x509 -in sealing.pem -outform DER | sha256sum | cut -d' ' -f1)",
    check=matching(r"[0-9a-f]{64}"),
)


def _pem(text: str) -> str | None:
    if "PRIVATE KEY" in text:
        return "this is a private key"
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return None if 0 <= text.find(begin) < text.find(end) else ""


def is_path_of_certificate(text: str) -> bool:
    """Whether a certificate setting names a file rather than holding PEM text."""
    return re.fullmatch(r"[^\s\x00]+\.(pem|crt|cert|cer)", text) is not None


def _certificate(text: str) -> str | None:
    return None if is_path_of_certificate(text) else _pem(text)


PEM = SettingRule(
    allowed="certificates in PEM (-----BEGIN CERTIFICATE-----)",
    example="< ca.pem",
    check=_pem,
)
CERTIFICATE = SettingRule(
    allowed="a certificate in PEM (-----BEGIN CERTIFICATE-----), or the path of a file that holds "
    "one (.pem, .crt, .cert, .cer)",
    example="sealing-omantel.pem",
    check=_certificate,
)


# --- Quantities ------------------------------------------------------------------------------


def _byte_quantity(text: str) -> str | None:
    if re.fullmatch(r"[\d.]+m", text):
        return "m means thousandths of a byte"
    try:
        return None if bytes_of(text) >= 1024**2 else "less than one mebibyte"
    except ValueError:
        return ""


def byte_quantity(example: str) -> SettingRule:
    return SettingRule(
        allowed="a Kubernetes quantity of bytes with a suffix such as Mi, Gi or Ti",
        example=example,
        check=_byte_quantity,
    )


def _cpu(text: str) -> str | None:
    match = re.fullmatch(r"(\d+|\d*\.\d+)(m?)", text)
    if match is None:
        return ""
    milli = Decimal(match[1]) * (1 if match[2] else 1000)
    return None if milli > 0 and milli == int(milli) else "at least 1m, and no finer than 1m"


def _canonical_cpu(text: str) -> str:
    """As the API server writes it back (.5 is 500m), or every refresh would see a difference."""
    milli = int(Decimal(text[:-1])) if text.endswith("m") else int(Decimal(text) * 1000)
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


Cpu = Annotated[
    str,
    SettingRule(
        allowed="a Kubernetes quantity of processors such as 500m, .5 or 2",
        example="500m",
        check=_cpu,
    ),
    AfterValidator(_canonical_cpu),
]
Memory = Annotated[str, byte_quantity("512Mi")]
StorageSize = Annotated[str, byte_quantity("10Gi")]
