"""The place of the blobs: another one is refused until the config says that they were moved."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.object_storage.blob_place import BlobPlaceProvider, refusal
from components.settings.storage.azure import AzureStorage
from components.settings.storage.base import StorageKind, location_name
from components.settings.storage.filesystem import FilesystemStorage
from components.settings.storage.keyed import HetznerStorage, S3Storage
from tests.support.faulty_store import through_engine
from tests.support.kinds import KINDS, minimal, storage_of

HETZNER = HetznerStorage(region="fsn1", bucket="omantel-harbor")
S3 = S3Storage(endpoint="https://s3.example.com", region="us-east-1", bucket="omantel-harbor")
VOLUME = FilesystemStorage(size="50Gi")


def changed(settings: StorageKind, **changes: Any) -> StorageKind:
    return type(settings).model_validate({**settings.model_dump(by_alias=True), **changes})


def inputs(settings: StorageKind) -> dict[str, Any]:
    """As the engine hands them over: nothing that is None."""
    name = location_name(settings.blob_location)
    props = {
        "place": settings.blob_location,
        "name": name,
        "movedTo": settings.moved_to,
        "__provider": "",
    }
    return through_engine({key: value for key, value in props.items() if value is not None})


def reasons(before: StorageKind, after: StorageKind) -> list[str]:
    result = BlobPlaceProvider().check(inputs(before), inputs(after))
    assert result.inputs == inputs(after)
    return [failure.reason for failure in result.failures]


# Places


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (HETZNER, "hetzner/fsn1/omantel-harbor"),
        (changed(HETZNER, rootDirectory="images/v2"), "hetzner/fsn1/omantel-harbor/images/v2"),
        (S3, "s3/https://s3.example.com/us-east-1/omantel-harbor"),
        (VOLUME, "filesystem"),
    ],
)
def test_a_place_has_a_name(settings: StorageKind, name: str) -> None:
    assert location_name(settings.blob_location) == name


_REGIONS = {"hetzner": "nbg1", "aws": "eu-west-1", "s3": "elsewhere"}
_ELSEWHERE = {"endpoint": "https://elsewhere.example.com", "realm": "core.chinacloudapi.cn"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_where_its_blobs_are(kind: type[StorageKind]) -> None:
    place, name = storage_of(kind).blob_location, minimal(kind)["kind"]
    assert next(iter(place)) == "kind" and place["kind"] == name
    for key in set(place) - {"kind"}:
        other = _REGIONS[name] if key == "region" else _ELSEWHERE.get(key, "elsewhere")
        assert storage_of(kind, **{key: other}).blob_location == {**place, key: other}
    known = {field.alias or name for name, field in kind.model_fields.items()}
    refused = {"rootDirectory"} if kind is AzureStorage else set[str]()
    deciding = {"region", "account", "bucket", "container", "rootDirectory"} & known
    assert deciding - refused <= set(place)


@pytest.mark.parametrize("root", ["images", "/images", "images/", "/images/"])
def test_slashes_around_a_directory_make_no_other_place(root: str) -> None:
    assert (
        reasons(changed(HETZNER, rootDirectory="images"), changed(HETZNER, rootDirectory=root))
        == []
    )


# Changes


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (HETZNER, {}),
        (HETZNER, {"adopt": True}),
        (HETZNER, {"versioning": {"enabled": False}}),
        (HETZNER, {"redirect": True}),
        (HETZNER, {"chunkSize": "10485760"}),
        (S3, {"pathStyle": False}),
        (VOLUME, {"size": "100Gi"}),
    ],
)
def test_what_leaves_the_blobs_where_they_are_is_no_move(
    before: StorageKind, changes: dict[str, Any]
) -> None:
    assert reasons(before, changed(before, **changes)) == []


MOVES = [
    (HETZNER, changed(HETZNER, rootDirectory="images")),
    (changed(HETZNER, rootDirectory="images"), HETZNER),
    (HETZNER, changed(HETZNER, bucket="other")),
    (HETZNER, changed(HETZNER, region="nbg1")),
    (S3, changed(S3, endpoint="https://other.example.com")),
    (HETZNER, S3),
    (HETZNER, VOLUME),
    (VOLUME, HETZNER),
]


@pytest.mark.parametrize(
    ("before", "after"), MOVES, ids=lambda kind: location_name(kind.blob_location)
)
def test_another_place_is_refused(before: StorageKind, after: StorageKind) -> None:
    (reason,) = reasons(before, after)
    assert "nothing was touched" in reason
    assert "docs/runbooks/move-blobs.md" in reason
    assert (
        f"pulumi config set --path 'storage.movedTo' '{location_name(after.blob_location)}'"
        in reason
    )


@pytest.mark.parametrize(
    ("before", "after"), MOVES, ids=lambda kind: location_name(kind.blob_location)
)
def test_a_move_that_is_said_to_be_made_passes(before: StorageKind, after: StorageKind) -> None:
    moved = changed(after, movedTo=location_name(after.blob_location))
    assert reasons(before, moved) == []
    assert reasons(moved, after) == [], "it may be forgotten after that"


def test_a_consent_holds_for_one_move_only() -> None:
    moved = changed(HETZNER, rootDirectory="a", movedTo="hetzner/fsn1/omantel-harbor/a")
    assert reasons(HETZNER, moved) == []
    # The same consent with another place is refused as a setting, so that it cannot be left on.
    with pytest.raises(ValidationError, match=r"location of this section, .*/b, and only after"):
        changed(moved, rootDirectory="b")
    for move in (HETZNER, changed(HETZNER, rootDirectory="b")):
        assert reasons(moved, move) != []


def test_a_consent_to_another_place_is_none() -> None:
    # Settings refuse it already; the place does not rely on that.
    props = {
        **inputs(changed(HETZNER, rootDirectory="b")),
        "movedTo": location_name(HETZNER.blob_location),
    }
    assert len(BlobPlaceProvider().check(inputs(HETZNER), props).failures) == 1


def test_the_refusal_names_each_key_with_both_values_and_the_ways_out() -> None:
    before = changed(HETZNER, rootDirectory="images")
    after = changed(HETZNER, bucket="other", rootDirectory="")
    assert refusal(
        before.blob_location, after.blob_location, "hetzner/fsn1/other", stack="omantel"
    ) == (
        "nothing was touched; Harbor would look for its images where none are\n"
        'sovereign-harbor:storage.bucket = "other"\n'
        '  allowed: "omantel-harbor", as before: the images are there\n'
        "sovereign-harbor:storage.rootDirectory = (not set)\n"
        '  allowed: "images", as before: the images are there\n'
        "  fix:     pulumi config set --path 'storage.bucket' 'omantel-harbor' -s omantel\n"
        "           pulumi config set --path 'storage.rootDirectory' 'images' -s omantel\n"
        "  or:      move the images first (docs/runbooks/move-blobs.md), and say so:\n"
        "           pulumi config set --path 'storage.movedTo' 'hetzner/fsn1/other' -s omantel"
    )


def test_a_key_that_was_not_set_is_removed_again() -> None:
    after = changed(HETZNER, rootDirectory="images")
    text = refusal(HETZNER.blob_location, after.blob_location, location_name(after.blob_location))
    assert "pulumi config rm --path 'storage.rootDirectory'" in text


# The resource


def test_the_first_run_remembers_the_place() -> None:
    provider = BlobPlaceProvider()
    assert provider.check({}, inputs(HETZNER)).failures == []
    created = provider.create(inputs(HETZNER))
    assert (created.id, created.outs) == (
        "hetzner/fsn1/omantel-harbor",
        {"place": HETZNER.blob_location},
    )


def test_a_move_changes_the_resource_and_a_consent_does_not() -> None:
    provider, state = BlobPlaceProvider(), {"place": HETZNER.blob_location}
    moved = changed(HETZNER, rootDirectory="images")
    result = provider.diff("id", state, inputs(moved))
    assert (result.changes, result.replaces) == (True, [])
    assert provider.update("id", state, inputs(moved)).outs == {"place": moved.blob_location}
    consent = changed(HETZNER, movedTo="hetzner/fsn1/omantel-harbor")
    assert not provider.diff("id", state, inputs(consent)).changes
