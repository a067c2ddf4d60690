"""What is said when cluster and state do not belong together, and the ways out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RUNBOOK: Final = "docs/runbooks/state-lost.md"


def _on(stack: str | None) -> str:
    return f" -s {stack}" if stack else ""


def _ways_out(stack: str | None) -> str:
    return (
        f"  fix: bring the state back (pulumi stack import{_on(stack)} --file <backup>), or choose "
        "the backend that has it (docs/howto/state-backends.md)\n"
        "  or, if it is lost: adopt what lives, by harbor.adopt, database.adopt and the three "
        "secrets harborSecretKey, harborAdminPassword and databasePassword, read from the "
        f"cluster: {RUNBOOK}"
    )


def unknown_mark(namespace: str, stack: str | None) -> str:
    """The message about a Sovereign that another state made."""
    return (
        f"a Sovereign lives in namespace {namespace} that this stack's state does not know; "
        "nothing was touched. With new credentials, all that Harbor encrypted in its database "
        f"would be lost\n{_ways_out(stack)}"
    )


def unknown_secret(where: str, stack: str | None) -> str:
    """The message about a Secret of this program that the state never wrote."""
    return (
        f"Secret {where} was written by this program, and this stack's state does not know it; "
        "nothing of it was touched. With new credentials, all that Harbor encrypted in its "
        f"database would be lost\n{_ways_out(stack)}"
    )


def lowered(minted: Mapping[str, Any], before: int, stack: str | None) -> str:
    """The message about a rotation that is taken back, where Harbor has the later value already.

    `minted`: see components.sealing.seal.Minted. `before`: the number so far.
    """
    first, *others = str(minted["what"]).split("-")
    key = "rotation." + first + "".join(word.capitalize() for word in others)
    return (
        f"{key} = {minted['epoch']:.0f}, and it was {before} already: Harbor has the value of that "
        "rotation, from which the program would no longer reach it; nothing was touched\n"
        f"  fix: pulumi config set --path '{key}' {before}{_on(stack)}, or a higher number for a "
        "new value"
    )


def other_value(where: str, minted: Mapping[str, Any], stack: str | None) -> str:
    """The message about a credential that is missing from an otherwise whole state.

    `minted`: see components.sealing.seal.Minted.
    """
    namespace, _, name = where.partition("/")
    ways = [f"  fix: bring the state back: pulumi stack import{_on(stack)} --file <backup>"]
    if minted.get("given_by"):
        keep = (
            f"  or keep the value: kubectl get secret {name} -n {namespace} "
            f"-o jsonpath='{{.data.{minted['keys'][0]}}}' | base64 -d | "
            f"pulumi config set --secret {minted['given_by']}{_on(stack)}"
        )
        if minted["epoch"] > 1 and not minted.get("rotation"):
            # The given value is the one before a rotation.
            keep += (
                f" && pulumi config set --path 'rotation.adminPassword' {minted['epoch'] + 1:.0f}"
                f"{_on(stack)}"
            )
        ways.append(keep)
    if minted.get("rotation"):
        ways.append(
            "  or rotate it: pulumi config set --path "
            f"'rotation.{minted['rotation']}' {minted['epoch'] + 1:.0f}{_on(stack)}"
        )
    return "\n".join(
        [
            f"the value of {minted['what']} in Secret {where} would change without a "
            "rotation; the Secret was not touched. The value is missing from this stack's state, "
            "or was made anew there",
            *ways,
        ]
    )


def older_state(where: str, stack: str | None) -> str:
    """The message about a Secret that a newer state wrote."""
    namespace, _, name = where.partition("/")
    return (
        f"Secret {where} has a value that this stack's state never wrote: the state is older than "
        "the cluster; nothing of it was touched\n"
        f"  fix: bring the newer state back (pulumi stack import{_on(stack)} --file <backup>), see "
        f"{RUNBOOK}\n"
        "  or, only if the older values are meant: "
        f"kubectl delete sealedsecret {name} -n {namespace}, then pulumi refresh{_on(stack)} and "
        f"pulumi up{_on(stack)}"
    )
