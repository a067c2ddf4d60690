"""What names of buckets and their settings may be, for images and for backups alike. Pure."""

import re
from typing import Annotated, Final

from components.settings.schema.rules import (
    Check,
    Section,
    SettingRule,
    last_part,
    matching,
    whole_number,
)

# Names, underscores left out, that YAML 1.1 reads as numbers, booleans or null. Harbor's chart
# writes names into the registry's configuration without quotes.
_NOT_TEXT = re.compile(
    r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|-?0(x[0-9a-f]+|b[01]+|o[0-7]+)|-?\.inf|\.nan"
    r"|-|y|yes|n|no|on|off|true|false|null"
)


def written_unquoted(check: Check) -> Check:
    """`check`, and besides that YAML reads the name as a text even without quotes."""

    def both(name: str) -> str | None:
        if _NOT_TEXT.fullmatch(name.lower().replace("_", "")):
            return "Harbor's chart writes it unquoted, and the registry would not read a text"
        return check(name)

    return both


LONGEST_PREFIX: Final = 255
"""Characters. A key has at most 1024 bytes in S3, and the registry's own part of it up to 550."""

BUCKET_PATTERN = "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
BUCKET_NAME = SettingRule(
    allowed="3 to 63 lower-case letters, digits and '-', beginning and ending with a letter or "
    "digit, no dots, which the certificates of S3 hosts do not cover",
    example="{stack}-harbor",
    check=written_unquoted(matching(BUCKET_PATTERN)),
    suggest=last_part,
)
REGION = SettingRule(
    allowed="the region name the endpoint signs for: letters, digits and '-'",
    example="us-east-1",
    check=matching(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"),
)


class Versioning(Section):
    """Versions of objects in the bucket."""

    enabled: bool = True
    """Keep overwritten and deleted objects for a while, so that a mistake can be undone."""
    noncurrent_days: Annotated[int, whole_number(1, 3650, example=14)] = 14
    """Days after which a version that is no longer the current one is removed."""
