"""What is said when cluster and state do not belong together, and the ways out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.commands import run, set_secret, set_value, unset
from components.sealing.kept import LeftBehind

RUNBOOK: Final = "docs/runbooks/state-lost.md"
TAKEN_DOWN: Final = "docs/runbooks/take-down.md"
RESTORE: Final = "docs/runbooks/restore.md"


def _import(stack: str | None) -> str:
    return f"{run('stack import', stack)} --file <backup>"


def _bring_back(stack: str | None) -> str:
    return (
        f"  fix: bring the state back ({_import(stack)}), or choose "
        "the backend that has it (docs/howto/state-backends.md)\n"
    )


def _ways_out(stack: str | None) -> str:
    return (
        f"{_bring_back(stack)}"
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


def left_set(stack: str | None) -> str:
    """The warning about settings that adopt a Sovereign which is this state's own."""
    return (
        "warning: settings that adopt (harbor.adopt, database.adopt) are still set, and this "
        "stack's state knows the Sovereign. With them another state could take it. Once an `up` "
        "changes nothing: "
        f"{unset('harbor.adopt', stack)}; {unset('database.adopt', stack)}"
    )


def taken_down(
    namespace: str, left: Sequence[LeftBehind], stack: str | None, maker: str = "sealedsecret"
) -> str:
    """The message about what stayed of a Sovereign that was taken down with `retainData`.
    `maker`: the kind of the objects that make these Secrets, as kubectl takes it."""
    names = [each.name for each in left]
    commands = "\n".join(
        f"       kubectl get secret {each.name} -n {namespace} "
        f"-o jsonpath='{{.data.{each.kept.key}}}' | base64 -d | "
        f"{set_secret(each.kept.given_by, stack)}"
        for each in left
    )
    return (
        f"namespace {namespace} keeps {', '.join(names)} of a Sovereign that was taken down, and "
        "this stack's state does not have their values; nothing was touched. With new credentials, "
        f"all that Harbor encrypted in its database would be lost\n{_bring_back(stack)}"
        f"  or go on with the values that were kept ({TAKEN_DOWN}):\n{commands}\n"
        "  or, only if that Harbor's database is gone, or may be lost: "
        f"kubectl delete {maker} {' '.join(names)} -n {namespace}"
    )


def unknown_to_backup(keys: Sequence[str], stack: str | None) -> str:
    """The message about a restored database whose secrets a new state would mint anew. `keys`: the
    config secrets that are not set."""
    commands = "\n".join(f"       {set_secret(key, stack)}" for key in keys)
    return (
        "database.restore brings back a database that Harbor encrypted with the secretKey of its "
        "time, and this stack's state is new and does not have it; nothing was touched. With a new "
        f"key all that Harbor encrypted in the database would be lost\n{_bring_back(stack)}"
        f"  or give the values that were kept ({RESTORE}):\n{commands}"
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
        f"  fix: {set_value(key, str(before), stack)}, or a higher number for a new value"
    )


def other_value(where: str, minted: Mapping[str, Any], stack: str | None) -> str:
    """The message about a credential that is missing from an otherwise whole state.

    `minted`: see components.sealing.seal.Minted.
    """
    namespace, _, name = where.partition("/")
    ways = [f"  fix: bring the state back: {_import(stack)}"]
    if minted.get("given_by"):
        keep = (
            f"  or keep the value: kubectl get secret {name} -n {namespace} "
            f"-o jsonpath='{{.data.{minted['keys'][0]}}}' | base64 -d | "
            f"{set_secret(minted['given_by'], stack)}"
        )
        if minted["epoch"] > 1 and not minted.get("rotation"):
            # The given value is the one before a rotation.
            number = f"{minted['epoch'] + 1:.0f}"
            keep += f" && {set_value('rotation.adminPassword', number, stack)}"
        ways.append(keep)
    if minted.get("rotation"):
        ways.append(
            "  or rotate it: "
            + set_value(f"rotation.{minted['rotation']}", f"{minted['epoch'] + 1:.0f}", stack)
        )
    return "\n".join(
        [
            f"the value of {minted['what']} in Secret {where} would change without a "
            "rotation; the Secret was not touched. The value is missing from this stack's state, "
            "or was made anew there",
            *ways,
        ]
    )


def older_state(where: str, stack: str | None, maker: str = "sealedsecret") -> str:
    """The message about a Secret that a newer state wrote. `maker`: the kind of the object that
    makes it, as kubectl takes it."""
    namespace, _, name = where.partition("/")
    return (
        f"Secret {where} has a value that this stack's state never wrote: the state is older than "
        "the cluster; nothing of it was touched\n"
        f"  fix: bring the newer state back ({_import(stack)}), see "
        f"{RUNBOOK}\n"
        "  or, only if the older values are meant: "
        f"kubectl delete {maker} {name} -n {namespace}, then "
        f"{run('refresh', stack)} and {run('up', stack)}"
    )
