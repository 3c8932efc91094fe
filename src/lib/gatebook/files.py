"""Files that are whole or not there at all."""

import contextlib
import json
import numbers
import os
import secrets
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


def to_json(value: object) -> str:
    """A value as JSON; NumPy's numbers become plain ones.

    Example:
        >>> import numpy
        >>> to_json({"steps": numpy.int64(3)})
        '{"steps": 3}'
    """
    return json.dumps(value, default=_plain)


def _plain(value: object) -> int | float:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{value!r} is no JSON value")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one.

    Raises:
        OSError: with the path and the system's reason (disk full, read-only).
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "xb") as file:  # who may read it is for the user's umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write: {error.strerror}", str(path)
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is in its place, or was never there
            aside.unlink()
