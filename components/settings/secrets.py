"""Which secrets the stack config holds, and what they must look like. Pure, keeps no value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SecretRule:
    """A top-level secret: its length, and the shorter one that a sandbox may use."""

    description: str
    shortest: int
    longest: int
    shortest_in_sandbox: int

    def allowed(self, *, sandbox: bool) -> str:
        shortest = self.shortest_in_sandbox if sandbox else self.shortest
        return f"{shortest} to {self.longest} characters without spaces, encrypted"

    def refusal(self, plain: str, *, sandbox: bool) -> str | None:
        """Why not, in words that do not contain it."""
        shortest = self.shortest_in_sandbox if sandbox else self.shortest
        if not shortest <= len(plain) <= self.longest:
            return ""
        if re.search(r"\s", plain):
            return "it contains white space, perhaps a line break from copying"
        return None


SECRETS: Mapping[str, SecretRule] = {
    "s3AccessKey": SecretRule(
        description="Access key of the bucket",
        shortest=16,
        longest=64,
        shortest_in_sandbox=3,
    ),
    "s3SecretKey": SecretRule(
        description="Secret key of the bucket",
        shortest=32,
        longest=128,
        shortest_in_sandbox=8,
    ),
    "dnsToken": SecretRule(
        description="API token of the project that holds the DNS zone and the load balancer",
        shortest=32,
        longest=256,
        shortest_in_sandbox=3,
    ),
}
"""By config key. Needed where storage (needed_secrets) or DNS (needs_token) says so."""
