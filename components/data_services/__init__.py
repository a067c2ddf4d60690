"""Harbor's database and cache: the Sovereign's own, or somebody else's."""
