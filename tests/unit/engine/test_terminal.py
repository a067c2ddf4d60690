"""What a person sees while a command runs, and of its results."""

from __future__ import annotations

import io

import pytest

from engine.terminal import Counter, as_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["kube-system", "flux-system"], "kube-system, flux-system"),
        ({"scanOnPush": True, "blockSeverity": None}, "scanOnPush yes, blockSeverity -"),
        ({}, "-"),
        ([], "-"),
        ("", "-"),
        ("registry.local", "registry.local"),
        (7, "7"),
        (False, "no"),
    ],
)
def test_an_output_is_shown_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_without_a_terminal_a_count_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    counter = Counter("resources done", stream)
    counter.add("first")
    monkeypatch.setattr(Counter, "SECONDS", 0.0)
    counter.add("second")
    counter.end()
    assert stream.getvalue() == "      2 resources done: second\n"


def test_on_a_terminal_a_count_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    counter = Counter("resources done", stream)
    counter.add("first")
    counter.add("x" * 200)
    counter.end()
    shown = stream.getvalue()
    assert "\n" not in shown
    assert max(map(len, shown.split("\r\033[K"))) <= 78
