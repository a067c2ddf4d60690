"""The storage kind `aws`: Amazon S3, and what follows from its region. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from components.settings.rotation import Epoch
from components.settings.schema.buckets import BUCKET_NAME, BUCKET_PATTERN, written_unquoted
from components.settings.schema.rules import (
    Section,
    SettingRule,
    last_part,
    matching,
    refuse,
)
from components.settings.storage.base import BucketSettings


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition of AWS: a group of regions with accounts and domains of its own."""

    name: str
    """Second part of every ARN in the partition."""
    domain: str


_PARTITIONS: Final[Mapping[str, Partition]] = {
    "cn-": Partition(name="aws-cn", domain="amazonaws.com.cn"),
    "us-gov-": Partition(name="aws-us-gov", domain="amazonaws.com"),
    "eusc-": Partition(name="aws-eusc", domain="amazonaws.eu"),
    "": Partition(name="aws", domain="amazonaws.com"),
}
"""By the prefix of the names of their regions; the last one matches every name."""

KNOWN_TO_THE_REGISTRY: Final = frozenset(
    {
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "cn-north-1",
        "cn-northwest-1",
        "eu-central-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-gov-west-1",
        "us-west-1",
        "us-west-2",
    }
)
"""The regions of aws-sdk-go 1.15.11, which Harbor's registry is built with. In any other region the
registry ends at its start with `invalid region provided`, unless its configuration names an
endpoint (distribution #4614)."""

_REGION = SettingRule(
    allowed="the name of an AWS region",
    example="<region>",
    check=matching(
        r"((us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+|cn-[a-z]+|us-gov-[a-z]+|eusc-[a-z]+-[a-z]+)-[1-9]"
    ),
    suggest=lambda text: [text.rstrip("abcdef")],  # eu-central-1a is one of its zones
)
# Amazon S3 User Guide, "General purpose bucket naming rules".
_BUCKET = replace(
    BUCKET_NAME,
    allowed=f"{BUCKET_NAME.allowed}; nor what Amazon S3 keeps for itself: xn--…, sthree-…, "
    "amzn-s3-demo-…, …-s3alias, …--ol-s3, …--x-s3, …--table-s3",
    check=written_unquoted(
        matching(
            r"(?!xn--|sthree-|amzn-s3-demo-)(?!.*(-s3alias|--ol-s3|--x-s3|--table-s3)$)"
            + BUCKET_PATTERN
        )
    ),
)
_ACCOUNT = SettingRule(
    allowed="the 12 digits of an AWS account",
    example="<account>",
    check=matching(r"[0-9]{12}"),
    suggest=lambda text: [text.replace("-", "")],
)
_KEY_ARN = SettingRule(
    allowed="the ARN of a KMS key (an IAM policy cannot name an alias)",
    example="arn:aws:kms:<region>:<account>:key/<id>",
    check=matching(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"),
)
_POLICY_ARN = SettingRule(
    allowed="the ARN of an IAM policy",
    example="arn:aws:iam::<account>:policy/<name>",
    check=matching(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+"),
)
_ROLE = SettingRule(
    allowed="the name of an IAM role, not its ARN",
    example="<role>",
    check=matching(r"[\w+=,.@-]{1,64}"),
    suggest=last_part,
)

_NOT_WITH_THIS_REGISTRY: Final = (
    "Harbor's registry cannot get credentials that way (docs/decisions/0008-keyless-on-aws.md); "
    "access-key, or node-role for no key at all"
)


class AccessKey(Section):
    """An IAM user of the registry's own, and its access key."""

    mode: Literal["access-key"] = "access-key"
    epoch: Epoch = 1
    """Raising the number makes a new key. The old key is deleted once the registry has the new
    one."""
    permissions_boundary: Annotated[str, _POLICY_ARN] | None = None
    """IAM policy that limits what the user may be allowed, where the account demands one."""


class NodeRole(Section):
    """No key: the registry uses the role of the node it runs on, by IMDSv1."""

    mode: Literal["node-role"]
    role: Annotated[str, _ROLE]
    """IAM role of the nodes' instance profile. The registry's policy is attached to it."""


def _with_mode(value: Any) -> Any:
    """`access: {epoch: 2}` means mode access-key; modes that cannot work are refused with the
    reason."""
    if not isinstance(value, dict):
        return value
    given = {"mode": "access-key", **cast("dict[str, Any]", value)}
    if given["mode"] in ("irsa", "pod-identity"):
        refuse(_NOT_WITH_THIS_REGISTRY, at=("mode",))
    return given


class AwsStorage(BucketSettings):
    """Amazon S3. This program makes the bucket and the registry's access to it."""

    provider: ClassVar[str | None] = "aws"
    also_called = ("amazon", "amazon-s3", "aws-s3")
    sample: ClassVar[Mapping[str, str]] = {"region": "eu-central-1"}

    kind: Literal["aws"] = "aws"
    region: Annotated[str, _REGION]
    """Region of the bucket."""
    bucket: Annotated[str, _BUCKET]
    """Name of the Sovereign's bucket. Such names are unique across all customers of a vendor."""
    account_id: Annotated[str, _ACCOUNT] | None = None
    """The only account that this stack may touch; when unset, that of the credentials."""
    kms_key_arn: Annotated[str, _KEY_ARN] | None = None
    """Key that S3 encrypts with; S3's own (AES256) when unset."""
    access: Annotated[
        AccessKey | NodeRole, Field(discriminator="mode"), BeforeValidator(_with_mode)
    ] = AccessKey()
    """How the registry authenticates to S3."""

    @property
    def partition(self) -> str:
        """Second part of the ARNs of this region."""
        return self._partition.name

    @property
    def _partition(self) -> Partition:
        return next(
            partition for prefix, partition in _PARTITIONS.items() if self.region.startswith(prefix)
        )

    @property
    def endpoint_url(self) -> str:
        return f"https://s3.{self.region}.{self._partition.domain}"

    @property
    def registry_endpoint(self) -> str | None:
        """Endpoint in the registry's configuration; None where the registry knows the region,
        because an endpoint makes it use path-style addresses."""
        return None if self.region in KNOWN_TO_THE_REGISTRY else self.endpoint_url

    @property
    def is_path_style(self) -> bool:
        return False

    @property
    def has_credentials(self) -> bool:
        return isinstance(self.access, AccessKey)

    @property
    def identity_servers(self) -> tuple[tuple[str, int], ...]:
        return (("169.254.169.254", 80),) if isinstance(self.access, NodeRole) else ()

    @model_validator(mode="after")
    def _key_is_of_the_region(self) -> Self:
        if self.kms_key_arn is not None and self.kms_key_arn.split(":")[3] != self.region:
            refuse(
                f"S3 encrypts with keys of the bucket's own region, here {self.region}",
                at=("kmsKeyArn",),
                example=f"arn:{self.partition}:kms:{self.region}:<account>:key/<id>",
            )
        return self
