"""`make bundle` without a network: the list, what is refused, and what a person is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import versions
from components.harbor import chart, chart_download
from components.harbor.chart_download import ChartUnreachable, Package
from components.images import PLATFORM
from engine import crane as cranes
from engine import stacks
from engine.crane import Crane, CraneError, words
from operations import bundle, bundle_list
from operations.__main__ import main
from operations.bundle import Request
from operations.bundle_list import LIST, NO_CRANE
from operations.oci_folder import FolderError, OciFolder
from tests.support import builders
from tests.support.builders import Cluster
from tests.support.project import ROOT

STACK = "omantel"
CHART = str(ROOT / "offline" / "harbor-chart")
DEPLOYMENTS = "/apis/apps/v1/namespaces/cnpg-system/deployments"
DIGEST = f"sha256:{'a' * 64}"


@dataclass(frozen=True, kw_only=True)
class Registries(Crane):
    """crane before registries that have the images of `digests`, and take nothing."""

    executable: Path = Path("/crane")
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    everything: str | None = None
    refusal: str = "crane copy: PUT https://mirror: UNAUTHORIZED: authentication required"

    def run(self, *arguments: str, stdin: str | None = None, seconds: float | None = None) -> str:
        if arguments[0] != "digest":
            raise CraneError(self.refusal)
        digest = self.digests.get(arguments[1], self.everything)
        if digest is None or arguments[1].startswith("mirror.internal"):
            raise CraneError("crane digest: dial tcp: no such host")
        return f"{digest}\n"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No crane, no cluster, and a chart that lies in the project."""
    monkeypatch.setenv("HARBOR_CHART", CHART)
    monkeypatch.setattr(cranes, "find", lambda: None)
    monkeypatch.setattr(bundle_list, "ClusterClient", Cluster(is_up=False))


def run(capsys: pytest.CaptureFixture[str], **options: str) -> tuple[int, str, str]:
    code = bundle.run(Request(stack=STACK, **options))
    out = capsys.readouterr()
    return code, out.out, out.err


def entries(text: str) -> dict[str, dict[str, Any]]:
    data = json.loads(text)
    return {each["component"]: each for each in (*data["images"], *data["databases"])}


def test_without_a_network_the_list_is_whole_and_says_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys)
    assert code == 0
    data = json.loads(out)
    listed = entries(out)
    assert data["format"] == 1 and data["stack"] == STACK and data["imageRegistry"] is None
    assert data["charts"][0]["version"] == versions.HARBOR_CHART
    assert len(data["charts"][0]["sha256"]) == 64
    assert listed["core"] == {
        "component": "core",
        "role": "program",
        "source": "docker.io/goharbor/harbor-core:v2.14.3",
        "alternatives": [],
        "reference": "goharbor/harbor-core:v2.14.3",
        "digest": None,
        "pinned": False,
        "platform": PLATFORM,
        "chartKey": "core.image",
    }
    assert listed["cache"]["digest"] == versions.VALKEY_IMAGE.partition("@")[2]
    assert listed["cache"]["pinned"] is True
    assert {each["component"] for each in data["databases"]} == {"trivy-db", "trivy-java-db"}
    assert f"note: {len(listed) - 1} of {len(listed)} digests are not known: crane is" in err
    assert any("software of the estate" in note for note in data["notes"])
    assert any("database-operator: the version that this" in note for note in data["notes"])


def test_the_list_is_the_same_in_yaml_and_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "list.yaml"
    code, out, _ = run(capsys, form="yaml", output=str(file))
    assert (code, out) == (0, "")
    assert yaml.safe_load(file.read_text()) == json.loads(run(capsys)[1])


def test_digests_are_those_of_the_registries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = "ghcr.io/aquasecurity/trivy-db:2"
    digests = {"docker.io/goharbor/harbor-core:v2.14.3": DIGEST, second: DIGEST}
    monkeypatch.setattr(cranes, "find", lambda: Registries(digests=digests))
    listed = entries(run(capsys)[1])
    assert listed["core"]["digest"] == DIGEST
    assert listed["portal"]["digest"] is None
    # The first repository did not answer.
    assert (listed["trivy-db"]["source"], listed["trivy-db"]["digest"]) == (second, DIGEST)
    assert listed["trivy-db"]["alternatives"] == ["mirror.gcr.io/aquasec/trivy-db:2"]


