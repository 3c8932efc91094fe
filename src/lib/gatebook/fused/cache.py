"""Where compiled steps are kept, and on what they depend."""

import functools
import hashlib
import os
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent

_TRACED = ("recurrence/cells.py", "recurrence/scan.py", "fused/trace.py")


class NoCompiler(RuntimeError):
    """The fused scan cannot be compiled here."""


def cache_folder() -> Path:
    """``GATEBOOK_CACHE``, else ``gatebook`` in the user's cache folder.

    Where there is no such folder, as in a container whose user has no home, it is a
    private one among the temporary files.
    """
    if named := os.environ.get("GATEBOOK_CACHE"):
        return Path(named)
    try:
        folder = _users() / "gatebook"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # Path.home() raises the second
        pass
    return _private()


def _users() -> Path:
    """The folder that the system has for what programs can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _private() -> Path:
    """A folder among the temporary files that nobody else can write to."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"gatebook-{user}"
    folder.mkdir(exist_ok=True, mode=0o700)
    found = folder.lstat()
    # Code is loaded from here, so a folder that somebody else made will not do.
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        return _own()
    return folder


@functools.cache
def _own() -> Path:
    """A folder of this process alone."""
    return Path(tempfile.mkdtemp(prefix="gatebook-"))


@functools.cache
def _sources() -> bytes:
    """The files from which the lines of a step are derived."""
    files = sorted((PACKAGE / "gates").glob("*.py"))
    return b"".join(f.read_bytes() for f in (*files, *map(PACKAGE.joinpath, _TRACED)))


def key(*parts: str) -> str:
    """A name for compiled code that depends on ``parts`` and on what was traced."""
    digest = hashlib.sha256(_sources())
    digest.update("\n".join(parts).encode())
    return digest.hexdigest()[:32]
