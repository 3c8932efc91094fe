"""Tensors in files that are checked.

A checked file is a safetensors file whose header holds texts and a SHA-256 sum of
texts and tensors. No pickle is written or read.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gatebook.files import FileError, write_atomic

Content = tuple[dict[str, str], dict[str, Tensor]]
"""A checked file's texts and tensors, by name."""


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
