"""Mirrors and other replications: images copied between this registry and another. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from components.settings.registry import names, patterns
from components.settings.registry.cron import NEVER, six_fields
from components.settings.registry.cron_rules import ReplicationSchedule
from components.settings.registry.endpoints import EndpointType, SourceSettings
from components.settings.registry.patterns import Glob, RepositoryGlob
from components.settings.schema.rules import REMOVE, Section, SettingRule, refuse, whole_number

Trigger = Literal["manual", "onPush", "scheduled"]
_TRIGGERS: Final[Mapping[str, Trigger]] = {
    "event_based": "onPush",
    "event": "onPush",
    "cron": "scheduled",
}
"""What other tools call a trigger, Harbor too."""
_Trigger = Annotated[
    Trigger,
    SettingRule(
        allowed=f"one of {', '.join(get_args(Trigger))}",
        example="manual",
        suggest=lambda text: [_TRIGGERS.get(text, "")],
    ),
]

KEEP_PATH: Final = 0
FLATTEN: Final = -1
_PATH = r"[a-z0-9]+([._-][a-z0-9]+)*"


def _into(path: str) -> str | None:
    if path != path.lower():
        return "upper-case letters are not allowed"
    return None if re.fullmatch(rf"{_PATH}(/{_PATH})*", path) and len(path) <= 255 else ""


INTO: Final = SettingRule(
    allowed="a project, or a project and a path below it: lower-case letters, digits, '.', '_', "
    "'-' and '/'",
    example="<project>",
    check=_into,
)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Where a repository comes from, and where its copy is; patterns keep their wildcards."""

    source: str
    target: str


def target_of(repository: str, *, into: str, replace_count: int) -> str:
    """Where Harbor copies a repository to; patterns keep their wildcards. `into`: "" for the path
    that it comes from. `replace_count`: Harbor's dest_namespace_replace_count."""
    if not into:
        return repository
    *path, last = repository.split("/")
    count = len(path) if replace_count == FLATTEN else replace_count
    return "/".join((into, *path[count:], last))


