"""What is read from a Secret and from the object that makes it."""

from __future__ import annotations

from typing import Any

import pytest

from components.sealing.opened import Opened, maker_path, revision_of, sealed_owners

SEALED = "/apis/bitnami.com/v1alpha1/namespaces/n/sealedsecrets/s"
EXTERNAL = "/apis/external-secrets.io/v1/namespaces/n/externalsecrets/s"


def owned(*kinds: str) -> dict[str, Any]:
    owners = [{"kind": kind, "uid": f"uid-{kind}"} for kind in kinds]
    return {"metadata": {"ownerReferences": owners}}


@pytest.mark.parametrize(
    ("secret", "path", "uids"),
    [
        (owned("SealedSecret"), SEALED, ["uid-SealedSecret"]),
        (owned("ExternalSecret"), EXTERNAL, []),
        (owned("Pod", "ExternalSecret"), EXTERNAL, []),
        (owned("Pod"), None, []),
        (owned(), None, []),
        ({"metadata": {}}, None, []),
        ({}, None, []),
        (None, None, []),
    ],
)
def test_a_secret_goes_with_the_object_that_made_it(
    secret: Any, path: str | None, uids: list[str]
) -> None:
    assert maker_path(secret, "n", "s") == path
    assert sealed_owners(secret) == uids


@pytest.mark.parametrize(
    ("secret", "revision"),
    [
        ({"metadata": {"annotations": {"sovereign-harbor/revision": "r"}}}, "r"),
        ({"metadata": {"annotations": None}}, None),
        ({"metadata": {}}, None),
        (None, None),
    ],
)
def test_only_a_secret_of_this_program_has_a_revision(secret: Any, revision: str | None) -> None:
    assert revision_of(secret) == revision
    assert Opened(sealed=None, secret=secret).has("r") is (revision == "r")


def sealed(
    generation: int | None = 2, observed: int | None = 2, **condition: str
) -> dict[str, Any]:
    conditions = [{"type": "Other", "status": "False"}, {"type": "Synced", **condition}]
    status = {"observedGeneration": observed, "conditions": conditions}
    return {"metadata": {"generation": generation, "uid": "uid"}, "status": status}


@pytest.mark.parametrize(
    ("object_", "is_observed", "is_synced", "message"),
    [
        (sealed(status="True"), True, True, "Synced=True"),
        (sealed(status="False", message="no key"), True, False, "no key"),
        (sealed(status="False"), True, False, "Synced=False"),
        (sealed(observed=1, status="True"), False, False, "the controller has not looked at it"),
        (sealed(None, None, status="True"), False, False, "the controller has not looked at it"),
        ({"metadata": {"generation": 2}}, False, False, "the controller has not looked at it"),
        (None, False, False, "the SealedSecret is gone"),
    ],
)
def test_the_controller_is_believed_once_it_has_looked(
    object_: Any, is_observed: bool, is_synced: bool, message: str
) -> None:
    opened = Opened(sealed=object_, secret=None)
    assert (opened.is_observed, opened.is_synced) == (is_observed, is_synced)
    assert opened.message.startswith(message)
    assert opened.has_status is bool(object_ and "status" in object_)


@pytest.mark.parametrize(
    ("secret", "is_of_this_one"),
    [
        (None, True),
        (owned("ExternalSecret"), True),
        ({"metadata": {"ownerReferences": [{"kind": "SealedSecret", "uid": "uid"}]}}, True),
        (owned("SealedSecret"), False),
    ],
)
def test_a_secret_of_a_sealed_secret_that_is_gone_is_not_of_this_one(
    secret: Any, is_of_this_one: bool
) -> None:
    assert Opened(sealed=sealed(), secret=secret).is_of_this_one is is_of_this_one


def test_a_digest_tells_data_and_revision_apart_and_needs_its_salt() -> None:
    def content(revision: str, salt: str, **data: str) -> str:
        secret = {
            "metadata": {"annotations": {"sovereign-harbor/revision": revision}},
            "data": data,
        }
        return Opened(sealed=None, secret=secret).content(salt)

    one = content("r", "00", password="eA==")
    assert one.startswith("r/")
    assert one == content("r", "00", password="eA==")
    others = [content("q", "00", password="eA=="), content("r", "01", password="eA==")]
    others += [content("r", "00", password="eQ=="), content("r", "00")]
    assert len({one, *others}) == 5
