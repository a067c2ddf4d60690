"""`make bundle` by the real crane: one registry stands in for what is upstream and for the mirror.

It needs no cluster and no engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import images, versions
from components.images import Image
from engine import crane as cranes
from engine.crane import Crane, CraneError
from operations import bundle
from operations.bundle import Request
from operations.bundle_list import LIST
from operations.oci_folder import NAME, OciFolder
from sandbox import processes
from tests.support.rendering import STAND_IN, needs, tool

pytestmark = [needs("crane"), needs("registry")]

UPSTREAM = re.compile(r"^(docker\.io|ghcr\.io|mirror\.gcr\.io)/")
STACK = "omantel"


@dataclass(frozen=True, kw_only=True)
class Redirected(Crane):
    """crane, for which the registries upstream are places in one on this machine."""

    host: str

    def run(self, *arguments: str, stdin: str | None = None, seconds: float | None = None) -> str:
        own = [UPSTREAM.sub(rf"{self.host}/upstream/\1/", each) for each in arguments]
        return super().run(*own, stdin=stdin, seconds=seconds)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redirected]:
    """A registry, Harbor's own line of it, and crane."""
    folder = tmp_path_factory.mktemp("registry")
    port = processes.free_port()
    configuration = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "blobs")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(tool("registry")), "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while not processes.answers(port):
            assert process.poll() is None and time.monotonic() < deadline, (
                folder / "log"
            ).read_text()
            time.sleep(0.1)
        executable = tool("crane")
        assert executable is not None
        yield Redirected(executable=executable, host=f"127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def push(client: Crane, folder: Path, name: str, content: str) -> str:
    """An image of one layer; its digest."""
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        member = tarfile.TarInfo("content")
        member.size = len(content.encode())
        archive.addfile(member, io.BytesIO(content.encode()))
    client.run("append", "--oci-empty-base", "-f", str(layer), "-t", name)
    return client.digest(name)


@pytest.fixture(scope="module")
def needed(
    client: Redirected, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Image]]:
    """All that a Sovereign pulls, upstream; Valkey for two platforms, and pinned."""
    work = tmp_path_factory.mktemp("upstream")
    valkey = "docker.io/valkey/valkey:8.1.5"
    parts = [f"{valkey}-{platform}" for platform in ("amd64", "arm64")]
    for part in parts:
        push(client, work, part, part)
    client.run("index", "append", *(each for part in parts for each in ("-m", part)), "-t", valkey)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "VALKEY_IMAGE", f"{valkey}@{client.digest(valkey)}")
        patch.setenv("HARBOR_CHART", str(STAND_IN))
        patch.setenv("KUBECONFIG", "/nowhere")
        patch.setattr(cranes, "find", lambda: client)
        listed = images.images(bundle.settings_of(STACK))
        for image in listed:
            if image.digest is None:
                push(client, work, image.source, image.source)
        yield {image.component: image for image in listed}


def run(**options: str) -> int:
    return bundle.run(Request(stack=STACK, **options))


