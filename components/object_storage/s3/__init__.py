"""Buckets that speak S3, through boto3."""
