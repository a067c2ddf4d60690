"""Another place for the blobs, by the real engine: refused, agreed to, moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.stack import Result, Stack
from sandbox import smoke
from tests.sandbox.conftest import Sandbox
from tests.support.sandbox import bucket_client, generations, objects, unsealed

BUCKET: dict[str, Any] = {
    "kind": "s3",
    "endpoint": "${SANDBOX_S3_ENDPOINT}",
    "region": "fsn1",
    "bucket": "local-harbor",
}
REGISTRY = "docker/registry/"


@pytest.fixture
def place(sandbox: Sandbox, sovereign: Stack) -> Iterator[str]:
    """The name of the place without its directory; the config is as before afterwards."""
    before = {name: sandbox.section(name) for name in ("storage", "protect")}
    assert before["storage"] == BUCKET
    yield f"s3/{sandbox.variables['SANDBOX_S3_ENDPOINT']}/fsn1/local-harbor"
    sandbox.configure(**before)


def attempt(sovereign: Stack, *command: str) -> Result:
    return sovereign.run(*command, "-s", sovereign.name, check=False)


PREVIEW, UP = ("preview",), ("up", "--yes", "--skip-preview")


@pytest.mark.parametrize(
    ("commands", "storage", "words"),
    [
        (
            [PREVIEW, UP],
            {**BUCKET, "rootDirectory": "images"},
            [
                'sovereign-harbor:storage.rootDirectory = "images"',
                "allowed: (not set), as before",
                "pulumi config rm --path 'storage.rootDirectory'",
                "fsn1/local-harbor/images'",
            ],
        ),
        (
            [UP],
            {**BUCKET, "bucket": "other-harbor"},
            [
                'sovereign-harbor:storage.bucket = "other-harbor"',
                'allowed: "local-harbor", as before',
                "fsn1/other-harbor'",
            ],
        ),
        (
            [UP],
            {"kind": "filesystem", "size": "5Gi"},
            [
                'sovereign-harbor:storage.kind = "filesystem"',
                'allowed: "s3", as before',
                "pulumi config set --path 'storage.movedTo' 'filesystem'",
            ],
        ),
    ],
    ids=["directory", "bucket", "kind"],
)
def test_another_place_is_refused_in_preview_and_up_touches_nothing(
    sandbox: Sandbox,
    sovereign: Stack,
    place: str,
    commands: list[tuple[str, ...]],
    storage: dict[str, Any],
    words: list[str],
) -> None:
    """A preview asks the same check of the same provider, so one of them is tried."""
    client = bucket_client(sandbox, sovereign.outputs())
    before = generations(sandbox), unsealed(sandbox), client.list_buckets()["Buckets"]
    sandbox.configure(storage=storage)
    for command in commands:
        refused = attempt(sovereign, *command)
        assert refused.code != 0
        for part in (*words, "docs/runbooks/move-blobs.md", "nothing was touched"):
            assert part in refused.text, refused.text
        assert "Traceback" not in refused.text
    assert (generations(sandbox), unsealed(sandbox), client.list_buckets()["Buckets"]) == before


def test_a_kind_without_the_bucket_is_refused_once_more_where_data_is_protected(
    sandbox: Sandbox, sovereign: Stack, place: str
) -> None:
    sandbox.configure(protect="true")
    sovereign.up()
    sandbox.configure(storage={"kind": "filesystem", "size": "5Gi", "movedTo": "filesystem"})
    refused = attempt(sovereign, "preview")
    assert refused.code != 0
    assert "object-storage-bucket" in refused.text
    assert "protected" in refused.text
    sandbox.configure(storage=BUCKET, protect="false")
    sovereign.up()


def rooted(sandbox: Sandbox) -> str:
    """The directory in which the registry that is deployed looks."""
    (configuration,) = (
        o for o in objects(sandbox, "configmaps") if o["metadata"]["name"] == "harbor-registry"
    )
    return smoke.root_directory(configuration["data"]["config.yml"])


def test_a_move_takes_three_steps_and_the_images_come_along(
    sandbox: Sandbox, sovereign: Stack, place: str
) -> None:
    client = bucket_client(sandbox, sovereign.outputs())
    kept = f"{REGISTRY}v2/repositories/library/kept"
    client.put_object(Bucket="local-harbor", Key=kept, Body=b"kept")

    def move(source: str, target: str) -> None:
        listed = client.list_objects_v2(Bucket="local-harbor", Prefix=f"{source}{REGISTRY}")
        for entry in listed["Contents"]:
            body = client.get_object(Bucket="local-harbor", Key=entry["Key"])["Body"].read()
            key = target + entry["Key"].removeprefix(source)
            client.put_object(Bucket="local-harbor", Key=key, Body=body)

    agreed = {**BUCKET, "rootDirectory": "images", "movedTo": f"{place}/images"}
    sandbox.configure(storage=agreed)
    early = attempt(sovereign, "up", "--yes", "--skip-preview")
    assert early.code != 0
    assert "its root and none in images: copy them first" in early.text
    assert rooted(sandbox) == ""

    move("", "images/")
    sovereign.up()
    assert rooted(sandbox) == "images"
    smoke.run(sandbox.state, sandbox.tools, sovereign.outputs())
    sandbox.configure(storage={key: agreed[key] for key in agreed if key != "movedTo"})
    sovereign.up(expect_no_changes=True)

    sandbox.configure(storage=BUCKET)
    assert attempt(sovereign, "preview").code != 0, "the consent was to the move before"
    move("images/", "")
    sandbox.configure(storage={**BUCKET, "movedTo": place})
    sovereign.up()
    assert rooted(sandbox) == ""
    sandbox.configure(storage=BUCKET)
    sovereign.up(expect_no_changes=True)
