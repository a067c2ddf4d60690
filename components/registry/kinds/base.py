"""One kind of object in Harbor: its fields as a table, and what is the same for all kinds.

A kind says what its fields are (`fields`), how an object is looked up (`find`), shown in this
program's words (`shown`), and written (`insert`, `write`, `remove`). The rest is here: what is
refused, what differs, whether an object that exists already is taken, and what the state keeps.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from components.registry.api import Harbor
from components.registry.errors import HarborError, Refused
from components.sealing.digests import revision


class _Unknown:
    """A value that a preview does not know yet."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Final[Any] = _Unknown()

Tree = dict[str, Any]
"""Inputs, outputs, or an object as Harbor writes it in JSON."""


def rows(value: Any) -> list[Any]:
    """A list from inputs or from Harbor, which writes null for some that are empty."""
    return cast("list[Any]", value or [])


def same(value: Any) -> Any:
    """A value as it is."""
    return value


def as_set(value: Any) -> Any:
    """A list of which the order means nothing."""
    return sorted(rows(value)) if isinstance(value, list) else value


def as_cron(value: Any) -> Any:
    """A cron with one blank between its fields; Harbor keeps two as they are."""
    return " ".join(value.split()) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of a kind.

    `required`: it has to be given. `default`: what an input that is not given means; None leaves
    the field to Harbor and its people. `of_harbor`: what a new object of Harbor's has: a field
    that still has it may be changed without a word. `normal`: makes two spellings of one value
    equal. `replaces`: a change makes a new object. `fixed`: why a change is refused, with the way
    out. `secret`: it can be written only; outputs keep a salted digest of it. `local`: Harbor does
    not show it, so outputs keep what was declared. `check`: what is wrong with a value, or None.
    """

    required: bool = False
    default: Any = None
    of_harbor: Any = None
    normal: Callable[[Any], Any] = same
    replaces: bool = False
    fixed: str = ""
    secret: bool = False
    local: bool = False
    check: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Session:
    """What an operation works with.

    `adopt`: objects that differ from what is declared are taken. `delete_contents`: the projects
    that may be deleted with what they hold. `warn`, `inform`: show a line to the user.
    """

    harbor: Harbor
    adopt: bool = False
    delete_contents: frozenset[str] = frozenset()
    warn: Callable[[str], None] = print
    inform: Callable[[str], None] = print


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`changed`: the fields that differ. `replaced`: those of them that make a new object."""

    changed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


class HalfCreated(Exception):
    """An object exists, and what came after its creation failed; the text says why.

    `id`: of the resource. `outputs`: as far as they are known.
    """

    def __init__(self, id_: str, outputs: Tree, reason: str) -> None:
        super().__init__(reason)
        self.id, self.outputs = id_, outputs


