"""A folder of images: an OCI layout (image-spec 1.1), which crane, skopeo, oras and regctl read.

crane writes and reads the blobs. It cannot say which of several images it means, so this module
keeps the index: each image has its name upstream in the annotation that all of them look for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components import parsed

NAME: Final = "org.opencontainers.image.ref.name"
_CONTAINERD: Final = "io.containerd.image.name"
"""Under this name containerd imports an image."""
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DEEPEST: Final = 3
"""Levels of indexes: one, of platforms, is usual."""
_LARGEST: Final = 16 * 1024**2
"""Bytes of a manifest or index; registries take 4 MiB."""
_LAYOUT: Final = {"imageLayoutVersion": "1.0.0"}


class FolderError(Exception):
    """The folder is no OCI layout, or what is in it is damaged."""


@dataclass(frozen=True)
class OciFolder:
    """The folder; it need not exist before `prepare`."""

    path: Path

    def prepare(self) -> None:
        """Makes it, unless it is there. Raises FolderError where something else is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "oci-layout").exists():
            if any(self.path.iterdir()):
                raise FolderError(f"{self.path} is neither empty nor a folder of images")
            _write(self.path / "index.json", {"schemaVersion": 2, "manifests": []})
            _write(self.path / "oci-layout", _LAYOUT)
        self._index()

    def call(self, digest: str, name: str) -> None:
        """Gives the image that crane put there last its name, and takes the name off others."""
        index = self._index()
        entries = index["manifests"]
        own = next((each for each in reversed(entries) if each["digest"] == digest), None)
        if own is None:
            raise FolderError(f"{digest} is not in {self.path}")
        # crane lists an image a second time when it pulls it again.
        others = [
            entry
            for entry in entries
            if _name(entry) != name and (entry["digest"] != digest or _name(entry) is not None)
        ]
        named = {
            **own,
            "annotations": {**(own.get("annotations") or {}), NAME: name, _CONTAINERD: name},
        }
        _write(self.path / "index.json", {**index, "manifests": [*others, named]})

    def damage(self, name: str, digest: str) -> str | None:
        """What is wrong with an image by its content; None where all its digests are right."""
        entries = [entry for entry in self._named(name) if entry["digest"] == digest]
        if not entries:
            return f"{self.path} has no {name} of digest {digest}"
        try:
            for entry in self._blobs(entries[0]):
                file = self._blob(entry["digest"])
                if not file.is_file():
                    return f"{file} is missing"
                if _sha256(file) != entry["digest"]:
                    return f"{file} is damaged: its content has another digest"
        except FolderError as error:
            return str(error)
        return None

    def remove_damaged(self, name: str, digest: str) -> None:
        """Removes blobs of an image whose content is wrong: crane keeps what has the right size."""
        for entry in self._named(name):
            if entry["digest"] != digest:
                continue
            for blob in self._of(entry):
                file = self._blob(blob["digest"])
                if file.is_file() and _sha256(file) != blob["digest"]:
                    file.unlink()

    @contextmanager
    def alone(self, name: str, digest: str) -> Iterator[Path]:
        """A folder with this image only, its blobs linked: crane pushes the one image that a folder
        has."""
        (entry, *_) = [entry for entry in self._named(name) if entry["digest"] == digest]
        with tempfile.TemporaryDirectory(prefix="image-") as folder:
            path = Path(folder)
            (path / "blobs").symlink_to(self.path.resolve() / "blobs")
            _write(path / "oci-layout", _LAYOUT)
            _write(path / "index.json", {"schemaVersion": 2, "manifests": [entry]})
            yield path

    def put(self, name: str, *, config: bytes, config_type: str, layer: bytes, of: str) -> str:
        """Adds an artifact of one layer of media type `of`; its digest."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self._stored(config, config_type),
            "layers": [self._stored(layer, of)],
        }
        entry = self._stored(json.dumps(manifest).encode(), manifest["mediaType"])
        index = self._index()
        _write(self.path / "index.json", {**index, "manifests": [*index["manifests"], entry]})
        self.call(entry["digest"], name)
        return entry["digest"]

    def _stored(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        file = self._blob(digest)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _index(self) -> dict[str, Any]:
        try:
            index = _object(self.path / "index.json")
            entries = _descriptors(index["manifests"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise FolderError(f"{self.path} has no index of images: {error}") from None
        return {**index, "manifests": entries}

    def _named(self, name: str) -> list[dict[str, Any]]:
        return [entry for entry in self._index()["manifests"] if _name(entry) == name]

    def _blob(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "/")

    def _of(self, entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """As `_blobs`, up to a manifest that is none."""
        with suppress(FolderError):
            yield from self._blobs(entry)

    def _blobs(self, entry: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """The image's descriptor, and those of all that it names, down to the layers.

        Raises FolderError at a manifest that is none.
        """
        yield entry
        file = self._blob(entry["digest"])
        if not file.is_file():
            return
        is_index = entry.get("mediaType") in _INDEXES
        try:
            if is_index and depth == _DEEPEST:
                raise ValueError("an index within an index within an index")
            manifest = _object(file)
            named = manifest["manifests"] if is_index else [manifest["config"], *manifest["layers"]]
            below = _descriptors(named)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise FolderError(f"{file} is damaged, and no manifest: {error}") from None
        for child in below:
            if is_index:
                yield from self._blobs(child, depth + 1)
            else:
                yield child


def _object(file: Path) -> dict[str, Any]:
    """The object in a file of JSON. Raises OSError and ValueError."""
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    value = parsed.json_of(file.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("it is no object in JSON")
    return value


def _descriptors(values: Any) -> list[dict[str, Any]]:
    """Descriptors of blobs. Raises ValueError: a digest becomes a path, so it is checked here."""
    if not isinstance(values, list):
        raise ValueError("a list is missing")
    for each in values:
        if re.fullmatch(r"sha256:[0-9a-f]{64}", str(each.get("digest")), re.ASCII) is None:
            raise ValueError("a blob has a digest that is none of SHA-256")
        if not isinstance(each.get("annotations"), dict | None):
            raise ValueError("annotations are no object")
    return values


def _name(entry: Mapping[str, Any]) -> str | None:
    return (entry.get("annotations") or {}).get(NAME)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _write(file: Path, value: Any) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    draft.replace(file)
