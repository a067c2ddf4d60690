"""Users, and the change of passwords."""

from __future__ import annotations

import re

from sandbox.fake_harbor import access, answers, lists
from sandbox.fake_harbor.answers import OK, Answer
from sandbox.fake_harbor.fields import body
from sandbox.fake_harbor.routing import Call, route
from sandbox.fake_harbor.world import WEAK, Row, is_strong, now

_BODY = body(
    "userReq",
    "UserCreationReq",
    username="string",
    email="string",
    realname="string",
    password="string",
    comment="string",
)


def _shown(user: Row) -> Row:
    return {
        "admin_role_in_auth": False,
        "comment": user["comment"],
        "creation_time": user["creation_time"],
        "email": user["email"],
        "realname": user["realname"],
        "sysadmin_flag": user["sysadmin"],
        "update_time": user["update_time"],
        "user_id": user["id"],
        "username": user["username"],
    }


@route("POST", "/users", _BODY)
def create(call: Call) -> Answer:
    access.need_system(call.who, "user", "create")
    mode = call.world["configurations"]["auth_mode"]
    if mode != "db_auth":
        raise answers.forbidden(f"creating local user is not allowed under auth mode: {mode}")
    given = call.body
    name, email = given.get("username", ""), given.get("email", "")
    if not is_strong(given.get("password", "")):
        raise answers.bad_request(WEAK)
    if not name or len(name) > 255:
        raise answers.bad_request("username with illegal length")
    if re.search(r"[,\"~#%$]", name):
        raise answers.bad_request("username contains illegal characters")
    if not email:
        raise answers.bad_request("email can't be empty")
    if not given.get("realname"):
        raise answers.bad_request("realname with illegal length")
    for user in call.world.table("users").values():
        if user["username"] == name or user["email"] == email:
            raise answers.conflict(f"user {name} or email {email} already exists")
    user = call.world.insert(
        "users",
        {
            "username": name,
            "email": email,
            "realname": given["realname"],
            "comment": given.get("comment", ""),
            "sysadmin": False,
            "password": call.world.digest(given["password"]),
        },
    )
    return answers.created(f"/users/{user['id']}")


@route("GET", "/users")
def listed(call: Call) -> Answer:
    access.need_system(call.who, "user", "list")
    rows = [user for user in call.world.table("users").values() if user["id"] != 1]
    columns: lists.Columns = {
        "username": lambda user: user["username"],
        "email": lambda user: user["email"],
    }
    chosen = lists.choose(rows, call.query, columns)
    return lists.page(call.path, call.query, [_shown(user) for user in chosen])


def _user(call: Call) -> Row:
    number = call.number("id")
    user = call.world.table("users").get(number)
    if user is None:
        raise answers.not_found(f"user {number} not found")
    return user


@route("GET", "/users/{id}")
def get(call: Call) -> Answer:
    access.need_system(call.who, "user", "read")
    return Answer(200, _shown(_user(call)))


@route("PUT", "/users/{id}/sysadmin", body("sysadmin_flag", "UserSysAdminFlag",
                                           sysadmin_flag="bool"))  # fmt: skip
def set_sysadmin(call: Call) -> Answer:
    """Whoever may update users makes admins, robots too."""
    access.need_system(call.who, "user", "update")
    _user(call)["sysadmin"] = call.body.get("sysadmin_flag", False)
    return OK


@route("PUT", "/users/{id}/password", body("password", "PasswordReq",
                                           old_password="string",
                                           new_password="string"))  # fmt: skip
def set_password(call: Call) -> Answer:
    access.need_login(call.who)
    asker = call.who.user
    number = call.number("id")
    if asker is None or (not call.who.is_admin and asker["id"] != number):
        raise answers.forbidden(f"User with ID {number} can't be updated")
    user, digest = _user(call), call.world.digest
    new = call.body.get("new_password", "")
    own = asker["id"] == user["id"]
    if own and digest(call.body.get("old_password", "")) != user["password"]:
        raise answers.forbidden("Current password is incorrect")
    if not is_strong(new):
        raise answers.bad_request(WEAK)
    if digest(new) == user["password"]:
        raise answers.bad_request("New password is identical to old password")
    user.update(password=digest(new), update_time=now())
    return OK


@route("DELETE", "/users/{id}")
def delete(call: Call) -> Answer:
    access.need_login(call.who)
    if not call.who.is_admin:
        raise answers.forbidden("Not authorized to delete users")
    user = _user(call)
    if user["id"] == 1:
        raise answers.forbidden("User with ID 1 can't be deleted")
    members = call.world.table("members")
    for key in [k for k, m in members.items() if (m["type"], m["entity"]) == ("u", user["id"])]:
        del members[key]
    del call.world.table("users")[user["id"]]
    return OK
