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
_INDEX = "application/vnd.oci.image.index.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "application/vnd.in-toto+json"
_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"


SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"


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

    def bundle(self, repository: str, digest: str, *statements: tuple[str, Key]) -> None:
        """In-toto statements about an image, each of a predicate type and by a key, as bundles.

        Cosign 3 writes signatures (SIGNATURE) and attestations so. The registry line has no
        referrers API, so their list is at the tag to which the OCI distribution specification
        falls back.
        """
        listed = [self._bundle(repository, digest, predicate, key) for predicate, key in statements]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}
        tag = digest.replace(":", "-")
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        self._send("PUT", url, json.dumps(index).encode(), _INDEX)

    def _bundle(self, repository: str, digest: str, predicate: str, key: Key) -> dict[str, Any]:
        algorithm, _, value = digest.partition(":")
        statement = json.dumps(
            {
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": repository, "digest": {algorithm: value}}],
                "predicateType": predicate,
                "predicate": {},
            }
        )
        signed = f"DSSEv1 {len(_STATEMENT)} {_STATEMENT} {len(statement)} {statement}"
        envelope = {
            "payload": base64.b64encode(statement.encode()).decode(),
            "payloadType": _STATEMENT,
            "signatures": [{"sig": key.sign(signed.encode())}],
        }
        content = json.dumps(
            {
                "mediaType": _BUNDLE,
                "verificationMaterial": {"publicKey": {"hint": ""}},
                "dsseEnvelope": envelope,
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": _BUNDLE,
            "config": {"mediaType": _EMPTY, **self._blob(repository, b"{}")},
            "layers": [{"mediaType": _BUNDLE, **self._blob(repository, content)}],
            "subject": {"mediaType": _MANIFEST, "digest": digest, "size": 1},
        }
        body = json.dumps(manifest).encode()
        url = f"http://{self.host}/v2/{repository}/manifests/{_digest(body)}"
        self._send("PUT", url, body, _MANIFEST)
        return {
            "mediaType": _MANIFEST,
            "digest": _digest(body),
            "size": len(body),
            "artifactType": _BUNDLE,
        }

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
        with urllib.request.urlopen(request, timeout=60) as answer:
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
