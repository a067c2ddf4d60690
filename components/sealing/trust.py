"""The certificate that this stack seals with, remembered in its state.

An unpinned certificate comes from whoever answers for the controller's Service, and that one could
read every secret that is sealed with it. So the first one is trusted with a warning, and another
one needs consent.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.commands import set_value
from components.sealing.crypto import SealingError, certificate_fingerprint, load_certificate

RUNBOOK = "docs/runbooks/sealing-key.md"


class SealingTrustProvider(ResourceProvider):
    """Keeps `certificate` (PEM).

    Inputs: `pinned` (whether the settings have it), `accepted` (sealing.acceptedFingerprint),
    `controllerNamespace` and `stack`. A pinned certificate may change: a person pinned it.
    """

    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        before, after = fingerprint(_olds.get("certificate")), fingerprint(news["certificate"])
        is_same = None in (before, after) or before == after
        if is_same or news["pinned"] or news.get("accepted") == after:
            return CheckResult(news, [])
        reason = refusal(
            str(before), str(after), namespace=news["controllerNamespace"], stack=news["stack"]
        )
        return CheckResult(news, [CheckFailure("", reason)])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_olds["certificate"] != _news["certificate"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["stack"], outs={"certificate": props["certificate"]})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs={"certificate": _news["certificate"]})


def fingerprint(pem: Any) -> str | None:
    """SHA-256 of the certificate; None when it is not known, or no certificate any more.

    The certificate of the last run may have expired meanwhile: it is compared, not used.
    """
    if not isinstance(pem, str):
        return None
    try:
        return certificate_fingerprint(load_certificate(pem, check_dates=False))
    except SealingError:
        return None


def refusal(before: str, after: str, *, namespace: str, stack: str) -> str:
    """Why another certificate is refused, and what to do."""
    return (
        f"the sealed-secrets controller shows another certificate than before; nothing was sealed\n"
        f"  before:  {before}\n"
        f"  now:     {after}\n"
        "  The controller makes a new key every 30 days, so this is most often its renewal. Make "
        "sure that the new one is the controller's: its fingerprint must be among those of\n"
        f"           kubectl get secret -n {namespace} "
        "-l sealedsecrets.bitnami.com/sealed-secrets-key\n"
        f"           {RUNBOOK} has the command that prints them\n"
        f"  fix:     {set_value('sealing.acceptedFingerprint', after, stack)}\n"
        "  or:      pin a certificate: sealing.certificate"
    )


def first_use(fingerprint: str, stack: str) -> str:
    """The warning about a certificate that nobody has checked."""
    return (
        f"the sealing certificate with SHA-256 {fingerprint} comes from the controller's Service "
        "and is trusted on first use: whoever answers there could read all that is sealed. Compare "
        f"it with the controller's keys ({RUNBOOK}), or pin it: sealing.certificate of stack "
        f"{stack}"
    )


class SealingTrust(Resource, module="sealing", name="SealingTrust"):
    """The certificate, known once it is accepted. All that is sealed depends on it."""

    certificate: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        certificate: pulumi.Input[str],
        pinned: bool,
        accepted: str | None,
        controller_namespace: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`accepted`: fingerprint of a certificate that may take the place of the one before."""
        stack = pulumi.get_stack()
        hooks = None if pinned else _warns_at_first_use(stack)
        super().__init__(
            SealingTrustProvider(),
            name,
            {
                "certificate": certificate,
                "pinned": pinned,
                "accepted": accepted,
                "controllerNamespace": controller_namespace,
                "stack": stack,
            },
            pulumi.ResourceOptions.merge(pulumi.ResourceOptions(hooks=hooks), opts),
        )


def _warns_at_first_use(stack: str) -> pulumi.ResourceHookBinding:
    def before_create(args: pulumi.ResourceHookArgs) -> None:
        seen = fingerprint((args.new_inputs or {}).get("certificate"))
        if seen is not None:
            pulumi.log.warn(first_use(seen, stack))

    options = pulumi.ResourceHookOptions(on_dry_run=True)
    hook = pulumi.ResourceHook("sealing-trust-before-create", before_create, options)
    return pulumi.ResourceHookBinding(before_create=[hook])
