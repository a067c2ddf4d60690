"""What a setting may be: in words, as an example for the command that mends it, and as a check.

Pure. The models annotate their fields with these rules, and refusals.py and the reference of the
settings take their words from the same rules, so that words and check cannot differ.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, NoReturn
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from components.kubernetes.quantities import bytes_of
from components.settings.exclusions import CLUSTER, ESTATE

Check = Callable[[Any], str | None]
"""Takes a value of the field's type. Returns None if it is allowed, else the reason against it: ""
where `allowed` says it all."""


class Section(BaseModel):
    """A part of the stack config: frozen, camelCase in YAML, unknown keys refused."""

    also_called: ClassVar[tuple[str, ...]] = ()
    """What people write for the kind or mode of this section, in lower case."""
    called_here: ClassVar[Mapping[str, str]] = {}
    """What other tools call a setting → its key in this section, or its path from the top."""
    not_here: ClassVar[Mapping[str, str]] = {}
    """What other tools call a setting that this section has not → why, and what to write."""
    follows: ClassVar[Mapping[str, str]] = {}
    """Required keys → the key whose presence says them, too."""
    short_form: ClassVar[str] = ""
    """The key that a text sets which stands in the place of the section."""
    told_by_keys: ClassVar[bool] = False
    """Whether this section, one of several kinds, is told from the others by its keys, so that
    nobody has to write its kind."""
    example_key: ClassVar[str] = ""
    """The key that the command sets which makes a section without required keys; the first when
    empty."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,  # for Python callers; refusals.py reads YAML by alias only
        coerce_numbers_to_str=True,  # `pulumi config set --path` turns 10485760 into a number
    )

    @model_validator(mode="before")
    @classmethod
    def _takes_its_short_form(cls, value: Any) -> Any:
        return {cls.short_form: value} if cls.short_form and isinstance(value, str) else value


REMOVE: Final = ""
"""Instead of an example: the mending command removes the key."""
QUOTE: Final = "\0quote"
"""Instead of an example: a person puts the value in quotes."""
RENAME: Final = "\0rename"
"""Instead of an example: a person gives the entry another name."""


def refuse(reason: str, *, at: tuple[str | int, ...] = (), example: str | None = None) -> NoReturn:
    """Refuse the value under validation, or the key `at` below it. `example`: a value to set
    instead."""
    # pydantic refuses halves of surrogate pairs, which a quoted value may have.
    shown = reason.encode(errors="backslashreplace").decode()
    raise PydanticCustomError(
        "refused", "{reason}", {"reason": shown, "at": at, "example": example}
    )


def refuse_repetition(items: Sequence[Any], *, at: tuple[str | int, ...], reason: str) -> None:
    """Refuse the first item of the list `at` that is equal to one before it. The mending command
    removes that item. `reason`: {first} stands for the number of the other."""
    for index, item in enumerate(items):
        first = items.index(item)
        if first < index:
            refuse(reason.format(first=first), at=(*at, index), example=REMOVE)


@dataclass(frozen=True, kw_only=True)
class SettingRule:
    """Annotates a field. None, the value of an optional setting left out, is never checked."""

    allowed: str
    example: str
    """What the mending command sets where nothing follows from the value. {stack} is the stack's
    name; <words> stand for what only a person knows."""
    check: Check | None = None
    conceal: bool = False
    """Never show the value: somebody could have put a credential here by mistake."""
    suggest: Callable[[str], Iterable[str]] | None = None
    """What a person could have meant by a text that is refused, the most likely first. The settings
    are asked whether they accept it; it may be anything."""
    in_quotes: bool = False
    """Refuse a number in the place of a text. YAML reads 1.10 as 1.1 and 2.0 as 2."""

    def fits(self, value: Any) -> bool:
        """Whether the check allows a value of the field's type."""
        return self.check is None or self.check(value) is None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        checked = core_schema.no_info_after_validator_function(self._apply, schema)
        if schema["type"] == "int":
            return core_schema.no_info_before_validator_function(_no_boolean, checked)
        if self.in_quotes:
            return core_schema.no_info_before_validator_function(_no_number, checked)
        return checked

    def _apply(self, value: Any) -> Any:
        if value is not None and self.check is not None:
            reason = self.check(value)
            if reason is not None:
                refuse(reason)
        return value


