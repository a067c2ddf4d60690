"""Whatever kubectl can use the program uses by the same rules, and refuses the rest in words.

The rows are those of the comparison in docs/decisions/0014-one-kubernetes-client.md.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.kubernetes import kubectl
from components.kubernetes.client import ClusterClient
from components.kubernetes.unreachable import ClusterUnreachable
from tests.support.api_server import HOST, ApiServer, tunnel
from tests.support.project import ROOT
from tests.unit.kubernetes.conftest import CLUSTER_UID, Kubeconfig

PATH = "/api/v1/namespaces/kube-system"
SECRET = "s3cret-of-a-plugin"


def reaches(context: str | None = None) -> ClusterClient:
    """A client that has reached the API server of the test."""
    client = ClusterClient(context)
    assert client.get(PATH)["metadata"]["uid"] == CLUSTER_UID
    return client


def refusal(context: str | None = None) -> str:
    """The words of the one error, without anything that a plugin printed for kubectl."""
    with pytest.raises(ClusterUnreachable) as refused:
        ClusterClient(context).get(PATH)
    words = str(refused.value)
    assert SECRET not in words
    return words


def token(api: ApiServer) -> str | None:
    return api.requests[-1].headers.get("Authorization")


# --- Files -------------------------------------------------------------------------------------


def test_the_first_current_context_of_several_files_wins(
    api: ApiServer, kubeconfig: Kubeconfig
) -> None:
    kubeconfig.use(
        kubeconfig.write("none", current=None, context="third", entry="third"),
        kubeconfig.write("one", user={"token": "one"}),
        kubeconfig.write("two", current="otech", context="otech", entry="otech"),
    )
    assert reaches().cluster_name == "omantel"
    assert token(api) == "Bearer one"


def test_a_context_is_found_in_whichever_file_it_is(api: ApiServer, kubeconfig: Kubeconfig) -> None:
    two = kubeconfig.write("two", context="otech", entry="otech", user={"token": "two"})
    kubeconfig.use(kubeconfig.write("one"), two)
    assert reaches("otech").cluster_name == "otech"
    assert token(api) == "Bearer two"


def test_absent_files_and_empty_entries_of_kubeconfig_are_passed_over(
    kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    kubeconfig.use(tmp_path / "absent", "", kubeconfig.write())
    reaches()


def test_without_kubeconfig_the_file_in_the_home_folder_is_read(kubeconfig: Kubeconfig) -> None:
    kubeconfig.write("home/.kube/config")
    reaches()


def test_paths_in_a_file_are_relative_to_its_folder(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    file = kubeconfig.write(
        "elsewhere/config",
        certificate_authority_data=None,
        certificate_authority="ca.pem",
        user={"tokenFile": "token"},
    )
    (tmp_path / "elsewhere" / "ca.pem").write_text(api.authority.certificate)
    (tmp_path / "elsewhere" / "token").write_text("from-a-file")
    kubeconfig.use(file)
    reaches()
    assert token(api) == "Bearer from-a-file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{{", "error loading config file"),
        ("", "no current-context in"),
        ("apiVersion: v1\nkind: Config\n", "no current-context in"),
        ("current-context: omantel", "context was not found|cannot locate|does not exist"),
    ],
)
def test_a_kubeconfig_without_the_context_is_refused_in_words(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "config").write_text(content)
    kubeconfig.use(tmp_path / "config")
    said = refusal()
    assert said.startswith("kubeconfig")
    assert any(part in said for part in words.split("|")), said
    assert api.requests == []


def test_a_kubeconfig_that_is_not_there_is_refused_with_its_path(
    kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    kubeconfig.use(tmp_path / "absent")
    assert f"no current-context in {tmp_path / 'absent'}; set KUBECONFIG" in refusal()


def test_a_context_that_no_file_has_is_refused_by_its_name(kubeconfig: Kubeconfig) -> None:
    kubeconfig.use(kubeconfig.write())
    assert "nizwa" in refusal("nizwa")


@pytest.mark.parametrize(
    ("section", "entries", "words"),
    [
        ("clusters", [], "cannot locate cluster omantel"),
        ("clusters", [{"name": "omantel", "cluster": {}}], "cluster omantel has no server"),
        ("users", [], "cannot locate user omantel-u"),
        ("users", [{"name": "omantel-u", "user": {}}], "has no user with credentials"),
        (
            "contexts",
            [{"name": "omantel", "context": {"cluster": "omantel"}}],
            "has no user with credentials",
        ),
    ],
)
def test_an_incomplete_context_is_refused_and_nobody_is_asked(
    api: ApiServer, kubeconfig: Kubeconfig, section: str, entries: list[Any], words: str
) -> None:
    """Without a server kubectl would ask localhost:8080, and without a user the terminal."""
    file = kubeconfig.write()
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), section: entries}))
    kubeconfig.use(file)
    assert words in refusal()
    assert api.requests == []


# --- Who asks ----------------------------------------------------------------------------------


def plugin(folder: Path, script: str, *, version: str = "v1", **more: Any) -> dict[str, Any]:
    """A user whose credentials come from a script, by a command relative to the kubeconfig."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": "./plugin",
            **({"interactiveMode": "Never"} if version == "v1" else {}),
            **more,
        }
    }


