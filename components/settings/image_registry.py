"""The setting `imageRegistry`: where images of the Sovereign's own parts are pulled from. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from components.settings.schema.rules import PORT_NUMBER, SettingRule

_HOST: Final = rf"(?=[^/]*[.:]|localhost)[a-z0-9][-a-z0-9.]*(:{PORT_NUMBER})?"
_SEGMENT: Final = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"


def _image_registry(text: str) -> str | None:
    if "://" in text:
        return "images are named without a scheme"
    if text.endswith("/"):
        return "without a slash at the end"
    if "@" in text:
        return "credentials do not belong into the name of an image; the nodes have the login"
    if text != text.lower():
        return "upper-case letters are not allowed"
    host, _, path = text.partition("/")
    if re.fullmatch(_HOST, host) is None:
        return "the first part names no registry: it has neither a dot nor a port"
    if "/" in text and re.fullmatch(rf"{_SEGMENT}(/{_SEGMENT})*", path) is None:
        return "a path, without tag and digest: each image keeps its own"
    return None


def _registries(text: str) -> Iterator[str]:
    yield re.sub(r"^[a-z]+://", "", text.lower()).rstrip("/")


IMAGE_REGISTRY: Final = SettingRule(
    allowed="a registry HOST[:PORT], or a place in it HOST[:PORT]/PATH, in lower case, without "
    "scheme",
    example="<registry>",
    check=_image_registry,
    suggest=_registries,
)


def host_of(reference: str) -> str:
    """The host, without its port, in the name of an image; "" where the name has no host.

    As distribution/reference reads it, a host has a dot, a port, or is localhost.
    """
    first, slash, _ = reference.partition("/")
    name = first.partition(":")[0]
    return name if slash and ("." in first or ":" in first or name == "localhost") else ""
