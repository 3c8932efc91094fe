"""Files that are whole or not there at all, and tensors in files that are checked.

A checked file is a safetensors file whose header holds texts and a SHA-256 sum of
texts and tensors. No pickle is written or read.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

Content = tuple[dict[str, str], dict[str, Tensor]]
"""A checked file's texts and tensors, by name."""


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


def write_checked(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]
) -> int:
    """Write tensors and texts with their sum; returns the bytes written."""
    held = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    whole = {**header, "sha256": checksum(held, header)}
    content = save(held, metadata=whole)
    write_atomic(path, content)
    return len(content)


def read_checked(path: Path, format: str | None = None) -> Content:
    """The texts and tensors that `write_checked` has written.

    Arguments:
        path: the file.
        format: what the text ``"format"`` must say; ``None`` if it may say anything.

    Raises:
        FileError: if the file is missing, cut short, altered, or of another format.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise FileError(f"{path} is missing") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    # Before the sum: a file of another kind has none, and is not altered.
    found = header.get("format")
    if format is not None and found != format:
        raise FileError(f"{path} has the format {found!r}; allowed: {format!r}")
    if header.pop("sha256", None) != checksum(tensors, header):
        raise FileError(f"{path} is altered: its SHA-256 sum is another")
    return header, tensors


def checksum(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 of the header and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(repr(sorted(header.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