def credential(version: str = "v1", **status: str) -> str:
    document = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "kind": "ExecCredential",
        "status": status,
    }
    return f"cat <<'END'\n{json.dumps(document)}\nEND"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_gives_a_token(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path, version: str
) -> None:
    user = plugin(tmp_path, credential(version, token=SECRET), version=version)
    kubeconfig.use(kubeconfig.write(user=user))
    reaches()
    assert token(api) == f"Bearer {SECRET}"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_gives_a_client_certificate(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path, version: str
) -> None:
    pair = api.authority.pair("deployer")
    status = {"clientCertificateData": pair.certificate, "clientKeyData": pair.key}
    user = plugin(tmp_path, credential(version, **status), version=version)
    kubeconfig.use(kubeconfig.write(user=user))
    reaches()
    assert api.requests[-1].client_certificate == "deployer"


def test_a_plugin_is_not_told_the_secrets_of_the_stack(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives them to the program in its environment, decrypted."""
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"p:s3SecretKey": SECRET}))
    monkeypatch.setenv("PULUMI_CONFIG_P__S3SECRETKEY", SECRET)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", SECRET)
    monkeypatch.setenv("AWS_PROFILE", "of the plugin")
    user = plugin(tmp_path, f'env > "{tmp_path}/told"\n{credential(token="t")}')
    kubeconfig.use(kubeconfig.write(user=user))
    reaches()
    told = (tmp_path / "told").read_text()
    assert "AWS_PROFILE=of the plugin" in told
    assert SECRET not in told


def test_a_plugin_is_told_the_cluster(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    script = f'printf %s "$KUBERNETES_EXEC_INFO" > "{tmp_path}/told"\n{credential(token="t")}'
    user = plugin(tmp_path, script, provideClusterInfo=True)
    kubeconfig.use(kubeconfig.write(user=user))
    reaches()
    told = json.loads((tmp_path / "told").read_text())
    assert told["spec"]["cluster"]["server"] == api.url


def test_a_plugin_that_fails_is_quoted(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    script = f"echo {SECRET}; echo 'login expired: run corp login' >&2; exit 3"
    kubeconfig.use(kubeconfig.write(user=plugin(tmp_path, script)))
    words = refusal()
    assert "exit code 3" in words
    assert words.count("login expired: run corp login") == 1
    assert api.requests == [], "it went on as somebody else"


def test_a_plugin_that_is_missing_is_named_with_its_hint(
    api: ApiServer, kubeconfig: Kubeconfig
) -> None:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "corp-login",
            "installHint": "get it from the intranet",
            "interactiveMode": "Never",
        }
    }
    kubeconfig.use(kubeconfig.write(user=user))
    words = refusal()
    assert "corp-login not found" in words
    assert words.count("get it from the intranet") == 1
    assert api.requests == [], "it went on as somebody else"


@pytest.mark.parametrize("printed", [f"echo {SECRET}", "true", f'echo \'{{"a": "{SECRET}"}}\''])
def test_a_plugin_that_answers_no_credential_is_refused(
    api: ApiServer, kubeconfig: Kubeconfig, tmp_path: Path, printed: str
) -> None:
    kubeconfig.use(kubeconfig.write(user=plugin(tmp_path, printed)))
    assert refusal().startswith("getting credentials: ")
    assert api.requests == [], "it went on as somebody else"


def test_a_client_certificate_is_shown(api: ApiServer, kubeconfig: Kubeconfig) -> None:
    pair = api.authority.pair("deployer")
    data = {
        "client-certificate-data": base64.b64encode(pair.certificate.encode()).decode(),
        "client-key-data": base64.b64encode(pair.key.encode()).decode(),
    }
    kubeconfig.use(kubeconfig.write(user=data))
    reaches()
    assert api.requests[-1].client_certificate == "deployer"


def test_a_user_is_impersonated(api: ApiServer, kubeconfig: Kubeconfig) -> None:
    user = {"token": "t", "as": "deployer", "as-groups": ["platform"]}
    kubeconfig.use(kubeconfig.write(user=user))
    reaches()
    assert api.requests[-1].headers["Impersonate-User"] == "deployer"
    assert api.requests[-1].headers["Impersonate-Group"] == "platform"


# --- A pod's account ----------------------------------------------------------------------------


@pytest.fixture
def in_a_pod(api: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a pod, whose cluster is another one."""
    (tmp_path / "account-token").write_text("the runner's own")
    monkeypatch.setattr(kubectl, "_ACCOUNT_TOKEN", tmp_path / "account-token")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")


@pytest.mark.usefixtures("in_a_pod")
def test_kubeconfig_wins_over_the_account_of_a_pod(api: ApiServer, kubeconfig: Kubeconfig) -> None:
    kubeconfig.use(kubeconfig.write(entry="default"))
    assert reaches().cluster_name == "default"
    assert token(api) == "Bearer t0ken"


@pytest.mark.usefixtures("in_a_pod")
def test_a_wrong_path_in_kubeconfig_is_not_the_account_of_a_pod(
    kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    kubeconfig.use(tmp_path / "absent")
    assert "no current-context" in refusal()


@pytest.mark.usefixtures("in_a_pod")
def test_a_context_is_not_the_account_of_a_pod(kubeconfig: Kubeconfig) -> None:
    assert "omantel" in refusal("omantel")


@pytest.mark.usefixtures("in_a_pod")
def test_the_account_of_a_pod_has_no_cluster_entry() -> None:
    """Nothing is asked here: kubectl itself looks for the token below /var/run."""
    assert ClusterClient(None).cluster_name is None


MOUNTS = ["unshare", "--map-root-user", "--mount"]
ASK = """
from components.kubernetes.client import ClusterClient
client = ClusterClient(None)
print(client.cluster_name, client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
"""


@pytest.mark.skipif(
    subprocess.run([*MOUNTS, "true"], capture_output=True).returncode != 0,
    reason="this machine gives nobody a mount namespace of his own",
)
def test_the_account_of_a_pod_is_used_where_there_is_no_kubeconfig(
    api: ApiServer, tmp_path: Path
) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("of-the-pod")
    (account / "ca.crt").write_text(api.authority.certificate)
    place = "/run/secrets/kubernetes.io"
    script = f"""set -e
    mount -t tmpfs none /run
    mkdir -p {place}
    cp -r {account} {place}/serviceaccount
    exec '{sys.executable}' -c '{ASK}'
    """
    asked = subprocess.run(
        [*MOUNTS, "sh", "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api.port),
        },
        capture_output=True,
        text=True,
    )
    assert asked.stdout == f"None {CLUSTER_UID}\n", asked.stderr
    assert token(api) == "Bearer of-the-pod"


def test_outside_a_pod_no_kubeconfig_at_all_is_refused(api: ApiServer) -> None:
    """kubectl alone would ask whatever listens on localhost:8080."""
    assert "no current-context in ~/.kube/config" in refusal()


# --- The way there -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_proxy_of_the_kubeconfig_is_used(
    api: ApiServer, kubeconfig: Kubeconfig, scheme: str
) -> None:
    with tunnel(api.port, socks=scheme == "socks5") as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        kubeconfig.use(kubeconfig.write(server=f"https://{HOST}:6443", proxy_url=url))
        reaches()
        kubectl.close_all()
    assert f"{HOST}:6443" in proxy.targets


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_proxy_of_the_environment_is_used(
    api: ApiServer, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with tunnel(api.port, socks=scheme == "socks5") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        kubeconfig.use(kubeconfig.write(server=f"https://{HOST}:6443"))
        reaches()
        kubectl.close_all()
    assert f"{HOST}:6443" in proxy.targets


@pytest.mark.parametrize(("excluded", "is_direct"), [("0.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_a_range_in_no_proxy_is_respected(
    api: ApiServer,
    kubeconfig: Kubeconfig,
    monkeypatch: pytest.MonkeyPatch,
    excluded: str,
    is_direct: bool,
) -> None:
    """0.0.0.0 is this machine, and not of the loopback range, which Go never asks a proxy for."""
    with tunnel(api.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", excluded)
        server = f"https://0.0.0.0:{api.port}"
        kubeconfig.use(kubeconfig.write(server=server, tls_server_name=HOST))
        reaches()
        kubectl.close_all()
    assert (proxy.targets == []) is is_direct


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_all_proxy_is_the_environment_s_and_not_kubectl_s(
    api: ApiServer, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Go knows no ALL_PROXY, so neither kubectl nor pulumi-kubernetes goes there."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:1")
    kubeconfig.use(kubeconfig.write(server=f"https://0.0.0.0:{api.port}", tls_server_name=HOST))
    reaches()


def test_the_certificate_s_name_may_be_another_than_the_server_s(
    api: ApiServer, kubeconfig: Kubeconfig
) -> None:
    url = f"https://localhost:{api.port}"
    kubeconfig.use(kubeconfig.write(server=url, tls_server_name=HOST))
    reaches()
    kubeconfig.use(kubeconfig.write("other", server=url))
    assert "certificate is valid for" in refusal()


def test_a_server_that_does_not_answer_is_named(kubeconfig: Kubeconfig) -> None:
    kubeconfig.use(kubeconfig.write(server="https://127.0.0.1:1"))
    assert refusal() == "dial tcp 127.0.0.1:1: connect: connection refused"
