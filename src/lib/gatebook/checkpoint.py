"""Checkpoints: tensors in safetensors, the rest as JSON in the same file's header.

No pickle is written or read. A file appears whole or not at all.
"""

import contextlib
import hashlib
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
    made_with: dict[str, Any],
) -> None:
    """Store weights, optimiser, random streams and progress in one file.

    Arguments:
        path: the file; its folder is made.
        model: its parameters, buffers and streams are stored.
        optimizer: its state tensors and scalars are stored.
        progress: JSON values: step, curves, what the loop must know.
        made_with: JSON values that must be the same when the run goes on, such as
            what `parts` says of the model.
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
    tensors |= {f"torch.{k}": g.get_state() for k, g in _generators(model).items()}
    values = {"progress": progress, "optimizer": scalars, "made_with": made_with}
    header = {name: json.dumps(value) for name, value in values.items()}
    held = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    header["sha256"] = checksum(held, header)
    write_atomic(path, save(held, metadata=header))


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    made_with: dict[str, Any],
) -> dict[str, Any]:
    """Put everything back and return the progress.

    Raises:
        CheckpointError: if the file is missing, cut short, altered, or of another
            model.
        ValueError: if it was made with something else than ``made_with``. Nothing
            has been put back then.
    """
    header, tensors = _read(path)
    _check_same(path, json.loads(header["made_with"]), made_with)
    try:
        model.load_state_dict(_under(tensors, "model."))
        _restore_optimizer(optimizer, tensors, json.loads(header["optimizer"]))
        for name, streams in _streams(model):
            streams.load_state(_under(tensors, f"stream.{name}."))
        for name, generator in _generators(model).items():
            generator.set_state(tensors[f"torch.{name}"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _unusable(path, error) from error
    return json.loads(header["progress"])


def parts(model: nn.Module) -> dict[str, str]:
    """What a model consists of: each part without parts of its own, in words.

    Equal shapes do not tell one gate from another.
    """
    leaves = {n: m for n, m in model.named_modules() if not list(m.children())}
    return {f"model.{n}" if n else "model": repr(m) for n, m in leaves.items()}


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors, if they are what was written."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path} is missing") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise _unusable(path, error) from error
    if header.pop("sha256", None) != checksum(tensors, header):
        raise _unusable(path, "its content is not what its SHA-256 sum says")
    return header, tensors


def _unusable(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path} cannot be used: {reason}; delete it to start anew"
    )


def _check_same(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in stored | wanted:
        found, value = stored.get(name), wanted.get(name)
        if found != value:
            raise ValueError(
                f"{name} is {value}, but checkpoint {path} was made with {found}; "
                "allowed: the same, or delete the file"
            )


def checksum(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of the header and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(repr(sorted(header.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


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


def _generators(model: nn.Module) -> dict[str, torch.Generator]:
    """Torch's own generators where the model lives; dropout draws from them."""
    generators = {"cpu": torch.default_generator}
    for p in model.parameters():
        if p.device.type == "cuda":
            generators["cuda"] = torch.cuda.default_generators[p.device.index]
    return generators


def _streams(model: nn.Module) -> list[tuple[str, Any]]:
    return [(n, m.streams) for n, m in model.named_modules() if hasattr(m, "streams")]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
    }
