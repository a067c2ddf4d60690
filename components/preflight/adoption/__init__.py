"""A Harbor and a database that exist already and are adopted in place."""
