"""The policy pack. Constructing it serves until the engine ends it, so nothing else is in here."""

import sys
from pathlib import Path

# The engine starts this with the pack's folder as the working directory.
sys.path.insert(0, str(Path(__file__).absolute().parent.parent))

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.pack import policies

PolicyPack("sovereign-harbor", policies(), enforcement_level=EnforcementLevel.MANDATORY)
