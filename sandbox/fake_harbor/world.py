"""Everything that a Harbor keeps in its database, as one JSON document."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import secrets
import string
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.fake_harbor import defaults

Row = dict[str, Any]

NEVER = "0001-01-01T00:00:00.000Z"
"""Go's zero time, which Harbor shows where it has none."""

SECONDS_BEFORE_A_WRITE = 0.2

_TABLES = (
    "projects",
    "quotas",
    "registries",
    "policies",
    "executions",
    "retentions",
    "retention_executions",
    "immutable_rules",
    "robots",
    "webhooks",
    "labels",
    "members",
    "groups",
    "users",
    "scanners",
    "cleanings",
)


def now() -> str:
    """The time as Harbor writes it, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class World:
    """The database. Every access holds `lock`; rows are plain dicts, by id.

    With a `file` it survives the process. The file holds digests of secrets only, and its owner
    alone may read it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.lock = threading.RLock()
        self._file = file
        self._writing = threading.Lock()
        self._writer: threading.Timer | None = None
        self._document: Row = {}
        kept = _read(file)
        self._document = kept if kept is not None else _fresh()

    def table(self, name: str) -> dict[int, Row]:
        return self._document["tables"][name]

    def __getitem__(self, name: str) -> Any:
        return self._document[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._document[name] = value

    def next_id(self, table: str) -> int:
        """A new id. Ids are never given twice, and a refused create has used one, too."""
        serials = self._document["serials"]
        serials[table] = serials.get(table, 0) + 1
        return serials[table]

    def insert(self, table: str, row: Row) -> Row:
        """Adds a row with a new id and both times; the row itself."""
        moment = now()
        row = {"id": self.next_id(table), **row, "creation_time": moment, "update_time": moment}
        self.table(table)[row["id"]] = row
        return row

    def begin_anew(self) -> None:
        """Empties everything, as a Harbor has nothing in a new database."""
        self._document = _fresh()

    def copy(self) -> Row:
        """Everything as it is now, for `restore`."""
        with self.lock:
            return copy.deepcopy(self._document)

    def restore(self, document: Row) -> None:
        """Makes everything as it was when `document` was copied. Nobody may call meanwhile."""
        with self.lock:
            self._document = copy.deepcopy(document)

    def digest(self, secret: str) -> str:
        """What is kept in place of a secret."""
        salt: str = self._document["salt"]
        return hashlib.sha256((salt + secret).encode()).hexdigest()

    def save(self) -> None:
        """Has the file written soon: a thousand changes in a row are a few files."""
        if self._file is not None and self._writer is None:
            self._writer = threading.Timer(SECONDS_BEFORE_A_WRITE, self.flush)
            self._writer.daemon = True
            self._writer.start()

    def flush(self) -> None:
        """Writes the file now, never half of it."""
        if self._file is None:
            return
        with self._writing:
            with self.lock:
                self._writer = None
                text = json.dumps(self._document)
            draft = self._file.with_name(self._file.name + ".draft")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(text)
            draft.replace(self._file)


def _read(file: Path | None) -> Row | None:
    if file is None or not file.exists():
        return None
    document = json.loads(file.read_text())
    for name in _TABLES:
        rows = document["tables"].get(name, {})
        document["tables"][name] = {int(key): row for key, row in rows.items()}
    return document


def _fresh() -> Row:
    moment = now()
    times = {"creation_time": moment, "update_time": moment}
    tables: dict[str, dict[int, Row]] = {name: {} for name in _TABLES}
    tables["users"][1] = {
        "id": 1,
        "username": "admin",
        "realname": "system admin",
        "email": "admin@example.com",
        "comment": "admin user",
        "sysadmin": True,
        "password": None,
        **times,
    }
    tables["projects"][1] = {
        "id": 1,
        "name": "library",
        "owner": "admin",
        "metadata": {"public": "true"},
        "registry": None,
        "allowlist": {"id": 1, "items": [], "expires_at": None},
        "repositories": [],
        **times,
    }
    tables["quotas"][1] = {"id": 1, "project": 1, "hard": -1, "used": 0, **times}
    tables["members"][1] = {"id": 1, "project": 1, "type": "u", "entity": 1, "role": 1}
    return {
        "database": "",
        "salt": secrets.token_hex(16),
        "tables": tables,
        "serials": {"users": 2, "projects": 1, "quotas": 1, "members": 1, "allowlists": 1},
        "configurations": dict(defaults.CONFIGURATIONS),
        "secrets": {},
        "schedules": {},
        "allowlist": {
            "id": None,
            "items": [],
            "expires_at": None,
            "creation_time": NEVER,
            "update_time": NEVER,
        },
    }


_LETTERS = string.ascii_letters + string.digits


def random_secret() -> str:
    """A robot's secret as Harbor makes it: 32 letters and digits."""
    while True:
        secret = "".join(secrets.choice(_LETTERS) for _ in range(32))
        if is_strong(secret):
            return secret


def is_strong(secret: str) -> bool:
    """Whether Harbor takes it as a password or a robot's secret."""
    return (
        8 <= len(secret) <= 128
        and any(c.isupper() for c in secret)
        and any(c.islower() for c in secret)
        and any(c.isdigit() for c in secret)
    )


WEAK = (
    "the password or secret must be 8-128, inclusively, characters long with at least "
    "1 uppercase letter, 1 lowercase letter and 1 number"
)
