"""Serving gRPC to the engine that started this process, and ending with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent import futures

import grpc

# The engine's own limit (rpcutil.GrpcChannelOptions): a stack's state can be large.
_MAX_MESSAGE_BYTES = 400 * 1024 * 1024


def serve(register: Callable[[grpc.Server], None], end: Callable[[], None]) -> None:
    """Prints the port and serves until the engine interrupts, ends or dies; then calls `end`."""

    def stop(_signal: int, _frame: object) -> None:
        raise SystemExit

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=32, initializer=_leave_interrupts_to_main),
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ],
        )
        register(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(port, flush=True)
        wait_for_engine_to_end()
    except SystemExit:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        end()
        sys.stdout.flush()
        sys.stderr.flush()
        # Calls still under way have nobody left to answer to.
        os._exit(0)


def wait_for_engine_to_end() -> None:
    """Returns when the engine is gone, even by SIGKILL: it holds the other end of stdin."""
    while os.read(0, 4096):
        pass


def _leave_interrupts_to_main() -> None:
    # The engine interrupts the whole process group. Children are started from these threads and
    # inherit the mask, so that none prints a KeyboardInterrupt: `end` ends them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
