"""`python -m operations VERB STACK`: what `make` calls. One table has all verbs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.credentials import ADMIN, REGISTRY_ACCOUNT, secret_name
from components.registry.api import Harbor, Logins
from components.registry.connection import ToCluster
from components.registry.errors import HarborError
from components.settings.harbor import HarborSettings
from components.settings.reading import stack_file
from components.settings.reading.stack_file import StackFileRefused
from components.settings.registry.names import OWN_ROBOT
from components.settings.registry.system import ROBOT_PREFIX
from components.settings.schema.environment import expand
from engine import stacks
from engine.terminal import fail
from operations import bundle, registry_export, restore_drill
from operations.bucket_truth import command as bucket_truth
from operations.deployer import command as deployer
from operations.doctor import command as doctor
from toolchain import closed_pipe


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A command on one stack. `options`: adds those besides `stack`; `run`: with what was chosen,
    the exit code."""

    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m operations")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, verb in VERBS.items():
        options = commands.add_parser(name)
        options.add_argument("stack")
        verb.options(options)
    chosen = parser.parse_args(arguments)
    if not chosen.stack.strip():
        return fail(f"STACK not set. For example\n  make {chosen.command} STACK=omantel")
    return VERBS[chosen.command].run(chosen)


# --- The verbs ----------------------------------------------------------------------------------


def _bundle_options(options: argparse.ArgumentParser) -> None:
    for option in ("--to", "--from", "--output"):
        options.add_argument(option, default="")
    options.add_argument("--format", choices=("json", "yaml"), default="json")


def _bundle(chosen: argparse.Namespace) -> int:
    return bundle.run(
        bundle.Request(
            stack=chosen.stack,
            to=chosen.to,
            from_=getattr(chosen, "from"),
            output=chosen.output,
            form=chosen.format,
        )
    )


def _truth_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--json", action="store_true", help="for machines")
    options.add_argument("--record", action="store_true", help="keep it where the doctor finds it")
    options.add_argument("--price", default="", help="of a TB and month, such as 4.99 EUR")


def _truth(chosen: argparse.Namespace) -> int:
    return bucket_truth.truth(
        bucket_truth.Request(
            stack=chosen.stack, as_json=chosen.json, records=chosen.record, price=chosen.price
        )
    )


def _sweep_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--plan", required=True, help="file of the plan")
    options.add_argument("--confirm", type=int, help="how many blobs the plan has")


def _sweep(chosen: argparse.Namespace) -> int:
    return bucket_truth.swept(
        bucket_truth.Request(stack=chosen.stack, plan=chosen.plan, confirmed=chosen.confirm)
    )


def _role_options(_: argparse.ArgumentParser) -> None:
    pass


def _role(chosen: argparse.Namespace) -> int:
    return deployer.run(chosen.stack)


def _doctor_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--json", action="store_true", help="for machines")
    options.add_argument("--record", action="store_true", help="write the figures for Prometheus")


def _doctor(chosen: argparse.Namespace) -> int:
    return doctor.run(
        doctor.Request(stack=chosen.stack, as_json=chosen.json, records=chosen.record)
    )


def _drill_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--minutes", type=int, default=restore_drill.MINUTES)


def _drill(chosen: argparse.Namespace) -> int:
    return restore_drill.run(restore_drill.Request(stack=chosen.stack, minutes=chosen.minutes))


def _export_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--admin-secret", default=secret_name(ADMIN))


def _export(chosen: argparse.Namespace) -> int:
    try:
        settings = stack_file.read(stacks.file_of(chosen.stack)).settings
    except FileNotFoundError:
        return fail(f"there is no Pulumi.{chosen.stack}.yaml: {', '.join(stacks.names())}")
    except StackFileRefused as error:
        return fail(str(error))
    connection = connection_of(settings)
    logins = Logins(
        admin_secret=chosen.admin_secret,
        account=OWN_ROBOT,
        account_secret=secret_name(REGISTRY_ACCOUNT),
        prefix=_section(_section(settings, "registry"), "system").get("robotPrefix", ROBOT_PREFIX),
    )
    harbor = Harbor(connection=connection, logins=logins).hurried()
    try:
        harbor.ask_prefix()
        export_ = registry_export.export(harbor, own_robot=OWN_ROBOT)
    except HarborError as error:
        return fail(
            f"{error}\n  nothing was written. For a Harbor that this program did not install, "
            "ADMIN_SECRET names the Secret in its namespace whose key HARBOR_ADMIN_PASSWORD is "
            "admin's password (harbor-core where the chart made it)"
        )
    finally:
        connection.close()
    sys.stdout.write(export_.text(chosen.stack))
    return 0


def connection_of(settings: dict[str, Any]) -> ToCluster:
    """How the Harbor of a stack's file is reached; as the program reaches it."""
    cluster, api = _section(settings, "cluster"), _section(_section(settings, "registry"), "api")
    context = cluster.get("context")
    return ToCluster(
        namespace=_section(settings, "harbor").get("namespace") or HarborSettings().namespace,
        context=expand(context, dict(os.environ)) if context else "",
        cluster_name=cluster.get("name") or "",
        api_url=api.get("url") or "",
        api_ca=api.get("caBundle") or "",
    )


def _section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return settings.get(name) or {}


VERBS: Final[Mapping[str, Verb]] = {
    "bucket-sweep": Verb(options=_sweep_options, run=_sweep),
    "bucket-truth": Verb(options=_truth_options, run=_truth),
    "bundle": Verb(options=_bundle_options, run=_bundle),
    "deployer-role": Verb(options=_role_options, run=_role),
    "doctor": Verb(options=_doctor_options, run=_doctor),
    "registry-export": Verb(options=_export_options, run=_export),
    "restore-drill": Verb(options=_drill_options, run=_drill),
}


if __name__ == "__main__":
    closed_pipe.run(main)
