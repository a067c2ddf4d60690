"""The rules as policies of the engine, all mandatory."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import (
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from components.settings.reading import stack_file
from components.settings.reading.stack_file import StackFileRefused
from policy.resource import UNKNOWN, Resource, Rule, Sovereign, StackRule
from policy.rules import RULES, STACK_RULES

PROJECT = Path(__file__).absolute().parent.parent


def policies() -> list[Policy]:
    """One policy for each rule."""
    return [*map(_policy, RULES), *map(_stack_policy, STACK_RULES)]


def _policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for problem in rule.check(_resource(args), _sovereign(args.urn, args.get_config())):
            report(problem, None)

    # Set by --policy-pack-config: namespaces besides those of the stack's file.
    schema = PolicyConfigSchema({"namespaces": {"type": "array", "items": {"type": "string"}}})
    return ResourceValidationPolicy(
        rule.name, rule.description, validate=validate, config_schema=schema
    )


def _stack_policy(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource(given) for given in args.resources]
        sovereign = _sovereign(args.resources[0].urn if resources else "", {})
        for resource, problem in rule.check(resources, sovereign):
            index = next(i for i, each in enumerate(resources) if each is resource)
            report(problem, args.resources[index].urn)

    return StackValidationPolicy(rule.name, rule.description, validate=validate)


def _resource(given: ResourceValidationArgs | PolicyResource) -> Resource:
    return Resource(
        type=given.resource_type,
        name=given.name,
        props=plain(given.props),
        protected=bool(given.opts.protect),
    )


def plain(value: Any) -> Any:
    """The value as plain data, without the SDK's proxies, which raise where it is not known yet."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(owner: Any, key: Any) -> Any:
    try:
        return plain(owner[key])
    except UnknownValueError:
        return UNKNOWN


def _sovereign(urn: str, policy_config: Mapping[str, Any]) -> Sovereign:
    """From the stack's file: pulumi-policy 1.21 does not hand on the config that the engine sends.

    Without a file, or with one that the engine would refuse, the strictest is assumed.
    """
    stack = urn.split("::")[0].rpartition(":")[2]
    document = _stack_file(stack)
    return Sovereign.of(
        document.get("config") or {},
        policy_config.get("namespaces", ()),
        salt=document.get("encryptionsalt", ""),
    )


@functools.cache
def _stack_file(stack: str) -> Mapping[str, Any]:
    try:
        file = PROJECT / f"Pulumi.{stack}.yaml"
        salt = re.search(r"^encryptionsalt: *(\S+)", file.read_text(), re.MULTILINE)
        config = stack_file.read(file).config
        return {"config": config, "encryptionsalt": salt[1] if salt else ""}
    except (FileNotFoundError, StackFileRefused):
        return {}
