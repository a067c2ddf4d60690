"""A running sandbox as the tests use it: its stacks, its cluster's objects, its object storage."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.object_storage.location import BucketLocation
from components.object_storage.s3.client import S3Credentials, s3_client
from components.object_storage.s3.contents import delete_own
from engine.stack import Stack
from sandbox import cluster, estate
from sandbox.smoke import OWNERS
from sandbox.state import REGION, STACK, State
from sandbox.waiting import wait_until
from toolchain.build import Toolbox

NAMESPACE = "harbor"
"""Harbor's, of the local stack."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and a scratch copy of the project. `name`: of the stack that it is for."""

    state: State
    tools: Toolbox
    project: Path
    variables: dict[str, str]
    name: str = STACK
    namespace: str = NAMESPACE

    def stack(self, name: str | None = None, **variables: str) -> Stack:
        """The engine for a stack, with more environment variables if given.

        A stack that is no sandbox has a passphrase of its own, as the program demands.
        """
        name = name or self.name
        own = {} if name == self.name else {"PULUMI_CONFIG_PASSPHRASE": "of the estate's own"}
        return Stack(name, {**self.variables, **own, **variables}, self.project)

    def file(self, name: str | None = None) -> Path:
        """A stack's scratch file."""
        return self.project / f"Pulumi.{name or self.name}.yaml"

    def section(self, section: str, name: str | None = None) -> Any:
        """What a stack's scratch file says of a top-level section; None when nothing."""
        document = yaml.safe_load(self.file(name).read_text())
        return document["config"].get(f"sovereign-harbor:{section}")

    def configure(self, name: str | None = None, **sections: object) -> None:
        """Replaces top-level sections in a stack's scratch file; None removes one."""
        file = self.file(name)
        document = yaml.safe_load(file.read_text())
        for section, value in sections.items():
            key = f"sovereign-harbor:{section}"
            if value is None:
                document["config"].pop(key, None)
            else:
                document["config"][key] = value
        file.write_text(yaml.safe_dump(document))

    @contextmanager
    def configured(self, name: str | None = None, **sections: object) -> Iterator[None]:
        """As `configure`; afterwards the file is as before, whatever happened to it meanwhile."""
        file = self.file(name)
        before = file.read_text()
        self.configure(name, **sections)
        try:
            yield
        finally:
            file.write_text(before)


def objects(sandbox: Sandbox, kinds: str, namespace: str | None = None) -> list[dict[str, Any]]:
    """The objects of these kinds (comma-separated) in a namespace, Harbor's unless given."""
    where = namespace or sandbox.namespace
    listed = cluster.kubectl(sandbox.state, sandbox.tools, "get", kinds, "-n", where, "-o", "json")
    return json.loads(listed)["items"]


def unsealed(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Secret → key → plaintext, of each Secret that a SealedSecret or an ExternalSecret owns, in
    both namespaces."""
    return {
        secret["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
        for namespace in (sandbox.namespace, "flux-system")
        for secret in objects(sandbox, "secrets", namespace)
        if any(owner["kind"] in OWNERS for owner in secret["metadata"].get("ownerReferences", []))
    }


def generations(sandbox: Sandbox) -> dict[str, int]:
    """Workload → generation, which grows when anything of its pod template changes."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["generation"]
        for item in objects(sandbox, "deployments,statefulsets")
    }


def bucket_client(sandbox: Sandbox, outputs: Mapping[str, Any]) -> Any:
    """An S3 client for the bucket that a stack's outputs name."""
    kept = sandbox.state.credentials()
    return s3_client(
        BucketLocation(bucket=outputs["bucket"], region=REGION, endpoint=outputs["bucketEndpoint"]),
        S3Credentials(access_key=kept["s3AccessKey"], secret_key=kept["s3SecretKey"]),
    )


def empty_bucket(sandbox: Sandbox, outputs: Mapping[str, Any]) -> None:
    """Deletes all that lies in the bucket, with its versions."""
    delete_own(bucket_client(sandbox, outputs), outputs["bucket"], "")


def destroyed_wholly(sandbox: Sandbox, sovereign: Stack) -> None:
    """Nothing of the Sovereign is left, but a bucket that a test filled."""
    sandbox.configure(retainData="false", protect="false")
    sovereign.up()
    destroy = ("destroy", "-s", sovereign.name, "--yes", "--skip-preview", "--continue-on-error")
    sovereign.run(*destroy, check=False)
    assert wait_until(lambda: unsealed(sandbox) == {}, seconds=180), [*unsealed(sandbox)]


def edit_state(stack: Stack, edit: Callable[[dict[str, Any]], None]) -> None:
    """Gives each resource of the state to `edit`, which changes it in place."""
    state = json.loads(stack.run("stack", "export", "-s", stack.name).text)
    for resource in state["deployment"].get("resources", []):
        edit(resource)
    file = stack.folder / "edited-state.json"
    file.write_text(json.dumps(state))
    stack.run("stack", "import", "-s", stack.name, "--file", str(file))


def let_go(stack: Stack) -> None:
    """Tells the state that a destroy may delete all data."""

    def unprotect(resource: dict[str, Any]) -> None:
        resource.pop("retainOnDelete", None)
        resource.pop("protect", None)

    edit_state(stack, unprotect)


def remove(stack: Stack) -> None:
    """As `destroyed_wholly`, without the `up` that lets the data go: the state is told instead."""
    let_go(stack)
    destroy = ("destroy", "-s", stack.name, "--yes", "--skip-preview", "--continue-on-error")
    stack.run(*destroy, check=False)


@contextmanager
def without_sovereign(sandbox: Sandbox) -> Iterator[None]:
    """Nothing of the local Sovereign is in the cluster; one that was there is made anew after."""
    known = sandbox.stack()
    known.ensure()
    was_up = "urn" in known.run("stack", "export", "-s", known.name).text
    if was_up:
        empty_bucket(sandbox, known.outputs())  # one that holds anything is not deleted
        remove(known)
        estate.of(known.name).write(sandbox.project)
    yield
    if was_up:
        remove(known)
        begin_anew(sandbox, known)


def begin_anew(sandbox: Sandbox, sovereign: Stack) -> None:
    """The Sovereign as its committed stack file describes it."""
    estate.of(sovereign.name).write(sandbox.project)
    sovereign.up()
