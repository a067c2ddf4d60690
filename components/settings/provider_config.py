"""Reads the stack config inside dynamic providers. Pure.

A dynamic provider runs in a process of its own, which is given the raw stack config instead of
Settings. `get` is that config's lookup, ConfigureRequest.config.get.
"""

import json
from collections.abc import Callable, Mapping

from components.settings.schema.environment import expand

Lookup = Callable[[str], str | None]
"""Config key → its text; None where the key is not set."""


def key_pair(get: Lookup) -> tuple[str, str] | None:
    """The stack's access key and secret key; None unless both are set.

    They are missing in a preview by somebody who does not have them. Raises UnsetVariable.
    """
    access_key, secret_key = get("s3AccessKey"), get("s3SecretKey")
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
