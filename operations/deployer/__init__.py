"""The rights in the cluster with which one Sovereign is deployed, examined and drilled."""
