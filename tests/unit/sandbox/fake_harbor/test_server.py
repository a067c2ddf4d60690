"""The fake as a server: logins, faults, what it remembers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.fake_harbor import FakeHarbor, Fault, Seen
from sandbox.fake_harbor.deployed import Deployed
from sandbox.fake_harbor.server import Settings
from tests.support.harbor_client import ADMIN, Client


def test_a_wrong_password_makes_nobody_of_the_asker(client: Client) -> None:
    stranger = client.as_whom("admin", "wrong")
    assert client.ask("GET", "/users/current").body["username"] == "admin"
    assert stranger.ask("GET", "/users/current").status == 401
    assert client.ask("POST", "/projects", {"project_name": "own"}).status == 201
    visible = stranger.ask("GET", "/projects")
    assert visible.status == 200
    assert [project["name"] for project in visible.body] == ["library"]


def test_a_cookie_that_comes_back_needs_a_token(client: Client) -> None:
    first = client.ask("GET", "/projects/library")
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    refused = client.ask("PUT", "/projects/library", {}, headers={"Cookie": cookie})
    assert (refused.status, refused.message) == (403, "CSRF token not found in request")
    token = client.ask("GET", "/health", headers={"Cookie": cookie}).headers["X-Harbor-Csrf-Token"]
    kept = {"Cookie": cookie, "X-Harbor-CSRF-Token": token}
    assert client.ask("PUT", "/projects/library", {}, headers=kept).status == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [("429", 429), ("500", 500), ("empty 500", 500), ("502", 502), ("503", 503), ("401", 401)],
)
def test_a_fault_comes_at_its_call_and_the_work_is_not_done(
    harbor: FakeHarbor, client: Client, kind: str, status: int
) -> None:
    harbor.plan(Fault(kind, at=2, method="POST", path="/projects"))
    answers = [client.ask("POST", "/projects", {"project_name": n}).status for n in "abc"]
    assert answers == [201, status, 201]
    assert client.ask("GET", "/projects/b").status == 404


@pytest.mark.parametrize(("kind", "status"), [("reset before", 404), ("reset after", 200)])
def test_a_reset_leaves_open_whether_the_work_is_done(
    harbor: FakeHarbor, client: Client, kind: str, status: int
) -> None:
    harbor.plan(Fault(kind, method="POST"))
    with pytest.raises(ConnectionResetError):
        client.ask("POST", "/projects", {"project_name": "open"})
    assert client.ask("GET", "/projects/open").status == status


def test_the_log_tells_who_asked_for_what(harbor: FakeHarbor, client: Client) -> None:
    client.ask("POST", "/projects", {"project_name": "seen"})
    assert harbor.calls(forget=True) == [Seen("POST", "/api/v2.0/projects", "admin", 201)]
    assert harbor.calls() == []


def test_the_file_keeps_everything_but_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "harbor.json"
    with FakeHarbor(admin_password=ADMIN[1], file=file) as first:
        client = Client(first.url)
        made = client.ask("POST", "/robots", _robot("keeper")).body
        client.ask("POST", "/registries", _registry(access_secret="Upstream-Secret-1"))
    with FakeHarbor(admin_password="another", file=file) as second:
        client = Client(second.url)
        assert client.ask("GET", "/users/current").status == 200
        robot = client.as_whom(made["name"], made["secret"])
        assert robot.ask("GET", "/users/current").status == 412
    text = file.read_text()
    assert not any(secret in text for secret in (ADMIN[1], made["secret"], "Upstream-Secret-1"))
    assert file.stat().st_mode & 0o077 == 0


def test_another_database_is_another_harbor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.fake_harbor.server.SECONDS_BETWEEN_LOOKS", -1)
    deployed = [Deployed("Password-of-1", "first")]
    with FakeHarbor(deployed=lambda: deployed[0]) as harbor:
        client = Client(harbor.url)
        old, new = client.as_whom("admin", "Password-of-1"), client.as_whom("admin", "And-of-2")
        assert old.ask("POST", "/projects", {"project_name": "old"}).status == 201
        deployed[0] = Deployed("And-of-2", "second")
        assert new.ask("GET", "/projects/old").status == 404
        assert old.ask("GET", "/users/current").status == 401


def test_who_comes_while_the_fake_looks_at_what_is_deployed_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the objects of a Sovereign that was made anew do, side by side."""
    monkeypatch.setattr("sandbox.fake_harbor.server.SECONDS_BETWEEN_LOOKS", 0.2)
    deployed = [Deployed("Password-of-1", "first")]
    looks, goes_on = threading.Event(), threading.Event()
    goes_on.set()

    def look() -> Deployed:
        looks.set()
        goes_on.wait(60)
        return deployed[0]

    with FakeHarbor(deployed=look) as harbor, ThreadPoolExecutor(2) as side_by_side:
        client = Client(harbor.url, ("admin", "Password-of-1"))
        assert client.ask("GET", "/users/current").status == 200
        time.sleep(0.3)
        deployed[0] = Deployed("And-of-2", "second")
        new = client.as_whom("admin", "And-of-2")
        looks.clear()
        goes_on.clear()
        first = side_by_side.submit(new.ask, "GET", "/users/current")
        assert looks.wait(60)
        second = side_by_side.submit(new.ask, "GET", "/users/current")
        wait([second], 0.5)
        goes_on.set()
        assert [first.result(60).status, second.result(60).status] == [200, 200]


