"""Reads the stack config inside dynamic providers.

A dynamic provider runs in a process of its own, which is given the raw stack config instead of
Settings. `get` is that config's lookup, ConfigureRequest.config.get.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from components.settings.schema.environment import expand

Lookup = Callable[[str], str | None]
"""Config key → its text; None where the key is not set."""


_FQDN: Final = re.compile(r"^ +[\w-]+:fqdn: +(\S+)", re.MULTILINE)


def key_pair(get: Lookup) -> tuple[str, str] | None:
    """The stack's access key and secret key; None unless both are set.

    They are missing in a preview by somebody who does not have them. Raises UnsetVariable.
    """
    access_key, secret_key = get("s3AccessKey"), get("s3SecretKey")
    if not access_key or not secret_key:
        return None
    return expand(access_key), expand(secret_key)


def backup_key_pair(get: Lookup) -> tuple[str, str] | None:
    """The key pair of the bucket of the backups; None unless both are set. Raises UnsetVariable."""
    access_key, secret_key = get("backupAccessKey"), get("backupSecretKey")
    if not access_key or not secret_key:
        return None
    return expand(access_key), expand(secret_key)


def cluster_context(get: Lookup) -> str | None:
    """The kubeconfig context of the section `cluster`; None if unset. Raises UnsetVariable."""
    context = json.loads(get("cluster") or "{}").get("context")
    return expand(context) if context else None


def given_credentials(get: Lookup) -> Mapping[str, str]:
    """Those of Harbor's credentials that the config gives, by config key. Raises UnsetVariable."""
    keys = ("harborSecretKey", "harborAdminPassword", "databasePassword")
    return {key: expand(text) for key in keys if (text := get(key))}


def stack_name(get: Lookup, folder: Path = Path()) -> str | None:
    """The stack, for messages: the engine (3.250) tells a dynamic provider its project alone.

    It is the one whose file in `folder`, the project's, has the same `fqdn`; None unless there is
    exactly one.
    """
    fqdn = get("fqdn")
    names: list[str] = []
    for file in sorted(folder.glob("Pulumi.*.yaml")):
        said = re.search(_FQDN, file.read_text(errors="replace"))
        if fqdn and said is not None and said[1].strip("'\"") == fqdn:
            names.append(file.name.removeprefix("Pulumi.").removesuffix(".yaml"))
    return names[0] if len(names) == 1 else None
