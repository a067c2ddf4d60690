"""The section `registry` of the local Sovereign, by the real engine, plugin and API server."""

from __future__ import annotations

import json

from engine.stack import Stack
from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_harbor_api import forwarded
from tests.support.harbor_client import Client
from tests.support.sandbox import unsealed

Login = tuple[str, str]


def login_of_the_robot(sandbox: Sandbox) -> Login:
    """What the Secret in the named namespace holds, as kubelets read it."""
    config = json.loads(unsealed(sandbox)["registry-cluster"][".dockerconfigjson"])
    auth = config["auths"]["registry.local.harbor.test"]
    return auth["username"], auth["password"]


def accepted(sandbox: Sandbox, *logins: Login) -> list[bool]:
    """Whether Harbor takes each login of a robot: it answers 412 to one, and 401 to none."""
    with forwarded(sandbox) as url:
        answers = [Client(url, login).ask("GET", "/users/current").status for login in logins]
    assert set(answers) <= {401, 412}
    return [answer == 412 for answer in answers]


def test_the_outputs_name_projects_and_prefixes(sovereign: Stack) -> None:
    outputs = sovereign.outputs()
    host = "registry.local.harbor.test"
    assert outputs["registryProjects"] == ["apps", "proxy-ghcr"]
    assert outputs["pushPrefixes"] == {"apps": f"{host}/apps/"}
    assert outputs["pullPrefixes"] == {"ghcr.io": f"{host}/proxy-ghcr/"}


def test_the_login_of_a_robot_opens_harbor_where_it_was_sealed(
    sandbox: Sandbox, sovereign: Stack
) -> None:
    name, password = login_of_the_robot(sandbox)
    assert name == "robot$cluster"
    assert accepted(sandbox, (name, password), (name, password[::-1])) == [True, False]
