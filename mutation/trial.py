"""Runs an area's tests on mutants of its code.

No file of the project is changed. Most mutants change functions that run in tests only: for these
one process collects the tests, and a fork of it for each mutant gives the functions the mutant's
code and runs the tests that reach them. Where a function runs at an import as well, or a change is
in what is made at one, the fork is of a process that has imported the SDKs and nothing of the
project, and imports the mutant. The short tests run first, and the first that fails ends it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import json
import multiprocessing
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import coverage
import pytest

from mutation import swap
from mutation.areas import ROOT, Area
from mutation.process import RAISED, Ended, forked

KILLED: Final = "killed"
SURVIVED: Final = "survived"
TIMED_OUT: Final = "timed out"
"""Neither killed nor survived: it ran on, or the machine was too busy."""
CRASHED: Final = "crashed"
"""The process of the tests ended by a signal, or what runs them failed: no test told of it."""

SDKS: Final = (
    *("pulumi", "pulumi_kubernetes", "pulumi_random", "pulumi_tls", "boto3", "cryptography.x509"),
    *("pydantic", "yaml", "hypothesis", "urllib3", "rich.console"),
)
_NO_TEST: Final = ""
"""Coverage's context of what runs outside of tests."""
_FIXTURE: Final = "fixture "
"""That of a fixture that several tests have, with its name: only the first of them makes it."""

_CACHED: Final = type(functools.cache(len))


class TrialError(Exception):
    """The tests fail without a mutant."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`code` is the whole module `path` with one change; `diff` shows it. The change is on `line`,
    in the function whose body has these first and last lines."""

    path: str
    line: int
    function: tuple[int, int]
    code: str
    diff: str

    @property
    def file(self) -> Path:
        return ROOT / self.path


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The area's tests without a mutant. `tests` has those that reach a line of a module, by
    themselves or by a fixture, and "" where the line runs outside of tests; `seconds` is how long
    each takes, `cpu` is processor time of all."""

    tests: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]
    cpu: float
    wall: float

    def reaching(self, mutant: Mutant) -> frozenset[str]:
        """The tests that run the function, with "" as in `tests`."""
        first, last = mutant.function
        lines = self.tests.get(mutant.path, {})
        return frozenset().union(*(lines.get(line, ()) for line in range(first, last + 1)))


def prepare() -> None:
    """Imports what all runs share."""
    for name in SDKS:
        importlib.import_module(name)


def baseline(area: Area) -> Baseline:
    """Runs all tests of the area once. Raises TrialError if one fails."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        recorded = Path(folder) / "recorded.json"

        def run() -> int:
            measured = coverage.Coverage(
                data_file=None,
                include=[str(ROOT / each) for each in area.files()],
                config_file="",
                messages=False,
            )
            measured.start()
            recorder = _Recorder(measured)
            code = _pytest(area, folder, recorder)
            measured.stop()
            if code:
                return code
            data = measured.get_data()
            lines = {
                str(Path(file).relative_to(ROOT)): data.contexts_by_lineno(file)
                for file in data.measured_files()
            }
            recorded.write_text(json.dumps([recorder.seconds, recorder.users, lines]))
            return 0

        begun = time.monotonic()
        ended = forked(run, Path(folder) / "output", cpu=3600, wall=7200)
        if ended.code != 0:
            raise TrialError(f"the tests of {area.name} fail without a mutant:\n{ended.output}")
        seconds, users, lines = json.loads(recorded.read_text())
        return Baseline(
            tests={
                path: {int(line): _tests(names, users) for line, names in by_line.items()}
                for path, by_line in lines.items()
            },
            seconds=seconds,
            cpu=ended.cpu,
            wall=time.monotonic() - begun,
        )


