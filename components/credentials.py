"""Credentials: everything Harbor needs that must be random once and then stay.

Minted by pulumi-random and pulumi-tls, kept encrypted in the state, sealed into Harbor's
namespace. The chart's own ways would be a new value at each render or a published default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
import pulumi_random as random
import pulumi_tls as tls

from components.context import Context
from components.harbor_inputs import GIVEN_SECRET_KEY, MINTED_SECRET_KEY, REGISTRY_USER, SecretNames
from components.sealing.sealed_secret import SealedSecret
from components.stack_config import StackConfig

SECRET_KEY_LENGTH: Final = 16
"""AES-128: Harbor takes exactly 16 characters."""

CSRF_KEY_LENGTH: Final = 32
"""Exactly 32 (goharbor/harbor #21154)."""

PASSWORD_LENGTH: Final = 32

TOKEN_CERTIFICATE_HOURS: Final = 10 * 365 * 24
"""Ten years. Its renewal would make every issued token void, so it happens by rotation only."""

READERS: Final[Mapping[str, tuple[str, ...]]] = {
    "core": (
        "admin-password",
        "secret-key",
        "core-secret",
        "csrf-key",
        "token-certificate",
        "jobservice-secret",
        "registry-user",
        "database",
        "valkey",
    ),
    # jobservice asks core for the database's password once, when it starts.
    "jobservice": ("core-secret", "jobservice-secret", "registry-user", "database", "valkey"),
    "registry": (
        "core-secret",
        "jobservice-secret",
        "registry-http-secret",
        "registry-user",
        "valkey",
        "object-storage",
    ),
    "trivy": ("valkey",),
    "exporter": ("admin-password", "database", "valkey"),
}
"""Component of Harbor → the credentials its pods read: what must restart on which rotation."""


GIVEN_BY: Final[Mapping[str, str]] = {
    "secret-key": "harborSecretKey",
    "admin-password": "harborAdminPassword",
    "database-password": "databasePassword",
}
"""Credential → the config secret that gives it instead of its being minted."""


@dataclass(frozen=True, kw_only=True)
class CredentialsArgs:
    """`epochs`: credential → rotation epoch (`rotation` in the stack's configuration).

    `given`: credential → value that a Harbor taken over brought along; the others are minted.
    """

    epochs: Mapping[str, int]
    context: Context
    given: Mapping[str, pulumi.Output[str]] = field(default_factory=lambda: {})


class Credentials(pulumi.ComponentResource):
    """The credentials, minted unless given, unsealed in Harbor's namespace.

    `secret_names` is known once all Secrets are there. `revisions`: credential → revision.
    `database_password` and `valkey_password` are secret outputs for the data services.
    """

    secret_names: pulumi.Output[SecretNames]
    revisions: dict[str, pulumi.Output[str]]
    admin_password: pulumi.Output[str]
    database_password: pulumi.Output[str]
    valkey_password: pulumi.Output[str]

    def __init__(
        self, name: str, args: CredentialsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Credentials", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        def password(
            what: str,
            *,
            length: int = PASSWORD_LENGTH,
            opts: pulumi.ResourceOptions = child,
        ) -> random.RandomPassword:
            return random.RandomPassword(
                f"{name}-{what}",
                length=length,
                # Letters and digits: the chart puts some of them into URLs and DSNs unescaped
                # (harbor #20638, #18786).
                special=False,
                min_lower=1,
                min_upper=1,
                min_numeric=1,
                keepers={"epoch": str(args.epochs[what])},
                opts=opts,
            )

        def given_or_minted(what: str, **options: Any) -> pulumi.Output[str]:
            return args.given[what] if what in args.given else password(what, **options).result

        def sealed(what: str, data: dict[str, pulumi.Input[str]]) -> SealedSecret:
            return args.context.sealed(f"{name}-{what}", f"harbor-minted-{what}", data, parent=self)

        self.admin_password = given_or_minted("admin-password")
        registry_user = password("registry-user")
        token = _token_certificate(name, args.epochs["token-certificate"], child)
        # It decrypts the credentials that stand in the database: as much data as the database is.
        secret_key = given_or_minted(
            "secret-key", length=SECRET_KEY_LENGTH, opts=args.context.data_options(self)
        )
        secrets = {
            "admin-password": sealed(
                "admin-password", {"HARBOR_ADMIN_PASSWORD": self.admin_password}
            ),
            "secret-key": args.context.sealed(
                f"{name}-secret-key",
                GIVEN_SECRET_KEY if "secret-key" in args.given else MINTED_SECRET_KEY,
                {"secretKey": secret_key},
                parent=self,
            ),
            "core-secret": sealed("core-secret", {"secret": password("core-secret").result}),
            "csrf-key": sealed(
                "csrf-key", {"CSRF_KEY": password("csrf-key", length=CSRF_KEY_LENGTH).result}
            ),
            "token-certificate": sealed("token-certificate", token),
            "jobservice-secret": sealed(
                "jobservice-secret", {"JOBSERVICE_SECRET": password("jobservice-secret").result}
            ),
            "registry-http-secret": sealed(
                "registry-http-secret",
                {"REGISTRY_HTTP_SECRET": password("registry-http-secret").result},
            ),
            "registry-user": sealed(
                "registry-user",
                {
                    "REGISTRY_PASSWD": registry_user.result,
                    # The registry knows bcrypt only; the chart would salt anew at each render.
                    "REGISTRY_HTPASSWD": pulumi.Output.concat(
                        REGISTRY_USER, ":", registry_user.bcrypt_hash
                    ),
                },
            ),
        }
        self.database_password = given_or_minted("database-password")
        self.valkey_password = password("valkey-password").result
        self.revisions = {what: secret.revision for what, secret in secrets.items()}
        self.secret_names = pulumi.Output.all(
            **{what: secret.secret_name for what, secret in secrets.items()}
        ).apply(_secret_names)
        self.register_outputs({})


def create(config: StackConfig, context: Context) -> Credentials:
    """The credentials that the stack's configuration amounts to."""
    args = CredentialsArgs(
        epochs=config.settings.rotation.epochs,
        context=context,
        given={
            what: config.secrets[key] for what, key in GIVEN_BY.items() if key in config.secrets
        },
    )
    return Credentials("credentials", args, context.options)


def _secret_names(names: dict[str, str]) -> SecretNames:
    return SecretNames(
        admin_password=names["admin-password"],
        secret_key=names["secret-key"],
        core=names["core-secret"],
        csrf_key=names["csrf-key"],
        token_certificate=names["token-certificate"],
        jobservice=names["jobservice-secret"],
        registry_http=names["registry-http-secret"],
        registry_user=names["registry-user"],
    )


def _token_certificate(
    name: str, epoch: int, child: pulumi.ResourceOptions
) -> dict[str, pulumi.Input[str]]:
    """Key pair with which core signs the tokens that the registry accepts."""
    # pulumi-tls has no keepers; the epoch in the logical name makes a rotation a new key.
    key = tls.PrivateKey(f"{name}-token-key-{epoch}", algorithm="RSA", rsa_bits=4096, opts=child)
    certificate = tls.SelfSignedCert(
        f"{name}-token-certificate-{epoch}",
        private_key_pem=key.private_key_pem,
        subject={"common_name": "harbor-token-issuer"},
        validity_period_hours=TOKEN_CERTIFICATE_HOURS,
        allowed_uses=["digital_signature", "key_encipherment"],
        opts=child,
    )
    return {"tls.key": key.private_key_pem, "tls.crt": certificate.cert_pem}


def combined(revisions: Mapping[str, pulumi.Input[str]], component: str) -> pulumi.Output[str]:
    """One annotation value for all the credentials that `component` reads."""
    read = {what: revisions[what] for what in READERS.get(component, ()) if what in revisions}
    return pulumi.Output.all(**read).apply(
        lambda found: ".".join(found[what][:8] for what in sorted(found))
    )
