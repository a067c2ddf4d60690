"""What a store's refusals mean, in words without any key."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from components.object_storage.s3.purpose import IMAGES

NOT_OFFERED = frozenset(
    {"NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation", "501", "405"}
)
"""Codes by which stores say that they lack a feature."""

RULE_REFUSED = NOT_OFFERED | {"InvalidArgument", "InvalidRequest", "MalformedXML"}
"""Codes by which stores say that they do not take a lifecycle rule."""

_KEY_REFUSED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound", "ExpiredToken"}
)
"""Codes by which stores say that a key pair is wrong, whatever the request."""


_ODD_ANSWER = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


class BucketError(Exception):
    """A bucket could not be made, read, used or deleted; the text says what to do."""


def error_code(error: ClientError) -> str:
    """S3's error code, e.g. `NoSuchBucket`; for answers without a body the HTTP status as text."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def explained(
    subject: str,
    *,
    hidden: tuple[str, ...],
    afterwards: str = "",
    keys: str = IMAGES.both_keys,
) -> Generator[None]:
    """Turns every error of the SDK in its body into a BucketError about `subject`.

    `hidden`: texts that stores may repeat in their messages and that are blotted out.
    `afterwards`: the state of things after the error, and what to do. `keys`: what to check if the
    store does not accept the key pair.
    """
    try:
        yield
    except ClientError as error:
        words = f"{error.operation_name} was answered {_answer(error)}"
        if error_code(error) in _KEY_REFUSED:
            words += f". The store does not accept the key pair: check {keys}"
        if 300 <= int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) < 400:
            words += (
                ". It redirects elsewhere: the endpoint or the region is not the bucket's, or a "
                "proxy is in between"
            )
    except BotoCoreError as error:
        words = str(error).rstrip(".") or type(error).__name__
    except (ResponseParserError, *_ODD_ANSWER) as error:
        # The SDK leaves out what an answer has not, and raises what its parsers raise. The text of
        # the error could quote the answer.
        words = (
            f"an answer is not as S3 answers ({type(error).__name__}); is this the store's "
            "endpoint, and no proxy in between?"
        )
    else:
        return
    for text in hidden:
        words = words.replace(text, "<hidden>")
    raise BucketError(f"{subject}: {words}." + (f" {afterwards}" if afterwards else "")) from None


def _answer(error: ClientError) -> str:
    told = str(error.response.get("Error", {}).get("Message") or "").rstrip(".")
    return f"{error_code(error) or '?'} ({told or 'no further word from the store'})"
