"""The system's CVE allowlist."""

from __future__ import annotations

from sandbox.fake_harbor import access
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import Body
from sandbox.fake_harbor.kinds import projects
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import Row, now


@route("GET", "/system/CVEAllowlist")
def get(call: Call) -> Answer:
    access.need_login(call.who)
    kept = call.world["allowlist"]
    view: Row = {key: kept[key] for key in ("creation_time", "items", "update_time")}
    if kept["id"] is not None:
        view["id"] = kept["id"]
    if kept["expires_at"] is not None:
        view["expires_at"] = kept["expires_at"]
    return Answer(200, view)


@route("PUT", "/system/CVEAllowlist", Body("allowlist", projects.ALLOWLIST))
def update(call: Call) -> Answer:
    """Replaces everything. Robots cannot have this right."""
    access.need_system(call.who, "configuration", "update")
    changed = projects.checked_allowlist(dict(call.body))
    kept = call.world["allowlist"]
    if kept["id"] is None:  # the first one that is set
        kept.update(id=call.world.next_id("allowlists"), creation_time=now())
    kept.update(changed, update_time=now())
    return OK
