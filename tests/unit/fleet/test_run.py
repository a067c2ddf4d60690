"""The fleet: many stacks at once, with a stand-in for the pulumi command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from engine import pulumi, stacks, tools
from engine import workplace as engine
from engine.project import ROOT
from engine.pulumi import EngineError
from fleet import board
from fleet import run as fleet
from fleet.board import DONE, FAILED, WAITING, Board, Row

# What it does stands in a file per stack: {"code", "seconds", "events", "stdout"}.
PULUMI = """#!{python}
import json, os, pathlib, signal, sys, time
arguments = sys.argv[1:]
folder = pathlib.Path({folder!r})
def interrupted(*_):
    (folder / "interrupted").open("a").write(stack + "\\n")
    time.sleep(0.5)  # a second signal would come in now
    sys.exit(130)
if arguments[:2] == ["stack", "ls"]:
    print(json.dumps(json.loads((folder / "stacks.json").read_text())))
    sys.exit()
stack = arguments[arguments.index("-s") + 1] if "-s" in arguments else arguments[2]
signal.signal(signal.SIGINT, interrupted)
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
script = folder / f"{{arguments[0]}}-{{stack}}.json"
todo = json.loads(script.read_text()) if script.exists() else {{}}
running = folder / "running" / f"{{stack}}-{{os.getpid()}}"
running.touch()
with (folder / "most").open("a") as most:
    most.write(f"{{len(list((folder / 'running').iterdir()))}}\\n")
if "--event-log" in arguments:
    log = pathlib.Path(arguments[arguments.index("--event-log") + 1])
    with log.open("a") as stream:
        for event in todo.get("events", []):
            stream.write(json.dumps(event) + "\\n")
time.sleep(todo.get("seconds", 0))
running.unlink()
print(todo.get("stdout", "{{}}"))
print(todo.get("stderr", ""), file=sys.stderr)
sys.exit(todo.get("code", 0))
"""
CREATE = {
    "resourcePreEvent": {
        "metadata": {"op": "create", "type": "kubernetes:core/v1:Service", "new": {"custom": True}}
    }
}
COMPONENT = {
    "resourcePreEvent": {
        "metadata": {"op": "create", "type": "sovereign-harbor:index:Valkey", "new": {}}
    }
}


class Fleet:
    """A project with stacks, and a pulumi that does as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        (folder / "bin").mkdir()
        (folder / "running").mkdir()
        self.project.mkdir()
        command = folder / "bin" / "pulumi"
        command.write_text(PULUMI.format(python=sys.executable, folder=str(folder)))
        command.chmod(0o755)
        self.known: list[dict[str, Any]] = []
        self.environment = {
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": folder.as_uri(),
        }

    def add(self, *names: str, **sections: Any) -> None:
        for name in names:
            config = {f"sovereign-harbor:{key}": value for key, value in sections.items()}
            stacks.file_of(name, self.project).write_text(yaml.safe_dump({"config": config}))
            self.known.append({"name": name, "lastUpdate": "today", "resourceCount": 7})
        (self.folder / "stacks.json").write_text(json.dumps(self.known))

    def does(self, command: str, stack: str, **what: Any) -> None:
        (self.folder / f"{command}-{stack}.json").write_text(json.dumps(what))

    def run(self, verb: str, *names: str, parallel: int = 2) -> list[fleet.Outcome]:
        with Board("test", names, io.StringIO()) as shown:
            return fleet.run(
                verb, names, parallel=parallel, board=shown, environment=self.environment
            )

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    @property
    def most(self) -> int:
        """The most processes that were there at a time."""
        return max(map(int, (self.folder / "most").read_text().split()))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet_here = Fleet(tmp_path)
    monkeypatch.setattr(engine, "ROOT", fleet_here.project)
    monkeypatch.setattr(engine, "_LISTED", {})
    monkeypatch.setattr(pulumi, "_POLL_SECONDS", 0.02)
    return fleet_here


# --- Running ------------------------------------------------------------------------------------


def test_one_failing_stack_does_not_stop_the_others(many: Fleet) -> None:
    many.add("a", "b", "c")
    error = {"diagnosticEvent": {"severity": "error", "message": "error: no such bucket\nmore"}}
    many.does("preview", "b", code=255, events=[error])
    outcomes = many.run("preview", "a", "b", "c")
    assert [(o.stack, o.ok) for o in outcomes] == [("a", True), ("b", False), ("c", True)]
    assert outcomes[1].error


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_stacks_run_at_a_time_than_said(parallel: int, many: Fleet) -> None:
    names = [f"s{index}" for index in range(6)]
    many.add(*names)
    for name in names:
        many.does("refresh", name, seconds=0.2)
    assert all(outcome.ok for outcome in many.run("drift", *names, parallel=parallel))
    assert many.most == parallel


