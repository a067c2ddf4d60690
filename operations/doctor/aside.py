"""Work that is done side by side, each until a common deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from components.kubernetes.unreachable import ClusterUnreachable
from components.object_storage.s3.errors import BucketError
from components.registry.errors import HarborError
from components.sealing.crypto import SealingError
from engine.pulumi import EngineError
from operations.doctor.findings import Answer, NotRead

_TOLD = (
    NotRead,
    ClusterUnreachable,
    HarborError,
    EngineError,
    BucketError,
    SealingError,
    OSError,
)
"""Errors whose texts are for people, and quote no secret."""


def side_by_side(works: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Answer]:
    """The answers of all works, of each that has none yet after `seconds` the reason.

    Raises nothing of a work's. A thread that hangs does not hold the program's end.
    """
    done: queue.Queue[tuple[str, Answer]] = queue.Queue()

    def turn(name: str, work: Callable[[], Any]) -> None:
        done.put((name, _answer(work)))

    for name, work in works.items():
        threading.Thread(target=turn, args=(name, work), daemon=True).start()
    answers: dict[str, Answer] = {}
    end = time.monotonic() + seconds
    while len(answers) < len(works):
        try:
            name, answer = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        answers[name] = answer
    late = Answer(reason=f"no answer within {seconds:.0f} s")
    return {name: answers.get(name, late) for name in works}


def _answer(work: Callable[[], Any]) -> Answer:
    try:
        return Answer(value=work())
    except _TOLD as error:
        return Answer(reason=" ".join(str(error).split()) or type(error).__name__)
    except Exception as error:
        # What came is of another shape than it should be. The text could quote it.
        return Answer(reason=f"the answer is not as expected ({type(error).__name__})")
