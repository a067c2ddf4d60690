"""What goes wrong between this program and Harbor's API. Pure."""

from __future__ import annotations

from typing import Any

from components import parsed


class HarborError(Exception):
    """Harbor refused a call, or did not answer it. The text never has a secret in it.

    `call`: method and path. `status`: of the answer; 0 where there was none. `message`: the last
    line of what Harbor said. `may_pass`: whether the same call may succeed a little later.
    """

    def __init__(self, call: str, status: int, message: str, *, may_pass: bool = False) -> None:
        what = f"answered {status}" if status else "did not answer"
        super().__init__(f"Harbor {what} to {call}: {message}")
        self.call, self.status, self.message, self.may_pass = call, status, message, may_pass


class HarborDown(HarborError):
    """Harbor cannot be reached, or says itself that a part of it does not work."""

    def __init__(self, call: str, message: str) -> None:
        super().__init__(call, 0, message, may_pass=True)


class HarborSilent(HarborDown):
    """Harbor took the connection, and then said nothing for too long."""


class OtherCluster(HarborError):
    """The kubeconfig leads to another cluster than the stack's. To wait does not help."""

    def __init__(self, why: str) -> None:
        super().__init__("", 0, why)
        self.args = (f"Harbor was not asked: {why}",)


class LoginRefused(HarborError):
    """A healthy Harbor does not take the name and password."""

    def __init__(self, login: str, why: str) -> None:
        super().__init__("GET /users/current", 401, f"{login} cannot log in: {why}")


class NoSecret(LoginRefused):
    """There is no password yet: before the first `up`."""


class Refused(Exception):
    """This program does not do what was declared; the text says why, and the way out."""


def is_refusal(body: bytes) -> bool:
    """Whether Harbor wrote it: `{"errors": [{"code", "message"}]}`."""
    return _message(body) is not None


def last_line(body: bytes) -> str:
    """What a refusal says, without the prefixes that Harbor repeats before it.

    Each 422 begins with `validation failure list:`, once for each level of nesting.
    """
    text = _message(body)
    if text is None:
        text = body.decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "an empty body"


def _message(body: bytes) -> str | None:
    try:
        errors: Any = parsed.json_of(body)["errors"]
        return str(errors[0]["message"])
    except (ValueError, LookupError, TypeError):
        return None
