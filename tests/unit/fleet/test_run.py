"""The fleet: many stacks at once, with a stand-in for the pulumi command."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from components.kubernetes.client import ClusterUnreachable
from components.settings.reading.refusals import Refusal, SettingsRefused
from engine import pulumi, stacks, tools
from engine import workplace as engine
from engine.project import ROOT
from engine.pulumi import EngineError
from fleet import board
from fleet import run as fleet
from fleet.board import DONE, FAILED, WAITING, Board, Row
from toolchain.closed_pipe import ReaderGone

# What it does stands in a file per stack: {"code", "seconds", "meets", "events", "stdout"}.
# "meets": it goes on only once so many were there at a time.
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
until = time.monotonic() + 60
while max(map(int, (folder / "most").read_text().split())) < todo.get("meets", 0):
    if time.monotonic() > until:
        sys.exit("nobody else came")
    time.sleep(0.02)
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


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: harbor-core, labels: {app: harbor}}
spec:
  replicas: 1
  template:
    spec:
      securityContext: {}
      containers:
      - {name: core, image: "core:1", resources: {requests: {cpu: "0.5", memory: 1Gi}}}
---
apiVersion: v1
kind: Secret
metadata: {name: harbor-core}
data: {a: b}
"""


class DriftedCluster:
    """Harbor's namespace `registry` with one Deployment that Helm made with one replica."""

    def __init__(self, replicas: int, **pod: Any) -> None:
        self.replicas = replicas
        self.pod = pod
        self.changed: list[str] = []

    def get(self, path: str) -> Any:
        home = "namespaces/registry/"
        if path.startswith(f"/api/v1/{home}secrets?labelSelector=owner%3Dhelm"):
            return {"items": [self._record(1, "kind: Broken"), self._record(10, MANIFEST)]}
        assert path == f"/apis/apps/v1/{home}deployments/harbor-core"
        container = {
            "name": "core",
            "image": "core:1",
            "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "500m", "memory": "1024Mi"}},
            **self.pod,
        }
        spec = {"restartPolicy": "Always", "containers": [container]}
        return {"spec": {"replicas": self.replicas, "template": {"spec": spec}}}

    def _record(self, revision: int, manifest: str) -> dict[str, Any]:
        packed = gzip.compress(json.dumps({"manifest": manifest}).encode())
        return {
            "metadata": {"name": f"sh.helm.v1.{revision}", "labels": {"version": str(revision)}},
            "data": {"release": base64.b64encode(base64.b64encode(packed)).decode()},
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


@pytest.mark.parametrize("verb", ["preview", "up", "drift"])
def test_a_file_that_is_no_yaml_ends_its_own_stack_only(verb: str, many: Fleet) -> None:
    many.add("a", "b")
    stacks.file_of("a", many.project).write_text("config:\n  fqdn: a.b\n  fqdn: c.d\n")
    broken, good = many.run(verb, "a", "b")
    assert not broken.ok
    assert broken.error.startswith("Pulumi.a.yaml:3:3: the key fqdn a second time")
    assert good.ok
    assert not any("-s a " in f"{call} " for call in many.calls)


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_stacks_run_at_a_time_than_said(parallel: int, many: Fleet) -> None:
    names = [f"s{index}" for index in range(6)]
    many.add(*names)
    for name in names:
        many.does("refresh", name, seconds=0.2, meets=parallel)
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


def test_a_stack_that_was_never_applied_differs_from_one_that_was(many: Fleet) -> None:
    many.add("applied", "initialised")
    many.known[0]["lastUpdate"] = "2026-11-20T10:00:00Z"
    many.known[1].update(lastUpdate=None, resourceCount=0)
    many.add()
    (many.project / "Pulumi.new.yaml").write_text("config: {}\n")
    facts = {"registryFqdn": "registry.a.example", "harborVersion": "2.14.3"}
    many.does("stack", "applied", stdout=json.dumps(facts))
    outcomes = many.run("status", "applied", "initialised", "new")
    assert [outcome.ok for outcome in outcomes] == [True, False, False]
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    head, *lines = fleet.status_table(outcomes, now=now).splitlines()
    assert re.split(r"  +", head) == [
        *("stack", "state", "last update", "resources", "Harbor", "registry")
    ]
    assert [re.split(r"  +", line) for line in lines] == [
        ["applied", "applied", "5 d ago", "7", "2.14.3", "registry.a.example"],
        ["initialised", "never applied", "-", "-", "-", "-"],
        ["new", "no stack in the backend", "-", "-", "-", "-"],
    ]


def test_a_status_has_what_the_doctor_found_where_it_is_asked(
    many: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many.add("a", "b", "c")
    found: dict[str, dict[str, Any]] = {
        "a": {"state": "ill", "ill": ["gc", "health"], "warning": ["backup"], "unknown": []},
        "b": {"state": "ok", "ill": [], "warning": [], "unknown": []},
        "c": {"state": "unknown", "error": "TimeoutExpired"},
    }
    monkeypatch.setattr(fleet, "examined", lambda stack, _environment: found[stack])
    monkeypatch.setattr(tools, "tools_environment", lambda: many.environment)
    for chosen, code in (["a", "b", "c"], 1), (["b", "c"], 0):
        assert code == fleet.main(
            "status", chosen, parallel=1, report=None, output=None, doctor=True
        )
    table = capsys.readouterr().out.splitlines()
    assert [re.split(r"  +", line)[-1] for line in table if line][:4] == [
        "doctor",
        "ill: gc, health; warning: backup",
        "ok",
        "TimeoutExpired",
    ]


def test_the_doctor_of_a_stack_without_a_file_is_no_traceback() -> None:
    assert fleet.examined("nowhere", dict(os.environ)) == {
        "state": "unknown",
        "error": "JSONDecodeError",
    }


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2026-11-25T11:59:30Z", "just now"),
        ("2026-11-25T11:18:00Z", "42 min ago"),
        ("2026-11-25T03:00:00+00:00", "9 h ago"),
        ("2026-11-25T03:00:00", "9 h ago"),
        ("today", "today"),
        ("", "-"),
    ],
)
def test_the_age_of_an_update_is_told_in_one_unit(moment: str, told: str) -> None:
    assert fleet.age(moment, datetime(2026, 11, 25, 12, tzinfo=UTC)) == told


