"""The section `rotation`: one number per minted credential; raising it mints a new value. Pure."""

from typing import Annotated, Final

from components.settings.schema.rules import Section, SettingRule, whole_number

MOST_OF_ADMIN: Final = 100
"""Each password of admin before the last is kept, for a run that never ended."""

Epoch = Annotated[int, whole_number(1, 1_000_000, example=2)]


def _never(reason: str) -> SettingRule:
    def check(epoch: int) -> str | None:
        return None if epoch == 1 else reason

    return SettingRule(allowed="1, as it cannot be rotated", example="1", check=check)


class RotationSettings(Section):
    """One number per minted credential; raising it mints a new value."""

    core_secret: Epoch = 1
    """Secret by which Harbor's components authenticate to each other."""
    csrf_key: Epoch = 1
    """Key of the web interface's CSRF tokens."""
    jobservice_secret: Epoch = 1
    """Secret by which the job service authenticates to core."""
    registry_http_secret: Epoch = 1
    """Secret that signs the state of uploads."""
    registry_user: Epoch = 1
    """Password with which core talks to the registry."""
    token_certificate: Epoch = 1
    """Key that signs login tokens; those issued before become invalid."""
    database_password: Epoch = 1
    """Password of Harbor's role in PostgreSQL."""
    valkey_password: Epoch = 1
    """Password of Valkey."""
    registry_account: Epoch = 1
    """Password of the robot by which the program configures Harbor."""
    secret_key: Annotated[
        int,
        _never(
            "it encrypts the registry and OIDC credentials stored in the database, which a new "
            "key cannot decrypt"
        ),
    ] = 1
    """Key of the credentials stored in the database; fixed for life."""
    admin_password: Annotated[int, whole_number(1, MOST_OF_ADMIN, example=2)] = 1
    """Password of admin, which is changed through Harbor's API. A lower number than before is
    refused."""

    @property
    def epochs(self) -> dict[str, int]:
        """Credential (as components/credentials.py names it) to epoch."""
        return {name.replace("_", "-"): epoch for name, epoch in self.model_dump().items()}
