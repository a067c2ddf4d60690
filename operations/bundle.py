"""`make bundle`: all that a Sovereign pulls, as one list, and copied to where no network leads.

The list names charts, images and databases of the scanner. With TO they are copied into a folder or
a registry, with FROM out of such a folder. A run goes on where the last one ended: what is there
with the same digest is not copied again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.commands import for_stack, set_value
from components.harbor.chart import ChartError
from components.settings.image_registry import IMAGE_REGISTRY, host_of
from components.settings.model import Settings
from components.settings.reading import refusals, stack_file
from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.secrets import secrets_of
from components.settings.reading.stack_file import StackFileRefused
from components.stack_config import CHART_OVERRIDE
from engine import crane, stacks
from engine.terminal import fail
from engine.workplace import SANDBOX_VALUES, without_secrets
from operations.bundle_copies import copied, into_folder, into_registry
from operations.bundle_list import (
    CHARTS,
    IMAGES,
    LIST,
    NO_CRANE,
    Bundle,
    BundleRefused,
    listed,
    read,
)
from operations.oci_folder import FolderError, OciFolder


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. `to`: a folder or a registry; `from_`: a folder; `output`: file of the list,
    unless given standard output, or bundle.json in the folder `to`; `form`: json or yaml."""

    stack: str
    to: str = ""
    from_: str = ""
    output: str = ""
    form: str = "json"


def run(request: Request) -> int:
    """The command; its exit code: 1 where something was refused or not copied."""
    try:
        return _run(request)
    except FileNotFoundError:
        return fail(f"there is no Pulumi.{request.stack}.yaml: {', '.join(stacks.names())}")
    except (StackFileRefused, SettingsRefused, BundleRefused, FolderError) as error:
        return fail(str(error))
    except ChartError as error:
        return fail(for_stack(str(error), request.stack))
    except KeyboardInterrupt:
        return fail("interrupted; the next run goes on with what is missing")


def _run(request: Request) -> int:
    settings = settings_of(request.stack)
    to = _target(request)
    client = crane.find()
    if client is None and to is not None:
        raise BundleRefused(NO_CRANE)
    if request.from_:
        bundle = read(Path(request.from_), settings, request.stack)
    else:
        bundle = listed(request.stack, settings, client)
    text = _text(bundle.as_data(), request.form)
    if request.output:
        Path(request.output).write_text(text)
    elif not isinstance(to, Path):
        sys.stdout.write(text)
    for note in bundle.notes:
        _tell(f"note: {note}")
    if to is None or client is None:
        return 0
    if isinstance(to, Path):
        OciFolder(to / IMAGES).prepare()
        (to / LIST).write_text(_text(bundle.as_data(), "json"))
        works = [*into_folder(bundle, to, client)]
    else:
        from_ = Path(request.from_) if request.from_ else None
        works = [*into_registry(bundle, to, client, from_)]
    failures = copied(works, _tell)
    failures += [
        f"{item.image.source}: {item.reason or 'its digest is not known'}"
        for item in bundle.items
        if item.digest is None
    ]
    failures += [
        f"chart harbor {each.version}: it was not read"
        for each in bundle.charts
        if each.content is None
    ]
    if failures:
        return fail(_failed(failures, to))
    _tell(_next(bundle, settings, to))
    return 0


def settings_of(stack: str) -> Settings:
    """The settings of a stack's file, without its secrets, and with the chart that HARBOR_CHART
    names. Raises FileNotFoundError, StackFileRefused and SettingsRefused."""
    file = stack_file.read(stacks.file_of(stack))
    raw: dict[str, Any] = {
        key.partition(":")[2]: value
        for key, value in without_secrets(file).items()
        if key.startswith(f"{stack_file.PROJECT}:") and value not in (None, "", {})
    }
    for secret in secrets_of(raw):
        raw.pop(secret, None)
    if source := os.environ.get(CHART_OVERRIDE):
        harbor = raw.get("harbor") or {}
        raw["harbor"] = {**harbor, "chart": {**(harbor.get("chart") or {}), "source": source}}
    environ = {**(SANDBOX_VALUES if file.is_sandbox else {}), **os.environ}
    reading = refusals.read(raw, stack=stack, environ=environ)
    if reading.settings is None:
        raise SettingsRefused(stack=stack, refusals=reading.refusals)
    return reading.settings


def _target(request: Request) -> Path | str | None:
    """The folder (a path) or the registry (a text) of TO. Raises BundleRefused."""
    to = request.to
    if not to:
        if request.from_:
            raise BundleRefused("FROM is copied into a registry: set TO=HOST[:PORT][/PATH] too")
        return None
    allowed = IMAGE_REGISTRY.check
    assert allowed is not None
    is_path = to.startswith(("/", "./", "../", "~")) or to in (".", "..") or Path(to).is_dir()
    if not is_path and (reason := allowed(to)) is None:
        return to
    if not is_path and host_of(f"{to}/"):
        raise BundleRefused(f"TO={to} is no place in a registry: {reason}")
    if request.from_:
        raise BundleRefused("FROM is copied into a registry only; a folder can be copied as it is")
    return Path(to).expanduser()


def _failed(failures: Sequence[str], to: Path | str) -> str:
    lines = "\n".join(f"  {each}" for each in failures)
    words = " ".join(failures).upper()
    wants_login = any(word in words for word in ("UNAUTHORIZED", "DENIED", " 401 ", " 403 "))
    login = (
        "\n  a registry that asks for a login: crane auth login "
        f"{to.partition('/')[0] if isinstance(to, str) else '<host>'}"
        if wants_login
        else ""
    )
    return f"{len(failures)} not copied; the next run goes on with these\n{lines}{login}"


def _next(bundle: Bundle, settings: Settings, to: Path | str) -> str:
    """What a person does with what was copied."""
    if isinstance(to, Path):
        return (
            f"all that stack {bundle.stack} pulls is in {to}. Behind the air gap:\n"
            f"  make bundle STACK={bundle.stack} FROM={to} TO=<registry>"
        )
    lines = [f"all that stack {bundle.stack} pulls is in {to}"]
    if settings.image_registry != to:
        lines.append(f"  {set_value('imageRegistry', to, bundle.stack)}")
    oci = f"oci://{to}/{CHARTS}/harbor"
    if settings.harbor.chart.source != oci:
        lines.append(f"  {set_value('harbor.chart.source', oci, bundle.stack)}")
        for each in bundle.charts:
            lines.append(f"  {set_value('harbor.chart.sha256', str(each.sha256), bundle.stack)}")
    return "\n".join(lines)


def _text(data: Mapping[str, Any], form: str) -> str:
    if form == "yaml":
        return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
