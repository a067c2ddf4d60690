"""Credentials: the random values that Harbor needs, made once and then kept.

pulumi-random and pulumi-tls mint them; they are kept encrypted in the state and sealed into
Harbor's namespace. The chart itself would make new ones at each render, or take published defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_random as random
import pulumi_tls as tls

from components.context import Context
from components.harbor_inputs import GIVEN_SECRET_KEY, MINTED_SECRET_KEY, REGISTRY_USER, SecretNames
from components.sealing.seal import Minted
from components.stack_config import StackConfig

SECRET_KEY_LENGTH: Final = 16
"""AES-128: Harbor takes exactly 16 characters."""

CSRF_KEY_LENGTH: Final = 32
"""Exactly 32 (goharbor/harbor #21154)."""

PASSWORD_LENGTH: Final = 32

ADMIN: Final = "admin-password"

PREVIOUS: Final = "previous"
"""Key beside admin's password: the ones before it, a line each, the newest first."""

REGISTRY_ACCOUNT: Final = "registry-account"

TOKEN_CERTIFICATE_HOURS: Final = 10 * 365 * 24
"""Ten years. A renewal makes every issued token void, so it happens by rotation only."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What is fixed about a credential; its value is not.

    `keys`: its keys in the Secret that Credentials seals; none where the component that uses it
    seals it (database, cache, object storage). `readers`: components of Harbor whose pods read it
    and restart when it changes; none where the program itself reads it. `length`: characters of the
    random password; None where the credential is no random password. `given_by`: config secret
    that, if set, gives the value instead of its being minted. `can_rotate`: whether Harbor follows
    a new value without the one before it.
    """

    keys: tuple[str, ...] = ()
    readers: tuple[str, ...]
    length: int | None = PASSWORD_LENGTH
    given_by: str | None = None
    can_rotate: bool = True


CREDENTIALS: Final[Mapping[str, Credential]] = {
    ADMIN: Credential(
        keys=("HARBOR_ADMIN_PASSWORD",),
        readers=("core", "exporter"),
        given_by="harborAdminPassword",
        # Harbor follows a new value by its API, which takes the one before it: a value that the
        # state has lost is not mended by a rotation.
        can_rotate=False,
    ),
    "secret-key": Credential(
        keys=("secretKey",),
        readers=("core",),
        length=SECRET_KEY_LENGTH,
        given_by="harborSecretKey",
        can_rotate=False,
    ),
    "core-secret": Credential(keys=("secret",), readers=("core", "jobservice", "registry")),
    "csrf-key": Credential(keys=("CSRF_KEY",), readers=("core",), length=CSRF_KEY_LENGTH),
    "token-certificate": Credential(keys=("tls.key", "tls.crt"), readers=("core",), length=None),
    "jobservice-secret": Credential(
        keys=("JOBSERVICE_SECRET",), readers=("core", "jobservice", "registry")
    ),
    "registry-http-secret": Credential(keys=("REGISTRY_HTTP_SECRET",), readers=("registry",)),
    "registry-user": Credential(
        keys=("REGISTRY_PASSWD", "REGISTRY_HTPASSWD"), readers=("core", "jobservice", "registry")
    ),
    "database-password": Credential(
        # The job service asks core for the database's password once, when it starts.
        readers=("core", "jobservice", "exporter"),
        given_by="databasePassword",
    ),
    "valkey-password": Credential(readers=("core", "jobservice", "registry", "trivy", "exporter")),
    # Of the robot by which components/registry configures Harbor.
    REGISTRY_ACCOUNT: Credential(keys=("password",), readers=()),
    # Of the store's vendor, so never minted here.
    "object-storage": Credential(readers=("registry",), length=None),
}
"""Every credential of Harbor, by name. Under the same name the section `rotation` of the stack's
configuration has an epoch for each that is minted; raising it mints a new value
(components/settings/rotation.py)."""


@dataclass(frozen=True, kw_only=True)
class CredentialsArgs:
    """`epochs`: credential → rotation epoch (`rotation` in the stack's configuration). One that has
    none is not made.

    `given`: credential → value that an adopted Harbor brought along; the others are minted. A
    given password of admin is the one before the first rotation.
    """

    epochs: Mapping[str, int]
    context: Context
    given: Mapping[str, pulumi.Output[str]] = field(default_factory=lambda: {})


class Credentials(pulumi.ComponentResource):
    """The credentials, minted unless given, unsealed in Harbor's namespace.

    `secret_names` is known once all Secrets are there. `revisions`: credential → revision.
    `minted`: credential → what tells its rotations; only of those that were not given.
    `database_password` and `valkey_password` are secret outputs for the data services.
    """

    secret_names: pulumi.Output[SecretNames]
    revisions: dict[str, pulumi.Output[str]]
    admin_password: pulumi.Output[str]
    minted: Mapping[str, Minted]
    database_password: pulumi.Output[str]
    valkey_password: pulumi.Output[str]

    def __init__(
        self, name: str, args: CredentialsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("sovereign-harbor:index:Credentials", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Every password of admin is kept: Harbor has one until its API has taken the newest one,
        # also where the number was raised by more than one, or a run never ended.
        rotated = [
            random_password(f"{name}-{ADMIN}-{epoch}", epoch=epoch, opts=child)
            for epoch in range(2, args.epochs[ADMIN] + 1)
        ]
        minted: dict[str, random.RandomPassword] = {}
        for what, credential in CREDENTIALS.items():
            if credential.length is None or what in args.given or what not in args.epochs:
                continue
            of_admin = [*rotated, *([minted[ADMIN]] if ADMIN in minted else [])]
            minted[what] = random_password(
                f"{name}-{what}",
                length=credential.length,
                # Those of admin from later rotations have names of their own.
                epoch=1 if what == ADMIN else args.epochs[what],
                opts=_kept_like_data(args.context, self, of_admin)
                if what == "secret-key"
                else child,
            )
        values = {**args.given, **{what: password.result for what, password in minted.items()}}
        *before, values[ADMIN] = values[ADMIN], *(password.result for password in rotated)
        before.reverse()
        is_given = {what: what in args.given and not (what == ADMIN and before) for what in values}
        user = minted["registry-user"]
        self.minted = {
            what: minted_credential(what, epoch, first_is_given=what in args.given)
            for what, epoch in args.epochs.items()
            if not is_given.get(what)
        }
        contents: dict[str, tuple[pulumi.Input[str], ...]] = {
            **{what: (value,) for what, value in values.items()},
            "token-certificate": _token_certificate(name, args.epochs["token-certificate"], child),
            # The registry knows bcrypt only; the chart would salt anew at each render.
            "registry-user": (
                user.result,
                pulumi.Output.concat(REGISTRY_USER, ":", user.bcrypt_hash),
            ),
        }
        secrets = {
            what: args.context.sealed(
                f"{name}-{what}",
                secret_name(what, is_given=what in args.given),
                dict(zip(credential.keys, contents[what], strict=True))
                | ({PREVIOUS: _lines(before)} if what == ADMIN and before else {}),
                parent=self,
                minted=self.minted.get(what),
            )
            for what, credential in CREDENTIALS.items()
            if credential.keys and what in args.epochs
        }
        self.admin_password = values[ADMIN]
        self.database_password = values["database-password"]
        self.valkey_password = values["valkey-password"]
        self.revisions = {what: secret.revision for what, secret in secrets.items()}
        self.secret_names = pulumi.Output.all(
            **{
                what.replace("-", "_"): secret.secret_name
                for what, secret in secrets.items()
                if CREDENTIALS[what].readers
            }
        ).apply(lambda names: SecretNames(**names))
        self.register_outputs({})


def create(config: StackConfig, context: Context) -> Credentials:
    """The credentials that the stack's configuration amounts to."""
    given = {
        what: config.secrets[key]
        for what, credential in CREDENTIALS.items()
        if (key := credential.given_by) is not None and key in config.secrets
    }
    epochs = dict(config.settings.rotation.epochs)
    if not config.settings.registry.enabled:
        del epochs[REGISTRY_ACCOUNT]
    args = CredentialsArgs(epochs=epochs, context=context, given=given)
    return Credentials("credentials", args, context.options)


def random_password(
    name: str, *, length: int = PASSWORD_LENGTH, epoch: int, opts: pulumi.ResourceOptions
) -> random.RandomPassword:
    """A random password; another `epoch` makes another one."""
    return random.RandomPassword(
        name,
        length=length,
        # Letters and digits: the chart puts some of them into URLs and DSNs unescaped
        # (harbor #20638, #18786).
        special=False,
        min_lower=1,
        min_upper=1,
        min_numeric=1,
        keepers={"epoch": str(epoch)},
        opts=opts,
    )


def minted_credential(what: str, epoch: int, *, first_is_given: bool = False) -> Minted:
    """What tells a rotation of that credential from a lost value."""
    credential = CREDENTIALS[what]
    first, *others = what.split("-")
    rotation = first + "".join(word.capitalize() for word in others)
    return Minted(
        what=what,
        epoch=epoch,
        # Where another component seals the value, that component says under which key.
        keys=credential.keys,
        rotation=rotation if credential.can_rotate else None,
        given_by=credential.given_by,
        first_is_given=first_is_given,
    )


def _lines(values: list[pulumi.Output[str]]) -> pulumi.Output[str]:
    return pulumi.Output.secret(pulumi.Output.all(*values).apply("\n".join))


def secret_names(given: Set[str]) -> list[str]:
    """Names of the Secrets that Credentials seals; `given`: the config secrets that are set."""
    return [
        secret_name(what, is_given=credential.given_by in given)
        for what, credential in CREDENTIALS.items()
        if credential.keys
    ]


def secret_name(what: str, *, is_given: bool = False) -> str:
    """Name of the Secret that Credentials seals for a credential; `is_given`: see Credentials."""
    if what == "secret-key":
        return GIVEN_SECRET_KEY if is_given else MINTED_SECRET_KEY
    return f"harbor-minted-{what}"


def _kept_like_data(
    context: Context, parent: pulumi.Resource, of_admin: Sequence[pulumi.Resource]
) -> pulumi.ResourceOptions:
    """Options of the secret key, with which Harbor encrypts credentials in its database.

    It is protected, and `pulumi destroy --exclude-protected` also keeps what a protected resource
    depends on. So it depends on the passwords of admin, one of which the database keeps, too. They
    cannot be protected themselves: who gives harborAdminPassword takes them out of the state.
    """
    return pulumi.ResourceOptions.merge(
        context.data_options(parent), pulumi.ResourceOptions(depends_on=of_admin)
    )


def _token_certificate(
    name: str, epoch: int, child: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """Key and certificate with which core signs the tokens that the registry accepts, as PEM."""
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
    return key.private_key_pem, certificate.cert_pem


def read_by_component() -> dict[str, list[str]]:
    """Component of Harbor → the credentials that its pods read, sorted."""
    components = {reader for credential in CREDENTIALS.values() for reader in credential.readers}
    return {
        component: sorted(w for w, of in CREDENTIALS.items() if component in of.readers)
        for component in sorted(components)
    }


def revision_by_component(
    revisions: Mapping[str, pulumi.Input[str]],
) -> dict[str, pulumi.Output[str]]:
    """Component of Harbor → one annotation value for all the credentials that its pods read.

    `revisions`: credential → revision, of every credential. A rotation changes the annotation of
    exactly the components that read the credential, so that only their pods restart.
    """
    return {
        component: pulumi.Output.all(*[revisions[what] for what in read]).apply(
            lambda known: ".".join(revision[:8] for revision in known)
        )
        for component, read in read_by_component().items()
    }
