"""Why some mutants are left alive. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ANY_SALT: Final = "Equal: a salt of any length serves."

EXPLAINED: Final[Mapping[tuple[str, str], str]] = {
    (
        "components/sealing/digests.py",
        '-            digest.update(struct.pack(">Q", len(part)) + part)\n'
        '+            digest.update(struct.pack(">q", len(part)) + part)',
    ): "Equal: no length has 64 bits.",
    (
        "components/sealing/seal.py",
        "-        outs = _sealed(props, salt=os.urandom(16), kept={})\n"
        "+        outs = _sealed(props, salt=os.urandom(17), kept={})",
    ): _ANY_SALT,
    (
        "components/sealing/revisions.py",
        "-    return revision(data, salt=os.urandom(16))\n"
        "+    return revision(data, salt=os.urandom(17))",
    ): _ANY_SALT,
    (
        "components/sealing/unsealed.py",
        "-    salt = os.urandom(16).hex()\n+    salt = os.urandom(17).hex()",
    ): _ANY_SALT,
    (
        "components/sealing/crypto.py",
        "-    end = pem.find(_END, begin)\n+    end = pem.rfind(_END, begin)",
    ): "Equal: of a chain the first certificate is read.",
    (
        "components/sealing/unsealed.py",
        '-    if content is None or not opened.has(content.partition("/")[0]):\n'
        '+    if content is None or not opened.has(content.rpartition("/")[0]):',
    ): "Equal: the text has one slash, between a revision and a digest.",
    (
        "components/network/rules.py",
        '-    return _host_and_port(settings.storage.endpoint_url or "https:")\n'
        '+    return _host_and_port(settings.storage.endpoint_url or "HTTPS:")',
    ): "Equal: urlsplit makes schemes lower case.",
    (
        "components/network/rules.py",
        '-        "restore-storage": settings.restore_source,\n'
        '+        "XXrestore-storageXX": settings.restore_source,',
    ): "Equal: a party outside is called so in the description alone, and no policy has the name.",
    (
        "components/settings/provider_config.py",
        '-        if fqdn and said is not None and said[1].strip("\'\\"") == fqdn:\n'
        '+        if fqdn and said is not None and said[1].strip("XX\'\\"XX") == fqdn:',
    ): "Equal: a domain is in lower case, so it has no X.",
}
"""A mutant's module and diff → the reason. One of a line that is gone fails a test."""