def test_the_sandbox_s_environment_serves_no_sovereign(many: Fleet) -> None:
    many.add("a")
    many.add("local", sandbox="true")
    many.environment["PULUMI_CONFIG_PASSPHRASE"] = "sandbox"
    for verb in ("up", "drift", "status"):
        with pytest.raises(EngineError, match="a is no sandbox"):
            many.run(verb, "local", "a")
    assert many.run("drift", "local")[0].ok


def test_drift_of_what_helm_made_is_named_with_the_command_that_mends_it(
    many: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many.add("a", cluster={"name": "a"}, harbor={"namespace": "registry"})
    cluster = DriftedCluster(replicas=3)
    monkeypatch.setattr(fleet, "ClusterClient", lambda _: cluster)
    monkeypatch.setattr(tools, "tools_environment", lambda: many.environment)
    assert fleet.main("drift", ["a"], parallel=1, report=None, output=None) == 1
    told = capsys.readouterr().out
    assert "a: differs: Deployment/harbor-core" in told
    assert "Deployment/harbor-core: spec.replicas" in told
    assert "kubectl scale deployment/harbor-core --replicas=1 -n registry" in told
    assert cluster.changed == []
    cluster.replicas = 1
    assert fleet.main("drift", ["a"], parallel=1, report=None, output=None) == 0


def test_drift_is_not_denied_while_the_cluster_does_not_answer(
    many: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: object) -> None:
        raise ClusterUnreachable("no route")

    many.add("a", cluster={"name": "a"})
    monkeypatch.setattr(fleet, "ClusterClient", unreachable)
    [outcome] = many.run("drift", "a")
    assert (outcome.ok, outcome.error) == (False, "what Helm made was not compared: no route")


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


def test_when_nobody_reads_the_board_engines_are_interrupted_and_no_other_starts(
    many: Fleet,
) -> None:
    many.add("a", "b", "c")
    for name in ("a", "b", "c"):
        many.does("refresh", name, seconds=60)
    begun = time.monotonic()

    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            if "b: drift" in text:
                until = time.monotonic() + 30
                while not list((many.folder / "running").iterdir()) and time.monotonic() < until:
                    time.sleep(0.05)
                raise ReaderGone
            return super().write(text)

    board = Board("drift", ["a", "b", "c"], Closed())
    with pytest.raises(ReaderGone), board:
        fleet.run("drift", ["a", "b", "c"], parallel=2, board=board, environment=many.environment)
    assert time.monotonic() - begun < 50
    assert (many.folder / "interrupted").read_text().split() == ["a"]
    assert len(many.calls) == 1


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


def test_the_board_names_the_setting_that_is_refused() -> None:
    row = Row("omantel")
    refusal = SettingsRefused(
        stack="omantel",
        refusals=[
            Refusal(key="storage.region", value='"ash"', allowed="one of fsn1", fix="pulumi …"),
            Refusal(key="fqdn", value="(not set)", allowed="a name", fix="pulumi …"),
        ],
    )
    for message in (f"error: {refusal}", "error: Program exited with non-zero exit code: 1"):
        row.receive({"diagnosticEvent": {"severity": "error", "message": message}})
    assert row.error == 'refused: storage.region = "ash" and 1 more'


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