def deployment(**variables: Any) -> dict[str, Any]:
    env = [{"name": name, **value} for name, value in variables.items()]
    return {"spec": {"template": {"spec": {"containers": [{"name": "manager", "env": env}]}}}}


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (
            "ghcr.io/cloudnative-pg/cloudnative-pg:1.29.3",
            "ghcr.io/cloudnative-pg/cloudnative-pg:1.29.3",
        ),
        (
            f"mirror.internal/cnpg/cloudnative-pg:1.29.3@{DIGEST}",
            f"ghcr.io/cloudnative-pg/cloudnative-pg:1.29.3@{DIGEST}",
        ),
        ("quay.io/us/our-operator:7", "quay.io/us/our-operator:7"),
    ],
)
def test_the_cluster_says_which_image_its_operator_adds(
    value: str,
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(
        objects={DEPLOYMENTS: {"items": [deployment(OPERATOR_IMAGE_NAME={"value": value})]}}
    )
    monkeypatch.setattr(bundle_list, "ClusterClient", cluster)
    _, out, err = run(capsys)
    listed = entries(out)["database-operator"]
    assert (listed["source"], listed["reference"]) == (source, value)
    assert "database-operator: the version" not in err


def test_the_sidecar_of_backups_is_read_from_where_its_plugin_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.13.0"
    encoded = base64.b64encode(f"{name}\n".encode()).decode()
    reference = {"valueFrom": {"secretKeyRef": {"name": "plugin", "key": "SIDECAR_IMAGE"}}}
    cluster = Cluster(
        objects={
            DEPLOYMENTS: {"items": [deployment(SIDECAR_IMAGE=reference)]},
            "/api/v1/namespaces/cnpg-system/secrets/plugin": {"data": {"SIDECAR_IMAGE": encoded}},
        }
    )
    monkeypatch.setattr(bundle_list, "ClusterClient", cluster)
    settings = builders.settings()
    names, reason = bundle_list._operators(settings)
    assert (names["backup-sidecar"].source, reason) == (name, "")


def test_another_cluster_s_operator_says_nothing_about_this_stack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_list, "ClusterClient", Cluster(cluster_name="otech"))
    _, out, err = run(capsys)
    assert entries(out)["database-operator"]["source"] == versions.POSTGRES_OPERATOR_IMAGE
    assert "the cluster that the kubeconfig reaches is not the stack's" in err


def test_a_chart_that_is_not_reached_leaves_its_images_to_its_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARBOR_CHART")

    def unreachable(source: str, version: str) -> Package:
        raise ChartUnreachable(f"{source} was not reached\n  fix: a way out")

    monkeypatch.setattr(chart_download, "package", unreachable)
    code, out, err = run(capsys)
    assert code == 0
    assert json.loads(out)["charts"][0]["url"] is None
    assert entries(out)["core"]["source"] == "docker.io/goharbor/harbor-core:v2.14.3"
    assert "the chart was not read, so its images are those of its version" in err


