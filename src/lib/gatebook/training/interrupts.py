"""Ctrl-C, held back until the work at hand is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
    """Collect Ctrl-C, for the loop to act on between two steps; raise a second one.

    In the middle of a step the weights may be changed and the step not counted, or
    half of its noise drawn. Signals reach the main thread only, and only there may
    they be handled. Who ignores Ctrl-C, as a job in the background does, or lets it
    end the process (handlers that cannot be called) keeps that.
    """
    came: list[int] = []

    def hold(number: int, frame: object) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and callable(before)):
        yield came
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
