"""A run is made by one process at a time."""

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gatebook_book.runs.progress import show_progress


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep other processes from making the same file meanwhile.

    The system frees the lock of a process that is killed; what that process had half
    written, of the run or its checkpoint, is removed by the next one.

    Raises:
        OSError: if the folder cannot be written, with the system's reason.
    """
    path = file.with_suffix(".lock")
    lock = FileLock(path)
    _enter(lock, path)
    try:
        for part in path.parent.glob(f".{glob.escape(path.stem)}.*"):
            part.unlink(missing_ok=True)
        yield
    finally:
        # Removed while it is held: a process that waits then makes a new one.
        path.unlink(missing_ok=True)
        lock.release()


def _enter(lock: FileLock, path: Path) -> None:
    """Wait for a lock, and say so every minute."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=60)
            return
        except Timeout:
            show_progress(f"waiting for the process that makes {path.stem}")
        except OSError as error:
            reason = f"cannot write: {error.strerror}"
            raise OSError(error.errno, reason, str(path)) from error
