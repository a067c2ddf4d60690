"""A command ends quietly once nobody reads its output any more: `make status | head`.

Python ignores SIGPIPE. A write into a pipe that its reader has closed raises BrokenPipeError, and
so does the flush at the end of the process ("Note on SIGPIPE" in the reference of `signal`).
Only the standard library is used: the toolchain runs before the virtual environment exists.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

EXIT_CODE = 128 + signal.SIGPIPE
"""As a shell says of a process that SIGPIPE ended."""


class ReaderGone(BaseException):
    """The reader of this command's output has closed the pipe.

    It is raised once: what is written afterwards goes nowhere, so that a command can undo at its
    end what it began. It is no Exception, as KeyboardInterrupt is none: code that handles the
    errors of a connection or a file does not take it for one of them.
    """


def run(main: Callable[[list[str]], int]) -> NoReturn:
    """Runs a command with the arguments of this process, and ends the process with its exit code;
    with EXIT_CODE once the reader of its output is gone."""
    sys.stdout, sys.stderr = _followed(sys.stdout), _followed(sys.stderr)
    code: Any = EXIT_CODE
    try:
        try:
            code = main(sys.argv[1:])
        except SystemExit as ended:  # argparse's
            code = ended.code
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except ReaderGone:
        code = EXIT_CODE
    sys.exit(code)


def _followed(stream: TextIO | None) -> Any:
    """The same stream, of which a write raises ReaderGone. None where the process has none."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Output(io.FileIO):
    """A stream of this process."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            raise ReaderGone from None
