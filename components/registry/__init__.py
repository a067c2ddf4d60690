"""Harbor's own configuration: projects, endpoints, robots and the rest, by Harbor's API.

docs/decisions/0015-registry-configuration.md says how the parts fit, and how a kind is added.
"""
