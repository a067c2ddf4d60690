"""Where a sandbox keeps everything it writes: one folder that git ignores."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.public_passphrase import PUBLIC_PASSPHRASE
from engine.project import data_folder

STACK = "local"
CLUSTER = "sovereign"
CONTEXT = f"kwok-{CLUSTER}"
REGION = "fsn1"
PASSPHRASE = PUBLIC_PASSPHRASE


@dataclass(frozen=True)
class State:
    """The files of one sandbox; `folder` is absolute."""

    folder: Path

    @classmethod
    def current(cls) -> State:
        """The project's ignored folder; $SANDBOX_DIR where that is set."""
        return cls(data_folder())

    def path(self, *parts: str) -> Path:
        """A path in the folder; its parent exists afterwards."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self, *parts: str) -> Path:
        """A folder in the folder; it exists afterwards."""
        path = self.folder.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def kubeconfig(self) -> Path:
        return self.path("kubeconfig")

    @property
    def sealing_certificate(self) -> Path:
        return self.path("sealing", "tls.crt")

    def load(self, name: str) -> dict[str, Any] | None:
        """A JSON document kept under `name`, or None."""
        try:
            return json.loads(self.path(name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def save(self, name: str, document: dict[str, Any]) -> None:
        """Keeps a JSON document, readable by its owner only; never half-written."""
        path = self.path(name)
        draft = path.with_name(path.name + ".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(document, handle, indent=1)
        draft.replace(path)

    def shared_password(self) -> str:
        """Password of the services that an estate shares, made at the first call."""
        kept = self.load("shared.json")
        if kept is None:
            # Signs and a slash, which estates' passwords have, and which URLs have to escape.
            kept = {"password": f"{secrets.token_urlsafe(24)}+/="}
            self.save("shared.json", kept)
        return kept["password"]

    def credentials(self) -> dict[str, str]:
        """This sandbox's own random secrets, made at the first call."""
        kept = self.load("credentials.json")
        if kept is None:
            kept = {
                "s3AccessKey": "SANDBOX" + secrets.token_hex(8).upper(),
                "s3SecretKey": secrets.token_hex(24),
            }
            self.save("credentials.json", kept)
        return kept
