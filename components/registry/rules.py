"""Rules of the settings as inputs of the resources. Pure."""

from __future__ import annotations

from typing import Any

from components.settings.registry.retention import (
    ImmutableTagsSettings,
    KeepSettings,
    RetentionSettings,
)


def selectors(rule: KeepSettings | ImmutableTagsSettings) -> dict[str, str]:
    """The patterns of a rule."""
    return {
        "repositories": rule.repositories_pattern,
        "repositoriesExcluded": rule.excluded_repositories_pattern,
        "tags": rule.tags_pattern,
        "tagsExcluded": rule.excluded_tags_pattern,
    }


def keep_rules(retention: RetentionSettings) -> list[dict[str, Any]]:
    """What a Retention keeps."""
    return [
        {
            "template": rule.template,
            "number": rule.number,
            **selectors(rule),
            "untagged": rule.untagged,
        }
        for rule in retention.keep
    ]
