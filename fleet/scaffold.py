"""`make sovereign NAME=… FQDN=… REGION=…`: writes the stack file of a new Sovereign, checked."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from components.settings.reading import refusals
from components.settings.reading.refusals import PROJECT, Refusal
from components.settings.reading.secrets import SECRETS
from components.settings.storage.keyed import HetznerStorage
from engine import stacks

# What `pulumi stack init` takes, and what goes into the bucket's name.
_NAME = re.compile(r"[a-z][a-z0-9-]{1,40}[a-z0-9]")
_NAME_ALLOWED = (
    "3 to 42 lower-case letters, digits and '-', beginning with a letter and not ending with '-': "
    "it becomes the stack's name, the cluster's and a part of the bucket's"
)

_TEMPLATE = """\
# {fqdn}: the registry answers at registry.{fqdn}
config:
  # Nothing ever goes to the cluster of whoever runs this: a resource without a provider fails.
  pulumi:disable-default-providers:
    - kubernetes
  sovereign-harbor:fqdn: {fqdn}
  # The cluster entry that the kubeconfig's context must reach; anything else is refused.
  sovereign-harbor:cluster:
    name: {name}
  sovereign-harbor:storage:
    kind: {kind}
    region: {region}
    # Unique across all customers of the vendor. Never change it afterwards: it is another bucket.
    bucket: {name}-harbor
  # Who writes the registry's address records. none: the estate's external-dns does.
  sovereign-harbor:dns:
    kind: none
  # sealing.certificate is not pinned yet: it is fetched from the controller. Once the cluster runs:
  #   kubeseal --fetch-cert > sealing-{name}.pem
  #   pulumi config set --path 'sealing.certificate' sealing-{name}.pem -s {name}
"""


def refused(name: str, fqdn: str, region: str, root: Path) -> list[Refusal]:
    """The settings' refusals of these values; empty when the stack file may be written."""
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
    raw = config(name, fqdn, region)
    problems += refusals.read(raw, stack=name).refusals
    for other in stacks.names(root):
        document = yaml.safe_load(stacks.file_of(other, root).read_text())
        if other != name and (document["config"] or {}).get(f"{PROJECT}:fqdn") == fqdn:
            problems.append(
                Refusal(
                    key="fqdn",
                    value=repr(fqdn),
                    allowed=f"a domain that no other stack has: {other} has it",
                    fix=f"make sovereign NAME={name} FQDN=… REGION={region}",
                )
            )
    return problems


def text(name: str, fqdn: str, region: str) -> str:
    """The stack file."""
    return _TEMPLATE.format(
        name=name, fqdn=fqdn, region=region, kind=HetznerStorage.model_fields["kind"].default
    )


def config(name: str, fqdn: str, region: str) -> dict[str, object]:
    """The project's keys of that file, as the settings read them; whatever the values are."""
    document = yaml.safe_load(text(name, "fqdn.example", "region"))
    prefix = f"{PROJECT}:"
    settings = {
        key.removeprefix(prefix): value
        for key, value in document["config"].items()
        if key.startswith(prefix)
    }
    settings["fqdn"] = fqdn
    settings["storage"] = {**settings["storage"], "region": region}
    return settings


def main(name: str, fqdn: str, region: str, *, root: Path = stacks.ROOT) -> int:
    """Writes the stack file and prints the next steps; the exit code."""
    problems = refused(name, fqdn, region, root)
    if problems:
        print("\n\n".join(["nothing was written", *map(str, problems)]), file=sys.stderr)
        return 2
    file = stacks.file_of(name, root)
    with file.open("x") as stream:
        stream.write(text(name, fqdn, region))
    print(f"{file.name} is written.\n\n{next_steps(name)}", end="")
    return 0


def next_steps(name: str) -> str:
    """From the file to the first push; docs/howto/new-sovereign.md tells the whole way."""
    secrets = [
        f"  {refusals.set_secret(key, name)}   # {SECRETS[key].description}"
        for key in ("s3AccessKey", "s3SecretKey")
    ]
    return "\n".join(
        [
            "Now, without any of it:",
            f"  make preview STACK={name}",
            "",
            "The backend and the stack in it (docs/howto/state-backends.md):",
            "  pulumi login <backend>",
            f"  pulumi stack init {name}",
            "",
            "The secrets still to be set; each command asks for the value:",
            *secrets,
            "",
            "Then, with the cluster's kubeconfig:",
            f"  pulumi preview -s {name}",
            f"  pulumi up -s {name}",
            "",
        ]
    )
