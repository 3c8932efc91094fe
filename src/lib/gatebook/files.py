"""Files that are whole or not there at all."""

import contextlib
import os
import tempfile
from pathlib import Path


class FileError(RuntimeError):
    """A file cannot be read as what it should be; the message says which and why."""


def read_text(path: Path) -> str:
    """A file's text, in UTF-8 whatever the locale is.

    Raises:
        ValueError: if it is not UTF-8, naming the file.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 at byte {error.start}; allowed: a text file in UTF-8"
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one.

    Raises:
        OSError: with the path and the system's reason (disk full, read-only).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write: {error.strerror}", str(path)
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write: {error.strerror}", str(path)
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
