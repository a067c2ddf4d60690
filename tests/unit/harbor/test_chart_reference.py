"""Which chart is installed: what is accepted as a reference and what is refused before use."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from components.harbor import chart
from components.harbor.chart import ChartError, ChartReference, chart_reference

VERSION = "1.18.3"
CHART_YAML = f"name: harbor\nversion: {VERSION}\nappVersion: 2.14.3\n"
REPOSITORY = "https://helm.goharbor.io"
OCI = "oci://registry.example.com/charts/harbor"
DIGEST = "0" * 64


def folder(at: Path, chart_yaml: str = CHART_YAML) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    (at / "Chart.yaml").write_text(chart_yaml)
    return at


def package(at: Path, files: dict[str, str] | None = None) -> Path:
    with tarfile.open(at, "w:gz") as archive:
        for name, text in (files or {"harbor/Chart.yaml": CHART_YAML}).items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return at


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (REPOSITORY, ChartReference(chart="harbor", version=VERSION, repository=REPOSITORY)),
        (OCI, ChartReference(chart=OCI, version=VERSION)),
    ],
)
def test_what_is_fetched_is_fetched_at_the_exact_version(
    source: str, expected: ChartReference
) -> None:
    assert chart_reference(source, VERSION) == expected


def test_a_folder_and_a_package_are_used_where_they_are(tmp_path: Path) -> None:
    subchart = {"harbor/charts/other/Chart.yaml": "version: 9.9.9\n"}
    for path in (
        folder(tmp_path / "harbor"),
        package(tmp_path / "plain.tgz"),
        package(tmp_path / "nested.tgz", {**subchart, "harbor/Chart.yaml": CHART_YAML}),
    ):
        # With the version: the engine reads it from the chart only when all values are known.
        reference = chart_reference(str(path), VERSION)
        assert reference == ChartReference(chart=str(path), version=VERSION)


def test_a_path_with_another_version_is_refused_with_the_command_that_mends_it(
    tmp_path: Path,
) -> None:
    path = folder(tmp_path / "harbor", "version: 1.17.0\n")
    with pytest.raises(ChartError, match=r"version = 1\.18\.3, but .* holds 1\.17\.0") as refusal:
        chart_reference(str(path), VERSION)
    assert "pulumi config set --path 'harbor.chart.version' 1.17.0" in str(refusal.value)


def test_a_package_with_the_reviewed_digest_is_used(tmp_path: Path) -> None:
    path = package(tmp_path / "harbor.tgz")
    reference = chart_reference(str(path), VERSION, digest_of(path))
    assert reference == ChartReference(chart=str(path), version=VERSION)


def test_a_package_that_was_changed_after_the_review_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "harbor.tgz")
    reviewed = digest_of(path)
    package(path, {"harbor/Chart.yaml": CHART_YAML, "harbor/templates/extra.yaml": "{}"})
    with pytest.raises(ChartError, match="not the chart that was reviewed") as refusal:
        chart_reference(str(path), VERSION, reviewed)
    assert reviewed in str(refusal.value)
    assert digest_of(path) in str(refusal.value)


@pytest.mark.parametrize("source", [REPOSITORY, "http://charts.example.com", OCI])
def test_a_digest_is_never_silently_left_unchecked(source: str) -> None:
    with pytest.raises(ChartError, match=r"harbor\.chart\.sha256") as refusal:
        chart_reference(source, VERSION, DIGEST)
    assert f"--version {VERSION}" in str(refusal.value)
    assert source in str(refusal.value)
    assert "harbor.chart.source" in str(refusal.value)


def test_a_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match=r"needs a packaged chart, and .* is a folder"):
        chart_reference(str(folder(tmp_path / "harbor")), VERSION, DIGEST)


def test_a_path_that_is_not_there_is_not_called_a_folder(tmp_path: Path) -> None:
    for digest in (None, DIGEST):
        with pytest.raises(ChartError, match="is no Helm chart") as refusal:
            chart_reference(str(tmp_path / "missing.tgz"), VERSION, digest)
        assert "folder" not in str(refusal.value)


def test_what_is_no_chart_is_refused_by_name(tmp_path: Path) -> None:
    whole = package(tmp_path / "whole.tgz").read_bytes()
    files = {
        "text.tgz": b"text",
        "empty.tgz": b"",
        "cut-off.tgz": whole[: len(whole) // 2],
        "damaged.tgz": whole[:40] + bytes(8) + whole[48:],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    paths = [
        *(tmp_path / name for name in files),
        package(tmp_path / "no-chart.tgz", {"harbor/values.yaml": ""}),
        package(tmp_path / "deeper.tgz", {"a/b/Chart.yaml": CHART_YAML}),
        folder(tmp_path / "no-yaml", "version: ["),
        folder(tmp_path / "list", "- version\n"),
        folder(tmp_path / "nothing", ""),
    ]
    (tmp_path / "no-chart-yaml").mkdir()
    for path in [*paths, tmp_path / "no-chart-yaml"]:
        with pytest.raises(ChartError, match="is no Helm chart") as refusal:
            chart_reference(str(path), VERSION)
        assert str(path) in str(refusal.value)


def linked(at: Path, **link: str | bytes) -> Path:
    with tarfile.open(at, "w:gz") as archive:
        member = tarfile.TarInfo("harbor/Chart.yaml")
        for key, value in link.items():
            setattr(member, key, value)
        archive.addfile(member)
    return at


def test_a_damaged_or_hostile_chart_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart, "_LARGEST_CHART", 100_000)
    monkeypatch.setattr(chart, "_LARGEST_METADATA", 10_000)
    pipe = tmp_path / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "Chart.yaml")
    dangling = tmp_path / "dangling"
    dangling.mkdir()
    (dangling / "Chart.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text.tgz").write_text("version: 1.18.3\n" * 10_000)
    for path in (
        linked(tmp_path / "broken-link.tgz", type=tarfile.SYMTYPE, linkname="nowhere"),
        linked(tmp_path / "loop.tgz", type=tarfile.SYMTYPE, linkname="Chart.yaml"),
        linked(tmp_path / "hard-link.tgz", type=tarfile.LNKTYPE, linkname="harbor/x"),
        linked(tmp_path / "folder.tgz", type=tarfile.DIRTYPE),
        package(tmp_path / "bomb.tgz", {"harbor/Chart.yaml": CHART_YAML, "x": "0" * 10**6}),
        package(tmp_path / "long.tgz", {"harbor/Chart.yaml": "#" * 20_000 + "\n" + CHART_YAML}),
        package(tmp_path / "deep.tgz", {"harbor/Chart.yaml": "[" * 9_000}),
        tmp_path / "text.tgz",
        pipe,
        dangling,
    ):
        with pytest.raises(ChartError, match="is no Helm chart") as refusal:
            chart_reference(str(path), VERSION)
        assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("version", ["[1, 2]", "{a: b}", "x" * 500, "1.18", "null"])
def test_a_version_that_is_none_is_not_the_asked_one(tmp_path: Path, version: str) -> None:
    with pytest.raises(ChartError, match="holds") as refusal:
        chart_reference(str(folder(tmp_path, f"version: {version}\n")), VERSION)
    assert len(str(refusal.value)) < 600


def test_of_a_folder_of_packages_the_one_of_that_version_is_used(tmp_path: Path) -> None:
    held = package(tmp_path / f"harbor-{VERSION}.tgz")
    package(tmp_path / "harbor-1.19.1.tgz", {"harbor/Chart.yaml": "version: 1.19.1\n"})
    expected = ChartReference(chart=str(held), version=VERSION)
    assert chart_reference(str(tmp_path), VERSION) == expected
    assert chart_reference(str(tmp_path), VERSION, digest_of(held)) == expected
    with pytest.raises(ChartError, match="not the chart that was reviewed"):
        chart_reference(str(tmp_path), VERSION, DIGEST)


def test_a_folder_without_a_package_of_that_version_is_refused_with_one_that_it_has(
    tmp_path: Path,
) -> None:
    package(tmp_path / "harbor-1.19.1.tgz")
    with pytest.raises(ChartError, match=r"1\.18\.3, but .* holds harbor-1\.19\.1\.tgz") as refusal:
        chart_reference(str(tmp_path), VERSION)
    assert "'harbor.chart.version' 1.19.1" in str(refusal.value)


def test_a_chart_s_own_values_are_read_from_folder_and_package(tmp_path: Path) -> None:
    values = "core:\n  image: {repository: goharbor/harbor-core, tag: v2.14.3}\n"
    at = folder(tmp_path / "harbor")
    (at / "values.yaml").write_text(values)
    files = {"harbor/Chart.yaml": CHART_YAML, "harbor/values.yaml": values}
    for path in (at, package(tmp_path / "harbor.tgz", files)):
        assert chart.default_values(path)["core"]["image"]["tag"] == "v2.14.3"
    for text in ("- a\n", "a: [", None):
        (at / "values.yaml").unlink()
        if text is not None:
            (at / "values.yaml").write_text(text)
        else:
            (at / "values.yaml").mkdir()
        with pytest.raises(ChartError, match="is no Helm chart"):
            chart.default_values(at)
    with pytest.raises(ChartError, match=r"it has no values\.yaml"):
        chart.default_values(package(tmp_path / "bare.tgz"))


def test_a_folder_is_packed_into_the_same_bytes_each_time(tmp_path: Path) -> None:
    at = folder(tmp_path / "chart")
    (at / "templates").mkdir()
    (at / "templates" / "a.yaml").write_text("{}")
    (at / ".git").mkdir()
    (at / ".git" / "config").write_text("secret")
    first = chart.packaged(at)
    os.utime(at / "Chart.yaml", (0, 0))
    assert chart.packaged(at) == first
    path = tmp_path / "packed.tgz"
    path.write_bytes(first)
    assert chart_reference(str(path), VERSION).version == VERSION
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["harbor/Chart.yaml", "harbor/templates/a.yaml"]
    assert chart.packaged(path) == first


@pytest.mark.parametrize(
    "metadata",
    [
        "version: &a [*a]\n",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '*a'] * 9)}]\n" for n in range(9)
        )
        + "version: *a8\n",
        'version: !!int ""\n',
        "version: !!bool x\n",
        "version: !!timestamp x\n",
        "- " * 100_000,
    ],
    ids=range(6),
)
def test_metadata_that_would_fill_the_memory_or_break_the_parser_is_no_chart(
    metadata: str, tmp_path: Path
) -> None:
    (tmp_path / "Chart.yaml").write_text(metadata)
    with pytest.raises(ChartError, match="no Helm chart"):
        chart_reference(str(tmp_path), "1.18.3")
