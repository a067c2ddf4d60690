"""Kubernetes for several components: a client, names and quantities."""