class _Replication(Section):
    called_here: ClassVar[Mapping[str, str]] = {
        "dest_namespace": "into",
        "override": "overwrite",
        "speed": "bandwidth",
        "single_active_replication": "oneAtATime",
        "execute_on_changed": "runNow",
        "cron": "schedule",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "filters": "repositories, tags, excludeTags and labels are the filters",
        "dest_namespace_replace": "keepPath says whether the path stays, dropParts how many of its "
        "parts do not",
        "dest_namespace_replace_count": "keepPath says whether the path stays, dropParts how many "
        "of its parts do not",
        "flattening": "keepPath says whether the path stays, dropParts how many of its parts do "
        "not",
        "destNamespaceReplaceCount": "keepPath says whether the path stays, dropParts how many of "
        "its parts do not",
    }

    repositories: tuple[RepositoryGlob, ...] = ()
    """Repositories by patterns, without the host; all when empty."""
    tags: tuple[Glob, ...] = ()
    """Tags by patterns; all when empty."""
    exclude_tags: tuple[Glob, ...] = ()
    """All tags but these."""
    labels: tuple[Annotated[str, names.LABEL], ...] = ()
    """Labels that an image must have. Only a Harbor knows them."""
    into: Annotated[str, INTO] | None = None
    """Where copies are; under the path that they come from when unset."""
    keep_path: bool = True
    """Keep the whole path below `into`. When false all but its last part is dropped."""
    drop_parts: Annotated[int, whole_number(1, 20, example=1)] | None = None
    """How many parts of the path are dropped, from its beginning; none when unset."""
    overwrite: bool = True
    """Replace a tag that is there already and names another image."""
    bandwidth: Annotated[int, whole_number(1, 2_147_483_647, example=10240)] | None = None
    """Kilobytes per second of each copy; no limit when unset."""
    one_at_a_time: bool = False
    """Start no run while the one before goes on."""
    run_now: bool = False
    """Run once whenever this section was changed."""
    enabled: bool = True
    """Whether it runs."""
    description: names.Description = ""
    """What people read about it in Harbor."""

    @property
    def pattern(self) -> str:
        """Harbor's filter of repositories; "" for all."""
        return patterns.joined(self.repositories)

    @property
    def tags_pattern(self) -> str:
        """Harbor's filter of tags; "" for all."""
        return patterns.joined(self.tags)

    @property
    def excluded_tags_pattern(self) -> str:
        """Harbor's filter of tags that are left out; "" for none."""
        return patterns.joined(self.exclude_tags)

    @property
    def replace_count(self) -> int:
        """Harbor's dest_namespace_replace_count: -1 drops the path, 0 keeps it, n drops n parts."""
        if self.drop_parts is not None:
            return self.drop_parts
        return KEEP_PATH if self.keep_path else FLATTEN

    @property
    def speed(self) -> int:
        """Kilobytes per second; 0 for no limit."""
        return self.bandwidth or 0

    def copies(self) -> Iterator[Copy]:
        """Source and target of each repository that is named; patterns keep their wildcards."""
        for repository in self.repositories or (patterns.ALL,):
            for each in patterns.expanded(repository):
                yield Copy(source=each, target=self._target_of(each))

    def _target_of(self, repository: str) -> str:
        return target_of(repository, into=self.into or "", replace_count=self.replace_count)

    def _check(self) -> None:
        if self.tags and self.exclude_tags:
            refuse(
                "not beside tags: Harbor takes one filter of tags",
                at=("excludeTags",),
                example=REMOVE,
            )
        if not self.keep_path and self.drop_parts is not None:
            refuse(
                "not beside keepPath: false, which drops the whole path",
                at=("dropParts",),
                example=REMOVE,
            )
        if self.into is None and self.replace_count != KEEP_PATH:
            refuse(
                "required where parts of the path are dropped: Harbor drops none without it "
                "(harbor #19319)",
                at=("into",),
                example="<project>",
            )
        for index, repository in enumerate(self.repositories):
            for each in patterns.expanded(repository):
                self._check_path(each, index)

    def _dropped_of(self, parts: Sequence[str]) -> Sequence[str]:
        """The parts of a repository's path that its copy has not. `**` may stand for several."""
        if self.replace_count == FLATTEN:
            return parts if "**" in parts else parts[:-1]
        return parts[: self.replace_count]

    def _check_path(self, repository: str, index: int) -> None:
        parts = repository.split("/")
        host = re.match(r"(?:[a-z]+://[^/]+|[^/:]+:[0-9]+)/(?=.)", repository)
        if host is not None:
            refuse(
                "without scheme and host: they are those of the registry",
                at=("repositories", index),
                example=repository[host.end() :],
            )
        name, mark, _ = repository.partition("@" if "@" in repository else ":")
        if mark:
            refuse(
                f"without `{mark}`: a repository is named without tag and digest. tags and "
                "excludeTags choose among its tags",
                at=("repositories", index),
                example=name,
            )
        dropped = self._dropped_of(parts)
        if (wildcard := next((p for p in dropped if not patterns.is_literal(p)), "")) != "":
            refuse(
                f"without {wildcard} in the part of the path that is dropped: images of two "
                "folders would get one name. Name the folders",
                at=("repositories", index),
                example="/".join(("<folder>" if p in dropped else p) for p in parts),
            )
        if self.drop_parts is not None and self.drop_parts >= len(parts) and "**" not in parts:
            refuse(
                f"at most {len(parts) - 1} for {repository}: the name of the image stays",
                at=("dropParts",),
                example=str(len(parts) - 1) if len(parts) > 1 else REMOVE,
            )


def check_against(
    replication: _Replication, kind: EndpointType, *, reads: bool
) -> tuple[tuple[str | int, ...], str, str | None] | None:
    """Key, reason and example where Harbor cannot do it with a registry of this type; else None.

    `reads`: whether images come from that registry.
    """
    if kind == "github-ghcr" and reads:
        if not replication.repositories:
            return ("repositories", 0), _GHCR, "<owner>/<image>"
        for index, repository in enumerate(replication.repositories):
            if not all(map(patterns.is_literal, patterns.expanded(repository))):
                return ("repositories", index), _GHCR, "<owner>/{<image>,<image>}"
    if replication.labels and reads and kind != "harbor":
        return ("labels",), f"only where images come from a Harbor: {kind} has no labels", REMOVE
    return None


