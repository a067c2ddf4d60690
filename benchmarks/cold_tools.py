"""All that `make up` builds, from an empty cache: processor time, and what stays behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import measuring, page
from benchmarks.page import Goal, Section
from benchmarks.sandboxed import Session
from engine.project import ROOT
from toolchain.build import size_of

_CAUSE = (
    "The dearest are the Kubernetes provider, the control plane and Kyverno; all three link "
    "Kubernetes' libraries, each in its own version, so no build reuses another's."
)


def measure(session: Session) -> Section:
    """One run, of about 20 minutes. Wheels and modules are downloaded as the machine is set up."""
    del session
    cache = Path(tempfile.mkdtemp(prefix="benchmark-cold-"))
    try:
        cost = measuring.run(
            [sys.executable, "-m", "toolchain", "build"],
            environment={**os.environ, "SOVEREIGN_HARBOR_CACHE": str(cache)},
            folder=ROOT,
        )
        left = {entry.name: size_of(entry) / 1e9 for entry in sorted(cache.iterdir())}
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    rows = [[f"`{name}`", f"{size:.2f} GB"] for name, size in left.items()]
    return Section(
        command="make bench COLD=1",
        body=f"{cost.wall / 60:.0f} minutes, {cost.processor / 60:.1f} processor minutes, peak "
        f"memory {cost.peak:.0f} MiB.\n\n" + page.table(["left in the cache", "size"], rows),
        goals=[
            Goal(
                what="processor time",
                measured=cost.processor / 60,
                at_most=36,
                unit="minutes",
                cause=_CAUSE,
            ),
            Goal(what="left behind", measured=sum(left.values()), at_most=2, unit="GB"),
        ],
    )
