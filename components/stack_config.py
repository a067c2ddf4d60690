"""Reads the running stack's config: its settings and secrets, or one readable refusal.

No other module of the program reads it. Dynamic providers, which run in a process of their own,
read the few keys they need by settings/provider_config.py (tests/unit/test_layers.py lists them).
"""

import dataclasses
import datetime as dt
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi.runtime.config import CONFIG

from components import public_passphrase
from components.settings import hints
from components.settings.model import Settings
from components.settings.reading import refusals
from components.settings.reading.refusals import Fixes, Refusal, SettingsRefused
from components.settings.reading.secrets import secrets_of
from components.settings.schema.secret_rules import AsksForSecrets
from components.unknown import unknown

CHART_OVERRIDE = "HARBOR_CHART"
"""Environment variable that replaces harbor.chart.source."""


Secrets = Mapping[str, pulumi.Output[str]]
"""By config key, as secret Outputs, never as text; all secrets that are set or needed."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The checked stack config."""

    settings: Settings
    secrets: Secrets
    is_secret: Mapping[str, Callable[[str], bool]]
    """By config key, for the secrets that are set: whether a text equals that secret."""


class StackRefused(SettingsRefused, pulumi.RunError):
    """Refused settings as a RunError, of which the engine prints the text without a traceback."""


def load() -> StackConfig:
    """Read and check the running stack's config.

    A missing secret becomes an unknown secret value and a warning in a preview, so that people
    without the secret can preview; in an update it is refused. Raises StackRefused.
    """
    stack = pulumi.get_stack()
    config, environ = _config(), dict(os.environ)
    rules = secrets_of(config)
    plain = {key: config.pop(key) for key in rules if key in config}
    encrypted = frozenset(key for key in (*config, *plain) if _is_encrypted(key))

    is_overridden = _override_chart(config, environ)
    fixes = Fixes(stack=stack, edits=refusals.EDITS in environ)
    reading = refusals.read(
        config,
        stack=stack,
        encrypted=encrypted,
        missing=rules.keys() - plain.keys(),
        environ=environ,
        edits=fixes.edits,
    )
    refused = [
        _name_the_override(refusal) if is_overridden else refusal for refusal in reading.refusals
    ]

    sandbox = reading.sections.get("sandbox") is True
    if not sandbox and public_passphrase.is_public_environment(environ):
        refused.append(refusals.public_passphrase(stack))
    if not sandbox and public_passphrase.is_empty_passphrase(environ, _file(stack)):
        refused.append(refusals.empty_passphrase(stack))
    secrets: dict[str, pulumi.Output[str]] = {}
    is_secret: dict[str, Callable[[str], bool]] = {}
    for key, text in plain.items():
        value = refusals.read_secret(
            key,
            text,
            encrypted=key in encrypted,
            sandbox=sandbox,
            environ=environ,
            fixes=fixes,
            rules=rules,
        )
        if isinstance(value, Refusal):
            refused.append(value)
        else:
            secrets[key] = pulumi.Output.secret(value)
            is_secret[key] = _equals(value)

    if "databasePassword" in plain and "rotation" in reading.sections:
        refused += refusals.given_and_rotated(reading.sections["rotation"], fixes=fixes)
    missing = [key for key in dict.fromkeys(_needed(reading.sections)) if key not in plain]
    if not pulumi.runtime.is_dry_run():
        refused += [
            refusals.missing_secret(key, fixes=fixes, sandbox=sandbox, rules=rules)
            for key in missing
            if key not in reading.misspelt
        ]
    if refused or reading.settings is None:
        raise StackRefused(stack=stack, refusals=refused)
    if missing:
        _warn_of_missing(missing, stack)
        secrets.update((key, unknown(secret=True)) for key in missing)
    today = dt.datetime.now(dt.UTC).date()
    for hint in (
        *hints.hints(reading.settings, today),
        *_backup_hints(reading.settings),
    ):
        pulumi.log.warn(hint)
    return StackConfig(settings=reading.settings, secrets=secrets, is_secret=is_secret)


def _file(stack: str) -> Path:
    """The stack's file: the engine runs the program in the project's folder."""
    return Path(f"Pulumi.{stack}.yaml")


def _equals(value: str) -> Callable[[str], bool]:
    return lambda text: hmac.compare_digest(text.encode(), value.encode())


def _backup_hints(settings: Settings) -> Iterator[str]:
    """Of previews, in which people decide; a sandbox is thrown away as a whole."""
    if pulumi.runtime.is_dry_run() and not settings.sandbox:
        yield from hints.of_backups(settings)


def _needed(sections: Mapping[str, Any]) -> list[str]:
    """The secrets that the valid sections need."""
    asking = [s for s in sections.values() if isinstance(s, AsksForSecrets)]
    return [key for section in asking for key in section.needed_secrets]


def _config() -> dict[str, Any]:
    """The project's keys and values; objects are parsed from JSON, secrets stay texts.

    Keys with an empty value are left out: that is Pulumi.yaml's default for "not set", and what
    the engine makes of a key with nothing behind its colon.
    """
    prefix = f"{pulumi.get_project()}:"
    texts = {
        full_key.removeprefix(prefix): value
        for full_key, value in CONFIG.get().items()
        if full_key.startswith(prefix) and value not in ("", "{}", "null")
    }
    secrets = secrets_of({"registry": _parsed(texts.get("registry", ""))})
    return {
        key: _parsed(value) if value.startswith(("{", "[")) and key not in secrets else value
        for key, value in texts.items()
    }


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _is_encrypted(key: str) -> bool:
    return pulumi.runtime.is_config_secret(f"{pulumi.get_project()}:{key}")


def _override_chart(config: dict[str, Any], environ: Mapping[str, str]) -> bool:
    source = environ.get(CHART_OVERRIDE)
    harbor: Any = config.get("harbor", {})
    chart: Any = cast("dict[str, Any]", harbor).get("chart", {}) if _is_object(harbor) else None
    if not source or not _is_object(chart):
        return False
    config["harbor"] = {**harbor, "chart": {**chart, "source": source}}
    return True


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _name_the_override(refusal: Refusal) -> Refusal:
    if refusal.key != "harbor.chart.source":
        return refusal
    return dataclasses.replace(refusal, fix=f"unset {CHART_OVERRIDE}")


def _warn_of_missing(keys: list[str], stack: str) -> None:
    commands = "\n".join(f"  {refusals.set_secret(key, stack)}" for key in keys)
    pulumi.log.warn(
        f"not set on stack {stack}: {', '.join(keys)}. The preview goes on with unknown values; "
        f"`up` needs\n{commands}"
    )
