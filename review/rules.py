"""Rules over a whole preview: which resources are deleted, and which values are encrypted. Pure.

The engine tells a policy pack neither (it hands secrets on in plain text). The digest of a preview
has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from policy.plaintext import is_encrypted
from policy.resource import UNKNOWN
from review.plan import SECRET, Change, Plan, Violation

DATA_STAYS = "data-stays"
SECRETS_ARE_ENCRYPTED = "secrets-are-encrypted"


def violations(plan: Plan, *, sandbox: bool) -> Iterator[Violation]:
    """What is wrong with the plan. A sandbox's data may be deleted: a sandbox is thrown away."""
    for change in plan.changes:
        if change.act in ("delete", "replace") and not sandbox:
            yield from _data_stays(change)
        yield from _secrets_are_encrypted(change)


def guards_that_are_off(config: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each setting that gives up the guard of a Sovereign's data.

    `config`: that of its stack file.
    """
    for key, value, consequence in _GUARDS:
        if str(config.get(f"sovereign-harbor:{key}", "")).lower() == value:
            yield f"**`{key}: {value}`**: {consequence}"


_GUARDS: Final = (
    (
        "sandbox",
        "true",
        "the stack counts as thrown away: the rules let its data be deleted, http is allowed and "
        "the cluster's name is not checked",
    ),
    (
        "protect",
        "false",
        "the engine deletes or replaces bucket, database and namespace without a question",
    ),
    (
        "retainData",
        "false",
        "a destroy, or a change that replaces them, deletes bucket, database and namespace with "
        "all that is in them",
    ),
)


def _data_stays(change: Change) -> Iterator[Violation]:
    if not (change.data or change.was_protected):
        return
    verb = "deleted" if change.act == "delete" else "replaced"
    loss = f"and with it {change.data}" if change.data else "and it is protected"
    keys = f" because {', '.join(change.replaced_by)} changes" if change.replaced_by else ""
    yield Violation(
        rule=DATA_STAYS,
        resource=change.name,
        message=f"it would be {verb}{keys}, {loss}",
    )


def _secrets_are_encrypted(change: Change) -> Iterator[Violation]:
    for key, value in change.inputs.items():
        is_secret = value is UNKNOWN or value == SECRET
        if is_encrypted(change.type, key) and value and not is_secret:
            yield Violation(
                rule=SECRETS_ARE_ENCRYPTED,
                resource=change.name,
                message=f"{key} is no secret to the engine: it would stand readable in the state",
            )
