"""Which tags stay, and which can never be moved. Pure.

Harbor stores every retention rule unquestioned and fails when it runs, so all checks are here.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self

from pydantic import model_validator

from components.settings.registry import patterns
from components.settings.registry.cron import six_fields
from components.settings.registry.cron_rules import Schedule
from components.settings.registry.patterns import Glob, RepositoryGlob
from components.settings.schema.rules import (
    REMOVE,
    Section,
    refuse,
    refuse_repetition,
    whole_number,
)

MOST_RULES: Final = 15
_COUNT = Annotated[int, whole_number(1, 100_000, example=10)]
_DAYS = Annotated[int, whole_number(1, 36_500, example=90, unit="day")]


class _Selectors(Section):
    called_here: ClassVar[Mapping[str, str]] = {
        "repo_matching": "repositories",
        "repo_excluding": "exceptRepositories",
        "tag_matching": "tags",
        "tag_excluding": "exceptTags",
    }
    example_key: ClassVar[str] = "tags"

    repositories: tuple[RepositoryGlob, ...] = ()
    """Repositories of the project, by patterns without the project's name; all when empty."""
    except_repositories: tuple[RepositoryGlob, ...] = ()
    """All repositories but these."""
    tags: tuple[Glob, ...] = ()
    """Tags, by patterns; all when empty."""
    except_tags: tuple[Glob, ...] = ()
    """All tags but these."""

    @property
    def repositories_pattern(self) -> str:
        """One pattern of repositories; "" where some are excluded instead."""
        chosen = patterns.joined(self.repositories)
        return chosen or ("" if self.except_repositories else patterns.ALL)

    @property
    def excluded_repositories_pattern(self) -> str:
        """One pattern of the repositories that are excluded; "" for none."""
        return patterns.joined(self.except_repositories)

    @property
    def tags_pattern(self) -> str:
        """One pattern of tags; "" where some are excluded instead."""
        return patterns.joined(self.tags) or ("" if self.except_tags else patterns.ALL)

    @property
    def excluded_tags_pattern(self) -> str:
        """One pattern of the tags that are excluded; "" for none."""
        return patterns.joined(self.except_tags)

    @property
    def selectors(self) -> tuple[str, str, str, str]:
        """The patterns that Harbor is sent: two of repositories, two of tags."""
        return (
            self.repositories_pattern,
            self.excluded_repositories_pattern,
            self.tags_pattern,
            self.excluded_tags_pattern,
        )

    @model_validator(mode="after")
    def _chooses_or_excludes(self) -> Self:
        if self.repositories and self.except_repositories:
            refuse(
                "not beside repositories: a rule of Harbor has one of both",
                at=("exceptRepositories",),
                example=REMOVE,
            )
        if self.tags and self.except_tags:
            refuse(
                "not beside tags: a rule of Harbor has one of both",
                at=("exceptTags",),
                example=REMOVE,
            )
        return self


class KeepSettings(_Selectors):
    """One rule of what stays. Exactly one of the first five keys."""

    called_here: ClassVar[Mapping[str, str]] = {
        **_Selectors.called_here,
        "most_recently_pushed": "lastPushed",
        "most_recently_pulled": "lastPulled",
        "n_days_since_last_push": "daysSincePush",
        "n_days_since_last_pull": "daysSincePull",
        "always_retain": "always",
        "untagged_artifacts": "untagged",
        "latestPushedK": "lastPushed",
        "latestPulledN": "lastPulled",
        "nDaysSinceLastPush": "daysSincePush",
        "nDaysSinceLastPull": "daysSincePull",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "disabled": "leave the rule out",
    }
    example_key: ClassVar[str] = "lastPushed"

    last_pushed: _COUNT | None = None
    """Keep so many images of a repository, those pushed last."""
    last_pulled: _COUNT | None = None
    """Keep so many images of a repository, those pulled last."""
    days_since_push: _DAYS | None = None
    """Keep images that were pushed within so many days."""
    days_since_pull: _DAYS | None = None
    """Keep images that were pulled within so many days."""
    always: bool = False
    """Keep all that the patterns match."""
    untagged: bool = True
    """Whether the rule counts images without a tag too."""

    @property
    def template(self) -> str:
        """Harbor's name of the rule, which is its parameter's name too."""
        return next((name for name, number in self._numbers.items() if number), "always")

    @property
    def number(self) -> int:
        """Images or days; 0 for always."""
        return next((number for number in self._numbers.values() if number), 0)

    @property
    def _numbers(self) -> dict[str, int | None]:
        return {
            "latestPushedK": self.last_pushed,
            "latestPulledN": self.last_pulled,
            "nDaysSinceLastPush": self.days_since_push,
            "nDaysSinceLastPull": self.days_since_pull,
        }

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        said = sum(number is not None for number in self._numbers.values()) + self.always
        if said != 1:
            refuse(
                "exactly one of lastPushed, lastPulled, daysSincePush, daysSincePull and always, "
                f"not {said or 'none'}: a second rule says the second thing"
            )
        return self


class RetentionSettings(Section):
    """Which tags stay; all others are deleted by the schedule."""

    called_here: ClassVar[Mapping[str, str]] = {"rule": "keep", "rules": "keep"}

    schedule: Schedule = "daily"
    """When tags that no rule keeps are deleted; none for never."""
    keep: tuple[KeepSettings, ...]
    """Rules. A tag that one of them keeps stays."""

    @property
    def cron(self) -> str:
        """Harbor's six fields; "" for no schedule."""
        return six_fields(self.schedule)

    @property
    def protects(self) -> bool:
        """Whether a rule keeps tags for ever."""
        return any(rule.always for rule in self.keep)

    @model_validator(mode="after")
    def _has_rules_that_harbor_takes(self) -> Self:
        if not self.keep:
            refuse(
                "at least one rule; where nothing is to be deleted, leave retention out",
                at=("keep",),
            )
        if len(self.keep) > MOST_RULES:
            refuse(f"at most {MOST_RULES} rules, as Harbor allows", at=("keep",))
        refuse_repetition(
            [(rule.template, rule.number, rule.untagged, rule.selectors) for rule in self.keep],
            at=("keep",),
            reason="the same as rule {first}, to which Harbor answers 409",
        )
        return self


class ImmutableTagsSettings(_Selectors):
    """Tags that nobody can move or delete."""

    not_here: ClassVar[Mapping[str, str]] = {
        "disabled": "enabled says whether the rule counts, the other way round"
    }

    enabled: bool = True
    """Whether the rule counts."""
