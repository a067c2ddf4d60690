"""The provider plugin `sovereign-registry`: the engine runs it and asks it for each resource."""
