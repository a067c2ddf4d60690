"""Images and Cosign signatures in a real registry, made here with nothing but HTTP and a key.

Written after Cosign's specification (github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md): the
signature of an image is an image beside it, tagged after its digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import processes
from sandbox.state import State
from toolchain.build import Toolbox

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"


class Key:
    """A key pair of the kind that `cosign generate-key-pair` makes."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> str:
        """PEM."""
        return (
            self._private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._private.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()


@dataclass(frozen=True)
class Registry:
    """Harbor's registry line without Harbor around it: anybody may push and pull."""

    state: State
    tools: Toolbox
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, repository: str, tag: str, *, content: str) -> str:
        """A small image; its digest."""
        layer = {"mediaType": _LAYER, **self._blob(repository, content.encode())}
        return self._manifest(repository, tag, [layer])

    def sign(self, repository: str, digest: str, *keys: Key) -> None:
        """What `cosign sign --key`, called once for each key, leaves beside the image."""
        payload = json.dumps(
            {
                "critical": {
                    "identity": {"docker-reference": f"{self.host}/{repository}"},
                    "image": {"docker-manifest-digest": digest},
                    "type": "cosign container image signature",
                },
                "optional": None,
            }
        ).encode()
        blob = {"mediaType": _PAYLOAD, **self._blob(repository, payload)}
        layers = [
            {**blob, "annotations": {"dev.cosignproject.cosign/signature": key.sign(payload)}}
            for key in keys
        ]
        self._manifest(repository, digest.replace(":", "-") + ".sig", layers)

    def _manifest(self, repository: str, tag: str, layers: list[dict[str, Any]]) -> str:
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {
                "mediaType": _CONFIG,
                **self._blob(repository, json.dumps(config).encode()),
            },
            "layers": layers,
        }
        body = json.dumps(manifest).encode()
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        self._send("PUT", url, body, _MANIFEST)
        return _digest(body)

    def _blob(self, repository: str, content: bytes) -> dict[str, Any]:
        start = f"http://{self.host}/v2/{repository}/blobs/uploads/"
        place = self._send("POST", start, b"", "application/octet-stream")
        upload = f"{place}&digest={_digest(content)}"
        self._send("PUT", upload, content, "application/octet-stream")
        return {"digest": _digest(content), "size": len(content)}

    def _send(self, method: str, url: str, body: bytes, content: str) -> str:
        request = urllib.request.Request(
            url, method=method, data=body, headers={"Content-Type": content}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Location"]

    @contextmanager
    def down(self) -> Iterator[None]:
        """The registry is gone; connections are refused."""
        running = processes.find(self.state, _NAME)
        assert running is not None
        processes.stop(self.state, running)
        try:
            yield
        finally:
            self.start()

    def start(self) -> None:
        configuration = self.state.path("signed-registry", "config.yml")
        document = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(configuration.parent / "data")}},
            "http": {"addr": self.host},
        }
        configuration.write_text(json.dumps(document))
        processes.start(
            self.state,
            _NAME,
            [str(self.tools.path("registry")), "serve", str(configuration)],
            ready=lambda: processes.answers(self.port),
        )


_NAME = "signed-registry"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
