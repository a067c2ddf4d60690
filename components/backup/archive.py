"""Proof that a database's backups are where they are said to be, before anything is touched.

Without it a recovery without a base backup fails in the cluster, after the database that lived was
deleted; and a new database would never archive into the folder of another one: the plugin refuses
that for ever, while the write-ahead log fills the volume.

This module's path and its provider's name are part of every existing state: they never change
(tests/unit/test_state_memory.py).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from components.commands import set_value, unset
from components.object_storage.location import BucketLocation, location_props
from components.object_storage.s3.errors import BucketError
from components.object_storage.s3.provider import S3Provider
from components.object_storage.s3.purpose import BACKUPS
from components.settings.backup import DestinationSettings


class ArchiveProofProvider(S3Provider):
    """Looks once for each `server`, the name under which a database archives.

    Inputs: `isNew` (whether the database is made in this run), `destination` (where it archives;
    None without backups) and `source` (from where it is restored; None unless it is), both as
    `place` makes them.
    """

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_olds.get("server") != _news["server"], replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=props["server"], outs=self._proven(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._proven(_news))

    def _proven(self, props: dict[str, Any]) -> dict[str, Any]:
        if props["isNew"]:
            if source := props.get("source"):
                self._has_a_base_backup(source)
            if destination := props.get("destination"):
                self._is_empty(destination, props["server"])
        return {"server": props["server"]}

    def _is_empty(self, place: dict[str, Any], server: str) -> None:
        with self._reached(place) as client:
            folder = f"{_root(place)}{server}/"
            listed = client.list_objects_v2(Bucket=place["bucket"], Prefix=folder, MaxKeys=1)
            if listed.get("Contents"):
                raise BucketError(
                    f"bucket {place['bucket']} holds backups of a database in {folder}, and the "
                    "one that is made now would be another: it could not archive there. To go on "
                    f"with that database: `{set_value('database.restore.server', server)}`, see "
                    "docs/runbooks/restore.md. To begin anew beside it: "
                    f"`{set_value('backup.destination.prefix', '<prefix>')}`"
                )

    def _has_a_base_backup(self, place: dict[str, Any]) -> None:
        bucket, server = place["bucket"], place["server"]
        with self._reached(place) as client:
            begun = sorted(_base_backups(client, bucket, f"{_root(place)}{server}/base/"))
            if not begun:
                servers = ", ".join(_folders(client, bucket, _root(place))) or "no database"
                raise BucketError(
                    f"bucket {bucket} holds no base backup of server {server}; it holds those of "
                    f"{servers}. Nothing was deleted. Name one of them: "
                    f"`{set_value('database.restore.server', '<server>')}`"
                )
            target: str | None = place.get("targetTime")
            if target is not None and dt.datetime.fromisoformat(target) < begun[0]:
                raise BucketError(
                    f"the first base backup of server {server} in bucket {bucket} began at "
                    f"{begun[0]:%Y-%m-%dT%H:%M:%SZ}, after database.restore.targetTime {target}. "
                    "Nothing was deleted. Name a later moment, or the last one: "
                    f"`{unset('database.restore.targetTime')}`"
                )


def _root(place: Mapping[str, Any]) -> str:
    prefix: str = place["prefix"]
    return f"{prefix}/" if prefix else ""


def _base_backups(client: Any, bucket: str, folder: str) -> Iterator[dt.datetime]:
    """When the base backups in a server's folder began: barman names them by it, in UTC."""
    for name in _folders(client, bucket, folder):
        if re.fullmatch(r"\d{8}T\d{6}", name):
            yield dt.datetime.strptime(name, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)


def _folders(client: Any, bucket: str, above: str) -> Iterator[str]:
    """Names of the folders below a prefix, without this program's own."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=above, Delimiter="/"
    )
    for page in pages:
        for entry in page.get("CommonPrefixes", []):
            name = entry["Prefix"].removeprefix(above).rstrip("/")
            if not name.startswith("."):
                yield name


def location(destination: DestinationSettings) -> BucketLocation:
    """The bucket of the backups, as the program's own requests reach it."""
    return BucketLocation(
        bucket=destination.bucket,
        region=destination.region,
        endpoint=destination.endpoint,
        path_style=destination.path_style,
        ca_bundle=destination.ca_bundle,
    )


def place(destination: DestinationSettings, **more: str | None) -> dict[str, Any]:
    """A destination as an input of the proof."""
    return {
        **location_props(location(destination)),
        "prefix": destination.prefix,
        "setting": BACKUPS.setting,
        **more,
    }


class ArchiveProof(Resource, module="backup", name="ArchiveProof"):
    """The proof as a resource: `server` is known once it was given."""

    server: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        server: pulumi.Input[str],
        is_new: bool,
        destination: dict[str, Any] | None,
        source: dict[str, Any] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "server": server,
            "isNew": is_new,
            "destination": destination,
            "source": source,
        }
        super().__init__(ArchiveProofProvider(), name, props, opts)
