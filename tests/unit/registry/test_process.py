"""The plugin as a process of its own: what the engine starts, asks and ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from components.commands import UNKNOWN
from engine import scratch
from tests.support.project import ROOT
from tests.support.registry import CONFIG

PLUGIN = ROOT / "components/registry/plugin/pulumi-resource-sovereign-registry"
URN = "urn:pulumi:s::p::sovereign-registry:index:Project::apps"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [PLUGIN, "127.0.0.1:1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    with started:
        yield started
        started.kill()


def port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def struct(**values: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def test_the_engine_runs_the_file_that_the_project_names() -> None:
    """Itself, whatever the language host is: a PulumiPlugin.yaml would be that host's to run, and
    only where there is no such file (sdk/go/common/resource/plugin, ExecPlugin)."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    (declared,) = project["plugins"]["providers"]
    assert ROOT / declared["path"] / f"pulumi-resource-{declared['name']}" == PLUGIN
    assert os.access(PLUGIN, os.X_OK)
    assert project["runtime"]["options"]["virtualenv"] == ".venv"


@pytest.mark.parametrize("has_environment", [True, False], ids=["virtualenv", "python3 on PATH"])
def test_it_starts_in_a_copy_of_the_project(has_environment: bool, tmp_path: Path) -> None:
    """As previews and the fleet make one, by links; and in an image without a virtualenv."""
    copy = scratch.project(tmp_path / "copy")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python3").write_text(f'#!/bin/sh\nexec "{ROOT}/.venv/bin/python" "$@"\n')
    (binaries / "python3").chmod(0o755)
    if not has_environment:
        (copy / ".venv").unlink()
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    file = copy / PLUGIN.relative_to(ROOT)
    with subprocess.Popen(
        [file, "--logtostderr", "-v=9", "127.0.0.1:1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env=environment,
    ) as started:
        assert port(started) > 0
        started.terminate()


def test_it_ends_with_the_engine(process: subprocess.Popen[bytes]) -> None:
    """Also when the engine is killed: its end of the input is closed."""
    port(process)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_the_engine_interrupts_it(
    process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    port(process)
    process.send_signal(number)
    assert process.wait(60) == 0


def test_it_answers_with_one_sentence_for_each_error(process: subprocess.Popen[bytes]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port(process)}") as channel:
        plugin: Any = provider_pb2_grpc.ResourceProviderStub(channel)

        checked = plugin.CheckConfig(provider_pb2.CheckRequest(news=struct(**CONFIG)))
        assert checked.inputs["namespace"] == "harbor"
        with pytest.raises(grpc.RpcError) as refused:
            plugin.CheckConfig(provider_pb2.CheckRequest(news=struct(nmaespace="x")))
        assert refused.value.details() == ("the provider sovereign-registry has no input nmaespace")

        changed = provider_pb2.DiffRequest(olds=struct(adopt="false"), news=struct(adopt="true"))
        answer = plugin.DiffConfig(changed)
        assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME and not answer.replaces

        asked = provider_pb2.CheckRequest(urn=URN, news=struct(name="Apps"))
        (failure,) = plugin.Check(asked).failures
        assert failure.property == "name"

        with pytest.raises(grpc.RpcError) as refused:
            plugin.Create(provider_pb2.CreateRequest(urn=URN, properties=struct(name="apps")))
        assert refused.value.details() == "the provider sovereign-registry was not configured"


def test_a_command_in_an_error_names_the_stack(process: subprocess.Popen[bytes]) -> None:
    """An error that quotes the placeholder: each command in a message has it in place of a name."""
    with grpc.insecure_channel(f"127.0.0.1:{port(process)}") as channel:
        plugin: Any = provider_pb2_grpc.ResourceProviderStub(channel)
        asked = provider_pb2.CheckRequest(urn=URN, news=struct(**{**CONFIG, UNKNOWN: "x"}))
        with pytest.raises(grpc.RpcError) as refused:
            plugin.CheckConfig(asked)
        assert refused.value.details() == "the provider sovereign-registry has no input s"
