"""What several components need of Kubernetes: a client, names, quantities."""
