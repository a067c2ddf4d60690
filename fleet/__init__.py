"""Many Sovereigns at once."""