@dataclass(frozen=True, eq=False)
class OtherWords:
    """Annotates a field: what people and other tools call its values, in any case."""

    meanings: Mapping[str, str]
    """Word → value of the field."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._value, handler(source))

    def _value(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        folded = {word.lower(): meant for word, meant in self.meanings.items()}
        return folded.get(value.lower(), value)


def _no_boolean(value: Any) -> Any:
    """pydantic takes true for 1: `lastPushed: true` would keep one image."""
    if isinstance(value, bool):
        refuse("true and false are no numbers")
    return value


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        refuse(
            "YAML reads it as a number, 1.10 as 1.1 and 2.0 as 2: put it in quotes", example=QUOTE
        )
    return value


@dataclass(frozen=True, kw_only=True)
class NamesRule(SettingRule):
    """Annotates an object whose keys are names that a person chooses, by the rule of the names."""

    names: SettingRule

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        assert schema["type"] == "dict", schema["type"]
        checked = core_schema.no_info_after_validator_function(
            self._check_name, core_schema.str_schema()
        )
        return core_schema.dict_schema(checked, schema.get("values_schema"))

    def _check_name(self, name: str) -> str:
        reason = None if self.names.check is None else self.names.check(name)
        if reason is not None:
            raise PydanticCustomError("refused_name", "{reason}", {"reason": reason})
        return name


def is_for_the_shell(example: str) -> bool:
    """Whether the shell has to evaluate an example, so that it must not be quoted.

    Such are $(a command) and < a file, which holds PEM: pulumi would take text that begins with '-'
    for a flag.
    """
    return "$(" in example or example.startswith("< ")


def matching(pattern: str) -> Check:
    """A check that refuses what the whole pattern does not match."""
    compiled = re.compile(pattern, re.ASCII)  # else \d and \w are digits and letters of any script
    return lambda text: None if compiled.fullmatch(text) else ""


def length_problem(text: str, longest: int) -> str | None:
    """Why a text of more characters than that is refused; None where it has no more."""
    return f"at most {longest} characters" if len(text) > longest else None


def whole_number(low: int, high: int, *, example: int, unit: str = "") -> SettingRule:
    """`unit`: that of the number, `day` or `minute`, which people write behind it."""
    counted = re.compile(rf"([0-9]+) ?({unit[:1]}|{unit}s?)", re.IGNORECASE)

    def suggest(text: str) -> Iterator[str]:
        if unit and (match := counted.fullmatch(text)) is not None:
            yield match[1]

    return SettingRule(
        allowed=f"a whole number from {low} to {high}",
        example=str(example),
        check=lambda number: None if low <= number <= high else "",
        suggest=suggest,
    )


# --- Kubernetes' labels ----------------------------------------------------------------------

_LABEL_VALUE = matching(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = matching(
    r"((?=[^/]{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?"
)
LABEL_KEY = SettingRule(
    allowed="the name of a label: [PREFIX/]NAME, the name at most 63 letters, digits, '-', '_' "
    "and '.'",
    example="<key>",
    check=_LABEL_KEY,
)
LABEL_VALUE = SettingRule(
    allowed="the value of a label: at most 63 letters, digits, '-', '_' and '.', beginning and "
    "ending with a letter or digit",
    example="<value>",
    check=_LABEL_VALUE,
)


def labels_problem(labels: Mapping[str, str]) -> str | None:
    """Why an object of labels is refused; None if it is not."""
    for key, value in labels.items():
        if _LABEL_KEY(key) is not None:
            return f"{key!r} is not the name of a label"
        if _LABEL_VALUE(value) is not None:
            return f"the value of {key} is not one of a label, at most 63 characters"
    return None


# --- What could be meant -----------------------------------------------------------------------


def _host_in(text: str) -> str:
    """The host of a URL, or of a text HOST[:PORT][/PATH], in lower case; "" without one."""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def _hosts(text: str) -> Iterator[str]:
    host = _host_in(text).rstrip(".")
    yield host
    yield host.removeprefix("registry.")


def _endpoints(text: str) -> Iterator[str]:
    host = _host_in(text)
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return
    place = f"[{host}]" if ":" in host else host
    yield f"{url.scheme.lower()}://{place}{port}"
    yield f"https://{place}{port}"


def last_part(text: str) -> Iterator[str]:
    """Of a URI or another name with parts: s3://bucket/, arn:…:::bucket, arn:…:role/name."""
    yield re.split(r"[/:]", text.rstrip("/"))[-1]
    yield _host_in(text)


def _quantities(text: str) -> Iterator[str]:
    bare = re.sub(r"\s", "", text)
    yield bare
    if re.fullmatch(r"[0-9]{1,6}", bare):
        yield f"{bare}Gi"  # as Terraform counts the storage of Harbor's projects
    yield bare.removesuffix("B")
    if match := re.fullmatch(r"(?i)([\d.]+)([kmgtp])(i?)b?", bare):
        unit = match[2].upper() + match[3].lower()
        yield match[1] + {"K": "k", "M": "Mi" if match[2] == "m" else "M"}.get(unit, unit)


# --- Names -----------------------------------------------------------------------------------

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

