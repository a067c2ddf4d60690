"""Buckets of Amazon S3, through pulumi-aws."""
