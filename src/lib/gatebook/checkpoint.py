"""Checkpoints: tensors in safetensors, the rest as JSON in the same file's header.

No pickle is written or read. A file appears whole or not at all.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read; the message says which and why."""


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


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Store weights, optimiser, random streams and progress in one file.

    Arguments:
        path: the file; its folder is made.
        model: its parameters, buffers and streams are stored.
        optimizer: its state tensors and scalars are stored.
        progress: JSON values: step, curves, what the loop must know.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                scalars[f"{index}.{key}"] = value
    for name, streams in _streams(model):
        tensors |= {f"stream.{name}.{k}": v for k, v in streams.state().items()}
    tensors["torch.rng"] = torch.get_rng_state()
    header = {"progress": json.dumps(progress), "optimizer": json.dumps(scalars)}
    held = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_atomic(path, save(held, metadata=header))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put everything back and return the progress.

    Raises:
        CheckpointError: if the file is cut short, altered, or of another model.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        _restore_model(model, _under(tensors, "model."))
        _restore_optimizer(optimizer, tensors, json.loads(header["optimizer"]))
        for name, streams in _streams(model):
            streams.load_state(_under(tensors, f"stream.{name}."))
        torch.set_rng_state(tensors["torch.rng"])
        return json.loads(header["progress"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be used: {error}; delete it to start anew"
        ) from error


def _restore_model(model: nn.Module, state: dict[str, Tensor]) -> None:
    model.load_state_dict(state)


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict
) -> None:
    whole = optimizer.state_dict()
    entries: dict[int, dict[str, Any]] = {}
    for name, value in (_under(tensors, "optimizer.") | scalars).items():
        index, key = name.split(".", 1)
        entries.setdefault(int(index), {})[key] = value
    whole["state"] = entries
    optimizer.load_state_dict(whole)


def _streams(model: nn.Module) -> list[tuple[str, Any]]:
    return [(n, m.streams) for n, m in model.named_modules() if hasattr(m, "streams")]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
    }
