"""Ctrl-C, held back until the work at hand is whole."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Run(Protocol):
    """A training that goes on step by step and can be stored between two steps."""

    def goes_on(self) -> bool: ...  # noqa: D102

    def advance(self) -> None: ...  # noqa: D102

    def store(self) -> None: ...  # noqa: D102


def carry_out(run: Run, checkpoint_seconds: float) -> None:
    """Advance a run to its end, and store it now and then.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the step is finished and stored.
    """
    saved = time.monotonic()
    with held() as came:
        while run.goes_on() and not came:
            run.advance()
            if time.monotonic() - saved > checkpoint_seconds:
                run.store()
                saved = time.monotonic()
    if came:
        run.store()
        raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
    """Collect Ctrl-C, for the loop to act on between two steps; raise a second one.

    In the middle of a step the weights may have changed without the step being
    counted, or half of its noise may be drawn. Only the main thread receives signals
    and may handle them. A process that ignores Ctrl-C, as a background job does, or
    that lets it end the process (handlers that cannot be called), keeps doing so.
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
