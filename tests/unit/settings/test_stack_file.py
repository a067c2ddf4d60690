"""A stack's file is read as the engine reads it, or refused with file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.settings.reading import stack_file
from components.settings.reading.stack_file import StackFileRefused
from engine import stacks
from tests.support.project import ROOT
from tests.support.yaml_values import READ, REFUSED_BY_THE_ENGINE

NAME = "Pulumi.nizwa.yaml"


def refusal(text: str | bytes) -> StackFileRefused:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(StackFileRefused) as raised:
        stack_file.parse(content, NAME)
    return raised.value


@pytest.mark.parametrize(("value", "is_read"), READ.items())
def test_a_value_is_read_as_the_engine_reads_it(value: str, is_read: object) -> None:
    (read,) = stack_file.parse(f"config:\n  a: {value}\n".encode(), NAME).settings.values()
    assert (type(read), read) == (type(is_read), is_read)


@pytest.mark.parametrize("text", REFUSED_BY_THE_ENGINE)
def test_what_the_engine_refuses_is_refused(text: str) -> None:
    assert str(refusal(text)).startswith(f"{NAME}:")


def test_a_tag_without_a_name_means_nothing() -> None:
    assert stack_file.parse(b"config:\n  a: ! 5\n", NAME).settings == {"a": 5}


GOOD = "config:\n  sovereign-harbor:fqdn: a.b\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (GOOD + "\tsovereign-harbor:protect: true\n", "3:1", "a tab indents this line"),
        (GOOD + "  sovereign-harbor:protect:\u00a0true\n", "3:28", "a no-break space (U+00A0)"),
        (
            GOOD + "  sovereign-harbor:storage:\n    kind s3\n    a: 1\n",
            "5:6",
            "the line above has no colon",
        ),
        (GOOD + "  sovereign-harbor:storage: {kind: s3\n", "3:29", "a brace { is not closed"),
        (GOOD + "   sovereign-harbor:protect: true\n", "3:28", "this line is indented too far"),
        (GOOD + " sovereign-harbor:protect: true\n", "3:2", "indented differently"),
        (GOOD + "  sovereign-harbor:fqdn: c.d\n", "3:3", "a second time; the first is in line 2"),
        (GOOD + "  fqdn: c.d\n", "3:3", "sovereign-harbor:fqdn a second time"),
        (GOOD + "  a:\n    b: 1\n    b: 2\n", "5:5", "the key b a second time"),
        (GOOD + "sovereign-harbor:protect: true\n", "3:1", "indented below config:"),
        (GOOD + "  sovereign-harbour:protect: true\n", "3:3", "sovereign-harbor:protect?"),
        (GOOD + "  \u00a0protect: true\n", "3:3", "a no-break space (U+00A0) in the key"),
        (GOOD + "  a: 2026-01-02\n", "3:6", "as a date: put it in quotes"),
        (GOOD + "  a: !!binary YQ==\n", "3:6", "a stack's file needs none"),
        (GOOD + "  1: b\n", "3:3", "the key 1 is no text"),
        (GOOD + "  a: .nan\n", "3:6", "no number that a setting can be"),
        (GOOD + "---\nconfig: {}\n", "3:1", "a second document"),
        (GOOD + "  a: \x07\n", "3:6", "a control character"),
        (GOOD.encode() + b"  a: caf\xe9\n", "3:9", "a byte that is not UTF-8"),
        (GOOD.encode("utf-16"), "1:1", "iconv -f UTF-16 -t UTF-8 Pulumi.nizwa.yaml"),
        ("confg:\n  a: b\n", "1:1", "did you mean config?"),
        ("config: text\n", "1:1", "config is no object"),
        ("just text\n", "1:1", "no object"),
        (GOOD + f"  a: {'[' * 40}{']' * 40}\n", "3:37", "nested deeper"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_line_column_and_reason(
    text: str | bytes, place: str, words: str
) -> None:
    told = str(refusal(text))
    assert told.startswith(f"{NAME}:{place}: "), told
    assert words in told


def test_aliases_cannot_multiply() -> None:
    lines = ["config:", "  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases count" in str(refusal("\n".join(lines)))


def test_keys_are_those_that_the_engine_makes_of_them() -> None:
    text = "config:\n  fqdn: a.b\n  sovereign-harbor:config:protect: yes\n  aws:region: x\n"
    file = stack_file.parse(text.encode(), NAME)
    assert file.config == {
        "sovereign-harbor:fqdn": "a.b",
        "sovereign-harbor:protect": "yes",
        "aws:region": "x",
    }
    assert file.settings == {"fqdn": "a.b", "protect": "yes"}


def test_objects_are_merged_and_reused() -> None:
    text = "config:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n  c: *a\n"
    assert stack_file.parse(text.encode(), NAME).settings == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "config:\n", "config: {}\n", "null\n"])
def test_an_empty_file_has_no_settings(text: str) -> None:
    assert stack_file.parse(text.encode(), NAME).config == {}


def test_a_byte_order_mark_is_passed_over_as_by_the_engine() -> None:
    assert stack_file.parse(b"\xef\xbb\xbf" + GOOD.encode(), NAME).settings == {"fqdn": "a.b"}


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(StackFileRefused, match="Is a directory"):
        stack_file.read(tmp_path / NAME)
    with pytest.raises(FileNotFoundError):
        stack_file.read(tmp_path / "Pulumi.muscat.yaml")


@given(st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(list(READ)))
def test_a_quoted_text_is_read_as_that_text(text: str) -> None:
    line = f"config:\n  a: {stack_file.quoted(text)}\n"
    assert stack_file.parse(line.encode(), NAME).settings == {"a": text}


@pytest.mark.parametrize("account", ["012345678901", "000000000012", "111122223333"])
def test_an_account_of_digits_keeps_its_zeros(account: str) -> None:
    line = f"config:\n  a: {stack_file.quoted(account)}\n"
    assert stack_file.parse(line.encode(), NAME).settings == {"a": account}


printable = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | printable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcXYZ.-/: {}#&*é", max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(values)
def test_what_is_written_is_read_back(value: object) -> None:
    config = {"sovereign-harbor:a": value}
    assert stack_file.parse(stack_file.written(config).encode(), NAME).config == config


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.binary(max_size=60))
def test_no_content_is_anything_else_than_read_or_refused(content: str | bytes) -> None:
    content = content if isinstance(content, bytes) else content.encode()
    for whole in (content, b"config:\n  a: " + content):
        try:
            stack_file.parse(whole, NAME)
        except StackFileRefused as error:
            line = error.line
        else:
            line = 1
        assert 1 <= line <= len(whole.decode(errors="replace").splitlines()) + 2


@pytest.mark.parametrize("name", stacks.names())
def test_the_committed_files_are_read(name: str) -> None:
    file = stack_file.read(stacks.file_of(name, ROOT))
    assert "fqdn" in file.settings
    assert file.is_sandbox == stacks.is_sandbox(name)


@pytest.mark.parametrize(
    ("line", "is_sandbox"),
    [
        ('sovereign-harbor:sandbox: "true"', True),
        ("sovereign-harbor:sandbox: true", True),
        ("sandbox: True", True),
        ("'sovereign-harbor:sandbox': 'true'", True),
        ("sovereign-harbor:config:sandbox: TRUE", True),
        ("sovereign-harbor:sandbox: yes", False),
        ("sovereign-harbor:sandbox: truely", False),
        ("sovereign-harbor:sandbox: false", False),
        ("# sovereign-harbor:sandbox: true", False),
    ],
)
def test_the_list_of_stacks_knows_a_sandbox_as_the_reader_does(
    line: str, is_sandbox: bool, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_text(f"config:\n  {line}\n")
    assert stack_file.read(tmp_path / NAME).is_sandbox is is_sandbox
    assert stacks.is_sandbox("nizwa", tmp_path) is is_sandbox


def test_a_broken_file_does_not_keep_others_from_being_listed(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"config:\n\xff\xfe: [")
    (tmp_path / "Pulumi.local.yaml").write_text("config:\n  sandbox: true\n")
    assert stacks.sovereigns(tmp_path) == ["nizwa"]
