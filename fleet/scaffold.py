"""`make sovereign NAME=… FQDN=… KIND=…`: writes the stack file of a new Sovereign, checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from components.settings.reading import refusals
from components.settings.reading.refusals import PROJECT, Refusal
from components.settings.reading.secrets import SECRETS
from components.settings.reading.spec import key_of
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
        return "make sovereign " + " ".join(f"{key}={value}" for key, value in words.items())


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
    reading = refusals.read(settings_of(request), stack=name)
    problems += [_to_be_asked_again(refusal, request) for refusal in reading.refusals]
    for other in stacks.names(root):
        document = yaml.safe_load(stacks.file_of(other, root).read_text())
        if other != name and (document["config"] or {}).get(f"{PROJECT}:fqdn") == fqdn:
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
    section, _, key = refusal.key.rpartition(".")
    if section not in ("", "storage"):
        return refusal
    # `pulumi config set --path 'storage.region' fsn1 -s dhofar`: the last word is an example.
    examples = re.search(r"(\S+) -s ", refusal.fix.splitlines()[-1])
    example = examples[1] if examples else "…"
    if refusal.key == "storage":
        return replace(refusal, fix=request.command(KIND="|".join(KINDS)))
    return replace(refusal, fix=request.command(**{key.upper(): example}))


def text(request: Request) -> str:
    """The stack file."""
    provider = _MODELS[request.kind].provider if request.kind in _MODELS else None
    providers = ["kubernetes", *([provider] if provider else [])]
    return _TEMPLATE.format(
        name=request.name,
        fqdn=request.fqdn,
        providers="\n".join(f"    - {name}" for name in providers),
        # Quotes only where YAML needs them, as for an account of digits.
        storage="\n".join(
            f"    {line}" for line in yaml.safe_dump(request.storage, sort_keys=False).splitlines()
        ),
    )


def example(kind: str, name: str) -> Request:
    """A request that the settings accept, by the examples of the kind's own rules."""
    request = Request(name=name, fqdn=f"{name}.omani.works", kind=kind)
    values: dict[str, str] = {}
    for _ in range(len(required(kind))):
        request = replace(request, values=values)
        for refusal in refusals.read(settings_of(request), stack=name).refusals:
            words = re.search(r"'storage\.(\w+)' (\S+) -s ", refusal.fix)
            if words:
                values = {**values, words[1]: words[2].strip("'")}
    return replace(request, values=values)


def config(name: str, fqdn: str, region: str) -> dict[str, object]:
    """The project's keys of the file for the default kind, as the settings read them."""
    return settings_of(Request(name=name, fqdn=fqdn, values={"region": region}))


def settings_of(request: Request) -> dict[str, Any]:
    """The project's keys of the file, as the settings read them; whatever the values are."""
    harmless = replace(request, fqdn="fqdn.example", kind=DEFAULT_KIND, values={"region": "region"})
    prefix = f"{PROJECT}:"
    settings = {
        key.removeprefix(prefix): value
        for key, value in yaml.safe_load(text(harmless))["config"].items()
        if key.startswith(prefix)
    }
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
