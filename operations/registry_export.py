"""A Harbor that runs, written as the section `registry` of a stack's file.

Secrets are names: Harbor never shows them. What the section cannot say is told, never left out
silently.
"""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml

from components import commands
from components.registry.api import Harbor, where
from components.registry.kinds import KINDS, in_project
from components.registry.kinds.base import Session, Tree, rows
from components.registry.kinds.configuration import DEFAULTS
from components.registry.kinds.member import ROLES
from components.settings.registry.endpoints import DEFAULT_URLS
from components.settings.registry.patterns import ALL
from components.settings.registry.projects import NO_QUOTA, UNLIMITED

_UNITS: Final = (("Pi", 1024**5), ("Ti", 1024**4), ("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024))

_KEEPS: Final = {
    "latestPushedK": "lastPushed",
    "latestPulledN": "lastPulled",
    "nDaysSinceLastPush": "daysSincePush",
    "nDaysSinceLastPull": "daysSincePull",
}

_SYSTEM: Final = {
    "project_creation_restriction": "projectCreation",
    "robot_name_prefix": "robotPrefix",
    "session_timeout": "sessionMinutes",
    "token_expiration": "tokenMinutes",
    "robot_token_duration": "robotDays",
    "audit_log_forward_endpoint": "auditForward",
    "skip_audit_log_database": "auditOnlyForward",
    "notification_enable": "notifications",
}
"""Items of Harbor that are copied → key of `registry.system`."""

_LOGIN: Final = {
    "oidc_name": "displayName",
    "oidc_endpoint": "issuer",
    "oidc_client_id": "clientId",
    "oidc_user_claim": "userClaim",
    "oidc_groups_claim": "groupsClaim",
    "oidc_admin_group": "adminGroup",
    "oidc_auto_onboard": "autoOnboard",
    "oidc_logout": "logout",
    "oidc_verify_cert": "verifyTls",
    "primary_auth_mode": "primary",
}


@dataclass(kw_only=True)
class Export:
    """`section`: of the stack's file. `secrets`: name → what it is. `notes`: what the section
    cannot say, and what to do about it."""

    section: Tree = field(default_factory=dict[str, Any])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])

    def secret(self, name: str, what: str) -> Tree:
        """A reference to a secret of the stack, whose name is made from `name`."""
        words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
        key = words[0].lower() + "".join(word[:1].upper() + word[1:] for word in words[1:])
        key = (key if key[0].isalpha() else f"s{key}")[:60]
        unique, number = key, 2
        while unique in self.secrets:
            unique, number = f"{key}{number}", number + 1
        self.secrets[unique] = what
        return {"secret": unique}

    def text(self, stack: str) -> str:
        """YAML for the stack's file, with what a person has to do in comments."""
        lines: list[str] = []
        if self.secrets:
            lines = [
                f"Written from a running Harbor for stack {stack}. Harbor shows no secret: set",
                *(
                    f"  {commands.set_secret(name, stack)}   # {what}"
                    for name, what in self.secrets.items()
                ),
            ]
        if self.notes:
            lines += ["The section cannot say:", *(f"- {note}" for note in self.notes)]
        comments = textwrap.indent("".join(f"{line}\n" for line in lines), "# ")
        body: str = yaml.safe_dump(
            {"sovereign-harbor:registry": self.section}, sort_keys=False, allow_unicode=True
        )
        return comments + body


def export(harbor: Harbor, *, own_robot: str) -> Export:
    """The section for everything that Harbor holds. `own_robot`: the program's, which is left out.

    Raises HarborError.
    """
    return _Reader(Session(harbor=harbor), own_robot).read()


