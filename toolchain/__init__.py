"""Tools built from source where the machine has none of its own."""
