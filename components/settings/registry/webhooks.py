"""Webhooks: what Harbor tells others. Pure."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import model_validator

from components.settings.registry.endpoints import url_problem, with_scheme
from components.settings.registry.names import Description
from components.settings.registry.stack_secrets import StackSecret
from components.settings.schema.rules import (
    REMOVE,
    Section,
    SettingRule,
    refuse,
    refuse_repetition,
)

Event = Literal[
    "PUSH_ARTIFACT",
    "PULL_ARTIFACT",
    "DELETE_ARTIFACT",
    "SCANNING_COMPLETED",
    "SCANNING_FAILED",
    "SCANNING_STOPPED",
    "QUOTA_WARNING",
    "QUOTA_EXCEED",
    "REPLICATION",
    "TAG_RETENTION",
]


def _hook(text: str) -> str | None:
    reason = url_problem(text)
    if reason is not None and "credentials" in reason:
        return f"{reason}: authorization: {{secret: NAME}} is the header that Harbor sends"
    return reason


HOOK: Final = SettingRule(
    allowed="a URL https://host[:port][/path][?query]",
    example="https://<service>",
    check=_hook,
    suggest=lambda text: [with_scheme(text)],
)


class WebhookSettings(Section):
    """A message to another service about what happens in the project."""

    called_here: ClassVar[Mapping[str, str]] = {
        "address": "url",
        "notify_type": "kind",
        "event_types": "events",
        "events_types": "events",
        "auth_header": "authorization",
        "payload_format": "format",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "skip_cert_verify": "tlsVerify says whether the certificate is checked, the other way round"
    }

    url: Annotated[str, HOOK]
    """Where Harbor sends the message."""
    kind: Literal["http", "slack"] = "http"
    """Harbor's own message, or one for Slack."""
    events: tuple[Event, ...]
    """What is told."""
    authorization: StackSecret | None = None
    """Value of the header Authorization. Harbor shows it to whoever may read the webhook."""
    format: Literal["Default", "CloudEvents"] | None = None
    """Format of the message of kind http; Harbor's Default when unset."""
    tls_verify: bool = True
    """Whether the certificate of the service is checked."""
    enabled: bool = True
    """Whether messages are sent."""
    description: Description = ""
    """What people read about it in Harbor."""

    @property
    def harbors_format(self) -> str:
        """Harbor's payload_format; "" for Slack, with which it is refused."""
        return "" if self.kind == "slack" else self.format or "Default"

    @model_validator(mode="after")
    def _is_one_that_harbor_takes(self) -> Self:
        if not self.events:
            refuse("at least one, which Harbor demands", at=("events",))
        refuse_repetition(self.events, at=("events",), reason="the same one twice")
        if self.kind == "slack" and self.format is not None:
            refuse(
                "left out with kind slack, with which Harbor refuses a format",
                at=("format",),
                example=REMOVE,
            )
        return self
