"""`make sovereign NAME=… FQDN=… KIND=…`: writes the stack file of a new Sovereign, checked."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from components import versions
from components.settings.reading import refusals, stack_file
from components.settings.reading.refusals import Refusal
from components.settings.reading.secrets import SECRETS
from components.settings.reading.spec import key_of
from components.settings.reading.stack_file import StackFileRefused
from components.settings.storage.base import StorageKind
from components.settings.storage.keyed import HetznerStorage
from components.settings.storage.section import StorageSettings
from engine import stacks

# What `pulumi stack init` takes, and what goes into the bucket's name.
_NAME = re.compile(r"[a-z][a-z0-9-]{1,40}[a-z0-9]")
_NAME_ALLOWED = (
    "3 to 42 lower-case letters, digits and '-', beginning with a letter and not ending with '-': "
    "it becomes the stack's name, the cluster's and a part of the bucket's"
)

_MODELS: Final[Mapping[str, type[StorageKind]]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(StorageSettings)[0])
}
KINDS: Final = tuple(_MODELS)
"""The kinds of storage."""
DEFAULT_KIND: Final[str] = HetznerStorage.model_fields["kind"].default

_TEMPLATE = """\
# yaml-language-server: $schema=docs/reference/stack-file.schema.json
# {fqdn}: the registry answers at registry.{fqdn}
config:
  # Nothing ever goes to the cluster of whoever runs this: a resource without a provider fails.
  pulumi:disable-default-providers:
{providers}
  sovereign-harbor:fqdn: {fqdn}
  # The cluster entry that the kubeconfig's context must reach; anything else is refused.
  sovereign-harbor:cluster:
    name: {name}
  # Never change the place afterwards: another one holds no images.
  sovereign-harbor:storage:
{storage}
  # It decides the version of Harbor. Raising it upgrades, one way: docs/runbooks/upgrade.md
  sovereign-harbor:harbor:
    chart:
      version: {chart}
  # Who writes the registry's address records. none: the estate's external-dns does.
  sovereign-harbor:dns:
    kind: none
  # sealing.certificate is not pinned yet: it is fetched from the controller. Once the cluster runs:
  #   kubeseal --fetch-cert > sealing-{name}.pem
  #   pulumi config set --path 'sealing.certificate' sealing-{name}.pem -s {name}
"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for. `values`: keys of the section `storage`, as in a stack's file."""

    name: str
    fqdn: str
    kind: str = DEFAULT_KIND
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def storage(self) -> dict[str, str]:
        """The section: the required keys in the model's order, then what was given besides."""
        keys = required(self.kind)
        own = {"bucket": f"{self.name}-harbor", "container": "harbor"}
        needed = {key: self.values.get(key) or own.get(key, "") for key in keys}
        given = {key: value for key, value in self.values.items() if value}
        return {"kind": self.kind, **needed, **given}

    def command(self, **changes: str) -> str:
        """The command that asks for this, with other values."""
        words = {
            "NAME": self.name,
            "FQDN": self.fqdn,
            **({} if self.kind == DEFAULT_KIND else {"KIND": self.kind}),
            **{key.upper(): value for key, value in self.values.items() if value},
            **changes,
        }
        return "make sovereign " + " ".join(
            f"{key}={shlex.quote(value)}" for key, value in words.items()
        )


def required(kind: str) -> list[str]:
    """The keys that a kind needs; none of a kind that does not exist."""
    fields = _MODELS[kind].model_fields if kind in _MODELS else {}
    return [key_of(field, name) for name, field in fields.items() if field.is_required()]


def refused(
    name: str, fqdn: str, region: str, root: Path, request: Request | None = None
) -> list[Refusal]:
    """The settings' refusals of these values; empty when the stack file may be written."""
    request = request or Request(name=name, fqdn=fqdn, values={"region": region})
    problems: list[Refusal] = []
    if not _NAME.fullmatch(name) or name == "local":
        problems.append(
            Refusal(
                key="(NAME)",
                value=repr(name),
                allowed=_NAME_ALLOWED + ("; local is the sandbox's" if name == "local" else ""),
                fix="make sovereign NAME=omantel FQDN=omantel.omani.works REGION=fsn1",
            )
        )
        return problems
    file = stacks.file_of(name, root)
    if file.exists():
        problems.append(
            Refusal(
                key="(NAME)",
                value=repr(name),
                allowed=f"a name that is not taken: {file.name} exists and is never overwritten",
                fix=f"git rm {file.name}   # only if that Sovereign is gone",
            )
        )
    reading = refusals.read(settings_of(request), stack=name, edits=True)
    problems += [_to_be_asked_again(refusal, request) for refusal in reading.refusals]
    for other in stacks.names(root):
        try:
            taken = other != name and fqdn == stack_file.read(
                stacks.file_of(other, root)
            ).settings.get("fqdn")
        except StackFileRefused as error:
            problems.append(
                Refusal(
                    key="fqdn",
                    value=repr(fqdn),
                    allowed=f"a domain that no other stack has; one cannot be read: {error}",
                    fix=f"mend {stacks.file_of(other, root).name}, then the same command again",
                )
            )
            continue
        if taken:
            problems.append(
                Refusal(
                    key="fqdn",
                    value=repr(fqdn),
                    allowed=f"a domain that no other stack has: {other} has it",
                    fix=request.command(FQDN="…"),
                )
            )
    return problems


