"""Secrets by way of the estate's store, where `secrets.delivery` is external."""