def test_a_new_version_of_a_chart_in_the_mirror_is_read_where_it_is_published(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HARBOR_CHART")
    content = chart.packaged(Path(CHART))
    asked: list[str] = []

    def published(source: str, version: str) -> Package:
        asked.append(source)
        return Package(content=content, url=f"{source}/harbor-{version}.tgz")

    monkeypatch.setattr(chart_download, "package", published)
    file = tmp_path / "Pulumi.omantel.yaml"
    text = stacks.file_of(STACK).read_text()
    mirrored = (
        f"{text}  sovereign-harbor:imageRegistry: mirror.internal/a\n"
        "  sovereign-harbor:harbor:\n    chart:\n"
        "      source: oci://mirror.internal/a/charts/harbor\n"
    )
    file.write_text(mirrored)
    monkeypatch.setattr(stacks, "file_of", lambda stack: file)
    code, out, _ = run(capsys)
    assert (code, asked) == (0, ["https://helm.goharbor.io"])
    assert entries(out)["core"]["reference"] == "mirror.internal/a/goharbor/harbor-core:v2.14.3"
    assert entries(out)["core"]["source"] == "docker.io/goharbor/harbor-core:v2.14.3"

    file.write_text(f"{mirrored}      sha256: '{'0' * 64}'\n")
    code, _, err = run(capsys)
    sha256 = json.loads(out)["charts"][0]["sha256"]
    assert code == 1
    assert f"'harbor.chart.sha256' {sha256} -s {STACK}" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "docker.io/Upper"}, "TO=docker.io/Upper is no place in a registry: upper-case"),
        ({"to": "me:secret@mirror.internal/a"}, "credentials do not belong"),
        ({"from_": "/tmp"}, "set TO=HOST[:PORT][/PATH] too"),
        ({"from_": "/tmp", "to": "./b"}, "FROM is copied into a registry only"),
        ({"to": "mirror.internal"}, NO_CRANE.splitlines()[0]),
        ({"to": "./folder"}, NO_CRANE.splitlines()[0]),
    ],
)
def test_what_cannot_be_copied_is_refused_at_once(
    options: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, **options)
    assert (code, out) == (1, "")
    assert words in err


def test_a_folder_that_no_bundle_is_in_is_refused_with_the_command_that_makes_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cranes, "find", Registries)
    code, _, err = run(capsys, from_=str(tmp_path), to="mirror.internal/a")
    assert code == 1
    assert f"{tmp_path} has no {LIST}" in err
    assert f"make bundle STACK={STACK} TO={tmp_path}" in err


def test_a_folder_that_misses_what_the_stack_needs_now_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cranes, "find", Registries)
    data = json.loads(run(capsys)[1])
    data["images"] = [each for each in data["images"] if each["component"] != "portal"]
    data["charts"] = []
    (tmp_path / LIST).write_text(json.dumps(data))
    code, _, err = run(capsys, from_=str(tmp_path), to="mirror.internal/a")
    assert code == 1
    assert f"needs now: chart harbor {versions.HARBOR_CHART}, docker.io/goharbor/harbor-p" in err


def test_a_registry_that_refuses_is_named_with_the_command_that_logs_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cranes, "find", lambda: Registries(everything=DIGEST))
    code, out, err = run(capsys, to="mirror.internal:5000/harbor")
    assert code == 1
    assert f"{len(entries(out)) + 1} not copied; the next run goes on with these" in err
    assert "mirror.internal:5000/harbor/goharbor/harbor-core:v2.14.3: crane copy" in err
    assert "crane auth login mirror.internal:5000\n" in err


def test_what_is_not_known_upstream_is_not_copied_silently(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cranes, "find", Registries)
    code, _, err = run(capsys, to=str(tmp_path / "bundle"))
    assert code == 1
    assert "docker.io/goharbor/harbor-core:v2.14.3: crane digest: dial tcp: no such host" in err


def test_a_folder_with_something_else_in_it_is_left_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cranes, "find", Registries)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "photo").write_text("mine")
    code, _, err = run(capsys, to=str(tmp_path))
    assert code == 1
    assert "neither empty nor a folder of images" in err
    assert (tmp_path / "images" / "photo").read_text() == "mine"


def test_refused_settings_and_a_stack_that_is_not_there_have_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["bundle", "nobody"]) == 1
    assert (
        "there is no Pulumi.nobody.yaml: gitlabbda, local, omantel, otech"
        in capsys.readouterr().err
    )
    assert main(["bundle", " "]) == 1
    assert "make bundle STACK=omantel" in capsys.readouterr().err
    file = tmp_path / "Pulumi.omantel.yaml"
    text = stacks.file_of(STACK).read_text()
    file.write_text(f"{text}  sovereign-harbor:imageRegistry: registry.omantel.omani.works\n")
    monkeypatch.setattr(stacks, "file_of", lambda stack: file)
    assert main(["bundle", STACK]) == 1
    assert "nobody could pull the images that start it" in capsys.readouterr().err


