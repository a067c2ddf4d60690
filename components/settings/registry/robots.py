"""Robots: accounts of machines. Pure."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from components.settings.registry import names, permissions
from components.settings.registry.permissions import (
    Permissions,
    ProjectPermission,
    SystemPermission,
)
from components.settings.registry.stack_secrets import StackSecret
from components.settings.schema.rules import (
    DNS_LABEL,
    OBJECT_NAME,
    REMOVE,
    NamesRule,
    Section,
    SettingRule,
    refuse,
    refuse_repetition,
    whole_number,
)

_WARNS_BEFORE: Final = 14
"""Days."""


def name_of(robot: str, rotation: int) -> str:
    """Short name in Harbor of the robot that a rotation makes."""
    return robot if rotation == 1 else f"{robot}-{rotation}"


class PullSecretSettings(Section):
    """A Secret of type kubernetes.io/dockerconfigjson with the robot's login."""

    namespaces: tuple[Annotated[str, DNS_LABEL], ...]
    """Namespaces that get the Secret."""
    name: Annotated[str, OBJECT_NAME] | None = None
    """Name of the Secret; registry-<robot> unless set, with the project between for a project's
    robot."""
    service_accounts: Annotated[
        dict[str, tuple[Annotated[str, OBJECT_NAME], ...]],
        NamesRule(
            allowed="an object of a namespace to a list of its ServiceAccounts",
            example="default",
            names=DNS_LABEL,
        ),
    ] = Field(default_factory=dict)
    """Namespace → ServiceAccounts whose pods pull with the Secret, without naming it themselves.
    They must exist. The list imagePullSecrets of each becomes this program's."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.namespaces:
            refuse("at least one", at=("namespaces",))
        refuse_repetition(self.namespaces, at=("namespaces",), reason="the same one twice")
        for namespace, accounts in self.service_accounts.items():
            if namespace not in self.namespaces:
                refuse(
                    f"of a namespace that gets the Secret: {', '.join(self.namespaces)}",
                    at=("serviceAccounts", namespace),
                    example=REMOVE,
                )
            at = ("serviceAccounts", namespace)
            refuse_repetition(accounts, at=at, reason="the same one twice")
        return self


_ENABLED: Final = "enabled says whether the robot may log in, the other way round"


class _Robot(Section):
    called_here: ClassVar[Mapping[str, str]] = {
        "duration": "days",
        "secret_wo": "secret",
        "secret_wo_version": "rotation",
        "image_pull_secrets": "pullSecret",
    }
    not_here: ClassVar[Mapping[str, str]] = {
        "disable": _ENABLED,
        "disabled": _ENABLED,
        "expires_at": "days says how long the robot lasts, from its creation",
        "level": "a robot below registry.projects.<project>.robots is the project's, one below "
        "registry.robots the registry's",
    }

    description: names.Description = ""
    """What people read about the robot in Harbor."""
    days: Annotated[int, whole_number(1, 36_500, example=180, unit="day")] | None = None
    """Days after which the robot expires, counted from its creation; never when unset."""
    rotate_before_days: Annotated[int, whole_number(1, 36_499, example=30, unit="day")] | None = (
        None
    )
    """Days before its login expires from which preview and `up` warn, with the line that rotates
    it; 14 when unset, or half of `days` if that is less."""
    enabled: bool = True
    """Whether the robot may log in."""
    secret: StackSecret | None = None
    """The robot's own secret, from the stack; minted by the program when unset."""
    rotation: Annotated[int, whole_number(1, 100_000, example=2)] = 1
    """Raising the number makes a new robot with a new secret, called <robot>-<number>; the one
    before it still works for graceDays. A secret from the stack changes in place instead."""
    grace_days: Annotated[int, whole_number(0, 365, example=7, unit="day")] = 7
    """Days after a rotation for which the login from before it still works; 0 for none. Raise
    `rotation` again only after them: then the older login is deleted."""
    pull_secret: PullSecretSettings | None = None
    """Namespaces that get the robot's login as a Secret to pull or push with."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Rotations of which a robot is in Harbor: the one before the last ends by itself. A robot
        with a secret from the stack is never replaced, as its secret changes in place."""
        if self.secret is not None:
            return (1,)
        has_grace = self.rotation > 1 and self.grace_days > 0
        return (self.rotation - 1, self.rotation) if has_grace else (self.rotation,)

    @property
    def harbors_days(self) -> int:
        """Harbor's duration; -1 for never."""
        return -1 if self.days is None else self.days

    @property
    def warns_before_days(self) -> int:
        """Days before the end from which a preview warns; 0 for a robot that never expires."""
        if self.days is None:
            return 0
        return self.rotate_before_days or min(_WARNS_BEFORE, max(1, self.days // 2))

    @model_validator(mode="after")
    def _rotates_what_the_program_mints(self) -> Self:
        if self.secret is not None and self.rotation > 1:
            refuse(
                "left out beside secret: a secret from the stack changes in place, once "
                f"{self.secret.secret} is set anew",
                at=("rotation",),
                example=REMOVE,
            )
        return self

    @model_validator(mode="after")
    def _expires_after_it_is_rotated(self) -> Self:
        if self.rotate_before_days is None:
            return self
        if self.days is None:
            refuse(
                "left out for a robot that never expires",
                at=("rotateBeforeDays",),
                example=REMOVE,
            )
        if self.rotate_before_days >= self.days:
            refuse(
                f"less than days, which is {self.days}: the robot would always be about to expire",
                at=("rotateBeforeDays",),
                example=str(max(1, self.days // 2)),
            )
        return self


class ProjectRobotSettings(_Robot):
    """A robot of one project. Its login is <prefix><project>+<name>."""

    permissions: tuple[ProjectPermission, ...]
    """What it may do in the project: pull, push, scan, admin, or RESOURCE:ACTION."""

    def access(self, project: str) -> tuple[Permissions, ...]:
        """What the robot of this project may do."""
        return (permissions.in_project(project, self.permissions),)

    @model_validator(mode="after")
    def _may_do_something(self) -> Self:
        if not self.permissions:
            refuse("at least one: Harbor takes no robot without", at=("permissions",))
        return self


_PROJECT_OR_ALL = SettingRule(
    allowed=f"{names.PROJECT.allowed}, or * for each declared one",
    example="<project>",
    check=lambda name: None if name == "*" else names.project_problem(name),
)


class RobotSettings(_Robot):
    """A robot of the registry, over several projects. Its login is <prefix><name>."""

    example_key: ClassVar[str] = "permissions"

    not_here: ClassVar[Mapping[str, str]] = {
        **_Robot.not_here,
        "project": "a robot of one project stands below it: "
        "registry.projects.<project>.robots.<name>.permissions: [pull]",
    }

    permissions: Annotated[
        dict[str, tuple[ProjectPermission, ...]],
        NamesRule(
            allowed="an object of project, or *, to a list of pull, push, scan, admin or "
            "RESOURCE:ACTION",
            example="<project>",
            names=_PROJECT_OR_ALL,
        ),
    ] = Field(default_factory=dict)
    """Project → what the robot may do in it: pull, push, scan, admin, or RESOURCE:ACTION. * stands
    for each project that is declared."""
    system: tuple[SystemPermission, ...] = ()
    """What it may do in the whole registry, as RESOURCE:ACTION."""

    def access(self, declared: Iterable[str]) -> tuple[Permissions, ...]:
        """What the robot may do, where these projects are declared; sorted, the registry's rights
        last."""
        blocks = permissions.in_projects(self.permissions, declared)
        if not self.system:
            return blocks
        access = tuple(sorted(set(self.system)))
        return (*blocks, Permissions(kind="system", namespace="/", access=access))

    @model_validator(mode="after")
    def _may_do_something(self) -> Self:
        empty = next((name for name, words in self.permissions.items() if not words), None)
        if empty is not None:
            refuse("at least one: Harbor takes no empty rights", at=("permissions", empty))
        if not self.permissions and not self.system:
            refuse(
                "at least one, or one of system: Harbor takes no robot without", at=("permissions",)
            )
        return self