def test_a_bundle_goes_by_a_folder_into_a_mirror_and_every_digest_stays(
    client: Redirected,
    needed: dict[str, Image],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, mirror = tmp_path / "bundle", f"{client.host}/mirror/harbor"
    assert run(to=str(folder)) == 0, capsys.readouterr().err
    data = json.loads((folder / LIST).read_text())
    entries = [*data["images"], *data["databases"]]
    assert {entry["component"] for entry in entries} == set(needed)
    assert all(entry["digest"] == client.digest(entry["source"]) for entry in entries)
    (chart,) = data["charts"]
    assert (folder / "charts" / f"harbor-{chart['version']}.tgz").is_file()

    # Behind the air gap: nothing is asked of a registry upstream, and the chart is in the folder.
    monkeypatch.setattr(cranes, "find", lambda: Crane(executable=client.executable))
    monkeypatch.setenv("HARBOR_CHART", str(folder / "charts"))
    capsys.readouterr()
    assert run(from_=str(folder), to=mirror) == 0
    told = capsys.readouterr().err
    assert f"'imageRegistry' {mirror}" in told
    for entry in entries:
        path = entry["source"].partition("/")[2]
        assert client.digest(f"{mirror}/{path}") == entry["digest"], path
    both = json.loads(client.run("manifest", f"{mirror}/valkey/valkey:8.1.5"))
    assert len(both["manifests"]) == 2, "an image pinned by its index needs all of it"

    # Whatever was copied is not copied again.
    assert run(from_=str(folder), to=mirror) == 0
    assert "copied" not in capsys.readouterr().err


@needs("helm")
def test_helm_reads_the_chart_out_of_the_mirror(
    client: Redirected, needed: dict[str, Image], tmp_path: Path
) -> None:
    mirror = f"{client.host}/by-helm"
    assert needed
    assert run(to=mirror, output=str(tmp_path / "list.json")) == 0
    (chart,) = json.loads((tmp_path / "list.json").read_text())["charts"]
    pulled = subprocess.run(
        [
            *(str(tool("helm")), "pull", f"oci://{mirror}/charts/harbor", "--plain-http"),
            *("--version", chart["version"], "-d", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path)},
    )
    assert pulled.returncode == 0, pulled.stderr
    package = tmp_path / f"harbor-{chart['version']}.tgz"
    assert hashlib.sha256(package.read_bytes()).hexdigest() == chart["sha256"]


def test_the_next_run_goes_on_where_one_ended_and_mends_what_was_damaged(
    client: Redirected,
    needed: dict[str, Image],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bundle"

    @dataclass(frozen=True, kw_only=True)
    class Failing(Redirected):
        def run(
            self, *arguments: str, stdin: str | None = None, seconds: float | None = None
        ) -> str:
            if arguments[0] == "pull" and "harbor-portal" in arguments[2]:
                raise CraneError("crane pull: connection reset")
            return super().run(*arguments, stdin=stdin, seconds=seconds)

    failing = Failing(executable=client.executable, host=client.host)
    monkeypatch.setattr(cranes, "find", lambda: failing)
    assert run(to=str(folder)) == 1
    words = capsys.readouterr().err
    assert "1 not copied; the next run goes on" in words
    assert "harbor-portal:v2.14.3: crane pull: connection reset" in words

    monkeypatch.setattr(cranes, "find", lambda: client)
    core = needed["core"].source
    layout = OciFolder(folder / "images")
    manifest = layout.path / "blobs" / client.digest(core).replace(":", "/")
    layer = json.loads(manifest.read_text())["layers"][0]["digest"]
    blob = layout.path / "blobs" / layer.replace(":", "/")
    blob.write_bytes(bytes(blob.stat().st_size))
    assert run(to=str(folder)) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "copied" in line]
    assert {re.sub(r"^.*goharbor/|:.*$", "", line) for line in lines} == {
        "harbor-portal",
        "harbor-core",
    }
    assert layout.damage(core, client.digest(core)) is None


def test_a_tag_that_was_moved_upstream_replaces_the_old_image(
    client: Redirected, needed: dict[str, Image], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    assert run(to=str(folder)) == 0
    database = needed["trivy-db"].source
    newer = push(client, tmp_path, database, "tomorrow's")
    assert run(to=str(folder)) == 0
    index = json.loads((folder / "images" / "index.json").read_text())["manifests"]
    names = [entry["annotations"][NAME] for entry in index]
    assert len(names) == len(set(names)) == len(needed)
    assert OciFolder(folder / "images").damage(database, newer) is None


def test_a_damaged_folder_is_not_pushed(
    client: Redirected,
    needed: dict[str, Image],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "bundle"
    assert run(to=str(folder)) == 0
    digest = client.digest(needed["core"].source)
    (folder / "images" / "blobs" / digest.replace(":", "/")).write_text("{}")
    capsys.readouterr()
    assert run(from_=str(folder), to=f"{client.host}/from-damaged") == 1
    words = capsys.readouterr().err
    assert "1 not copied" in words and "is damaged" in words
    with pytest.raises(CraneError, match=r"MANIFEST_UNKNOWN|NAME_UNKNOWN"):
        client.digest(f"{client.host}/from-damaged/goharbor/harbor-core:v2.14.3")
