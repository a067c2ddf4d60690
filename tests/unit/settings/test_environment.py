"""References of a sandbox's config to its environment, and the raw config of dynamic providers."""

import pytest

from components.settings.provider_config import cluster_context
from components.settings.reading import refusals
from components.settings.reading.refusals import Refusal
from components.settings.schema.environment import UnsetVariable, expand
from tests.support.raw_settings import S3, SANDBOX_ENVIRONMENT, merged


def test_references_are_replaced_in_a_sandbox() -> None:
    raw = merged("storage", {**S3, "endpoint": "${SANDBOX_S3_ENDPOINT}"}, {"sandbox": "true"})
    reading = refusals.read(raw, stack="local", environ=SANDBOX_ENVIRONMENT)
    assert reading.settings is not None
    assert reading.settings.storage.endpoint_url == "http://127.0.0.1:7070"


def test_a_reference_that_is_not_set_says_how_to_set_it() -> None:
    raw = merged("storage", {**S3, "endpoint": "${SANDBOX_S3_ENDPOINT}"}, {"sandbox": "true"})
    (refusal,) = refusals.read(raw, stack="local").refusals
    assert refusal == Refusal(
        key="storage.endpoint",
        value='"${SANDBOX_S3_ENDPOINT}"',
        allowed="the environment of the running sandbox, which sets SANDBOX_S3_ENDPOINT "
        "(run make up first)",
        fix='eval "$(make -s env)"',
    )


def test_what_a_reference_stands_for_is_not_shown() -> None:
    raw = merged("storage.bucket", "${SANDBOX_S3_SECRET_KEY}", {"sandbox": "true"})
    environ = {"SANDBOX_S3_SECRET_KEY": "Not A Bucket"}
    (refusal,) = refusals.read(raw, stack="local", environ=environ).refusals
    assert refusal.value == '"${SANDBOX_S3_SECRET_KEY}"'


def test_only_variables_of_the_sandbox_are_replaced() -> None:
    assert expand("${HOME}/${SANDBOX_A}", {"HOME": "/root", "SANDBOX_A": "a"}) == "${HOME}/a"
    with pytest.raises(UnsetVariable, match=r"SANDBOX_A is not set; run: eval"):
        expand("${SANDBOX_A}", {})


def test_dynamic_providers_find_the_context_in_the_raw_config() -> None:
    assert cluster_context({"cluster": '{"context": "omantel"}'}.get) == "omantel"
    assert cluster_context({"cluster": "{}"}.get) is None
    assert cluster_context({}.get) is None
