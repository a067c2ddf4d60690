"""GitLab's child pipeline with one job for each Sovereign. Pure.

A matrix of GitLab's is written by hand, and all its jobs that share an environment share one
approval. A child pipeline is written from the stack files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

VERBS: Final = ("drift", "up")
_SHARED: Final = ("default", "variables", ".pulumi")


def pipeline(verb: str, names: Sequence[str], parent: Mapping[str, Any]) -> str:
    """The pipeline as YAML; `parent`: the document of .gitlab-ci.yml, whose template it uses."""
    template = parent[f".sovereign-{verb}"]
    jobs = {f"{verb} {name}": _job(verb, name, template) for name in names}
    # A pipeline without a job is refused.
    nobody = {"no Sovereign": {"stage": verb, "script": ["echo there is no stack file"]}}
    document = {
        "stages": [verb],
        **{key: parent[key] for key in _SHARED},
        **(jobs or nobody),
    }
    return yaml.safe_dump(document, sort_keys=False)


def _job(verb: str, name: str, template: Mapping[str, Any]) -> dict[str, Any]:
    # `access`: a comparison is no deployment, but it uses the environment's variables.
    action = {} if verb == "up" else {"action": "access"}
    return {
        **template,
        "stage": verb,
        "environment": {"name": name, **action},
        # Up and drift of one Sovereign never run at the same time.
        "resource_group": f"stack-{name}",
        "variables": {"STACKS": name},
    }