def test_a_new_password_in_the_secret_changes_nothing_in_the_same_database() -> None:
    deployed = [Deployed("Password-of-1", "first")]
    with FakeHarbor(deployed=lambda: deployed[0]) as harbor:
        old = Client(harbor.url, ("admin", "Password-of-1"))
        assert old.ask("GET", "/users/current").status == 200
        deployed[0] = Deployed("And-of-2", "first")
        assert old.as_whom("admin", "And-of-2").ask("GET", "/users/current").status == 401
        assert old.ask("GET", "/users/current").status == 200


def test_a_database_restored_from_a_backup_holds_what_the_one_before_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.fake_harbor.server.SECONDS_BETWEEN_LOOKS", -1)
    deployed = [Deployed("Password-of-1", "first")]
    with FakeHarbor(deployed=lambda: deployed[0]) as harbor:
        old = Client(harbor.url, ("admin", "Password-of-1"))
        assert old.ask("POST", "/projects", {"project_name": "old"}).status == 201
        deployed[0] = Deployed("And-of-2", "second", restored=True)
        assert old.as_whom("admin", "And-of-2").ask("GET", "/users/current").status == 401
        assert old.ask("GET", "/projects/old").status == 200


def test_a_harbor_that_is_not_deployed_yet_lets_nobody_in() -> None:
    deployed: list[Deployed | None] = [None]
    with FakeHarbor(deployed=lambda: deployed[0]) as harbor:
        client = Client(harbor.url)
        assert client.ask("GET", "/users/current").status == 401
        deployed[0] = Deployed(ADMIN[1])
        assert client.ask("GET", "/users/current").status == 200


def _robot(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "level": "system",
        "duration": -1,
        "permissions": [
            {"kind": "project", "namespace": "*", "access": [_right("repository", "pull")]}
        ],
    }


def _right(resource: str, action: str) -> dict[str, str]:
    return {"resource": resource, "action": action}


def _registry(**credential: str) -> dict[str, Any]:
    return {
        "name": "upstream",
        "type": "docker-registry",
        "url": "http://upstream.test:5000",
        "credential": {"type": "basic", "access_key": "reader", **credential},
    }


def test_another_process_controls_it_by_its_own_paths(harbor: FakeHarbor, client: Client) -> None:
    def control(what: str, given: Any = None, method: str = "POST") -> Any:
        return client.ask(method, f"//fake-harbor/{what}", given).body

    assert control("hello", method="GET") == {"this": "a fake of Harbor's API", "dead": False}
    control("settings", {"issuers": ["https://sso.test"], "version": "2.15.2"})
    assert client.ask("POST", "/system/oidc/ping", {"url": "https://sso.test"}).status == 200
    control("down", ["database"])
    assert client.ask("GET", "/health").body["status"] == "unhealthy"
    assert client.ask("GET", "/configurations").status == 401
    control("down", [])
    control("registry", {"url": "http://127.0.0.1:1", "user": "u", "password": "p"})
    assert client.ask("GET", "//v2/library/app/manifests/v1").status == 502
    control(
        "image", {"project": "library", "repository": "app", "digest": "sha256:0", "tags": ["v1"]}
    )
    listed = client.ask("GET", "/projects/library/repositories/app/artifacts").body
    assert [artifact["digest"] for artifact in listed] == ["sha256:0"]
    control("calls", method="DELETE")
    client.ask("GET", "/ping")
    assert [call["path"] for call in control("calls", method="GET")] == ["/api/v2.0/ping"]


def test_a_login_is_a_new_session(client: Client) -> None:
    browser = Client(client.address, None)
    before = browser.ask("GET", "/health").cookies[0].partition(";")[0]
    token = browser.ask("GET", "/health", headers={"Cookie": before}).headers["X-Harbor-Csrf-Token"]
    form = urlencode({"principal": ADMIN[0], "password": ADMIN[1]}).encode()
    sent = {
        "Cookie": before,
        "X-Harbor-CSRF-Token": token,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    login = browser.ask("POST", "//c/login", headers=sent, content=form)
    after = next(c for c in login.cookies if c.startswith("sid=")).partition(";")[0]
    asked = [browser.ask("GET", "/users/current", headers={"Cookie": c}) for c in (before, after)]
    assert [reply.status for reply in asked] == [401, 200]


def test_trivy_is_a_component_where_it_is_deployed(client: Client) -> None:
    with FakeHarbor(admin_password=ADMIN[1], settings=Settings(trivy="")) as without:
        names = [
            [row["name"] for row in asked.ask("GET", "/health").body["components"]]
            for asked in (client, Client(without.url))
        ]
    assert names[0] == [*names[1], "trivy"]


def test_an_allowlist_that_was_never_set_has_no_id(client: Client) -> None:
    never = "0001-01-01T00:00:00.000Z"
    unset = client.ask("GET", "/system/CVEAllowlist").body
    assert unset == {"creation_time": never, "items": [], "update_time": never}
    client.ask("PUT", "/system/CVEAllowlist", {"items": []})
    assert "id" in client.ask("GET", "/system/CVEAllowlist").body
