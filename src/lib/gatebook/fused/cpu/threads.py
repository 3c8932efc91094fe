"""The C code's work, split over threads.

They are PyTorch's own threads where its OpenMP library can be found in the process.
That library lets an idle thread look for work for a while, on a
processor that the threads of another pool would then have to share.

Threads wait for each other at the end of a piece of work, and some within it. Where
other programs hold the processors, a thread that is awaited may not run for some
milliseconds. So small work stays on one thread, and so does all work for a while
after threads came late.
"""

import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HOME = os.getpid()
"""The process that loaded this. OpenMP's threads do not survive a fork."""


class Crew(ctypes.Structure):
    """`Crew` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("work", "what", "thread", "threads")),
        ("done", ctypes.c_int64),
        ("failed", ctypes.c_int),
    ]


class Meeting(ctypes.Structure):
    """`Meeting` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("began", "came", "late")),
        *((name, ctypes.c_int) for name in ("waiting", "turn", "apart", "abandoned")),
    ]


WORTH = 2**23
"""Multiplications that are worth a thread: about 150 microseconds' work."""

SHORTEST, LONGEST = 0.005, 0.4
"""Seconds of work on one thread after threads came late."""


@dataclass
class Crowd:
    """Whether other programs hold the processors, by how threads kept time.

    Arguments:
        pause: seconds of work on one thread after the next lateness. Each lateness
            doubles it, each work in good time halves it.
        until: the clock's time at which the present pause ends.
    """

    pause: float = SHORTEST
    until: float = 0.0

    def note(self, late: bool) -> None:
        """Learn from a piece of work on several threads."""
        if late:
            self.until = time.monotonic() + self.pause
            self.pause = min(2 * self.pause, LONGEST)
        else:
            self.pause = max(self.pause / 2, SHORTEST)

    def here(self) -> bool:
        """Whether to do without other threads for now."""
        return self.until > 0 and time.monotonic() < self.until


crowd = Crowd()


def number(work: int) -> int:
    """How many of torch's threads should share some work.

    Arguments:
        work: how many multiplications it takes.
    """
    if work < 2 * WORTH or crowd.here():
        return 1
    return min(torch.get_num_threads(), work // WORTH)


def split(
    code: ctypes.CDLL,
    name: str,
    what: ctypes.Structure,
    parts: int,
    meeting: Meeting | None = None,
) -> None:
    """Call the C function ``name`` on ``what`` in ``parts`` threads at once.

    Arguments:
        code: the compiled kernel.
        name: of a function (what, part, parts) that returns 0 if all went well.
        what: its argument; kept alive until all threads are done.
        parts: how many threads; fewer may come.
        meeting: where they wait for each other, if the work has them do so.

    Raises:
        MemoryError: if there is no memory for its work arrays.
    """
    work = getattr(code, name)
    if parts == 1:
        failed = work(ctypes.byref(what), 0, 1)
    elif (library := openmp()) is not None and os.getpid() == HOME:
        failed = _crew(code, library, work, what, parts, meeting)
    else:
        failed = _pooled(work, what, parts, meeting)
    if failed:
        raise MemoryError("no memory for the fused scan's work arrays")


def _crew(
    code: ctypes.CDLL,
    library: ctypes.CDLL,
    work: Any,
    what: Any,
    parts: int,
    meeting: Meeting | None,
) -> int:
    crew = Crew(
        _address(work),
        ctypes.addressof(what),
        _address(library.omp_get_thread_num),
        _address(library.omp_get_num_threads),
    )
    late = code.gather(_start(library), ctypes.byref(crew), parts)
    crowd.note(bool(late or (meeting is not None and meeting.apart)))
    return crew.failed


def _start(library: ctypes.CDLL) -> ctypes.c_void_p:
    return ctypes.c_void_p(_address(library.GOMP_parallel))


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


@functools.cache
def openmp() -> ctypes.CDLL | None:
    """The OpenMP library that this process has loaded, if it speaks GNU's."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = {line.split()[-1] for line in lines if "omp" in line.rpartition("/")[2]}
    for name in sorted(names):
        try:
            library = ctypes.CDLL(name)
            library.GOMP_parallel, library.omp_get_thread_num  # noqa: B018
        except (OSError, AttributeError):
            continue
        return library
    return None


# --------------------------------------------------------------------------
# Without OpenMP
# --------------------------------------------------------------------------


def _pooled(
    work: Callable[..., int],
    what: ctypes.Structure,
    parts: int,
    meeting: Meeting | None,
) -> int:
    """The same on threads of our own; C runs without Python's lock.

    Threads that meet hold each other up, so two such works at once could each keep a
    thread that the other one waits for: one goes after the other.
    """
    with lock():
        try:
            waiting = [
                pool().submit(work, ctypes.byref(what), k, parts)
                for k in range(1, parts)
            ]
            return max(
                [work(ctypes.byref(what), 0, parts), *(w.result() for w in waiting)]
            )
        except BaseException:
            if meeting is not None:
                meeting.abandoned = 1  # one never came: the others stop waiting
            raise


@functools.cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="gatebook")


def pool() -> ThreadPoolExecutor:
    """The threads of this process; a forked one makes its own."""
    return _pool(os.getpid(), torch.get_num_threads())


@functools.cache
def _lock(process: int) -> threading.Lock:
    return threading.Lock()


def lock() -> threading.Lock:
    """Held while the pool works; a forked process has its own."""
    return _lock(os.getpid())
