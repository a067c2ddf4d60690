"""Waiting for a resource without hiding from a preview what is known already."""

from __future__ import annotations

from typing import Any, TypeVar

import pulumi

T = TypeVar("T")


def after(before: pulumi.Output[Any], value: pulumi.Input[T]) -> pulumi.Output[T]:
    """`value`, for a resource that must wait for the resources of `before`.

    A preview knows it as far as `value` itself is known: what a plain `apply` returns is unknown
    as long as `before` is, and a `spec` that is unknown as a whole is shown as a replacement.
    """
    return before.apply(lambda _: value, run_with_unknowns=True)