class _Reader:
    def __init__(self, session: Session, own_robot: str) -> None:
        self._session, self._harbor, self._own_robot = session, session.harbor, own_robot
        self._export = Export()
        self._default_quota = UNLIMITED

    def read(self) -> Export:
        section = self._export.section
        items: Tree = self._harbor.get("/configurations", who="admin") or {}
        values = {item: row.get("value") for item, row in items.items()}
        self._default_quota = int(values.get("storage_per_project", UNLIMITED))
        section["system"] = self._system(values)
        if login := self._login(values):
            section["login"] = login
        endpoints = {
            str(row["name"]): self._shown("Endpoint", row)
            for row in self._harbor.listed("/registries")
        }
        declared = self._projects(endpoints)
        self._replications(endpoints, declared)
        section["robots"] = self._robots("")
        section["labels"] = self._labels("")
        section["schedules"] = self._schedules()
        allowlist = self._system_allowlist()
        if allowlist:
            section["cveAllowlist"] = allowlist
        self._export.section = {key: value for key, value in section.items() if value}
        return self._export

    def _shown(self, kind: str, stored: Tree) -> Tree:
        return KINDS[kind].shown(self._session, stored, {})

    def _note(self, text: str) -> None:
        self._export.notes.append(text)

    # ---- projects ------------------------------------------------------------------------------

    def _projects(self, endpoints: Mapping[str, Tree]) -> set[str]:
        """Fills projects and proxyCaches; returns the endpoints that the caches declare."""
        projects: Tree = {}
        caches: Tree = {}
        for row in self._harbor.listed("/projects"):
            name = str(row["name"])
            stored: Tree | None = self._harbor.project(name)
            if stored is None:
                continue
            project = self._shown("Project", stored)
            endpoint = project["endpoint"]
            if not endpoint:
                projects[name] = self._project(name, project)
            elif endpoint == name:
                caches[name] = self._cache(name, project, endpoints[endpoint])
            else:
                self._note(
                    f"proxy cache {name} reads from endpoint {endpoint}. Here both have one name: "
                    f"call the endpoint {name} in Harbor (Administration, Registries) and export "
                    "again"
                )
        self._export.section["projects"] = projects
        self._export.section["proxyCaches"] = caches
        return set(caches)

    def _of_every_project(self, name: str, project: Tree) -> Tree:
        section: Tree = {
            "public": project["public"] is True,
            "scanOnPush": project["scanOnPush"] is True,
            "blockSeverity": project["blockSeverity"] or "off",
        }
        if section["blockSeverity"] not in ("off", "low", "medium", "high", "critical"):
            self._note(
                f"project {name} blocks from severity {project['blockSeverity']}, which blocks "
                "everything that was not scanned; it is written as low"
            )
            section["blockSeverity"] = "low"
        if section["blockSeverity"] != "off" and not section["scanOnPush"]:
            self._note(
                f"project {name} blocks by severity, and scans nothing as it is pushed: Harbor "
                "then hands out no new image, and this section is refused. Set its scanOnPush to "
                "true, or its blockSeverity to off"
            )
        if project["quota"] != self._default_quota:
            has_none = project["quota"] == UNLIMITED
            section["quota"] = NO_QUOTA if has_none else quantity(project["quota"])
        allowlist: Tree = project["allowlist"]
        if not (allowlist["useSystem"] and not allowlist["items"]):
            section["cveAllowlist"] = self._allowlist(
                f"project {name}", allowlist["items"], allowlist["expires"]
            )
            if allowlist["useSystem"]:
                section["cveAllowlist"] = {"useSystem": True}
                self._note(f"project {name} has an allowlist that does not count (useSystem)")
        return section

    def _in_every_project(self, name: str) -> Tree:
        section: Tree = {
            "members": self._members(name),
            "robots": self._robots(name),
            "webhooks": self._webhooks(name),
        }
        return {key: value for key, value in section.items() if value}

    def _project(self, name: str, project: Tree) -> Tree:
        section = self._of_every_project(name, project)
        for key in ("sbomOnPush", "requireCosign"):
            if project[key] is True:
                section[key] = True
        retention = KINDS["Retention"].find(self._session, {"project": name}, {})
        if retention is not None:
            shown = self._shown("Retention", retention)
            keep = [self._keep(name, rule) for rule in shown["rules"] if not rule.get("disabled")]
            if len(keep) < len(shown["rules"]):
                self._note(f"project {name} has rules of retention that are switched off")
            if keep:
                section["retention"] = {"schedule": shown["cron"] or "none", "keep": keep}
            else:
                self._note(f"project {name} has a retention without a rule, which keeps everything")
        immutable = KINDS["ImmutableTags"].find(self._session, {"project": name}, {})
        if immutable is not None:
            section["immutableTags"] = [
                {**_selectors(rule), **({} if rule["enabled"] else {"enabled": False})}
                for rule in self._shown("ImmutableTags", immutable)["rules"]
            ]
        if labels := self._labels(name):
            section["labels"] = labels
        return {**section, **self._in_every_project(name)}

    def _cache(self, name: str, project: Tree, endpoint: Tree) -> Tree:
        section: Tree = {
            "upstream": self._endpoint(name, endpoint),
            **self._of_every_project(name, project),
        }
        for key in ("speedLimit", "maxConnections"):
            if project[key] != -1:
                section[key] = project[key]
        if project["serveStale"] is True:
            section["serveStale"] = True
        retention = KINDS["Retention"].find(self._session, {"project": name}, {})
        shown = {} if retention is None else self._shown("Retention", retention)
        rules: list[Tree] = shown.get("rules") or []
        simple = (
            len(rules) == 1
            and rules[0]["template"] == "nDaysSinceLastPull"
            and not _selectors(rules[0])
            and shown["cron"] == "0 0 0 * * *"
        )
        if simple:
            section["keepDaysSincePull"] = rules[0]["number"]
        else:
            self._note(
                f"proxy cache {name} has other rules of retention than days since the last pull, "
                "each night"
            )
        return {**section, **self._in_every_project(name)}

    def _keep(self, project: str, rule: Tree) -> Tree:
        key = _KEEPS.get(rule["template"])
        if key is None and rule["template"] != "always":
            self._note(f"project {project} has a rule of retention {rule['template']}")
        said: Tree = {"always": True} if key is None else {key: rule["number"]}
        untagged: Tree = {} if rule["untagged"] is True else {"untagged": False}
        return {**said, **_selectors(rule), **untagged}

    def _members(self, project: str) -> Tree:
        names = {number: role for role, number in ROLES.items()}
        members: Tree = {"groups": {}, "users": {}}
        for row in in_project.listed(self._session, project, "members"):
            kind = "groups" if row["entity_type"] == "g" else "users"
            # Whoever made the project is an admin of it.
            if kind == "users" and row["entity_name"] == "admin":
                continue
            members[kind][row["entity_name"]] = names[row["role_id"]]
        return {kind: of for kind, of in members.items() if of}

    def _robots(self, project: str) -> Tree:
        conditions: Tree = {}
        if project:
            number = self._harbor.project_number(project)
            conditions = {"Level": "project", "ProjectID": number}
        robots: Tree = {}
        for row in self._harbor.listed("/robots", where(conditions)):
            robot = self._shown("Robot", row)
            name = str(robot["name"])
            if not project and name == self._own_robot:
                continue
            section: Tree = {}
            if robot["description"]:
                section["description"] = robot["description"]
            if robot["days"] != -1:
                section["days"] = robot["days"]
            if not robot["enabled"]:
                section["enabled"] = False
            where_ = f"{project}+{name}" if project else name
            if not self._rights(where_, project, robot["permissions"], section):
                continue
            section["secret"] = self._export.secret(
                f"robot {project} {name}", f"secret of robot {where_}"
            )
            robots[name] = section
        return robots

    def _rights(self, robot: str, project: str, blocks: Sequence[Tree], section: Tree) -> bool:
        """Adds the rights of a robot; whether the section can say them."""
        if project:
            section["permissions"] = list(blocks[0]["access"]) if blocks else []
            return bool(blocks)
        permissions: Tree = {}
        for block in blocks:
            if block["kind"] == "system":
                section["system"] = list(block["access"])
            elif block["namespace"] == "*":
                self._note(
                    f"robot {robot} has rights in all projects, those to come too; here * stands "
                    "for the declared ones, and the robot is left out"
                )
                return False
            else:
                permissions[block["namespace"]] = list(block["access"])
        if permissions:
            section["permissions"] = permissions
        return bool(blocks)

    def _webhooks(self, project: str) -> Tree:
        webhooks: Tree = {}
        for row in in_project.listed(self._session, project, "webhook/policies"):
            shown = self._shown("Webhook", {**row, "project": project})
            name = str(shown["name"])
            if shown["targets"] != 1:
                self._note(f"webhook {project}/{name} has {shown['targets']} addresses")
                continue
            section: Tree = {"url": shown["url"], "kind": shown["kind"], "events": shown["events"]}
            if rows(row.get("targets"))[0].get("auth_header"):
                section["authorization"] = self._export.secret(
                    f"webhook {project} {name}", f"Authorization of webhook {project}/{name}"
                )
            if shown["kind"] == "http" and shown["format"] not in ("", "Default"):
                section["format"] = shown["format"]
            for key in ("tlsVerify", "enabled"):
                if not shown[key]:
                    section[key] = False
            if shown["description"]:
                section["description"] = shown["description"]
            webhooks[name] = section
        return webhooks

    def _labels(self, project: str) -> Tree:
        asked: Tree = {"scope": "g"}
        if project:
            asked = {"scope": "p", "project_id": self._harbor.project_number(project)}
        labels: Tree = {}
        for row in self._harbor.listed("/labels", asked):
            section: Tree = {"color": row["color"]} if row.get("color") else {}
            if row.get("description"):
                section["description"] = row["description"]
            labels[str(row["name"])] = section
        return labels

    # ---- other registries ----------------------------------------------------------------------

    def _endpoint(self, name: str, endpoint: Tree) -> Tree:
        kind = endpoint["type"]
        section: Tree = {"type": kind}
        if endpoint["url"] != DEFAULT_URLS.get(kind):
            section["url"] = endpoint["url"]
        if endpoint["username"]:
            section["username"] = endpoint["username"]
            section["password"] = self._export.secret(
                f"upstream {name}", f"password of {endpoint['username']} at {endpoint['url']}"
            )
        if not endpoint["tlsVerify"]:
            section["tlsVerify"] = False
        if endpoint["caCertificate"]:
            section["caCertificate"] = endpoint["caCertificate"]
        if endpoint["description"]:
            section["description"] = endpoint["description"]
        return section

    def _replications(self, endpoints: Mapping[str, Tree], declared: set[str]) -> None:
        policies = [
            self._shown("ReplicationPolicy", row)
            for row in self._harbor.listed("/replication/policies")
        ]
        names = {str(policy["name"]) for policy in policies}
        mirrors: Tree = {}
        replications: Tree = {}
        for policy in policies:
            name, endpoint = str(policy["name"]), str(policy["endpoint"])
            if endpoint == name:
                source: Any = self._endpoint(name, endpoints[endpoint])
            elif endpoint in declared or endpoint in names:
                source = endpoint
            else:
                self._note(
                    f"replication {name} uses endpoint {endpoint}, which no cache and no "
                    f"replication is named after: call the endpoint {name} in Harbor "
                    "(Administration, Registries) and export again"
                )
                continue
            declared.add(endpoint)
            is_mirror = policy["direction"] == "pull" and policy["trigger"] != "onPush"
            is_mirror = is_mirror and not policy["deletions"] and not policy["chunked"]
            section = {("from" if is_mirror else "registry"): source, **self._copies(policy)}
            if is_mirror:
                section["schedule"] = policy["cron"] or "none"
                mirrors[name] = section
                continue
            section["direction"] = policy["direction"]
            section["trigger"] = policy["trigger"]
            if policy["cron"]:
                section["schedule"] = policy["cron"]
            for key, ours in (("deletions", "propagateDeletes"), ("chunked", "chunked")):
                if policy[key]:
                    section[ours] = True
            replications[name] = section
        for name in sorted(endpoints.keys() - declared):
            self._note(f"endpoint {name} is used by nothing")
        self._export.section["mirrors"] = mirrors
        self._export.section["replications"] = replications

    def _copies(self, policy: Tree) -> Tree:
        section: Tree = {}
        for key, ours in (
            ("repositories", "repositories"),
            ("tags", "tags"),
            ("tagsExcluded", "excludeTags"),
        ):
            if policy[key]:
                section[ours] = [policy[key]]
        if policy["labels"]:
            section["labels"] = policy["labels"]
        if policy["otherFilters"]:
            self._note(f"replication {policy['name']} has other filters: {policy['otherFilters']}")
        count = policy["replaceCount"]
        if policy["into"]:
            section["into"] = policy["into"]
            if count == -1:
                section["keepPath"] = False
            elif count > 0:
                section["dropParts"] = count
        elif count:
            self._note(
                f"replication {policy['name']} drops parts of the path, which Harbor does not "
                "without a destination"
            )
        if not policy["overwrite"]:
            section["overwrite"] = False
        if policy["speed"]:
            section["bandwidth"] = policy["speed"]
        if policy["oneAtATime"]:
            section["oneAtATime"] = True
        if not policy["enabled"]:
            section["enabled"] = False
        if policy["description"]:
            section["description"] = policy["description"]
        return section

    # ---- the whole of Harbor -------------------------------------------------------------------

    def _schedules(self) -> Tree:
        schedules: Tree = {}
        for what in ("garbageCollection", "auditPurge", "scanAll"):
            stored = KINDS["Schedule"].find(self._session, {"what": what}, {})
            shown = self._shown("Schedule", stored or {"what": what})
            parameters: Tree = shown["parameters"]
            section: Tree = {"schedule": shown["cron"] or "none"}
            if what == "garbageCollection" and shown["cron"]:
                section["deleteUntagged"] = bool(parameters.get("delete_untagged"))
                section["workers"] = parameters.get("workers") or 1
            if what == "auditPurge" and shown["cron"]:
                section["keepDays"] = max(1, int(parameters["audit_retention_hour"]) // 24)
                section["events"] = [
                    event.strip() for event in parameters["include_event_types"].split(",")
                ]
            schedules[what] = section
        return schedules

    def _system(self, values: Tree) -> Tree:
        system: Tree = {
            ours: values[item]
            for item, ours in _SYSTEM.items()
            if values.get(item) not in (None, DEFAULTS[item])
        }
        # What Harbor gives a new one would become adminonly.
        system["projectCreation"] = values.get("project_creation_restriction", "everyone")
        if self._default_quota != UNLIMITED:
            system["defaultQuota"] = quantity(self._default_quota)
        if values.get("read_only"):
            system["readOnly"] = True
        if values.get("scanner_skip_update_pulltime"):
            system["scansCountAsPull"] = False
        if events := values.get("disabled_audit_log_event_types"):
            system["disabledAuditEvents"] = [event.strip() for event in events.split(",")]
        if values.get("banner_message"):
            self._note("Harbor has a banner: registry.system.banner")
        return system

    def _login(self, values: Tree) -> Tree:
        mode = values.get("auth_mode")
        if mode != "oidc_auth":
            if mode != "db_auth":
                self._note(f"people log in by {mode}; it stays as it is")
            return {}
        login: Tree = {ours: values[item] for item, ours in _LOGIN.items() if item in values}
        login["clientSecret"] = self._export.secret("oidc secret", "secret of Harbor's OIDC client")
        login["scopes"] = [scope.strip() for scope in str(values["oidc_scope"]).split(",")]
        if expression := values.get("oidc_group_filter"):
            globs = globs_of(str(expression))
            if globs is None:
                self._note(f"the filter of groups is {expression}; groupFilter takes patterns")
            else:
                login["groupFilter"] = globs
        parameters: Tree = yaml.safe_load(values.get("oidc_extra_redirect_parms") or "{}") or {}
        if parameters:
            login["redirectParameters"] = parameters
        return {key: value for key, value in login.items() if value not in ("", None)}

    def _system_allowlist(self) -> Tree:
        stored: Tree = self._harbor.get("/system/CVEAllowlist") or {}
        items = sorted(str(row["cve_id"]) for row in rows(stored.get("items")))
        if not items:
            return {}
        return self._allowlist("the registry", items, stored.get("expires_at"))

    def _allowlist(self, of: str, items: list[str], expires: int | None) -> Tree:
        allowlist: Tree = {"items": items}
        if expires is not None and items:
            day = dt.datetime.fromtimestamp(max(expires, 1) - 1, dt.UTC).date()
            allowlist["expires"] = day.isoformat()
            if expires % 86400:
                self._note(f"the allowlist of {of} ends within {day}; here a whole day is said")
        return allowlist


# ---- Pure -------------------------------------------------------------------------------------


def quantity(number: int) -> str:
    """Bytes as Kubernetes writes them."""
    for unit, size in _UNITS:
        if number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def _selectors(rule: Tree) -> Tree:
    """The patterns of a rule as the settings have them; what stands for all is left out."""
    section: Tree = {}
    for key, excluded in (("repositories", "exceptRepositories"), ("tags", "exceptTags")):
        if rule[f"{key}Excluded"]:
            section[excluded] = [rule[f"{key}Excluded"]]
        elif rule[key] not in ("", ALL):
            section[key] = [rule[key]]
    return section


def globs_of(expression: str) -> list[str] | None:
    """The patterns of a filter that the settings made; None for another expression."""
    whole = re.fullmatch(r"\^\(\?:(.*)\)\$", expression)
    if whole is None:
        return None
    globs: list[str] = []
    for alternative in whole.group(1).split("|"):
        tokens = cast("list[str]", re.findall(r"\[\^/\]\*|\.\*|\[\^/\]|\\.|[\w/-]", alternative))
        if "".join(tokens) != alternative:
            return None
        words = {"[^/]*": "*", ".*": "**", "[^/]": "?"}
        globs.append("".join(words.get(token) or token.removeprefix("\\") for token in tokens))
    return globs
