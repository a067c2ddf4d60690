"""Removing what this program itself wrote into a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.object_storage.s3.contents import delete_own


class Versioned:
    """A client of a store that keeps versions, and answers the deletion of a gone one as told."""

    def __init__(self, *versions: str, answer: str, is_gone: bool) -> None:
        self.left = [{"Key": ".sovereign-harbor/probe", "VersionId": name} for name in versions]
        self._answer, self._is_gone = answer, is_gone

    def get_paginator(self, operation: str) -> Versioned:
        self._operation = operation
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        yield {"Versions": list(self.left)} if self._operation == "list_object_versions" else {}

    def delete_object(self, *, VersionId: str, **_: str) -> None:  # noqa: N803
        if self._is_gone:
            self.left = [entry for entry in self.left if entry["VersionId"] != VersionId]
        raise ClientError({"Error": {"Code": self._answer}}, "DeleteObject")


@pytest.mark.parametrize("answer", ["InvalidArgument", "NoSuchVersion"])
def test_a_version_that_a_repeated_request_finds_gone_is_deleted(answer: str) -> None:
    client = Versioned("one", "two", answer=answer, is_gone=True)
    delete_own(client, "bucket")
    assert client.left == []


@pytest.mark.parametrize(
    ("answer", "is_gone"), [("InvalidArgument", False), ("AccessDenied", True)]
)
def test_a_version_that_is_left_or_forbidden_is_an_error(answer: str, is_gone: bool) -> None:
    with pytest.raises(ClientError, match=answer):
        delete_own(Versioned("one", answer=answer, is_gone=is_gone), "bucket")
