"""The language host's command lines, its children, and the launchers of all stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import language_pb2

from offline.plugins import interpreters
from offline.plugins.children import Children
from offline.plugins.language_host import LanguageHost, program_arguments
from offline.plugins.launchers import KINDS, is_stand_in, official_plugin, write_launchers
from tests.support.project import ROOT


class Context:
    def add_callback(self, callback: Any) -> None:
        pass

    def abort(self, code: Any, details: str) -> None:
        raise RuntimeError(details)


def run(tmp_path: Path, program: str, **request: Any) -> language_pb2.RunResponse:
    executor = tmp_path / "executor.py"
    executor.write_text(program)
    host = LanguageHost("127.0.0.1:1", str(executor))
    return host.Run(language_pb2.RunRequest(pwd=str(tmp_path), **request), Context())


def plugin_messages(
    tmp_path: Path, program: str, context: Context
) -> list[language_pb2.RunPluginResponse]:
    (tmp_path / "__main__.py").write_text(program)
    info = language_pb2.ProgramInfo(program_directory=str(tmp_path))
    request = language_pb2.RunPluginRequest(kind="resource", info=info, pwd=str(tmp_path))
    return list(LanguageHost("", "").RunPlugin(request, context))


# --- language host --------------------------------------------------------------------------------


def test_the_helper_gets_what_the_engine_said() -> None:
    request = language_pb2.RunRequest(
        monitor_address="m:1",
        project="p",
        stack="s",
        pwd="/w",
        dryRun=True,
        parallel=16,
        organization="o",
        args=["x"],
        info=language_pb2.ProgramInfo(root_directory="/r", entry_point="."),
    )
    assert program_arguments(request, "e:2") == [
        "--monitor=m:1",
        "--engine=e:2",
        "--project=p",
        "--root_directory=/r",
        "--stack=s",
        "--pwd=/w",
        "--dry_run=true",
        "--parallel=16",
        "--organization=o",
        ".",
        "x",
    ]


def test_the_program_gets_its_config_and_which_of_it_is_secret(tmp_path: Path) -> None:
    program = (
        "import json, os, sys\n"
        "assert json.loads(os.environ['PULUMI_CONFIG']) == {'p:a': '1'}\n"
        "assert json.loads(os.environ['PULUMI_CONFIG_SECRET_KEYS']) == ['p:a']\n"
    )
    answer = run(tmp_path, program, config={"p:a": "1"}, configSecretKeys=["p:a"])
    assert (answer.error, answer.bail) == ("", False)


def test_exit_code_32_bails_and_others_are_errors(tmp_path: Path) -> None:
    assert run(tmp_path, "raise SystemExit(32)").bail
    answer = run(tmp_path, "raise SystemExit(3)")
    assert (answer.bail, answer.error) == (False, "the program ended with exit code 3")


def test_what_a_plugin_writes_arrives_before_its_exit_code(tmp_path: Path) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    messages = plugin_messages(tmp_path, program, Context())
    assert b"".join(m.stdout for m in messages) == b"out\n"
    assert b"".join(m.stderr for m in messages) == b"err\n"
    assert [m.exitcode for m in messages if m.HasField("exitcode")] == [7]
    assert messages[-1].HasField("exitcode")


def test_cancelling_ends_a_plugin_at_once(tmp_path: Path) -> None:
    class Cancelled(Context):
        def add_callback(self, callback: Any) -> None:
            threading.Timer(0.5, callback).start()

    start = time.monotonic()
    plugin_messages(tmp_path, "import time; time.sleep(60)", Cancelled())
    assert time.monotonic() - start < 50


def test_no_child_starts_or_stays_after_the_end() -> None:
    children = Children()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with children.running(sleep, folder="", environment=os.environ) as child:
        children.end()
        assert child.poll() is not None
    with (
        pytest.raises(ChildProcessError),
        children.running(sleep, folder="", environment=os.environ),
    ):
        pass


def test_virtualenv_is_relative_to_the_project_and_has_to_exist(tmp_path: Path) -> None:
    assert interpreters.virtualenv(str(tmp_path), {}) is None
    assert interpreters.interpreter(None) == sys.executable
    with pytest.raises(interpreters.NoInterpreterError, match="'venv'"):
        interpreters.virtualenv(str(tmp_path), {"virtualenv": "venv"})
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").touch()
    venv = interpreters.virtualenv(str(tmp_path), {"virtualenv": "venv"})
    assert interpreters.interpreter(venv) == str(tmp_path / "venv" / "bin" / "python")


def test_programs_do_not_see_the_stand_ins_own_path() -> None:
    base = {"PYTHONPATH": f"{ROOT}{os.pathsep}/mine", "PATH": "/bin", "PYTHONHOME": "/x"}
    assert interpreters.child_environment(base, Path("/venv")) == {
        "PYTHONPATH": "/mine",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": "/venv",
        "PATH": f"/venv/bin{os.pathsep}/bin",
    }


def test_dependencies_without_the_transitive_ones_are_fewer() -> None:
    everything = dict(interpreters.installed_packages(None, transitive=True))
    direct = dict(interpreters.installed_packages(None, transitive=False))
    assert "grpcio" in everything
    assert "grpcio" not in direct


# --- launchers ------------------------------------------------------------------------------------


def executable(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def launchers(directory: Path, home: Path, *path_dirs: Path, **options: Any) -> list[str]:
    written = write_launchers(
        directory,
        python=Path(sys.executable),
        root=ROOT,
        language_exec=Path(__file__),
        path_dirs=path_dirs,
        pulumi_home=home,
        **options,
    )
    return [file.name for file in written]


def test_official_plugins_are_found_on_path_downloaded_and_beside_pulumi(tmp_path: Path) -> None:
    folder, home, real = tmp_path / "bin", tmp_path / "home", tmp_path / "real"
    folder.mkdir()
    assert official_plugin("pulumi-resource-tls", [folder], home) is None
    downloaded = executable(home / "plugins" / "resource-tls-v5.6.2" / "pulumi-resource-tls")
    assert official_plugin("pulumi-resource-tls", [folder], home) == downloaded
    on_path = executable(folder / "pulumi-resource-tls")
    assert official_plugin("pulumi-resource-tls", [folder], home) == on_path
    (folder / "pulumi").symlink_to(executable(real / "pulumi"))
    bundled = executable(real / "pulumi-language-python")
    assert official_plugin("pulumi-language-python", [folder], home) == bundled


def test_unfinished_downloads_do_not_count(tmp_path: Path) -> None:
    executable(tmp_path / "plugins" / "resource-aws-v7.51.1" / "pulumi-resource-aws")
    (tmp_path / "plugins" / "resource-aws-v7.51.1.partial").touch()
    assert official_plugin("pulumi-resource-aws", [], tmp_path) is None


@pytest.mark.parametrize("in_plugin_cache", [False, True])
def test_a_stand_in_steps_aside_when_the_official_plugin_comes(
    tmp_path: Path, in_plugin_cache: bool
) -> None:
    directory, home, official = tmp_path / "bin", tmp_path / "home", tmp_path / "official"
    options = {"in_plugin_cache": in_plugin_cache}
    assert launchers(directory, home, directory, **options) == list(KINDS)
    # Its own launchers on PATH or in the cache are not official ones.
    assert launchers(directory, home, directory, **options) == list(KINDS)
    executable(official / "pulumi-resource-random")
    again = launchers(directory, home, directory, official, **options)
    assert again == [name for name in KINDS if name != "pulumi-resource-random"]
    assert not list(tmp_path.glob("bin/pulumi-resource-random"))
    assert not list(home.glob("plugins/resource-random-*"))


def test_in_the_plugin_cache_a_stand_in_carries_its_name_in_the_version(tmp_path: Path) -> None:
    directory, home = tmp_path / "bin", tmp_path / "home"
    launchers(directory, home)
    launchers(directory, home, in_plugin_cache=True)
    assert sorted(file.name for file in directory.iterdir()) == [
        "pulumi-language-python",
        "pulumi-resource-pulumi-python",
    ]
    assert all("+standin" in folder.name for folder in (home / "plugins").iterdir())


def test_only_the_named_ones_are_written(tmp_path: Path) -> None:
    assert launchers(tmp_path, tmp_path, names=["pulumi-resource-tls"]) == ["pulumi-resource-tls"]
    assert is_stand_in(tmp_path / "pulumi-resource-tls")


@pytest.mark.parametrize("name", KINDS)
def test_a_launched_plugin_names_its_port_and_ends_with_the_engine(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / "it's a $root"
    root.mkdir()
    (root / "offline").symlink_to(ROOT / "offline")
    write_launchers(
        root / "bin",
        python=Path(sys.executable),
        root=root,
        language_exec=Path(__file__),
        path_dirs=[],
        pulumi_home=tmp_path,
    )
    process = subprocess.Popen(
        [root / "bin" / name, "127.0.0.1:1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdin and process.stdout
    try:
        assert int(process.stdout.readline()) > 0
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_starting_a_stand_in_does_not_load_the_sdk() -> None:
    program = (
        "import sys; from offline.plugins import language_host, random_standin;"
        "sys.exit('pulumi' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_about_names_the_interpreter_that_runs_programs() -> None:
    request = language_pb2.AboutRequest(info=language_pb2.ProgramInfo(root_directory=str(ROOT)))
    about = LanguageHost("", "").About(request, Context())
    assert about.executable == sys.executable
    assert about.version == ".".join(map(str, sys.version_info[:3]))
