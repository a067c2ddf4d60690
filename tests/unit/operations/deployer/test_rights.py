"""Which calls a Role allows that is made of objects and paths."""

from __future__ import annotations

from typing import Any

import pytest

from components.delivery import handover
from components.delivery.handover import HandoverProvider
from components.preflight import beside
from components.settings.model import Settings
from operations.__main__ import main
from operations.deployer import needs
from operations.deployer.rights import NAME, Object, Rights
from tests.support.builders import settings
from tests.unit.delivery.test_handover import INPUTS, Store, owned
from tests.unit.delivery.test_handover import NAME as HANDED_OVER
from tests.unit.operations.test_drill_rights import Call, is_allowed, of_call

STORE = {"delivery": "external", "store": {"kind": "ClusterSecretStore", "name": "platform"}}


def allows(rights: Rights, call: Call) -> bool:
    return any(
        is_allowed(call, rule)
        for role in rights.roles()
        if role["kind"] in ("Role", "ClusterRole")
        and role["metadata"].get("namespace", "") in ("", call[0])
        for rule in role["rules"]
    )


def of(**sections: Any) -> Rights:
    return needs.rights(settings(**sections), "omantel")


BESIDE_OTHERS = {"namespace": "team", "sharedNamespace": True}


@pytest.mark.parametrize(
    ("rights", "call", "is_right"),
    [
        # Of a namespace of Harbor's own, all that Helm may have left there under whatever name.
        (of(), ("harbor", "apps", "deployments", "harbor-old", "delete"), True),
        (of(), ("harbor", "apps", "daemonsets", "", "create"), False),
        (of(), ("", "", "namespaces", "", "create"), False),
        (of(), ("", "", "namespaces", "harbor", "patch"), True),
        (of(), ("", "", "namespaces", "harbor", "delete"), False),
        (of(retainData=False), ("", "", "namespaces", "harbor", "delete"), True),
        (of(), ("", "", "namespaces", "other", "get"), False),
        # Of what is shared, only what is this stack's.
        (of(harbor=BESIDE_OTHERS), ("team", "apps", "deployments", "harbor-core", "patch"), True),
        (of(harbor=BESIDE_OTHERS), ("team", "apps", "deployments", "gitlab", "patch"), False),
        (of(harbor=BESIDE_OTHERS), ("team", "", "services", "gitlab", "delete"), False),
        (of(harbor=BESIDE_OTHERS), ("team", "", "services", "", "create"), True),
        (of(harbor=BESIDE_OTHERS), ("", "", "namespaces", "team", "patch"), False),
        (of(harbor=BESIDE_OTHERS), ("", "", "namespaces", "team", "get"), True),
        # Helm's records are Secrets.
        (
            of(harbor=BESIDE_OTHERS),
            ("team", "", "secrets", "sh.helm.release.v1.harbor.v7", "delete"),
            True,
        ),
        # Policies of others.
        (of(), ("", "policies.kyverno.io", "validatingpolicies", "theirs", "delete"), False),
        (
            of(imagePolicy={"enabled": False}),
            ("", "policies.kyverno.io", "validatingpolicies", "", "create"),
            False,
        ),
        # Secrets in other namespaces.
        (of(), ("flux-system", "bitnami.com", "sealedsecrets", "", "create"), True),
        (of(), ("flux-system", "bitnami.com", "sealedsecrets", "theirs", "delete"), False),
        (of(), ("flux-system", "", "secrets", "", "list"), False),
        (of(), ("flux-system", "external-secrets.io", "externalsecrets", "", "create"), False),
        (
            of(secrets=STORE),
            ("flux-system", "external-secrets.io", "pushsecrets", "object-storage", "patch"),
            True,
        ),
        (
            of(secrets=STORE),
            ("flux-system", "", "secrets", "object-storage-pushed", "delete"),
            True,
        ),
        (of(secrets=STORE), ("flux-system", "", "secrets", "theirs", "delete"), False),
        (of(secrets=STORE), ("flux-system", "", "secrets", "theirs", "patch"), False),
        (of(secrets=STORE), ("flux-system", "bitnami.com", "sealedsecrets", "", "list"), False),
        (
            of(secrets=STORE),
            ("kube-system", "", "services/proxy", "http:sealed-secrets-controller:8080", "get"),
            False,
        ),
        # Without backups there is nothing to drill.
        (of(), ("harbor-drill", "", "secrets", "", "create"), False),
        (of(), ("harbor", "", "pods/exec", "", "create"), False),
    ],
)
def test_a_call_is_allowed_where_the_stack_needs_it(
    rights: Rights, call: Call, is_right: bool
) -> None:
    assert allows(rights, call) is is_right


def test_no_role_has_a_wildcard_or_gives_more_rights() -> None:
    for role in of(secrets=STORE, harbor=BESIDE_OTHERS).roles():
        for rule in role.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert "" not in rule.get("resourceNames", ["some"])


def test_a_shared_namespace_and_its_account_are_not_made_twice() -> None:
    def namespaces(**sections: Any) -> list[str]:
        made = needs.documents(settings(**sections), "omantel")
        return [each["metadata"]["name"] for each in made if each["kind"] == "Namespace"]

    assert namespaces() == [NAME, "harbor"]
    assert namespaces(harbor=BESIDE_OTHERS) == [NAME]


class Written(Store):
    """A store's API server that remembers all calls."""

    def __init__(self, data: dict[str, str] | None) -> None:
        super().__init__(data)
        self.calls: list[str] = []

    def get(self, path: str) -> Any:
        self.calls.append(f"GET {path}")
        return super().get(path)

    def post(self, path: str, body: Any) -> Any:
        self.calls.append(f"POST {path}")
        return super().post(path, body)

    def delete(self, path: str) -> None:
        self.calls.append(f"DELETE {path}")
        super().delete(path)


@pytest.mark.parametrize("there", [None, owned(secretKey="TOPSECRET-of-us")])
def test_the_store_is_asked_with_these_rights(
    there: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others live, of whom each name counts."""
    monkeypatch.setattr(handover.time, "sleep", lambda _: None)
    store = Written(there)
    store.stand_in(monkeypatch)
    provider = HandoverProvider()
    provider.create(provider.check({}, INPUTS).inputs)
    rights = Rights(harbor="elsewhere")
    stack: Settings = settings(secrets=STORE)
    for kind, name in beside.of_secret(stack, HANDED_OVER):
        group = "" if kind == "Secret" else "external-secrets.io"
        rights.write(Object(group=group, kind=kind, namespace="registry", name=name))
    calls = {of_call(call) for call in store.calls}
    assert len(calls) >= 5
    assert [call for call in sorted(calls) if not allows(rights, call)] == []


def test_the_command_prints_the_roles_of_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deployer-role", "gitlabbda"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# The rights of whoever runs")
    assert "namespace: gitlabbda" in printed
    assert "sealedsecrets" not in printed


def test_a_stack_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deployer-role", "omantell"]) == 1
    assert "there is no Pulumi.omantell.yaml" in capsys.readouterr().err
