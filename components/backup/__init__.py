"""Backups: of Harbor's database to a bucket, and of the objects in its namespace by Velero."""
