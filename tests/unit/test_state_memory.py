"""What every existing state remembers of this code: where the dynamic providers lie.

Pulumi pickles a dynamic provider by reference, as a module's path and a class's name, into each of
its resources. `refresh` and `destroy` import exactly that, without running the program. So none of
these modules may be moved or renamed: a state that names one could be neither refreshed nor
destroyed. `preview` and `up` would not notice.
"""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import pickle
import pkgutil
from pathlib import Path

import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

import components
from tests.support.project import ROOT

PINNED = {
    ("components.backup.archive", "ArchiveProofProvider"),
    ("components.data_services.applied", "DatabaseAppliedProvider"),
    ("components.data_services.restore", "DatabaseRestoreProvider"),
    ("components.delivery.handover", "HandoverProvider"),
    ("components.delivery.synced", "SyncedProvider"),
    ("components.network.accepted", "RouteAcceptedProvider"),
    ("components.object_storage.blob_place", "BlobPlaceProvider"),
    ("components.object_storage.key_proof", "KeyProofProvider"),
    ("components.object_storage.s3_bucket", "S3BucketProvider"),
    ("components.object_storage.s3_lockdown", "S3LockdownProvider"),
    ("components.ownership.state_mark", "StateMarkProvider"),
    ("components.sealing.seal", "SealProvider"),
    ("components.sealing.trust", "SealingTrustProvider"),
    ("components.sealing.unsealed", "UnsealedProvider"),
}
"""Module and class. A line is added with a new provider, and never changed or taken away."""

RECORDED = sorted((ROOT / "tests/sandbox/recorded").glob("*/state.json.gz"))


def referred(pickled: str) -> tuple[str, str]:
    """Module and class that a serialized provider names."""
    provider = pickle.loads(base64.b64decode(pickled))
    return type(provider).__module__, type(provider).__name__


@pytest.mark.parametrize(("module", "name"), sorted(PINNED))
def test_a_provider_is_where_existing_states_look_for_it(module: str, name: str) -> None:
    provider = getattr(importlib.import_module(module), name)
    assert issubclass(provider, ResourceProvider)
    assert provider.__module__ == module, "it is defined there and not only imported"
    assert referred(serialize_provider(provider())) == (module, name)


def concrete(kind: type[ResourceProvider]) -> set[tuple[str, str]]:
    """Module and name of the classes of this project that nothing is derived from."""
    derived = kind.__subclasses__()
    if not derived:
        return {(kind.__module__, kind.__name__)}
    return set().union(*map(concrete, derived))


def test_every_provider_of_the_program_is_pinned() -> None:
    for module in pkgutil.walk_packages(components.__path__, "components."):
        importlib.import_module(module.name)
    found = {each for each in concrete(ResourceProvider) if each[0].startswith("components.")}
    assert found == PINNED


@pytest.mark.parametrize("state", RECORDED, ids=lambda file: file.parent.name)
def test_the_providers_of_a_recorded_state_are_still_there(state: Path) -> None:
    resources = json.loads(gzip.decompress(state.read_bytes()))["deployment"]["resources"]
    pickles = {r["inputs"]["__provider"] for r in resources if "__provider" in r.get("inputs", {})}
    assert len(pickles) >= 4
    assert {referred(pickled) for pickled in pickles} <= PINNED