def test_a_preview_of_every_stack_runs_the_policy_pack(many: Fleet) -> None:
    many.add("a")
    many.does("preview", "a", events=[CREATE, CREATE, COMPONENT])
    [outcome] = many.run("preview", "a")
    assert outcome.changes == {"create": 2}
    assert "--policy-pack policy" in many.calls[0]
    assert "--event-log" in many.calls[0]


def test_up_applies_only_what_passed_the_preview(many: Fleet) -> None:
    many.add("good", "bad")
    violation = {
        "policyName": "no-plaintext-secret",
        "message": "Description.\nvalues.x holds a secret",
        "enforcementLevel": "mandatory",
    }
    many.does("preview", "bad", code=1, events=[{"policyEvent": violation}])
    good, bad = many.run("up", "good", "bad")
    assert good.ok
    assert not bad.ok
    assert bad.error == "no-plaintext-secret: values.x holds a secret"
    applied = [call for call in many.calls if call.startswith("up ")]
    assert len(applied) == 1
    assert applied[0].startswith("up -s good --yes")


def test_up_stops_before_data_is_lost_though_the_engine_would_go_on(many: Fleet) -> None:
    many.add("a")
    urn = "urn:pulumi:a::sovereign-harbor::kubernetes:core/v1:Namespace::namespace"
    old = {"urn": urn, "type": "kubernetes:core/v1:Namespace", "custom": True}
    many.does(
        "preview",
        "a",
        stdout=json.dumps({"steps": [{"op": "delete", "urn": urn, "oldState": old}]}),
    )
    [outcome] = many.run("up", "a")
    assert outcome.error == "data-stays: it would be deleted, and with it everything in it"
    assert not [call for call in many.calls if call.startswith("up ")]


def test_drift_names_what_differs_and_changes_nothing(many: Fleet) -> None:
    many.add("a", "b")
    urn = "urn:pulumi:a::sovereign-harbor::kubernetes:core/v1:Service::cache-service"
    data = {"op": "update", "urn": urn, "detailedDiff": {"spec.ports": {}}}
    many.does("refresh", "a", code=255, events=[{"resOutputsEvent": {"metadata": data}}])
    a, b = many.run("drift", "a", "b")
    assert (a.ok, a.error) == (False, "differs: cache-service")
    assert a.facts == {"cache-service": ["spec.ports"]}
    assert b.ok
    assert all("--preview-only" in call for call in many.calls)


def test_status_asks_the_backend_once_and_each_stack_for_its_outputs(many: Fleet) -> None:
    many.add("a", "b")
    (many.project / "Pulumi.new.yaml").write_text("config: {}\n")
    many.does("stack", "a", stdout=json.dumps({"registryFqdn": "registry.a.example"}))
    a, b, new = many.run("status", "a", "b", "new")
    assert a.facts["registryFqdn"] == "registry.a.example"
    assert a.facts["resources"] == 7
    assert b.ok
    assert (new.ok, new.error) == (False, "not in the backend: never brought up")


def test_an_update_under_way_is_told(many: Fleet) -> None:
    many.add("a")
    many.known[0]["updateInProgress"] = True
    many.add()
    [outcome] = many.run("status", "a")
    assert (outcome.ok, outcome.error) == (False, "an update is under way")


@pytest.mark.parametrize("verb", ["up", "drift", "status"])
def test_what_needs_a_backend_says_so_before_it_starts(verb: str, many: Fleet) -> None:
    many.add("a")
    del many.environment["PULUMI_BACKEND_URL"]
    with pytest.raises(EngineError, match="PULUMI_BACKEND_URL"):
        many.run(verb, "a")


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_every_engine_once_and_starts_no_other(many: Fleet) -> None:
    many.add("a", "b", "c")
    for name in ("a", "b", "c"):
        many.does("refresh", name, seconds=120)
    script = (
        "import sys; from pathlib import Path\n"
        "from engine import tools\n"
        "from engine import workplace as engine\n"
        "from fleet import run as fleet\n"
        f"engine.ROOT = Path({str(many.project)!r})\n"
        "tools.tools_environment = lambda: dict(__import__('os').environ)\n"
        "try:\n"
        "    fleet.main('drift', [], parallel=2, report=None, output=None)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(42)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **many.environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while len(list((many.folder / "running").iterdir())) < 2:
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)  # as Ctrl-C does: to all that the terminal started
    assert child.wait(60) == 42
    assert sorted((many.folder / "interrupted").read_text().split()) == ["a", "b"]
    assert len(many.calls) == 2


