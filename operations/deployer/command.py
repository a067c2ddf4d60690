"""`make deployer-role`: prints the manifests that let somebody deploy one stack, and no more.

Nothing is asked but the stack's file: neither a cluster nor the engine, and no secret.
"""

from __future__ import annotations

import sys

from components.settings.reading.refusals import SettingsRefused
from components.settings.reading.stack_file import StackFileRefused
from engine import stacks
from engine.terminal import fail
from operations.bundle import settings_of
from operations.deployer import needs
from operations.deployer.rights import as_yaml


def run(stack: str) -> int:
    """The command; its exit code: 1 where the stack's file was refused."""
    try:
        settings = settings_of(stack)
    except FileNotFoundError:
        return fail(f"there is no Pulumi.{stack}.yaml: {', '.join(stacks.names())}")
    except (StackFileRefused, SettingsRefused) as error:
        return fail(str(error))
    header = (
        "# The rights of whoever runs `pulumi preview`, `pulumi up`, `make doctor` and\n"
        f"# `make restore-drill` for stack {stack}, as its file is now. Written by\n"
        f"#   make deployer-role STACK={stack}\n"
        "# docs/howto/least-privilege.md says how to use it.\n"
    )
    sys.stdout.write(as_yaml(needs.documents(settings, stack), header=header))
    return 0
