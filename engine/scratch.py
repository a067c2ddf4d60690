"""A copy of the project in which stack files may be changed: previews and tests work there.

`pulumi config set` and `pulumi stack init` write into the stack's file; the committed ones stay
as they are. Code is linked, not copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.project import ROOT

LINKED = ("__main__.py", "components", "policy", "offline", ".venv")


def project(folder: Path, source: Path | None = None) -> Path:
    """Makes `folder` such a copy, with fresh stack files; returns it.

    `source`: the project that is copied, this one unless given.
    """
    source = source or ROOT
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        link = folder / name
        if (source / name).exists() and not link.exists():
            link.symlink_to(source / name)
    for file in source.glob("Pulumi*.yaml"):
        shutil.copyfile(file, folder / file.name)
    return folder
