"""A plugin with the types of `sovereign-registry` that asks no Harbor."""