class Kind:
    """A kind. Every method that asks Harbor raises HarborError; those that refuse, Refused."""

    name: ClassVar[str]
    noun: ClassVar[str]
    """In a sentence: "project apps"."""

    fields: ClassVar[Mapping[str, Field]]

    computed: ClassVar[tuple[str, ...]] = ("harborId",)
    """Outputs that are no inputs."""

    inserts_secrets: ClassVar[bool] = False
    """Whether `insert` sends the secrets; else `write` does, after it."""

    mended: ClassVar[Mapping[str, Any]] = {}
    """Outputs by which `shown` tells what no input says, and what each is when all is well."""

    # ---- of each kind -----------------------------------------------------------------------

    def id_of(self, inputs: Tree) -> str:
        """The id in the state, and the name by which an object is imported."""
        return str(inputs["name"])

    def inputs_of(self, id_: str) -> Tree:
        """The inputs that an id tells, for an import. Raises Refused if it is no such id."""
        return {"name": id_}

    def find(self, session: Session, inputs: Tree, known: Tree) -> Tree | None:
        """The object as Harbor has it; None when it does not exist.

        `known`: the outputs of the state, with `harborId`; empty before there are any.
        """
        raise NotImplementedError

    def shown(self, session: Session, stored: Tree, known: Tree) -> Tree:
        """Its fields, and what `computed` and `mended` name, in this program's words.

        `known`: the outputs of the state, where the meaning of a field depends on them.
        """
        raise NotImplementedError

    def insert(self, session: Session, inputs: Tree) -> Tree:
        """Makes the object, as far as one call can, and returns it as Harbor has it."""
        raise NotImplementedError

    def write(self, session: Session, stored: Tree, inputs: Tree, changed: Sequence[str]) -> None:
        """Makes the fields of an object as declared.

        `changed`: the fields that differ, secrets and names in `mended` among them.
        """
        raise NotImplementedError

    def written(self, session: Session, stored: Tree, inputs: Tree) -> Tree:
        """What `shown` has to know of a write, as if the state knew it already."""
        del session, stored, inputs
        return {}

    def remove(self, session: Session, stored: Tree, known: Tree) -> None:
        """Deletes the object."""
        raise NotImplementedError

    def problems(self, inputs: Tree) -> list[tuple[str, str]]:
        """What is wrong with values together: (field, sentence). Values may be UNKNOWN."""
        del inputs
        return []

    def foreign(self, session: Session, stored: Tree, shown: Tree, inputs: Tree) -> str:
        """Why an object that exists is not taken; "" if it is.

        It is taken when each declared field is as declared, or as a new object of Harbor's has it:
        so a run that was interrupted converges, and nothing is lost that a person set.
        """
        del session, stored
        differing = [
            name
            for name in self.differing(shown, inputs)
            if not self.equal(name, shown.get(name), self.fields[name].of_harbor)
        ]
        return ", ".join(f"{name} is {shown.get(name)!r}" for name in differing)

    def left(self, stored: Tree, inputs: Tree) -> str:
        """What stays as a person set it in an object that is taken, since the stack's file states
        nothing of it: a sentence for the user, "" for nothing."""
        del stored, inputs
        return ""

    def expected(self, session: Session, inputs: Tree) -> Tree:
        """What a preview knows of `computed` before the object exists, without asking Harbor."""
        del session, inputs
        return {}

    def foreseen(self, session: Session, outputs: Tree, inputs: Tree) -> Tree:
        """What a preview knows of `computed` after an update, without asking Harbor.

        Raises Refused.
        """
        del session, inputs
        return {name: outputs[name] for name in self.computed if name in outputs}

    # ---- the same for all kinds -------------------------------------------------------------

    def value(self, name: str, inputs: Tree) -> Any:
        """A field's value, or its default."""
        value = inputs.get(name)
        return self.fields[name].default if value is None else value

    def complete(self, inputs: Tree) -> Tree:
        """The inputs with their defaults."""
        return {name: self.value(name, inputs) for name in self.fields}

    @property
    def secrets(self) -> frozenset[str]:
        return frozenset(name for name, of in self.fields.items() if of.secret)

    def equal(self, name: str, one: Any, other: Any) -> bool:
        normal = self.fields[name].normal
        return normal(one) == normal(other)

    def check(self, inputs: Tree) -> list[tuple[str, str]]:
        """What is refused, in preview too: (field, sentence)."""
        refused = [(name, f"{self.name} has no such input") for name in inputs.keys() - self.fields]
        for name, of in self.fields.items():
            value = inputs.get(name)
            if value is UNKNOWN:
                continue
            if value is None:
                if of.required:
                    refused.append((name, f"{self.noun}: {name} is missing"))
            elif of.check is not None and (why := of.check(value)) is not None:
                refused.append((name, f"{self.noun}: {name} {why}"))
        return refused or self.problems(self.complete(inputs))

    def differing(self, outputs: Tree, inputs: Tree, *, local: bool = False) -> list[str]:
        """The declared fields that are not as declared; unknown ones among them.

        Not the secrets; of what Harbor does not show, only with `local`.
        """
        return [
            name
            for name, of in self.fields.items()
            if not of.secret
            and (local or not of.local)
            and (value := self.value(name, inputs)) is not None
            and (value is UNKNOWN or not self.equal(name, outputs.get(name, of.default), value))
        ]

    def diff(self, outputs: Tree, inputs: Tree) -> Difference:
        """What differs between the state and what is declared. Raises Refused."""
        changed = self.differing(outputs, inputs, local=True)
        for name in changed:
            fixed, is_known = self.fields[name].fixed, inputs.get(name) is not UNKNOWN
            if fixed and is_known and name in outputs:
                raise Refused(
                    f"{self.noun} {self.id_of(inputs)}: {name} cannot change from "
                    f"{outputs[name]!r} to {inputs.get(name)!r}. {fixed}"
                )
        declared = self.complete(inputs)
        changed += [n for n in sorted(self.secrets) if secret_differs(outputs, n, declared)]
        changed += [name for name, well in self.mended.items() if outputs.get(name, well) != well]
        fields = self.fields
        replaced = [name for name in changed if name in fields and fields[name].replaces]
        return Difference(changed=tuple(changed), replaced=tuple(replaced))

    def preview(self, session: Session, inputs: Tree) -> Tree:
        """The outputs that a preview of a creation shows. Raises Refused if it would be refused."""
        if UNKNOWN not in inputs.values():
            inputs = self.complete(inputs)
            stored = self.find(session, inputs, {})
            if stored is not None:
                self._take(session, stored, inputs)
        return self.planned(session, inputs)

    def preview_update(self, session: Session, outputs: Tree, inputs: Tree) -> None:
        """Raises Refused if a preview can tell that an update would be refused."""
        del session, outputs, inputs

    def planned(self, session: Session, inputs: Tree) -> Tree:
        """The outputs before Harbor is asked: what is declared, and what follows from it."""
        known = {name: self.value(name, inputs) for name in self.fields if name not in self.secrets}
        outputs = {
            **dict.fromkeys(self.computed, UNKNOWN),
            **known,
            **self.expected(session, inputs),
        }
        return {**outputs, **self.mended}

    def create(self, session: Session, inputs: Tree) -> tuple[str, Tree]:
        """Makes an object, or takes one that exists; returns id and outputs.

        Raises Refused where an object of that name is a person's, HalfCreated where the object
        exists and a later call failed.
        """
        inputs = self.complete(inputs)
        stored, secrets = self._inserted_or_taken(session, inputs)
        try:
            return self.id_of(inputs), self._converged(session, stored, inputs, secrets, {})
        except Exception as error:
            # What `find` needs: the rest differs, so the next run writes it.
            identity = {
                name: inputs[name]
                for name, of in self.fields.items()
                if (of.required or of.replaces) and not of.secret
            }
            outputs = {"harborId": stored.get("id"), **identity}
            raise HalfCreated(self.id_of(inputs), outputs, str(error)) from None

    def update(self, session: Session, outputs: Tree, inputs: Tree) -> Tree:
        """Makes an object as declared; returns its outputs. One that is gone is made anew."""
        inputs = self.complete(inputs)
        stored = self.find(session, inputs, outputs)
        if stored is None:
            return self.create(session, inputs)[1]
        outputs = _still_known(outputs, stored)
        secrets = [n for n in sorted(self.secrets) if secret_differs(outputs, n, inputs)]
        return self._converged(session, stored, inputs, secrets, outputs)

    def read(self, session: Session, id_: str, outputs: Tree) -> Tree | None:
        """The outputs as Harbor has the object now; None when it is gone."""
        inputs = outputs if outputs else self.inputs_of(id_)
        stored = self.find(session, inputs, outputs)
        if stored is None:
            return None
        outputs = _still_known(outputs, stored)
        kept = {
            key: value
            for key, value in outputs.items()
            if key.endswith(_DIGEST) and key.removesuffix(_DIGEST) in self.secrets
        }
        kept |= {
            name: outputs[name] for name, of in self.fields.items() if of.local and name in outputs
        }
        return {**kept, **self.shown(session, stored, outputs)}

    def delete(self, session: Session, outputs: Tree) -> None:
        """Deletes an object, unless it is gone."""
        stored = self.find(session, outputs, outputs)
        if stored is not None:
            self.remove(session, stored, outputs)

    def digested(self, inputs: Tree) -> Tree:
        """The outputs that stand for the secrets of the inputs, with a new salt each time."""
        return {
            digest_name(name): digest(inputs[name])
            for name in sorted(self.secrets)
            if inputs.get(name) is not None
        }

    def _inserted_or_taken(self, session: Session, inputs: Tree) -> tuple[Tree, list[str]]:
        """The object as Harbor has it, and its secrets that are still to be written."""
        stored = self.find(session, inputs, {})
        if stored is None:
            given = [name for name in sorted(self.secrets) if inputs[name] is not None]
            try:
                return self.insert(session, inputs), [] if self.inserts_secrets else given
            except HarborError as error:
                # Somebody else made one of that name between the two calls.
                stored = self.find(session, inputs, {}) if error.status == 409 else None
                if stored is None:
                    raise
        return stored, self._take(session, stored, inputs)

    def _take(self, session: Session, stored: Tree, inputs: Tree) -> list[str]:
        """The secrets to write into an object that exists. Raises Refused if it is not taken."""
        foreign = self.foreign(session, stored, self.shown(session, stored, {}), inputs)
        if foreign and not session.adopt:
            raise Refused(
                f"{self.noun} {self.id_of(inputs)} exists in Harbor and is not as declared: "
                f"{foreign}. `registry.adopt: true` changes it to what the stack's file says"
            )
        if left := self.left(stored, inputs):
            session.inform(left)
        return [name for name in sorted(self.secrets) if inputs.get(name) is not None]

    def _converged(
        self, session: Session, stored: Tree, inputs: Tree, secrets: list[str], outputs: Tree
    ) -> Tree:
        """Writes what differs, and returns the outputs as Harbor shows them then."""
        for name in secrets:
            session.harbor.hide(str(inputs[name]))
        shown = self.shown(session, stored, outputs)
        changed = [
            *self.differing(shown, inputs),
            *(n for n in self.differing(outputs, inputs, local=True) if self.fields[n].local),
            *secrets,
            *(name for name, well in self.mended.items() if shown.get(name, well) != well),
        ]
        if changed:
            self.write(session, stored, inputs, changed)
            written = self.find(session, inputs, {**outputs, **shown})
            if written is None:
                raise Refused(f"{self.noun} {self.id_of(inputs)} is gone after it was written")
            known = {**outputs, **shown, **self.written(session, written, inputs)}
            shown = self.shown(session, written, known)
            if ignored := self.differing(shown, inputs):
                told = ", ".join(f"{name} is {shown.get(name)!r}" for name in ignored)
                raise Refused(
                    f"{self.noun} {self.id_of(inputs)}: Harbor took the change and does not show "
                    f"it: {told}"
                )
        digests = self.digested(inputs)
        unchanged = {
            key: outputs[key]
            for key in digests
            if key in outputs and key.removesuffix(_DIGEST) not in secrets
        }
        local = {name: inputs[name] for name, of in self.fields.items() if of.local}
        return {**shown, **local, **digests, **unchanged}


_DIGEST: Final = "Digest"


def _still_known(outputs: Tree, stored: Tree) -> Tree:
    """The outputs of the state; without the digests of secrets where Harbor has another object of
    that name by now, which has secrets of its own."""
    number = outputs.get("harborId")
    if number is None or stored.get("id", number) == number:
        return outputs
    return {key: value for key, value in outputs.items() if not key.endswith(_DIGEST)}


def digest_name(secret: str) -> str:
    """The output that keeps the digest of a secret input."""
    return secret + _DIGEST


def digest(value: Any, salt: bytes | None = None) -> str:
    """Salt and keyed digest of a secret, or of an object of secrets, as `salt:digest` in hex."""
    salt = salt or os.urandom(16)
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"{salt.hex()}:{revision({'value': text}, salt=salt)}"


def secret_differs(outputs: Tree, name: str, inputs: Tree) -> bool:
    """Whether a secret is not the one that was written last."""
    value, kept = inputs.get(name), outputs.get(name + _DIGEST)
    if value is None:
        return False
    if value is UNKNOWN or kept is UNKNOWN or not kept:
        return True
    salt = bytes.fromhex(str(kept).partition(":")[0])
    return not hmac.compare_digest(digest(value, salt), str(kept))
