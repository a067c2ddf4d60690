"""What is said where cluster and state do not belong together: every way out is complete."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.sealing import lost_state, trust, unsealed
from components.sealing.kept import KEPT, LeftBehind

KEY, ADMIN, _ = (LeftBehind(name=kept.names[0], kept=kept) for kept in KEPT)
MINTED: dict[str, Any] = {
    **{"what": "admin-password", "epoch": 3.0, "keys": ["HARBOR_ADMIN_PASSWORD"]},
    **{"rotation": None, "given_by": "harborAdminPassword"},
}
ROTATED: dict[str, Any] = {**MINTED, "rotation": "csrfKey", "given_by": None}
FIRST: dict[str, Any] = {**MINTED, "epoch": 1.0}
STACK = "omantel"


@pytest.mark.parametrize(
    ("message", "ways"),
    [
        (
            lost_state.unknown_mark("harbor", STACK),
            [
                "pulumi stack import -s omantel --file <backup>",
                "harbor.adopt, database.adopt",
                "harborSecretKey, harborAdminPassword and databasePassword",
                "docs/runbooks/state-lost.md",
            ],
        ),
        (
            lost_state.left_set(STACK),
            [
                "pulumi config rm --path 'harbor.adopt' -s omantel; "
                "pulumi config rm --path 'database.adopt' -s omantel",
            ],
        ),
        (
            lost_state.taken_down("harbor", [KEY, ADMIN], STACK),
            [
                "pulumi stack import -s omantel --file <backup>",
                "keeps harbor-given-secret-key, harbor-minted-admin-password of",
                "docs/runbooks/take-down.md):\n"
                "       kubectl get secret harbor-given-secret-key -n harbor "
                "-o jsonpath='{.data.secretKey}' | base64 -d | "
                "pulumi config set --secret harborSecretKey -s omantel\n"
                "       kubectl get secret harbor-minted-admin-password -n harbor "
                "-o jsonpath='{.data.HARBOR_ADMIN_PASSWORD}' | base64 -d | "
                "pulumi config set --secret harborAdminPassword -s omantel\n",
                "kubectl delete sealedsecret harbor-given-secret-key harbor-minted-admin-password "
                "-n harbor",
            ],
        ),
        (
            lost_state.taken_down("harbor", [KEY], STACK, maker="externalsecret"),
            ["kubectl delete externalsecret harbor-given-secret-key -n harbor"],
        ),
        (
            lost_state.unknown_to_backup(["harborSecretKey", "harborAdminPassword"], STACK),
            [
                "pulumi stack import -s omantel --file <backup>",
                "docs/runbooks/restore.md):\n"
                "       pulumi config set --secret harborSecretKey -s omantel\n"
                "       pulumi config set --secret harborAdminPassword -s omantel",
            ],
        ),
        (
            lost_state.unknown_secret("harbor/db", STACK),
            ["Secret harbor/db", "pulumi stack import -s omantel --file <backup>"],
        ),
        (
            lost_state.lowered({**MINTED, "epoch": 2.0}, 3, STACK),
            [
                "rotation.adminPassword = 2, and it was 3 already",
                "pulumi config set --path 'rotation.adminPassword' 3 -s omantel",
            ],
        ),
        (
            lost_state.lowered({**MINTED, "what": "core-csrf-key"}, 4, STACK),
            ["pulumi config set --path 'rotation.coreCsrfKey' 4 -s omantel"],
        ),
        (
            lost_state.other_value("harbor/admin", MINTED, STACK),
            [
                "admin-password in Secret harbor/admin",
                "pulumi stack import -s omantel --file <backup>\n",
                "kubectl get secret admin -n harbor -o jsonpath='{.data.HARBOR_ADMIN_PASSWORD}' "
                "| base64 -d | pulumi config set --secret harborAdminPassword -s omantel "
                "&& pulumi config set --path 'rotation.adminPassword' 4 -s omantel",
            ],
        ),
        (
            lost_state.other_value("harbor/csrf", ROTATED, STACK),
            ["or rotate it: pulumi config set --path 'rotation.csrfKey' 4 -s omantel"],
        ),
        (
            lost_state.older_state("harbor/db", STACK),
            [
                "Secret harbor/db",
                "(pulumi stack import -s omantel --file <backup>)",
                "kubectl delete sealedsecret db -n harbor, then "
                "pulumi refresh -s omantel and pulumi up -s omantel",
            ],
        ),
        (
            lost_state.older_state("harbor/db", STACK, "externalsecret"),
            ["kubectl delete externalsecret db -n harbor"],
        ),
        (
            unsealed.UnsealedProvider().gone({"namespace": "harbor", "name": "db", "stack": STACK}),
            ["SealedSecret harbor/db", "pulumi refresh -s omantel, and then pulumi up -s omantel"],
        ),
        (
            trust.first_use("ab:cd", STACK),
            ["SHA-256 ab:cd", "sealing.certificate of stack omantel"],
        ),
    ],
)
def test_every_way_out_is_a_command_for_this_stack(message: str, ways: list[str]) -> None:
    for way in ways:
        assert way in message
    for placeholder in ("None", "<stack>", "  \n"):
        assert placeholder not in message
    for command in re.findall(r"pulumi (?!destroy)[^|&;,)\n]*", message):
        assert " -s omantel" in command


@pytest.mark.parametrize(
    ("minted", "unlikely"),
    [(MINTED, "or rotate it"), (ROTATED, "or keep the value"), (FIRST, "rotation.adminPassword")],
)
def test_no_way_out_is_told_that_leads_nowhere(minted: dict[str, Any], unlikely: str) -> None:
    message = lost_state.other_value("harbor/admin", minted, STACK)
    assert unlikely not in message
    assert message.count("\n") == 2