def test_no_secret_of_the_stack_is_in_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "Pulumi.omantel.yaml"
    text = stacks.file_of(STACK).read_text()
    file.write_text(
        f"{text}  sovereign-harbor:s3AccessKey:\n    secure: v1:CIPHER\n"
        "  sovereign-harbor:s3SecretKey: IN-PLAIN-TEXT-BY-MISTAKE\n"
    )
    monkeypatch.setattr(stacks, "file_of", lambda stack: file)
    code, out, err = run(capsys)
    assert code == 0
    for secret in ("CIPHER", "IN-PLAIN-TEXT"):
        assert secret not in out + err


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("2026/11/26 retrying\nError: GET https://a/v2/: DENIED\n", "GET https://a/v2/: DENIED"),
        ("Error: GET https://u:p@a/v2/x: no", "GET https://a/v2/x: no"),
        (
            'Error: Get "https://s3/blob?X-Amz-Signature=abc&t=1": EOF',
            'Get "https://s3/blob": EOF',
        ),
        ("one line", "one line"),
        ("", "no reason given"),
    ],
)
def test_crane_s_reason_is_shown_without_what_is_signed(errors: str, reason: str) -> None:
    assert words(errors) == reason


def test_a_folder_of_images_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = OciFolder(tmp_path / "images")
    folder.prepare()
    folder.prepare()
    digest = folder.put("a/b:1", config=b"{}", config_type="x/y", layer=b"layer", of="x/layer")
    assert folder.damage("a/b:1", digest) is None
    assert "has no a/b:2" in str(folder.damage("a/b:2", digest))
    with folder.alone("a/b:1", digest) as alone:
        assert OciFolder(alone).damage("a/b:1", digest) is None
    with pytest.raises(FolderError, match="is not in"):
        folder.call(DIGEST, "a/c:1")
    manifest = folder.path / "blobs" / digest.replace(":", "/")
    layer = json.loads(manifest.read_text())["layers"][0]["digest"]
    blob = folder.path / "blobs" / layer.replace(":", "/")
    blob.write_bytes(b"LAYER")
    assert "is damaged" in str(folder.damage("a/b:1", digest))
    folder.remove_damaged("a/b:1", digest)
    assert "is missing" in str(folder.damage("a/b:1", digest))
    for text in ("[]", "{", '{"manifests": 1}'):
        (folder.path / "index.json").write_text(text)
        with pytest.raises(FolderError, match="index of images"):
            folder.prepare()


@pytest.mark.parametrize("digest", ["{outside}", "sha256:../../../outside", "sha512:x", None, 7])
@pytest.mark.parametrize("place", ["index", "manifest"])
def test_a_digest_that_is_none_leads_to_no_file(place: str, digest: Any, tmp_path: Path) -> None:
    """A blob of a wrong content is removed, and a digest is a path of a file."""
    outside, folder = tmp_path / "outside", tmp_path / "images"
    outside.write_text("kept")
    images = OciFolder(folder)
    images.prepare()
    image = images.put("x", config=b"{}", config_type="c", layer=b"l", of="t")
    odd = digest.format(outside=outside) if isinstance(digest, str) else digest
    descriptor = {"digest": odd, "annotations": {"org.opencontainers.image.ref.name": "x"}}
    if place == "index":
        (folder / "index.json").write_text(json.dumps({"manifests": [descriptor]}))
        with pytest.raises(FolderError, match="digest"):
            images.damage("x", image)
        with pytest.raises(FolderError, match="digest"):
            images.remove_damaged("x", str(odd))
    else:
        manifest = folder / "blobs" / image.replace(":", "/")
        manifest.write_text(json.dumps({"config": descriptor, "layers": []}))
        assert "damaged" in (images.damage("x", image) or "")
        images.remove_damaged("x", image)
        assert not manifest.exists()
    assert outside.read_text() == "kept"


def test_an_index_that_contains_itself_ends(tmp_path: Path) -> None:
    """Digests do not let it, and they are compared only while it is read."""
    folder, digest = tmp_path / "images", f"sha256:{'0' * 64}"
    images = OciFolder(folder)
    images.prepare()
    index = {
        "digest": digest,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "annotations": {"org.opencontainers.image.ref.name": "x"},
    }
    text = json.dumps({"manifests": [index]})
    (folder / "index.json").write_text(text)
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "blobs" / "sha256" / ("0" * 64)).write_text(text)
    assert "another digest" in (images.damage("x", digest) or "")
