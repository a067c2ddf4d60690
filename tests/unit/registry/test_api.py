"""The client of Harbor's API, over the fake: logins, outages, repeated calls, lists."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from components.registry import api
from components.registry.api import ACCOUNT_PASSWORD_KEY, ADMIN_PASSWORD_KEY, Harbor, Logins
from components.registry.connection import READ_SILENCE, WRITE_SILENCE, Answer
from components.registry.errors import HarborDown, HarborError, LoginRefused, Refused, last_line
from sandbox.fake_harbor.faults import Fault
from sandbox.fake_harbor.server import FakeHarbor
from tests.support.registry import ACCOUNT, Registry


def client(registry: Registry, *, patience: float = 20) -> Harbor:
    return replace(registry.api, patience=patience)


@pytest.mark.parametrize("kind", ["429", "500", "empty 500", "502", "503", "reset before"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_call_that_may_be_sent_twice_is(
    fake: FakeHarbor, registry: Registry, kind: str, method: str
) -> None:
    harbor = client(registry)
    harbor.post("/projects", {"project_name": "apps"})
    fake.plan(Fault(kind, method=method, path="/projects/apps"))

    if method == "GET":
        assert harbor.get("/projects/apps")["name"] == "apps"
    elif method == "PUT":
        harbor.put("/projects/apps", {"metadata": {"public": "true"}})
    else:
        harbor.delete("/projects/apps")


def test_a_harbor_that_is_too_busy_is_waited_for(fake: FakeHarbor, registry: Registry) -> None:
    """A gateway that limits requests answers 429 for longer than a few calls."""
    harbor = client(registry)
    for method in ("POST", "GET"):
        fake.plan(Fault("429", method=method, path="/projects.*", times=8))
        if method == "POST":
            harbor.post("/projects", {"project_name": "apps"})
        else:
            assert harbor.get("/projects/apps")["name"] == "apps"


@pytest.mark.parametrize("kind", ["500", "empty 500", "502", "503", "reset before", "reset after"])
def test_a_creation_of_which_the_answer_is_lost_makes_one_object(
    fake: FakeHarbor, registry: Registry, kind: str
) -> None:
    harbor = client(registry)
    fake.plan(Fault(kind, method="POST", path="/projects"))

    body = {"project_name": "solo"}
    made = harbor.created("/projects", body, lambda: harbor.project("solo"))

    assert made["name"] == "solo"
    assert len(harbor.listed("/projects", {"name": "solo"})) == 1


def test_what_exists_after_a_creation_that_did_nothing_is_somebody_elses(
    fake: FakeHarbor, registry: Registry
) -> None:
    """A Harbor that is too busy answers 429 before it makes anything."""
    harbor = client(registry, patience=0.1)
    harbor.post("/projects", {"project_name": "theirs"})
    fake.plan(Fault("429", method="POST", path="/projects", times=99, seconds=1))
    body = {"project_name": "theirs"}
    with pytest.raises(HarborError, match="429"):
        harbor.created("/projects", body, lambda: harbor.project("theirs"))


def test_a_refused_creation_says_what_harbor_said_last(registry: Registry) -> None:
    harbor = client(registry)
    with pytest.raises(HarborError, match=r"422 to POST /robots: .*level in body is required|400"):
        harbor.created("/robots", {"name": "x"}, lambda: None)


def test_the_last_line_is_what_counts() -> None:
    text = "validation failure list:\\nvalidation failure list:\\nschedule.type in body should be"
    body = f'{{"errors":[{{"code":"UNPROCESSABLE_ENTITY","message":"{text}"}}]}}'
    assert last_line(body.encode()) == "schedule.type in body should be"
    assert last_line(b"") == "an empty body"
    assert last_line(b"<html>502</html>") == "<html>502</html>"


def test_a_database_that_is_down_is_no_wrong_password(fake: FakeHarbor, registry: Registry) -> None:
    """It answers 401 to the right password."""
    harbor = client(registry)
    fake.settings.down = {"database"}
    threading.Timer(0.5, fake.settings.down.clear).start()

    assert harbor.get("/configurations", who="admin")["auth_mode"]["value"] == "db_auth"


def test_a_database_that_stays_down_is_named(fake: FakeHarbor, registry: Registry) -> None:
    fake.settings.down = {"database"}
    with pytest.raises(HarborDown, match="database unhealthy"):
        client(registry, patience=0.5).get("/projects/apps")


def test_a_wrong_password_is_never_anonymous(fake: FakeHarbor, registry: Registry) -> None:
    """A list would be answered with 200 and the public projects."""
    wrong = Registry(fake)
    wrong.connection.secrets["admin", ADMIN_PASSWORD_KEY] = "Wrong12345"
    wrong.connection.secrets["account", ACCOUNT_PASSWORD_KEY] = "Wrong12345"

    with pytest.raises(LoginRefused, match="Secret admin") as raised:
        client(wrong).listed("/projects")
    assert "Wrong12345" not in str(raised.value)


def test_a_refused_login_names_the_way_out(fake: FakeHarbor, registry: Registry) -> None:
    wrong = Registry(fake)
    wrong.connection.secrets["account", ACCOUNT_PASSWORD_KEY] = "Wrong12345"
    with pytest.raises(LoginRefused, match="`pulumi up --refresh -s <stack>` sets it anew"):
        client(wrong).post("/projects", {"project_name": "apps"})

    wrong = Registry(fake)
    wrong.connection.secrets["admin", ADMIN_PASSWORD_KEY] = "Wrong12345"
    way = "`pulumi config set --secret harborAdminPassword -s <stack>`, then `pulumi up -s <stack>`"
    with pytest.raises(LoginRefused, match=way):
        client(wrong).get("/configurations", who="admin")


def test_a_refused_login_is_not_tried_by_every_thread(fake: FakeHarbor) -> None:
    """Harbor takes 1.5 s for each refusal."""
    wrong = Registry(fake)
    wrong.connection.secrets["admin", ADMIN_PASSWORD_KEY] = "Wrong12345"
    harbor = client(wrong)
    for _ in range(3):
        with pytest.raises(LoginRefused):
            harbor.get("/configurations", who="admin")
    before = len(fake.calls())
    with pytest.raises(LoginRefused):
        harbor.get("/configurations", who="admin")
    assert len(fake.calls()) == before


def test_admin_reads_where_the_account_is_gone(registry: Registry) -> None:
    (robot,) = registry.ask("GET", "/robots")
    registry.ask("DELETE", f"/robots/{robot['id']}")
    harbor = client(registry)

    assert harbor.get("/projects/library")["name"] == "library"
    with pytest.raises(LoginRefused):
        harbor.post("/projects", {"project_name": "apps"})


def test_a_new_prefix_renames_the_account(registry: Registry) -> None:
    registry.ask("PUT", "/configurations", {"robot_name_prefix": "bot-"})
    harbor = client(registry)

    harbor.post("/projects", {"project_name": "apps"})
    assert harbor.prefix() == "bot-"


def test_a_list_is_read_to_its_end(registry: Registry) -> None:
    harbor = client(registry)
    for number in range(205):
        harbor.post("/projects", {"project_name": f"p{number}"})
    assert len(harbor.listed("/projects")) == 206


def test_a_missing_project_is_told_from_one_that_is_withheld(registry: Registry) -> None:
    harbor = client(registry)
    harbor.post("/projects", {"project_name": "apps"})
    harbor.post("/projects", {"project_name": "apps-2"})
    with pytest.raises(HarborError, match="403"):
        harbor.get("/projects/missing")  # to a robot, with every right to read
    assert harbor.project("missing") is None
    assert harbor.project("app") is None  # a part of a name
    shown = harbor.project("apps")
    assert shown is not None and shown["name"] == "apps"
    account = harbor.get("/robots/1", who="admin")
    withheld = [
        {"kind": kind, "namespace": namespace, "access": [{"resource": resource, "action": action}]}
        for kind, namespace, resource, action in (
            ("system", "/", "project", "list"),
            ("project", "apps-2", "label", "read"),
        )
    ]
    harbor.put("/robots/1", {**account, "permissions": withheld}, who="admin")
    with pytest.raises(HarborError, match="403"):
        harbor.project("apps-2")


def test_a_plus_in_a_query_is_quoted_twice() -> None:
    assert api.where({"Level": "project", "name": "apps+ci"}) == {
        "q": "Level=project,name=apps%2Bci"
    }
    assert api._query(api.where({"name": "a+b"})) == "q=name%3Da%252Bb"  # pyright: ignore


def test_a_value_that_harbor_cannot_be_asked_for_is_left_out() -> None:
    assert api.where({"name": "a,b"}) == {}


def test_no_cookie_is_ever_sent(fake: FakeHarbor, registry: Registry) -> None:
    """With one, Harbor refuses each write that has no CSRF token."""
    harbor = client(registry)
    for number in range(3):
        harbor.get("/projects/library")
        harbor.post("/projects", {"project_name": f"p{number}"})


def test_a_secret_that_harbor_repeats_is_not_in_the_error(registry: Registry) -> None:
    harbor = client(registry)
    harbor.hide("Robot-secret-1")
    with pytest.raises(HarborError) as raised:
        harbor.post("/projects", {"project_name": "ok", "metadata": {"public": "Robot-secret-1"}})
    assert "<secret>" in str(raised.value) and "Robot-secret-1" not in str(raised.value)


def test_a_secret_that_begins_with_another_is_hidden_whole(registry: Registry) -> None:
    harbor = client(registry)
    for secret in ("Robot", "Robot-secret-1"):
        harbor.hide(secret)
    with pytest.raises(HarborError) as raised:
        harbor.post("/projects", {"project_name": "ok", "metadata": {"public": "Robot-secret-1"}})
    assert "secret-1" not in str(raised.value)


@pytest.mark.parametrize("before", range(430, 460, 4))
def test_a_secret_at_the_end_of_a_long_text_is_not_cut_in_half(
    registry: Registry, before: int
) -> None:
    harbor = client(registry)
    harbor.hide("Robot-secret-1")
    public = "x" * before + "Robot-secret-1"
    with pytest.raises(HarborError) as raised:
        harbor.post("/projects", {"project_name": "ok", "metadata": {"public": public}})
    assert "Rob" not in str(raised.value) and len(raised.value.message) <= 500


def test_an_interrupted_run_waits_no_longer(fake: FakeHarbor, registry: Registry) -> None:
    fake.settings.down = {"database"}
    harbor = client(registry, patience=60)
    threading.Timer(0.3, harbor.cancel).start()
    began = time.monotonic()
    with pytest.raises(HarborError, match="interrupted"):
        harbor.get("/projects/apps")
    assert time.monotonic() - began < 10


def test_a_404_that_harbor_did_not_write_does_not_mean_gone(registry: Registry) -> None:
    """A gateway without a route for the host answers so."""
    outputs = registry.create("Project", name="apps")
    send = registry.connection.send

    def gateway(method: str, path: str, *rest: Any, **options: Any) -> Answer:
        if path.endswith("/projects/apps"):
            return Answer(status=404, headers={}, body=b"404 page not found")
        return send(method, path, *rest, **options)

    registry.connection.send = gateway  # type: ignore[method-assign]
    with pytest.raises(HarborError, match="404 to GET /projects/apps: the answer is not Harbor's"):
        registry.read("Project", "apps", outputs)
    with pytest.raises(HarborError, match="not Harbor's"):
        registry.delete("Project", outputs)


def test_what_is_refused_for_a_while_is_repeated() -> None:
    harbor = Harbor(connection=None, logins=None)  # type: ignore[arg-type]
    answers = iter([False, True])
    harbor.until(30, lambda: next(answers), "DELETE /policies/1")
    with pytest.raises(HarborError, match="still refused"):
        harbor.until(-1, lambda: False, "DELETE /policies/1")


def test_twenty_threads_share_one_login(fake: FakeHarbor, registry: Registry) -> None:
    harbor = client(registry)
    fake.calls(forget=True)
    failures: list[Exception] = []

    def make(number: int) -> None:
        try:
            harbor.post("/projects", {"project_name": f"p{number}"})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    proofs = [call for call in fake.calls() if call.path.endswith("/users/current")]
    assert len(proofs) == 1


def test_a_harbor_without_the_account_is_asked_as_admin_at_once(fake: FakeHarbor) -> None:
    fresh = Registry(fake)
    began = time.monotonic()
    shown = fresh.preview("Project", name="apps")
    assert shown["name"] == "apps" and time.monotonic() - began < 5
    assert fresh.warnings == []


def test_a_preview_before_the_first_up_is_silent(fake: FakeHarbor) -> None:
    fresh = Registry(fake)
    fresh.connection.secrets.clear()
    assert fresh.preview("Account", name=ACCOUNT)["fullName"] == f"robot${ACCOUNT}"
    assert fresh.warnings == []


def test_a_preview_without_harbor_warns_once(fake: FakeHarbor) -> None:
    fresh = Registry(fake)
    fresh.connection.api_url = "http://127.0.0.1:1"
    assert fresh.preview("Project", name="a")["name"] == "a"
    (warning,) = fresh.warnings
    assert "Harbor cannot be asked" in warning and "object at 0x" not in warning


def test_a_preview_without_admin_asks_as_the_account_all_the_same(
    fake: FakeHarbor, registry: Registry
) -> None:
    registry.ask("POST", "/projects", {"project_name": "apps", "metadata": {"public": "true"}})
    wrong = Registry(fake)
    wrong.connection.secrets["admin", ADMIN_PASSWORD_KEY] = "Wrong12345"
    wrong.preview("Configuration", part="system", values={"session_timeout": 30})
    assert "admin cannot log in" in wrong.warnings[0]
    with pytest.raises(Refused, match="public is True"):
        wrong.preview("Project", name="apps")


def test_a_preview_without_harbor_waits_for_it_once(fake: FakeHarbor) -> None:
    fresh = Registry(fake)
    fresh.connection.api_url = "http://127.0.0.1:1"
    fresh.preview("Project", name="a")
    fresh.connection.send = lambda *_, **__: pytest.fail("asked again")  # type: ignore[method-assign]
    assert fresh.preview("Project", name="b")["name"] == "b"
    settings = {"part": "system", "values": {"session_timeout": 30}}
    fresh.provider.update("urn", "Configuration", {"part": "system"}, settings, preview=True)
    assert len(fresh.warnings) == 1


def test_a_login_that_is_refused_late_is_proven_anew_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password was changed while a call waited for a slow Harbor."""
    monkeypatch.setattr(api, "_HEALTH_IS_LATE", 0)
    harbor = client(registry)
    old = "Basic YWRtaW46T2xkMTIzNDU="
    harbor._shared.headers["admin"] = old
    assert harbor.get("/configurations", who="admin")
    # Harbor did nothing where it refused the login, so even this is sent again.
    harbor._shared.headers["admin"] = old
    harbor.post("/projects", {"project_name": "apps"}, who="admin")
    assert harbor.project("apps")


@contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """Where connections are taken and never answered, and those that came."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", taken
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for each in taken:
        each.close()


def test_a_preview_asks_a_silent_harbor_once_however_many_objects_there_are(
    fake: FakeHarbor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PREVIEW_SILENCE", 0.5)
    with silent_server() as (url, taken):
        registry = Registry(fake)
        registry.connection.api_url = url
        hurried = replace(registry.api.hurried(), patience=0.1)

        def ask(number: int) -> str:
            with pytest.raises(HarborDown) as down:
                hurried.get(f"/projects/{number}")
            assert down.value.call.endswith((f"/projects/{number}", "/users/current"))
            return down.value.message

        with ThreadPoolExecutor(8) as threads:
            said = {*threads.map(ask, range(8))}
        assert len(taken) == 1
    assert said == {"it took the connection and said nothing for 0 s"}


def test_a_preview_goes_on_without_a_harbor_that_is_silent_and_an_update_asks_it_again(
    fake: FakeHarbor, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PREVIEW_SILENCE", 0.2)
    with silent_server() as (url, _):
        registry.connection.api_url = url
        assert registry.preview("Project", name="a")["name"] == "a"
    (warning,) = registry.warnings
    assert "it took the connection and said nothing for 0 s" in warning
    registry.connection.api_url = fake.url
    registry.connection.disconnect()
    assert registry.create("Project", name="a")["name"] == "a"


@pytest.mark.parametrize(
    ("method", "silence"), [("GET", READ_SILENCE), ("PUT", WRITE_SILENCE), ("DELETE", 60)]
)
def test_harbor_may_be_silent_longer_after_a_write(method: str, silence: float) -> None:
    seen: list[float] = []

    class Asked(_Odd):
        def send(self, *of: Any, silence: float) -> Answer:
            seen.append(silence)
            return super().send(*of, silence=silence)

    connection: Any = Asked(b"{}")
    logins = Logins(admin_secret="a", account="sovereign", account_secret="b")
    harbor = Harbor(connection=connection, logins=logins, patience=0)
    for client_, expected in ((harbor, silence), (harbor.hurried(), api.PREVIEW_SILENCE)):
        seen.clear()
        client_._request(method, "/projects", who="account")
        assert seen[-1] == expected


@dataclass
class _Odd:
    """A Harbor of which one answer is odd; the login is taken."""

    body: bytes

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, *, silence: float
    ) -> Answer:
        del method, headers, body, silence
        is_login = path.endswith("/users/current")
        return Answer(
            status=412 if is_login else 200, headers={}, body=b"" if is_login else self.body
        )

    def secret(self, name: str, key: str) -> str | None:
        return f"{name}-{key}-password"

    def close(self) -> None:
        pass


class _WithoutDatabase(_Odd):
    """Refuses every login, and says that its database does not work."""

    def send(self, *of: Any, silence: float) -> Answer:
        del silence
        if of[1].endswith("/health"):
            sick = b'{"status": "unhealthy", "components": [{"name": "database"}]}'
            return Answer(status=200, headers={}, body=sick)
        refusal = b'{"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}'
        return Answer(status=401, headers={}, body=refusal)


@pytest.mark.parametrize(
    ("patience", "words"), [(-1, "database unhealthy"), (60, "the run was interrupted")]
)
def test_a_login_that_cannot_be_proven_is_told_as_the_call_that_failed(
    patience: float, words: str
) -> None:
    connection: Any = _WithoutDatabase(b"")
    logins = Logins(admin_secret="a", account="sovereign", account_secret="b")
    harbor = Harbor(connection=connection, logins=logins, patience=patience)
    harbor.cancel()
    with pytest.raises(HarborError, match=words) as raised:
        harbor.accepts("admin", "password")
    assert raised.value.call == "GET /users/current"


@pytest.mark.parametrize(
    "body",
    [b"1", b'"x"', b"[1]", b"[null]", b"[" * 100_000, b'{"name": "p"}', b'{"project_id": []}'],
    ids=lambda body: str(body[:20]),
)
def test_an_answer_of_another_shape_is_an_error_in_words(body: bytes) -> None:
    connection: Any = _Odd(body)
    logins = Logins(admin_secret="a", account="sovereign", account_secret="b")
    harbor = Harbor(connection=connection, logins=logins, patience=0)
    for call in (
        lambda: harbor.project_number("p"),
        lambda: harbor.listed("/projects"),
    ):
        with pytest.raises(HarborError, match=r"not of Harbor's API|no JSON") as raised:
            call()
        assert raised.value.status == 200
    assert not harbor.is_healthy()
