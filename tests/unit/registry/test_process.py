"""The plugin as a process of its own: what the engine starts, asks and ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

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


def test_it_ends_with_the_engine(process: subprocess.Popen[bytes]) -> None:
    """Also when the engine is killed: its end of the input is closed."""
    port(process)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_the_engine_interrupts_it(
    process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    port(process)
    process.send_signal(number)
    assert process.wait(20) == 0


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
