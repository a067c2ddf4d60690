"""The registry's access to a bucket of kind aws: an IAM user's key, or the role of the nodes."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from components.object_storage.aws.policy import registry_policy
from components.settings.storage.aws import AccessKey, AwsStorage, NodeRole

IAM_PATH = "/sovereign-harbor/"


def key_pair(
    name: str, settings: AwsStorage, access: AccessKey, options: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """Access key and secret key of a user that may do what the registry does, and nothing else."""
    user = aws.iam.User(
        f"{name}-user",
        name=settings.bucket,
        path=IAM_PATH,
        permissions_boundary=access.permissions_boundary,
        opts=options,
    )
    policy = aws.iam.UserPolicy(
        f"{name}-user-policy",
        user=user.name,
        name="registry",
        policy=json.dumps(registry_policy(settings)),
        opts=options,
    )
    # The epoch is part of the name, so that another epoch makes another key. The engine removes the
    # key before at the end of the update, when Harbor's pods have the new one.
    key = aws.iam.AccessKey(
        f"{name}-access-key-{access.epoch}",
        user=user.name,
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[policy])),
    )
    return key.id, key.secret


def allow_nodes(
    name: str, settings: AwsStorage, access: NodeRole, options: pulumi.ResourceOptions
) -> aws.iam.RolePolicy:
    """Lets a role that exists, that of the nodes, do what the registry does."""
    return aws.iam.RolePolicy(
        f"{name}-role-policy",
        role=access.role,
        name=settings.bucket,
        policy=json.dumps(registry_policy(settings)),
        opts=options,
    )
