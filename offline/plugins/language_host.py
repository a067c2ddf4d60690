"""Stand-in for `pulumi-language-python`: runs Pulumi programs and policy packs written in Python.

It answers what `up`, `preview`, `refresh`, `destroy`, `import`, `about` and `--policy-pack` ask.
It neither installs dependencies nor generates code; those calls stay unimplemented.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2

from offline.plugins import interpreters, protocol, serving
from offline.plugins.children import Children

if TYPE_CHECKING:
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2
else:
    language_pb2 = protocol.load("language_pb2")
    language_pb2_grpc = protocol.load("language_pb2_grpc")
    plugin_pb2 = protocol.load("plugin_pb2")

VERSION = "3.250.0+standin"
# With this exit code the helper has already shown the user what is wrong.
_BAIL_EXIT_CODE = 32


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """One per `pulumi` command."""

    def __init__(self, engine_address: str, executor: str) -> None:
        self._engine = engine_address
        self._executor = executor
        self.children = Children()

    def Handshake(self, request: Any, context: Any) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetRequiredPackages(
        self, request: Any, context: Any
    ) -> language_pb2.GetRequiredPackagesResponse:
        # None up front: the engine loads a provider when a resource asks for it, so a program never
        # waits for the plugin of an installed package that this stack does not use.
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(
        self, request: Any, context: Any
    ) -> language_pb2.GetRequiredPluginsResponse:
        return language_pb2.GetRequiredPluginsResponse()

    def RuntimeOptionsPrompts(
        self, request: Any, context: Any
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def About(self, request: Any, context: Any) -> language_pb2.AboutResponse:
        python = interpreters.interpreter(_virtualenv(request.info, context))
        command = [python, "-c", "import platform; print(platform.python_version())"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return language_pb2.AboutResponse(executable=python, version=version.strip())

    def GetProgramDependencies(
        self, request: Any, context: Any
    ) -> language_pb2.GetProgramDependenciesResponse:
        packages = interpreters.installed_packages(
            _virtualenv(request.info, context), transitive=request.transitiveDependencies
        )
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version)
                for name, version in packages
            ]
        )

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:
        self.children.end()
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> language_pb2.RunResponse:
        """Runs the program. Its output goes where this process's goes: to the engine."""
        venv = _virtualenv(request.info, context)
        command = [
            interpreters.interpreter(venv),
            "-u",
            self._executor,
            *program_arguments(request, self._engine),
        ]
        environment = interpreters.child_environment(os.environ, venv) | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        try:
            with self.children.running(
                command, folder=request.pwd, environment=environment
            ) as child:
                context.add_callback(child.terminate)
                code = child.wait()
        except OSError as error:
            return language_pb2.RunResponse(error=f"could not run {command[0]}: {error}")
        if code == _BAIL_EXIT_CODE:
            return language_pb2.RunResponse(bail=True)
        if code:
            return language_pb2.RunResponse(error=f"the program ended with exit code {code}")
        return language_pb2.RunResponse()

    def RunPlugin(self, request: Any, context: Any) -> Iterator[language_pb2.RunPluginResponse]:
        """Runs a policy pack (kind `analyzer`) or another plugin written in Python."""
        venv = _virtualenv(request.info, context)
        command = [interpreters.interpreter(venv), "-u"]
        program = request.info.program_directory or request.program
        if request.kind == "analyzer":
            command += ["-m", "pulumi.policy", *request.args, program]
            folder = program
        else:
            command += [program, *request.args]
            folder = request.pwd
        given = dict(entry.partition("=")[::2] for entry in request.env) or os.environ
        environment = interpreters.child_environment(given, venv)
        try:
            with self.children.running(
                command, folder=folder, environment=environment, output=subprocess.PIPE
            ) as child:
                # Cancelling this call is how the engine ends the plugin.
                context.add_callback(child.terminate)
                yield from _output(child)
                yield language_pb2.RunPluginResponse(exitcode=child.wait())
        except OSError as error:
            context.abort(grpc.StatusCode.INTERNAL, f"could not run {command[0]}: {error}")


def program_arguments(request: Any, engine_address: str) -> list[str]:
    """The command line of the helper that runs the program."""
    flags = {
        "monitor": request.monitor_address,
        "engine": engine_address,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
    }
    return [
        *(f"--{name}={value}" for name, value in flags.items() if value),
        request.info.entry_point or request.program or ".",
        *request.args,
    ]


def _virtualenv(info: Any, context: Any) -> Any:
    try:
        return interpreters.virtualenv(info.root_directory, dict(info.options))
    except interpreters.NoInterpreterError as error:
        return context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def _output(child: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """What the process writes, until it has closed both of its streams."""
    messages: queue.Queue[language_pb2.RunPluginResponse | None] = queue.Queue()

    def forward(stream: IO[bytes], name: str) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            if name == "stdout":
                messages.put(language_pb2.RunPluginResponse(stdout=chunk))
            else:
                messages.put(language_pb2.RunPluginResponse(stderr=chunk))
        messages.put(None)

    streams = {"stdout": child.stdout, "stderr": child.stderr}
    for name, stream in streams.items():
        threading.Thread(target=forward, args=(stream, name), daemon=True).start()
    for _ in streams:
        while (message := messages.get()) is not None:
            yield message


def main(arguments: list[str]) -> None:
    executor = os.environ.get(interpreters.EXEC_VARIABLE, "")
    if not os.path.isfile(executor):
        sys.exit(
            f"{interpreters.EXEC_VARIABLE} is {executor!r}; it must name the file "
            "pulumi-language-python-exec (python/cmd in github.com/pulumi/pulumi/sdk/v3)"
        )
    # Flags like --tracing may come first; the engine's address is always the last argument.
    host = LanguageHost(arguments[-1] if arguments else "", executor)
    serving.serve(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        end=host.children.end,
    )