def _tests(contexts: Iterable[str], users: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The tests themselves; for a fixture, all that have it."""
    return frozenset(
        test
        for context in contexts
        for test in (users[context] if context.startswith(_FIXTURE) else (context,))
    )


def tried(area: Area, before: Baseline, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """Each mutant and what became of it, in the order in which that is known."""
    swapped: list[int] = []
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("fork").Process(
        target=_serve, args=(area, before, mutants, sender)
    )
    server.start()
    sender.close()
    while True:
        try:
            number, outcome = receiver.recv()
        except EOFError:
            break
        swapped.append(number)
        yield mutants[number], outcome
    server.join()
    for number, mutant in enumerate(mutants):
        if number not in swapped:
            yield mutant, _imported(area, before, mutant)


def _serve(area: Area, before: Baseline, mutants: Sequence[Mutant], sender: Connection) -> None:
    """Sends what becomes of those mutants that living functions can be made to."""
    sys.stdout = io.StringIO()  # pytest says that it ran no test
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        _pytest(area, folder, _Server(area, before, mutants, sender, Path(folder)))


def _imported(area: Area, before: Baseline, mutant: Mutant) -> str:
    tests = before.reaching(mutant)
    is_any = _NO_TEST in tests
    files = () if is_any else sorted({test.partition("::")[0] for test in tests})

    def run() -> int:
        sys.meta_path.insert(0, _Finder(mutant))
        code = _pytest(area, folder, _Reaching(before, None if is_any else tests), files)
        return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code

    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        return _outcome(_limited(run, before.wall, folder))


def _limited(run: Callable[[], int], seconds: float, folder: str | Path) -> Ended:
    """Runs tests that take so many seconds without a mutant. The limits are generous: the machine
    may be busy, and a mutant may only make a test slow."""
    return forked(run, Path(folder) / "output", cpu=20 + 5 * seconds, wall=300 + 20 * seconds)


def _outcome(ended: Ended) -> str:
    if ended.code is None:
        return TIMED_OUT
    if ended.code < 0 or ended.code == RAISED:
        return CRASHED
    return KILLED if ended.code else SURVIVED


def _pytest(area: Area, folder: str, plugin: object, files: Sequence[str] = ()) -> int:
    """Runs the tests of these files; all of the area's for none."""
    options = [
        *("-x", "-q", "-s", "-m", "not fuzz"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what is imported already
        *(f"--rootdir={ROOT}", f"--basetemp={folder}/tests"),
        *(f"--ignore={ROOT / path}" for path in area.without),
    ]
    paths = [str(ROOT / path) for path in files or area.tests]
    return int(pytest.main([*options, *paths], [plugin]))


class _Recorder:
    """Which test reaches which lines, and how long each takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.context = _NO_TEST
        self.caches: list[Any] = []
        self.users: dict[str, list[str]] = defaultdict(list)

    @contextlib.contextmanager
    def _within(self, context: str) -> Iterator[None]:
        outer, self.context = self.context, context
        self.measured.switch_context(context)
        try:
            yield
        finally:
            self.context = outer
            self.measured.switch_context(outer)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for name in item.fixturenames if isinstance(item, pytest.Function) else ():
                self.users[_FIXTURE + name].append(item.nodeid)
        caches = [each for each in gc.get_objects() if isinstance(each, _CACHED)]
        self.caches = [
            each for each in caches if each.__module__.startswith(("components", "tests"))
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        for each in self.caches:
            each.cache_clear()  # else only the first test reaches what is cached
        begun = time.monotonic()
        try:
            with self._within(item.nodeid):
                return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - begun

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        is_shared = fixturedef.scope != "function"
        with self._within(_FIXTURE + fixturedef.argname if is_shared else self.context):
            return (yield)


class _ShortFirst:
    """Runs the short tests first."""

    def __init__(self, before: Baseline) -> None:
        self.seconds = before.seconds

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))


class _Reaching(_ShortFirst):
    """Of these tests; of all for None."""

    def __init__(self, before: Baseline, tests: frozenset[str] | None) -> None:
        super().__init__(before)
        self.tests = tests

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.tests is not None:
            items[:] = [item for item in items if item.nodeid in self.tests]
        super().pytest_collection_modifyitems(items)


class _Server(_ShortFirst):
    """In place of running the tests: forks for each mutant, and runs those that reach it."""

    def __init__(
        self,
        area: Area,
        before: Baseline,
        mutants: Sequence[Mutant],
        sender: Connection,
        folder: Path,
    ) -> None:
        super().__init__(before)
        self.area = area
        self.before = before
        self.mutants = mutants
        self.sender = sender
        self.folder = folder

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        living = swap.living(str(ROOT / path) for path in self.area.files())
        for number, mutant in enumerate(self.mutants):
            tests = self.before.reaching(mutant)
            codes = swap.exchange(mutant.file.read_text(), mutant.code, str(mutant.file))
            functions = living[str(mutant.file)]
            if codes is None or not functions or _NO_TEST in tests:
                continue  # for the slow way

            items = [each for each in session.items if each.nodeid in tests]
            run = functools.partial(_exchanged, session, items, functions, codes)
            seconds = sum(self.seconds.get(item.nodeid, 0.0) for item in items)
            ended = _limited(run, seconds, self.folder)
            self.sender.send((number, _outcome(ended)))
        return True


def _exchanged(
    session: pytest.Session,
    items: Sequence[pytest.Item],
    functions: Sequence[FunctionType],
    codes: Mapping[swap.Place, CodeType],
) -> int:
    """1 if a test fails with these codes, else 0."""
    swap.swap(functions, codes)
    for number, item in enumerate(items):
        following = items[number + 1] if number + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


class _Finder:
    """Finds one module in the text of a mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = ".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__")

    def find_spec(
        self, name: str, _: Sequence[str] | None, __: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        loader = _Loader(name, str(self.mutant.file))
        loader.mutant = self.mutant.code
        return spec_from_file_location(name, self.mutant.file, loader=loader)


class _Loader(SourceFileLoader):
    mutant: str = ""

    def get_code(self, _: str) -> CodeType:
        return compile(self.mutant, self.path, "exec", dont_inherit=True)
