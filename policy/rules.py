"""All rules of the pack, by name. Pure: the pack, review/ and the unit tests run the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy.access import no_role_reads_all_secrets, no_wildcard_access
from policy.placement import (
    data_is_protected,
    networks_deny_by_default,
    objects_are_at_home,
    public_endpoints_have_tls,
)
from policy.plaintext import no_plaintext_secret
from policy.resource import Resource, Rule, Sovereign, StackRule
from policy.workloads import harbor_runs_on_amd64, pods_have_resources, versions_are_pinned

RULES: Final = (
    Rule(
        name="no-plaintext-secret",
        description="No secret stands readable in a property; Helm values least of all.",
        check=no_plaintext_secret,
    ),
    Rule(
        name="data-is-protected",
        description="Bucket, database and namespace are protected from deletion and replacement.",
        check=data_is_protected,
    ),
    Rule(
        name="versions-are-pinned",
        description="Charts by exact version; images by digest or by a tag that does not move.",
        check=versions_are_pinned,
    ),
    Rule(
        name="no-wildcard-access",
        description="No * in IAM policies and roles.",
        check=no_wildcard_access,
    ),
    Rule(
        name="no-role-reads-all-secrets",
        description="No ClusterRole of ours reads Secrets.",
        check=no_role_reads_all_secrets,
    ),
    Rule(
        name="objects-are-at-home",
        description="Namespaced objects go into the Sovereign's own namespaces.",
        check=objects_are_at_home,
    ),
    Rule(
        name="public-endpoints-have-tls",
        description="Whatever is reached from outside is https.",
        check=public_endpoints_have_tls,
    ),
    Rule(
        name="harbor-runs-on-amd64",
        description="Harbor's pods select amd64 nodes, for which alone it has images.",
        check=harbor_runs_on_amd64,
    ),
    Rule(
        name="pods-have-resources",
        description="Every container that this program writes has requests and a memory limit.",
        check=pods_have_resources,
    ),
)

STACK_RULES: Final = (
    StackRule(
        name="networks-deny-by-default",
        description="In our namespaces pods have only the connections that are allowed.",
        check=networks_deny_by_default,
    ),
)


def violations(
    resources: list[Resource], sovereign: Sovereign
) -> Iterator[tuple[str, Resource, str]]:
    """Rule, resource and problem, wherever one of `resources` breaks a rule."""
    for resource in resources:
        for rule in RULES:
            for problem in rule.check(resource, sovereign):
                yield rule.name, resource, problem
    for stack_rule in STACK_RULES:
        for resource, problem in stack_rule.check(resources, sovereign):
            yield stack_rule.name, resource, problem
