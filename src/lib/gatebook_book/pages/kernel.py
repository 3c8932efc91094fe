"""A page's kernel: what it is given, where it listens, and that it makes progress."""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil

from gatebook_book.context import Context, using

PATIENCE = 10.0
"""Seconds that an interrupted kernel has before it is asked again; thrice, then it
is killed."""

ONE_AT_A_TIME = threading.Lock()
"""A kernel takes its settings from the environment of the process that starts it."""

LONGEST = 90
"""Bytes of a socket's path, its number aside; the systems allow 104 to 108."""

SETTINGS = {
    # A user's own choice, such as Agg on a server, would leave a page without figures.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # The kernel's text is read as UTF-8 whatever the locale.
    "PYTHONUTF8": "1",
}
"""Part of every kernel's environment."""


@contextlib.contextmanager
def environment(context: Context, settings: dict[str, str]) -> Iterator[Path]:
    """Give the kernel its context and its settings.

    Yields:
        a folder that lasts as long as the run.
    """
    settings = SETTINGS | settings
    with ONE_AT_A_TIME, using(context), tempfile.TemporaryDirectory() as folder:
        before = {key: os.environ.get(key) for key in settings}
        os.environ.update(settings)
        try:
            yield Path(folder)
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def sockets(folder: Path) -> dict[str, str]:
    """Where the kernel listens: in a folder of this run's own, not on a network port.

    Left to itself, jupyter_client takes the next free name in the working folder, and
    two kernels that start there at once take the same one and hang.
    """
    path = folder / "kernel"
    if os.name == "nt" or len(os.fsencode(path)) > LONGEST:  # no such socket there
        return {"transport": "tcp"}
    return {"transport": "ipc", "ip": str(path)}


class Watch:
    """Does the work in a thread, and looks after its kernel meanwhile.

    Arguments:
        signs: files that change when the kernel gets on.
        silence: seconds without such a change after which the kernel is killed.
        stop: see `execute`; Ctrl-C sets it.
    """

    def __init__(self, signs: list[Path], silence: float | None, stop: threading.Event):
        self.signs, self.silence, self.stop = signs, silence, stop
        self.hung, self.asked, self.asked_at = False, 0, 0.0
        self.started = time.time()

    def __call__(self, work: Callable[[], None]) -> None:
        """Do the work; raises what it raises."""
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(work)
            while not running.done():
                try:
                    wait([running], timeout=0.2)
                    self._look()
                except KeyboardInterrupt:
                    # Asked a second time, a training does not wait for its step.
                    self.asked_at = 0.0
                    self.stop.set()
        running.result()

    def _look(self) -> None:
        if self.stop.is_set() and time.time() - self.asked_at > PATIENCE:
            self.asked, self.asked_at = self.asked + 1, time.time()
            for kernel in _kernels():
                # An idle kernel, between two cells, does not hear the first.
                _send(kernel, "kill" if self.asked > 3 else "interrupt")
        if self.silence and time.time() - self._last_sign() > self.silence:
            self.hung = True
            for kernel in _kernels():
                _send(kernel, "kill")

    def _last_sign(self) -> float:
        times = [self.started]
        for file in self.signs:
            with contextlib.suppress(FileNotFoundError):
                times.append(file.stat().st_mtime)
        return max(times)


def _kernels() -> list[psutil.Process]:
    """The kernels that this process has started."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                found.append(child)
    return found


def _send(process: psutil.Process, what: str) -> None:
    with contextlib.suppress(psutil.Error):
        if what == "kill":
            process.kill()
        elif os.name == "posix":
            process.send_signal(signal.SIGINT)
