"""Where a secret stands that should not: the forms that it takes, and what is searched for them."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

_SHORTEST: Final = 8
"""Characters of a form: a shorter one stands anywhere by chance."""
_LONG_LINE: Final = 40
_LARGEST: Final = 50_000_000
_PAUSE: Final = 0.05
_URL_SAFE: Final = str.maketrans("+/", "-_")
_PACKED: Final = re.compile(r"(?:H4sI|SDRzS)[A-Za-z0-9+/=]{16,}")
"""gzip, in base64 once or twice: what Helm stores."""
HASH: Final = re.compile(r"\$(?:2[abxy]|apr1|5|6)\$[./A-Za-z0-9$]{20,}|\{SHA\}[A-Za-z0-9+/]{20,}")
"""A line of an htpasswd file or of /etc/shadow: its password can be guessed at leisure."""
_NOT_PACKED: Final = (binascii.Error, OSError, EOFError, zlib.error)
"""What unpacking raises on what only begins as gzip does: encrypted text does so by chance."""


def forms(secret: str) -> set[str]:
    """What the same secret looks like in other notations; of several lines, each long one too.

    An RSA key begins with its modulus, a fifth of it, which its public key has too (RFC 8017,
    A.1.2). So of a private key the lines of the first third are not looked for alone.
    """
    whole = secret.strip()
    lines = [line for line in whole.splitlines() if len(line) > _LONG_LINE]
    if "PRIVATE KEY" in whole:
        lines = lines[len(lines) // 3 :]
    return {
        form
        for each in (whole, *lines)
        for form in (
            each,
            json.dumps(each)[1:-1],
            json.dumps(json.dumps(each)[1:-1])[1:-1],
            quote(each, safe=""),
            quote_plus(each),
            each.encode().hex(),
            *_in_base64(each.encode()),
        )
        if len(form) >= _SHORTEST
    }


def _in_base64(content: bytes) -> Iterator[str]:
    """The characters that depend on the content alone, wherever in a longer text it begins."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + content).decode()
        alone = encoded[skipped : (before + len(content)) * 8 // 6]
        yield from (alone, alone.translate(_URL_SAFE))


def unpacked(text: str) -> str:
    """The text, with all that is packed in it behind it."""
    parts = [text]
    for match in _PACKED.finditer(text):
        content = match[0].encode()
        for _ in range(2):
            with suppress(*_NOT_PACKED):
                content = base64.b64decode(content + b"=" * (-len(content) % 4))
                parts.append(gzip.decompress(content).decode(errors="replace"))
                break
    return "\n".join(parts)


def content_of(file: Path) -> str:
    """What a file holds, as text; "" where it is too large, or gone meanwhile."""
    with suppress(OSError):
        if file.is_file() and file.stat().st_size < _LARGEST:
            content = file.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                with suppress(*_NOT_PACKED):
                    content = gzip.decompress(content)
            return content.decode(errors="replace")
    return ""


def files_in(folder: Path) -> Iterator[Path]:
    """All that is no folder in a folder and below. What goes away meanwhile is left out: `rglob`
    would raise FileNotFoundError for a folder that it has listed and not yet opened."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


@dataclass
class Artefacts:
    """Kind → name → text."""

    kinds: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, kind: str, name: str, text: str) -> None:
        """`name` may come again: then both texts are searched, equal ones once."""
        named = self.kinds.setdefault(kind, {})
        if text not in named.get(name, ""):
            named[name] = f"{named[name]}\n{text}" if name in named else text
        named.setdefault(name, text)

    def add_folder(self, kind: str, folder: Path) -> None:
        for file in files_in(folder):
            if text := content_of(file):
                self.add(kind, str(file.relative_to(folder)), text)

    def texts(self) -> Iterator[tuple[str, str, str]]:
        for kind, named in self.kinds.items():
            for name, text in named.items():
                yield kind, name, unpacked(text)


def leaks(artefacts: Artefacts, secrets: Mapping[str, str]) -> list[str]:
    """Which secret stands where; never the secret itself."""
    looked_for = {name: forms(secret) for name, secret in secrets.items()}
    found: list[str] = []
    # Lines without a finding are searched once: most are the same in every version of a state.
    clean: set[str] = set()
    for kind, place, text in artefacts.texts():
        lines = {*text.split("\n")}
        unseen = "\n".join(lines - clean)
        here = [
            f"{secret} stands in {kind}: {place}"
            for secret, each in looked_for.items()
            if any(form in (text if "\n" in form else unseen) for form in each)
        ]
        if HASH.search(unseen):
            here.append(f"the hash of a password stands in {kind}: {place}")
        if not here:
            clean |= lines
        found += here
    return found


def kinds_with(artefacts: Artefacts, planted: str) -> set[str]:
    """Kinds of artefacts in which a text stands, in whichever form."""
    looked_for = forms(planted)
    return {kind for kind, _, text in artefacts.texts() if any(form in text for form in looked_for)}


# --- While a command runs -------------------------------------------------------------------------


@dataclass
class Watched:
    """What was seen of processes and of a temporary folder. `environments`: (command's first
    words, variable) → values."""

    arguments: set[str] = field(default_factory=set)
    environments: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@contextmanager
def watching(mark: str, temporary: Path) -> Iterator[Watched]:
    """Looks at each process whose environment has `mark` in it, at their descendants, and at all
    files in a temporary folder, every 50 ms."""
    seen, ended = Watched(), threading.Event()
    thread = threading.Thread(target=_watch, args=(seen, mark, temporary, ended), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _watch(seen: Watched, mark: str, temporary: Path, ended: threading.Event) -> None:
    family: set[int] = set()
    read: dict[Path, tuple[int, int]] = {}
    while not ended.wait(_PAUSE):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError, ValueError):
                    _look_at(seen, Path(entry.path), mark, family)
        for file in files_in(temporary):
            with suppress(OSError):
                state = file.stat()
                version = state.st_size, state.st_mtime_ns
                if read.get(file) != version and file.is_file():
                    read[file] = version
                    name = str(file.relative_to(temporary))
                    known, content = seen.files.get(name, ""), content_of(file)
                    # What was written between the two looks at the file is read a second time.
                    seen.files[name] = known if content in known else known + content


def _look_at(seen: Watched, process: Path, mark: str, family: set[int]) -> None:
    words = (process / "cmdline").read_bytes()
    environment = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    if (process / "cmdline").read_bytes() != words:
        return  # it became another program meanwhile, whose environment is looked at next time
    parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    if parent not in family and not any(mark in each for each in environment):
        return
    family.add(int(process.name))
    arguments = words.decode(errors="replace").split("\0")
    seen.arguments.add(" ".join(arguments))
    command = _command(arguments)
    for each in environment:
        name, _, value = each.partition("=")
        if name:
            seen.environments.setdefault((command, name), set()).add(value)


def _command(arguments: Sequence[str]) -> str:
    """The name of the command; of a script that the shell runs, the script's."""
    first, second = (*arguments, "", "")[:2]
    is_script = Path(first).name == "sh" and second and not second.startswith("-")
    return Path(second if is_script else first).name


def environments(watched: Iterable[Watched], allowed: frozenset[str]) -> Artefacts:
    """The environments that were seen, without the variables that may hold secrets."""
    artefacts = Artefacts()
    for each in watched:
        for (command, name), values in each.environments.items():
            if name not in allowed:
                artefacts.add("environment", f"{command} {name}", "\n".join(values))
    return artefacts