# --- Command ------------------------------------------------------------------------------------


def test_the_report_and_the_exit_code_say_who_failed(
    many: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many.add("a", "b")
    many.add("local", sandbox="true")
    many.does("preview", "b", code=255)
    monkeypatch.setattr(tools, "tools_environment", lambda: many.environment)
    report, output = tmp_path / "report.json", tmp_path / "previews"
    code = fleet.main("preview", [], parallel=None, report=report, output=output)
    assert code == 1
    written = json.loads(report.read_text())
    assert written["failed"] == ["b"]
    assert [stack["stack"] for stack in written["stacks"]] == ["a", "b"], "the sandbox's is none"
    assert sorted(file.name for file in output.iterdir()) == ["a.md", "b.md"]
    assert "b: failed" in capsys.readouterr().out


def test_an_unknown_sovereign_is_refused_with_the_known_ones(
    many: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    many.add("a", "b")
    monkeypatch.setattr(tools, "tools_environment", lambda: many.environment)
    with pytest.raises(EngineError, match="no such Sovereign: c; a, b"):
        fleet.main("preview", ["a", "c"], parallel=1, report=None, output=None)


def test_stacks_are_the_files_that_exist() -> None:
    told = subprocess.run(
        [sys.executable, "-S", "-m", "engine.stacks"], cwd=ROOT, capture_output=True, check=True
    )
    assert json.loads(told.stdout) == stacks.names()
    assert "local" in stacks.names()
    assert "local" not in stacks.sovereigns()


# --- Board --------------------------------------------------------------------------------------


def rendered(rows: list[Row], *, width: int = 100, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(board.render("preview", rows, now=10.0, begun=0.0, height=height))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_board_shows_phase_changes_time_and_the_last_error() -> None:
    rows = [
        Row("omantel", phase="up", changes={"+": 12, "~": 1}, begun=7.5),
        Row("otech", phase=FAILED, error="no such bucket", begun=1.0, ended=3.0),
        Row("next"),
    ]
    head, *lines = rendered(rows)
    assert head == "preview  1 waiting, 1 running, 0 done, 1 failed  10 s"
    assert lines[0].split() == ["omantel", "up", "+12", "~1", "2.5", "s"]
    assert lines[1].split() == ["otech", "failed", "2.0", "s", "no", "such", "bucket"]
    assert lines[2].split() == ["next", "waiting"]


def test_no_line_of_the_board_is_wider_than_the_terminal() -> None:
    rows = [Row("omantel", phase=FAILED, error="[x] " * 80, begun=0.0, ended=1.0)]
    lines = rendered(rows, width=60)
    assert len(lines) == 2
    assert max(map(len, lines)) == 60
    assert lines[1].split()[:5] == ["omantel", "failed", "1.0", "s", "[x]"], "the error gives way"


def test_a_fleet_taller_than_the_terminal_shows_what_matters() -> None:
    rows = [Row(f"done{n}", phase=DONE, begun=0.0, ended=1.0) for n in range(40)]
    rows += [Row(f"next{n}", phase=WAITING) for n in range(40)]
    rows += [Row("broken", phase=FAILED, begun=0.0, ended=1.0), Row("now", phase="up", begun=0.0)]
    lines = rendered(rows, height=10)
    assert len(lines) == 10
    text = "\n".join(lines)
    assert "broken" in text
    assert "now" in text
    assert lines[-1] == "  … and 74 more"


def test_without_a_terminal_each_phase_is_a_line() -> None:
    stream = io.StringIO()
    with Board("preview of 1", ["a"], stream) as shown:
        shown.phase("a", "preview")
        shown.receive("a", CREATE)
        shown.phase("a", DONE)
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        "preview of 1",
        "a: preview",
        "a: done",
    ]
    assert "+1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_the_board_is_drawn_over_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(board, "_REFRESHES_PER_SECOND", 100)
    stream = Terminal()
    with Board("preview of 1", ["a"], stream) as shown:
        shown.phase("a", "preview")
        time.sleep(0.1)
        shown.phase("a", FAILED, error="error: refused\nmore")
    first, *_, last = stream.getvalue().split("\x1b[1A")  # the cursor goes up
    assert "waiting" in first
    assert "refused" in last
    assert "more" not in last
