"""What Harbor's API knows, one file a kind. Their handlers register themselves."""

from sandbox.fake_harbor.kinds import projects, quotas, registries, robots, system

__all__ = ["projects", "quotas", "registries", "robots", "system"]