DNS_LABEL = SettingRule(
    allowed="a Kubernetes name: lower-case letters, digits and '-', at most 63 characters",
    example="<namespace>",
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
    example="<name>",
    check=matching(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"),
)
PRIORITY_CLASS = SettingRule(
    allowed="the name of a PriorityClass",
    example="business-critical",
    check=OBJECT_NAME.check,
)
STORAGE_CLASS = SettingRule(
    allowed='the name of a StorageClass; "" or nothing for the cluster\'s default',
    example="<storage-class>",
    check=matching(rf"(?=.{{0,253}}$)({_LABEL}(\.{_LABEL})*)?"),
)
SECRET_KEY_NAME = SettingRule(
    allowed="the name of a key of that Secret (never the password itself)",
    example="password",
    check=matching(r"[-._a-zA-Z0-9]{1,253}"),
    conceal=True,
)


def is_ipv6(text: str) -> bool:
    """Whether the text is an IPv6 address, without a zone."""
    try:
        return "%" not in text and ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def _host(text: str) -> str | None:
    is_host = _HOST_NAME.fullmatch(text) or (text == text.lower() and is_ipv6(text))
    return None if is_host else ""


HOST = SettingRule(
    allowed="a host name or IP address without scheme and port",
    example="<host>",
    check=_host,
    suggest=_hosts,
)
PORT = whole_number(1, 65535, example=5432)
PORT_NUMBER = (
    r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
"""A pattern of the ports in a text."""


_LONGEST_LINE: Final = 253


def _one_line(text: str) -> str | None:
    if re.search(r"<.*>", text):
        return "a placeholder of a fix is still in it"
    if len(text) > _LONGEST_LINE:
        return f"at most {_LONGEST_LINE} characters; it has {len(text)}"
    return None if text.isprintable() and text == text.strip() != "" else ""


CLUSTER_NAME = SettingRule(
    allowed="the name of the cluster entry that the kubeconfig context must reach",
    example="{stack}",
    check=_one_line,
)
NON_EMPTY = SettingRule(
    allowed="one line of text, without spaces around it",
    example="<value>",
    check=_one_line,
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
    if len(text) > 63 and "://" not in text:
        return (
            "at most 63 characters: it is the value of a label, and Kubernetes takes no longer one"
        )
    return _dns_name(text)


_DNS_NAME = (
    "a lower-case DNS name of at least two labels (RFC 1123), each of letters, digits and '-', at "
    "most 63 characters, the last one no number"
)
FQDN = SettingRule(allowed=_DNS_NAME, example="<fqdn>", check=_fqdn, suggest=_hosts)
DNS_NAME = SettingRule(allowed=_DNS_NAME, example="<host>", check=_dns_name, suggest=_hosts)


# --- Addresses -------------------------------------------------------------------------------


def _endpoint(text: str) -> str | None:
    try:
        url = urlsplit(text)
        port_is_valid = url.port is None or url.port > 0
    except ValueError:
        return ""
    if text != text.lower() and url.scheme in ("http", "https"):
        return "upper-case letters are not allowed"
    if url.scheme not in ("http", "https") or not url.hostname or not port_is_valid:
        return ""
    if url.username is not None or url.password is not None:
        return "credentials do not belong into a URL"
    if url.path or url.query or url.fragment or text.endswith(("?", "#")):
        return "without path, query and trailing slash"
    return _host(url.hostname)


ENDPOINT = SettingRule(
    allowed="a URL https://host[:port]",
    example="https://<host>",
    check=_endpoint,
    suggest=_endpoints,
)


def _chart_source(text: str) -> str | None:
    if (reason := length_problem(text, 4095)) is not None:  # Linux' PATH_MAX, with its end
        return reason
    if not text.isprintable() or "<" in text:
        return ""
    if text.lower().startswith("http://"):
        return "a chart is not fetched over plain http"
    if "@" in text.partition("://")[2].partition("/")[0]:
        return "credentials do not belong into a URL"
    if "://" in text:
        try:
            url = urlsplit(text)
            is_url = bool(url.hostname) and (url.port is None or url.port > 0)
        except ValueError:
            return ""
        if url.scheme not in ("https", "oci") or not is_url:
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
    example="sealing-{stack}.pem",
    check=_certificate,
)


# --- Quantities ------------------------------------------------------------------------------

_LONGEST_QUANTITY = 24
_MOST_PROCESSORS = 1024


def byte_quantity(example: str, *, largest: str) -> SettingRule:
    def check(text: str) -> str | None:
        if re.fullmatch(r"[0-9.]+m", text):
            return "m means thousandths of a byte"
        if len(text) > _LONGEST_QUANTITY:
            return ""
        try:
            size = bytes_of(text)
        except ValueError:
            return ""
        if size > bytes_of(largest):
            return f"more than {largest}"
        return None if size >= 1024**2 else "less than one mebibyte"

    return SettingRule(
        allowed="a Kubernetes quantity of bytes with a suffix such as Mi, Gi or Ti",
        example=example,
        check=check,
        suggest=_quantities,
    )


def _cpu(text: str) -> str | None:
    match = re.fullmatch(r"([0-9]+|[0-9]*\.[0-9]+)(m?)", text)
    if match is None or len(text) > _LONGEST_QUANTITY:
        return ""
    milli = Decimal(match[1]) * (1 if match[2] else 1000)
    if milli > _MOST_PROCESSORS * 1000:
        return f"more than {_MOST_PROCESSORS}"
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
Memory = Annotated[str, byte_quantity("512Mi", largest="32Ti")]
StorageSize = Annotated[str, byte_quantity("10Gi", largest="16Pi")]
