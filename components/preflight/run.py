"""What is asked of the cluster before the first resource is registered."""

from __future__ import annotations

import datetime as dt
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pulumi

from components.adopted import Adopted, LiveDatabase
from components.kubernetes.client import ClusterClient
from components.kubernetes.unreachable import ClusterUnreachable
from components.preflight import (
    database_host,
    evidence,
    exclusions,
    fixed,
    identity,
    namespace,
    plain_secrets,
    registry,
    requirements,
    restore,
    tenant,
    upgrade,
)
from components.preflight.adoption import check
from components.stack_config import StackConfig

_IDENTITY: Final = "whether this is the stack's cluster"
_POLICIES: Final = "whether image policies may refuse pods yet"
_REGISTRY: Final = "what gates of the registry would do to images that pods run"
_EXISTING: Final = "whether something exists that must not be touched"
_REQUIREMENTS: Final = "whether the cluster has what the stack needs"
_EXCLUSIONS: Final = "which namespaces without an image policy exist"


@dataclass(kw_only=True)
class Learned:
    """What checks learn besides their problems; None where they were not made."""

    namespaces: frozenset[str] | None = None
    """Those that exist of the namespaces which the image policy leaves out."""
    database: LiveDatabase | None = None


def run(config: StackConfig) -> Adopted:
    """What exists already and is adopted.

    Raises RunError with everything that is missing or must not be touched. A preview goes on
    without an API server that answers: it says which checks were not made, and shows everything
    as new.
    """
    settings, stack = config.settings, pulumi.get_stack()
    learned = Learned()
    problems, unchecked = _answers(config, learned)
    if unchecked and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(
            f"the cluster of stack {stack} is not reached: "
            f"{next(iter(unchecked.values()))}\n"
            "  nothing was touched. KUBECONFIG and cluster.context decide which cluster is meant:\n"
            "  kubectl config get-contexts"
        )
    if problems:
        raise pulumi.RunError(
            f"the cluster is not ready for stack {stack}; nothing was touched\n"
            + "\n".join(problems)
        )
    for reason in dict.fromkeys(unchecked.values()):
        checks = ", ".join(name for name, why in unchecked.items() if why == reason)
        pulumi.log.warn(f"not checked in this preview: {checks}. The next `up` checks it. {reason}")
    adopted = Adopted()
    if _EXISTING not in unchecked:
        adopted = check.adopted(settings)
    elif check.is_asked_for(settings):
        pulumi.log.warn("what this stack adopts was not looked at; the preview shows it as new")
    return replace(adopted, namespaces=learned.namespaces, live_database=learned.database)


def checks(
    config: StackConfig, learned: Learned
) -> Mapping[str, Callable[[ClusterClient], list[str]]]:
    """Every check by what it is about: it asks a cluster for its problems, and may learn more.

    Each raises ClusterUnreachable, and what a part of an object raises that is not as its
    controller writes it: LookupError, TypeError, ValueError, AttributeError.
    """
    settings = config.settings

    def excluded(client: ClusterClient) -> list[str]:
        learned.namespaces = exclusions.existing(client, settings)
        return []

    def existing(client: ClusterClient) -> list[str]:
        learned.database = restore.live_database(client, settings)
        return _existing(client, config, learned.database)

    return {
        _IDENTITY: lambda client: identity.problems(client, settings.cluster),
        _POLICIES: lambda client: evidence.problems(client, settings),
        _EXISTING: existing,
        _REQUIREMENTS: lambda client: requirements.problems(client, settings),
        _EXCLUSIONS: excluded,
        _REGISTRY: lambda client: registry.problems(client, settings),
    }


def _answers(config: StackConfig, learned: Learned) -> tuple[list[str], Mapping[str, str]]:
    """The problems, and the reason of each check that could not be made."""
    asked = checks(config, learned)
    problems: list[str] = []
    unchecked: dict[str, str] = {}
    no_answer: str | None = None
    try:
        client = ClusterClient(config.settings.cluster.context)
    except ClusterUnreachable as error:
        return [], dict.fromkeys(asked, str(error))
    is_another = False
    for name, problems_of in asked.items():
        if name in (_POLICIES, _REGISTRY, _EXISTING, _EXCLUSIONS):
            # The contents of a cluster that is not the stack's are no evidence of anything.
            if is_another:
                continue
            if _IDENTITY in unchecked:
                unchecked[name] = unchecked[_IDENTITY]
                continue
        if no_answer is not None:
            unchecked[name] = no_answer
            continue
        try:
            problems += problems_of(client)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # A part of an object, of a kind of others, is not as its controller writes it. The text
            # of the error could quote it.
            unchecked[name] = f"what it answered about that is not as expected ({_place(error)})"
        except ClusterUnreachable as error:
            unchecked[name] = str(error)
            # Somebody who may preview need not be allowed everything (403). Anything else would
            # meet the next check, too, after the same time.
            no_answer = None if error.status == 403 else str(error)
        if name == _IDENTITY:
            is_another = bool(problems)
    return problems, unchecked


def _place(error: Exception) -> str:
    """The error's class, with the module and line where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"


def _existing(client: ClusterClient, config: StackConfig, of_database: LiveDatabase) -> list[str]:
    """Why what exists already is neither adopted nor changed."""
    settings, stack = config.settings, pulumi.get_stack()
    problems = check.problems(client, config)
    # A Harbor of somebody else says the same as its namespace, with the better advice.
    problems = problems or namespace.problems(client, settings, stack)
    problems += database_host.problems(client, settings, stack)
    problems += tenant.problems(client, settings, stack)
    problems += restore.problems(of_database, settings, stack, dt.datetime.now(dt.UTC))
    if not problems or check.is_asked_for(settings):
        problems += upgrade.problems(client, settings, stack)
        problems += fixed.problems(client, settings, stack)
    return problems + plain_secrets.problems(client, config)
