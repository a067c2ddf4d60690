"""The proof that the registry is configured: projects are there, and the logins of robots work.

Harbor's API is the fake's here, and behind its /v2/ is Harbor's real registry line. With a real
Harbor (SANDBOX_HARBOR_API) only the API is asked: its /v2/ sends clients to its public name.
"""

from __future__ import annotations

import base64
import json
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.registry.logins import DOCKER_CONFIG
from sandbox import cluster, harbor_api
from sandbox.crane import Crane
from sandbox.processes import SandboxError
from sandbox.state import State
from toolchain.build import Toolbox

REPOSITORY = "smoke"
ELSEWHERE = "library"
"""The project that every Harbor has, in which no robot of the local Sovereign has rights."""

_TYPE = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True)
class Login:
    """A robot's, from the Secret `name` in a namespace."""

    namespace: str
    name: str
    username: str
    password: str

    @property
    def project(self) -> str:
        """The robot's own; "" for one of the system. A full name is robot$<project>+<name>."""
        return self.username.rpartition("$")[2].rpartition("+")[0]


def prove(
    state: State,
    tools: Toolbox,
    outputs: Mapping[str, Any],
    work: Path,
    *,
    admin_password: str,
    backend: Mapping[str, str],
) -> list[str]:
    """What was shown, in lines; empty where no registry is configured. Raises SandboxError.

    `backend`: url, user and password of the registry that is put behind the fake meanwhile.
    """
    projects: list[str] = outputs.get("registryProjects", [])
    if not projects:
        return []
    kept = state.load("harbor-api.json")
    if kept is None:
        raise SandboxError(harbor_api.told(state))
    address = f"http://{kept['host']}:{kept['port']}"
    for project in projects:
        _expect(address, f"/projects/{project}", ("admin", admin_password), 200)
    logins = _logins(state, tools, outputs["registryFqdn"])
    for login in logins:
        # Harbor's way to take a robot's login here is 412; a wrong one is 401.
        _expect(address, "/users/current", (login.username, login.password), 412)
    caches = {prefix.split("/")[1]: host for host, prefix in outputs["pullPrefixes"].items()}
    names = ", ".join(f"{p} (cache of {caches[p]})" if p in caches else p for p in projects)
    where = "a real Harbor" if kept["real"] else "a fake of Harbor's API"
    lines = [f"configured in {where}: projects {names}"]
    lines += [
        f"unsealed in namespace {login.namespace}: Secret {login.name}, by which "
        f"{login.username} logs in"
        for login in logins
    ]
    pushing = [login for login in logins if login.project]
    if not kept["real"] and pushing:
        harbor_api.control(state, "registry", dict(backend))
        try:
            host = address.removeprefix("http://")
            lines += [_push(tools, host, work, login, admin_password) for login in pushing]
        finally:
            harbor_api.control(state, "registry", None)
    return lines


def _expect(address: str, path: str, login: tuple[str, str], status: int) -> None:
    token = base64.b64encode(":".join(login).encode()).decode()
    request = urllib.request.Request(
        f"{address}/api/v2.0{path}", headers={"Authorization": f"Basic {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answered = answer.status
    except urllib.error.HTTPError as refused:
        answered = refused.code
        refused.close()
    if answered != status:
        raise SandboxError(f"Harbor's API answers {answered} to {login[0]} at {path}")


def _logins(state: State, tools: Toolbox, host: str) -> list[Login]:
    """The logins for a registry in all namespaces, sorted."""
    listed = cluster.kubectl(
        *(state, tools, "get", "secrets", "-A", f"--field-selector=type={_TYPE}", "-o", "json")
    )
    logins: list[Login] = []
    for secret in json.loads(listed)["items"]:
        document = json.loads(base64.b64decode(secret["data"][DOCKER_CONFIG]))
        entry = document["auths"].get(host)
        if entry is not None:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            of = secret["metadata"]
            logins.append(Login(of["namespace"], of["name"], username, password))
    return sorted(logins, key=lambda login: (login.namespace, login.name))


def _push(tools: Toolbox, host: str, work: Path, login: Login, admin_password: str) -> str:
    """Pushes and pulls in the robot's project, and is refused in another."""
    folder = work / login.name
    folder.mkdir()
    robot, admin = Crane(tools, folder), Crane(tools, work)
    # The Secret has the login for the registry's name, which only a gateway serves.
    robot.login(host, login.username, login.password)
    admin.login(host, "admin", admin_password)
    layer = _layer(folder)
    tag = os.urandom(4).hex()
    push = ("append", "--insecure", "--oci-empty-base", "-f", str(layer), "-t")
    foreign = robot.tried(*push, f"{host}/{ELSEWHERE}/{REPOSITORY}:{tag}")
    if foreign.returncode == 0 or "unauthorized" not in foreign.stderr.lower():
        raise SandboxError(
            f"{login.username} is not refused in project {ELSEWHERE}: {foreign.stderr.strip()}"
        )
    pushed = robot.run(*push, f"{host}/{login.project}/{REPOSITORY}:{tag}")
    digest = pushed.strip().rpartition("@")[2]
    image = f"{host}/{login.project}/{REPOSITORY}@{digest}"
    pulled = folder / "pulled.tar"
    robot.run("export", "--insecure", image, str(pulled))
    if _content(pulled) != _content(layer):
        raise SandboxError(f"{image} differs from the image pushed")
    admin.run("delete", "--insecure", image)
    return (
        f"{login.username} through the fake, into Harbor's registry: pushed "
        f"{login.project}/{REPOSITORY} {digest[:19]}…, pulled it identical; refused in {ELSEWHERE}"
    )


def _layer(folder: Path) -> Path:
    content, layer = folder / "content", folder / "layer.tar"
    content.write_bytes(os.urandom(64 * 1024))
    with tarfile.open(layer, "w") as archive:
        archive.add(content, arcname="content")
    return layer


def _content(archive: Path) -> bytes:
    with tarfile.open(archive) as opened:
        member = opened.extractfile("content")
        return b"" if member is None else member.read()
