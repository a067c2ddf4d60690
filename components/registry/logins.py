"""Robots while one replaces another, and the logins that are handed out. Pure."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from components.settings.registry.robots import name_of
from components.settings.registry.section import RegistrySettings, Robot

DOCKER_CONFIG: Final = ".dockerconfigjson"
"""Key of a Secret of type kubernetes.io/dockerconfigjson."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A robot in Harbor. `name`: its short name there. `number`: of the rotation that made it.
    `days`: until it ends, -1 for never.
    """

    name: str
    number: int
    days: int


def generations(robot: Robot) -> tuple[Generation, ...]:
    """The robots of one declared robot, the current one last.

    A rotation makes a robot of another name, so that both logins work while copies of the old one
    are replaced. Harbor itself ends the old one, after `graceDays` from the rotation.
    """
    settings = robot.settings
    *before, current = settings.numbers
    days = {**dict.fromkeys(before, settings.grace_days), current: settings.harbors_days}
    return tuple(
        Generation(name=name_of(robot.short_name, number), number=number, days=days[number])
        for number in settings.numbers
    )


def end_of_login(robot: Robot, expires_at: int, now: dt.datetime, fix: str) -> str | None:
    """The warning of a login that ends soon, or has ended; None while there is time.

    `expires_at`: seconds since 1970, -1 for never. `now` in UTC. `fix`: what renews the login.
    """
    settings = robot.settings
    if expires_at <= 0 or not settings.enabled or not settings.warns_before_days:
        return None
    end = dt.datetime.fromtimestamp(expires_at, dt.UTC)
    if end - now > dt.timedelta(days=settings.warns_before_days):
        return None
    when = f"{end:%Y-%m-%d %H:%M} UTC"
    if end <= now:
        return f"the login of robot {robot.name} ended on {when}: it is refused. A new one: {fix}"
    days = (end - now).days
    left = "less than a day" if not days else "1 day" if days == 1 else f"{days} days"
    return f"the login of robot {robot.name} ends on {when}, in {left}. A new one: {fix}"


def docker_config(host: str, username: str, password: str) -> str:
    """Docker's file of logins, with one for `host`."""
    token = base64.b64encode(f"{username}:{password}".encode()).decode()
    login = {"username": username, "password": password, "auth": token}
    return json.dumps({"auths": {host: login}})


def service_accounts(robots: Iterable[Robot]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Namespace and name of a ServiceAccount → the Secrets that its pods pull with, sorted.

    Kubernetes keeps the list of a ServiceAccount as a whole, so one object writes it.
    """
    secrets: dict[tuple[str, str], list[str]] = {}
    for robot in robots:
        pull_secret = robot.settings.pull_secret
        if pull_secret is None:
            continue
        for namespace, accounts in pull_secret.service_accounts.items():
            for account in accounts:
                secrets.setdefault((namespace, account), []).append(robot.secret_name)
    return {key: tuple(sorted(secrets[key])) for key in sorted(secrets)}


def push_prefixes(settings: RegistrySettings, image_prefix: str) -> dict[str, str]:
    """Project → what the names of its images begin with; of those that take pushes."""
    return {name: f"{image_prefix}{name}/" for name in sorted(settings.projects)}


def pull_prefixes(settings: RegistrySettings, image_prefix: str) -> dict[str, str]:
    """Upstream registry → what the names of its images begin with when Harbor caches them."""
    hosts = settings.cached_hosts
    return {host: f"{image_prefix}{hosts[host]}/" for host in sorted(hosts)}


@dataclass(frozen=True, kw_only=True)
class LoginUrls:
    """What the provider of the login has to know of Harbor: where it sends people back to.

    `redirect`: after a login. `logout`: after a logout.
    """

    redirect: str
    logout: str


def login_urls(settings: RegistrySettings, url: str) -> LoginUrls | None:
    """None where no login is declared. `url`: of the registry."""
    if settings.login is None:
        return None
    return LoginUrls(redirect=f"{url}/c/oidc/callback", logout=f"{url}/account/sign-in")