_GHCR: Final = (
    "names without wildcards from github-ghcr, which lists no repositories: Harbor accepts the "
    "pattern and fails at each run with `only support specific repository name`"
)


class MirrorSettings(_Replication):
    """Images copied from another registry by a schedule."""

    called_here: ClassVar[Mapping[str, str]] = {
        **_Replication.called_here,
        "registry_id": "from",
        "registry": "from",
        "source": "from",
        "srcRegistryRef": "from",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        **_Replication.not_here,
        "direction": "a mirror pulls; registry.replications push",
        "action": "a mirror pulls; registry.replications push",
        "trigger": "a mirror runs by its schedule; none for by hand",
    }

    source: SourceSettings = Field(alias="from")
    """The other registry, or the name of a proxy cache, mirror or replication that declares it."""
    schedule: ReplicationSchedule = "daily"
    """When images are copied; none for by hand."""

    @property
    def cron(self) -> str:
        """Harbor's six fields; "" for by hand."""
        return six_fields(self.schedule)

    @property
    def harbors_trigger(self) -> Trigger:
        """What starts a run."""
        return "scheduled" if self.cron else "manual"

    @model_validator(mode="after")
    def _is_one_that_harbor_can_do(self) -> Self:
        self._check()
        return self


class ReplicationSettings(_Replication):
    """Images copied to another registry, or from it."""

    called_here: ClassVar[Mapping[str, str]] = {
        **_Replication.called_here,
        "action": "direction",
        "registry_id": "registry",
        "destRegistryRef": "registry",
        "deletion": "propagateDeletes",
        "copy_by_chunk": "chunked",
    }

    registry: SourceSettings
    """The other registry, or the name of a proxy cache, mirror or replication that declares it."""
    direction: Literal["push", "pull"] = "push"
    """Copy to the other registry, or from it."""
    trigger: _Trigger | None = None
    """What starts a run; the schedule when one is given, else a person."""
    schedule: ReplicationSchedule = NEVER
    """When images are copied."""
    propagate_deletes: bool = False
    """Delete in the other registry what is deleted here. Only with trigger onPush."""
    chunked: bool = False
    """Copy layers in chunks. Only between Harbors."""

    @property
    def cron(self) -> str:
        """Harbor's six fields; "" without a schedule."""
        return six_fields(self.schedule)

    @property
    def harbors_trigger(self) -> Trigger:
        """What starts a run."""
        return self.trigger or ("scheduled" if self.cron else "manual")

    @model_validator(mode="after")
    def _is_one_that_harbor_can_do(self) -> Self:
        self._check()
        on_push = self.trigger == "onPush"
        if on_push and self.direction == "pull":
            refuse(
                "manual or scheduled with direction pull: Harbor accepts it and never runs, as "
                "nobody tells it of pushes to the other registry",
                at=("trigger",),
                example="scheduled",
            )
        if on_push and self.one_at_a_time:
            refuse(
                "false with trigger onPush, to which Harbor answers 500",
                at=("oneAtATime",),
                example="false",
            )
        if self.trigger == "scheduled" and not self.cron:
            refuse("required with trigger scheduled", at=("schedule",), example="daily")
        if self.trigger in ("manual", "onPush") and self.cron:
            refuse(
                f"none with trigger {self.trigger}: Harbor would show it and schedule nothing",
                at=("schedule",),
                example=NEVER,
            )
        if self.propagate_deletes and not on_push:
            refuse(
                "only with trigger onPush: Harbor passes a deletion on as it happens",
                at=("propagateDeletes",),
                example="false",
            )
        return self


def example(copy: Copy, *, source_host: str = "", target_host: str = "") -> tuple[str, str]:
    """A source and its target, as a person reads them: `*` is <name>, `**` is <path>.

    The hosts are put in front of them, where they are given.
    """
    source, target = (_readable(text) for text in (copy.source, copy.target))
    return (
        f"{source_host}/{source}" if source_host else source,
        f"{target_host}/{target}" if target_host else target,
    )


def _readable(pattern: str) -> str:
    words: Mapping[str, str] = {"**": "<path>", "*": "<name>"}
    return "/".join(words.get(part, part) for part in pattern.split("/"))
