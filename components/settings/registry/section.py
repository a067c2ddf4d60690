"""The section `registry`: what Harbor holds beside images. Pure."""

from typing import Annotated

from pydantic import Field

from components.settings.registry import names, stack_secrets
from components.settings.registry.projects import ProjectSettings, ProxyCacheSettings
from components.settings.registry.robots import RobotSettings
from components.settings.schema.rules import ENDPOINT, PEM, Section
from components.settings.schema.secret_rules import AsksForSecrets


class ApiSettings(Section):
    """How the program reaches Harbor's API."""

    url: Annotated[str, ENDPOINT] | None = None
    """Address of Harbor; its certificate is checked. When unset the program goes through the API
    server to a pod of harbor-core, as `kubectl port-forward` does."""
    ca_bundle: Annotated[str, PEM] | None = None
    """PEM of the authority that signed the certificate of `url`, if it is not a public one."""


class RegistrySettings(AsksForSecrets):
    """What Harbor holds beside images: projects, caches, mirrors, robots, schedules, login."""

    enabled: bool = True
    """Configure Harbor. When false the program touches nothing in it."""
    adopt: bool = False
    """Take over what exists in Harbor under a declared name and differs, instead of refusing it."""
    delete_contents: tuple[Annotated[str, names.PROJECT], ...] = ()
    """Projects that may be deleted with their images once they are taken out of this section. Any
    other project stays as long as it holds an image."""
    api: ApiSettings = ApiSettings()
    """How the program reaches Harbor's API."""
    projects: Annotated[dict[str, ProjectSettings], names.named(names.PROJECT, "a project")] = (
        Field(default_factory=dict)
    )
    """Projects for images that are pushed or mirrored."""
    proxy_caches: Annotated[
        dict[str, ProxyCacheSettings], names.named(names.ENDPOINT_NAME, "a proxy cache")
    ] = Field(default_factory=dict)
    """Projects that cache other registries."""
    robots: Annotated[
        dict[str, RobotSettings], names.named(names.ROBOT, "a robot of the registry")
    ] = Field(default_factory=dict)
    """Accounts of machines over several projects."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """The top-level secrets that this section refers to, by their names."""
        if not self.enabled:
            return ()
        return tuple(stack_secrets.references(self.model_dump(mode="json", by_alias=True)))