def _to_be_asked_again(refusal: Refusal, request: Request) -> Refusal:
    """The same refusal; its fix is this command, since neither file nor stack exists yet."""
    if refusal.key == "storage.kind":
        return replace(refusal, fix=request.command(KIND="|".join(KINDS)))
    section, _, key = refusal.key.rpartition(".")
    if section not in ("", "storage"):
        return refusal
    # `in Pulumi.dhofar.yaml set storage.region: fsn1`; or `remove storage.region`.
    edit = re.search(rf" set {re.escape(refusal.key)}: (.+)$", refusal.fix)
    if edit is None:
        kept = {name: value for name, value in request.values.items() if name != key}
        return replace(refusal, fix=replace(request, values=kept).command())
    return replace(refusal, fix=request.command(**{key.upper(): str(yaml.safe_load(edit[1]))}))


def text(request: Request) -> str:
    """The stack file."""
    provider = _MODELS[request.kind].provider if request.kind in _MODELS else None
    providers = ["kubernetes", *([provider] if provider else [])]
    return _TEMPLATE.format(
        name=request.name,
        fqdn=request.fqdn,
        chart=versions.NEWEST_HARBOR_CHART,
        providers="\n".join(f"    - {name}" for name in providers),
        # Quotes only where YAML needs them, as for an account of digits.
        storage="\n".join(
            f"    {key}: {stack_file.quoted(value)}" for key, value in request.storage.items()
        ),
    )


def example(kind: str, name: str) -> Request:
    """A request that the settings accept."""
    return Request(name=name, fqdn=f"{name}.omani.works", kind=kind, values=_MODELS[kind].sample)


def config(name: str, fqdn: str, region: str) -> dict[str, object]:
    """The project's keys of the file for the default kind, as the settings read them."""
    return settings_of(Request(name=name, fqdn=fqdn, values={"region": region}))


def settings_of(request: Request) -> dict[str, Any]:
    """The project's keys of the file, as the settings read them; whatever the values are."""
    harmless = replace(request, fqdn="fqdn.example", kind=DEFAULT_KIND, values={"region": "region"})
    name = stacks.file_of(request.name).name
    settings = stack_file.parse(text(harmless).encode(), name).settings
    return {**settings, "fqdn": request.fqdn, "storage": request.storage}


def main(
    name: str,
    fqdn: str,
    region: str,
    *,
    kind: str = DEFAULT_KIND,
    values: Mapping[str, str] | None = None,
    root: Path = stacks.ROOT,
) -> int:
    """Writes the stack file and prints the next steps; the exit code.

    `values`: keys of the section `storage` besides the region, by their names in a stack's file.
    """
    given = {"region": region} if region or "region" in required(kind) else {}
    request = Request(
        name=name, fqdn=fqdn, kind=kind or DEFAULT_KIND, values={**given, **(values or {})}
    )
    problems = refused(name, fqdn, region, root, request)
    if problems:
        print("\n\n".join(["nothing was written", *map(str, problems)]), file=sys.stderr)
        return 2
    file = stacks.file_of(name, root)
    with file.open("x") as stream:
        stream.write(text(request))
    print(f"{file.name} is written.\n\n{next_steps(name, request.kind)}", end="")
    return 0


def next_steps(name: str, kind: str = DEFAULT_KIND) -> str:
    """From the file to the first push; docs/howto/new-sovereign.md tells the whole way."""
    keys = _secrets(kind)
    secrets = [f"  {refusals.set_secret(key, name)}   # {SECRETS[key].description}" for key in keys]
    return "\n".join(
        [
            "Now, without any of it:",
            f"  make preview STACK={name}",
            "",
            "The backend and the stack in it (docs/howto/state-backends.md), in a shell without",
            "`make env`:",
            "  export PULUMI_BACKEND_URL=… PULUMI_CONFIG_PASSPHRASE=…",
            f"  pulumi stack init {name}",
            "",
            *(
                ["The secrets still to be set; each command asks for the value:", *secrets]
                if secrets
                else [f"No secret is to be set for storage of the kind {kind}."]
            ),
            "",
            "Then, with the cluster's kubeconfig:",
            f"  pulumi preview -s {name}",
            f"  pulumi up -s {name}",
            "",
        ]
    )


def _secrets(kind: str) -> tuple[str, ...]:
    request = example(kind, "dhofar")
    storage = refusals.read(settings_of(request), stack="dhofar").sections.get("storage")
    return tuple(storage.needed_secrets) if isinstance(storage, StorageKind) else ()
